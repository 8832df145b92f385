"""What a worker does when it is asked."""

import contextlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from edgecomp.benchmark.worker import answers, generating, loops, memory, noise, streaming
from edgecomp.inputs import Axes

CONNECTIONS = 64  # to a server: so many requests are under way at once, at most
MOST_BESIDE = 2**29  # bytes of the outputs that are not judged; of more examples they are left out


def loaded(runtime: Any, job: Mapping[str, Any]) -> Any:
    """A session of the model that a `job` names, by its `runtime`. Whether a file may run code is asked of those runtimes alone whose files can."""
    trusted = {"trusted": True} if job["trusted"] else {}
    model: Any = Path(job["model"])
    if job["sealed"]:
        from edgecomp.runtimes import Held

        model = Held(model.name, *(_all_of(end) for end in job["sealed"]))
    return runtime.load(model, threads=job["threads"], options=job["options"], **trusted)


def _all_of(end: int) -> bytes:
    """What comes through a pipe until its other end closes."""
    with open(end, "rb") as pipe:
        return pipe.read()


class Station:
    """A loaded model and its inputs, ready for commands."""

    def __init__(
        self,
        job: Mapping[str, Any],
        runtime: Any,
        session: Any,
        examples: Mapping[str, Any],
        feeds: list[dict[str, Any]],
        feed_of: Callable[..., dict[str, Any]],
        axes: Axes,
    ) -> None:
        self.job, self.runtime, self.session, self.axes = job, runtime, session, axes
        self.examples, self.feeds, self.feed_of = examples, feeds, feed_of
        self.asked = 0
        self.pool: dict[str, Any] | None = None  # of `unseen`
        self.idle = noise.thread_times()
        self.is_remote = getattr(
            session, "remote", False
        )  # what it costs is a server's, and a thread here only waits

    def obey(self, command: dict[str, Any]) -> dict[str, Any]:
        """The reply to `command`: `do`, a method's name, and its arguments; with the context switches
        meanwhile."""
        before = noise.switches()
        reply: dict[str, Any] = getattr(self, command.pop("do"))(**command)
        after = noise.switches()
        return reply | {"switches": {name: after[name] - before[name] for name in after}}

    def batch(self, size: int) -> dict[str, Any]:
        """The examples of `size` queries, again from the start where there are fewer."""
        import numpy as np

        count = len(next(iter(self.examples.values())))
        return self.feed_of(self.examples, np.arange(size * self.job["rows"]) % count)

    def single_stream(self, count: int) -> dict[str, Any]:
        """`count` inferences, one after another, and what the last one answered."""
        walls, cpus, outputs = loops.single_stream(self.session.run, self.feeds, count, first=self.asked)
        place = (self.asked + count - 1) % len(self.feeds)
        self.asked += count
        answer = answers.told(answers.as_arrays(outputs, self.axes))
        return {"wall_ns": walls, "cpu_ns": cpus, "asked": place, "answer": answer}

    def offline(self, count: int, batch: int) -> dict[str, Any]:
        """`count` batches of `batch` queries each."""
        walls, cpus = loops.queries(self.session.run, self.batch(batch), count)
        return {"wall_ns": walls, "cpu_ns": cpus}

    def serve(self, arrivals: str, most: int, delay_ns: int) -> dict[str, Any]:
        """An open loop. arrivals: a .npy file of when requests come, ns; most: how many are answered at once;
        delay_ns: how long a batch waits to fill."""
        import numpy as np

        if self.is_remote:
            return self._sent(np.load(arrivals, allow_pickle=False).tolist())
        feeds = {size: self.batch(size) for size in range(1, most + 1)}
        for feed in feeds.values():
            self.session.run(feed)  # each shape's first run
        due = np.load(arrivals, allow_pickle=False).tolist()
        served = loops.serve(self.session.run, feeds.__getitem__, due, most=most, delay_ns=delay_ns)
        return served._asdict()

    def stream(self, lines: str, how: list[Any], seconds: float, to: str, **preparing: Any) -> dict[str, Any]:
        """Lines of the file `lines` in the way `how`, for so many `seconds`; to: a file of their classes; preparing: how they become inputs."""
        way = streaming.How(*how)
        job = self.job if way.sessions == 1 else {**self.job, "threads": 1}
        sessions = [self.session] if way.sessions == 1 else [self._another(job) for _ in range(way.sessions)]
        try:
            return streaming.stream(
                sessions, streaming.preparing(**preparing), streaming.read_lines(lines), way, seconds, to
            )
        finally:
            for session in sessions if way.sessions > 1 else ():
                session.close()

    def stream_arriving(self, lines: str, arrivals: str, most: int, **preparing: Any) -> dict[str, Any]:
        """An open loop of lines of the file `lines`, as `serve` is one of requests: arrivals: when they come; most: how many are answered at once;
        preparing: as in `stream`."""
        import numpy as np

        answer = streaming.answering(self.session, streaming.preparing(**preparing))
        due, texts = np.load(arrivals, allow_pickle=False).tolist(), streaming.read_lines(lines)
        for size in (1, most):
            answer([texts[place % len(texts)] for place in range(size)])  # each shape's first run
        return streaming.arriving(answer, texts, due, most)._asdict()

    def _sent(self, due: list[int]) -> dict[str, Any]:
        """An open loop against a server, which has a queue of its own. due: when requests come, ns."""
        same = self._same([self.session])

        def connect() -> Any:
            self.session.connect()
            return self.session.send

        requests = [self.session.prepared(feed) for feed in self.feeds]
        return loops.sent(connect, self.session.read, CONNECTIONS, requests, same, due)._asdict()

    def _same(self, sessions: list[Any]) -> Callable[[int, Mapping[str, Any]], bool]:
        """Whether a feed's outputs, asked again, are those that each of the `sessions` gives now, the last one's."""
        right: list[dict[str, Any]] = []
        for session in sessions:  # once alone, from this thread, before the first inferences come from many
            right = [copied(answers.as_arrays(session.run(feed), self.axes)) for feed in self.feeds]

        def same(place: int, outputs: Mapping[str, Any]) -> bool:
            found = answers.as_arrays(outputs, self.axes)
            return all(answers.are_close(found[name], values) for name, values in right[place].items())

        return same

    def stress(self, clients: int, seconds: float, every_s: float, to: str) -> dict[str, Any]:
        """So many `clients` at once for so many `seconds`; to: an .npz file of their latencies, and of the
        memory every `every_s` seconds."""
        import numpy as np

        sessions = [self.session] * clients
        if not self.session.concurrent:
            more = [self._another(self.job) for _ in range(clients - 1)]
            sessions = [self.session, *more]
        same = self._same(sessions)
        statm = os.open("/proc/self/statm", os.O_RDONLY)
        seen, held = loops.stress(
            [session.run for session in sessions],
            self.feeds,
            same,
            seconds,
            lambda: memory.resident_bytes(statm),
            every_s,
        )
        os.close(statm)
        samples: dict[str, Any] = {"held": np.asarray(held, np.int64)}
        for index, client in enumerate(seen):
            samples[f"wall_ns.{index}"] = np.asarray(client.wall_ns, np.int64)
            samples[f"begin_ns.{index}"] = np.asarray(client.begin_ns, np.int64)
        np.savez(to, **samples)
        return {
            "wrong": sum(client.wrong for client in seen),
            "errors": [error for client in seen for error in client.errors],
        }

    def _another(self, job: Mapping[str, Any]) -> Any:
        """A further session of the model, as `job` has it. Raises RuntimeUnavailableError of an encrypted one, whose bytes came once and are not kept."""
        if job["sealed"]:
            from edgecomp.errors import RuntimeUnavailableError

            raise RuntimeUnavailableError(
                "an encrypted model is opened once in a process, and this takes several sessions: measure the model that it was made of"
            )
        return loaded(self.runtime, job)

    def repeated(self, count: int) -> dict[str, Any]:
        """Each input asked again and again, and then others of its shape that were never seen, `count` times each.

        CPU time, and of a server wall time. What is asked again is so in copies: in the CPU's caches it lies no warmer than what was never seen.
        """
        import numpy as np

        random = np.random.default_rng(0)

        def times(feeds: list[Any]) -> list[int]:
            walls, cpus, _ = loops.single_stream(self.session.run, feeds, count, first=1)
            return walls if self.is_remote else cpus

        again: list[list[int]] = []
        fresh: list[list[int]] = []
        for feed in self.feeds:
            never = [
                {name: self.unseen(name, values, random) for name, values in feed.items()}
                for _ in range(count + 1)
            ]
            same = [{name: values.copy() for name, values in feed.items()} for _ in range(count + 1)]
            again.append(times(same))
            fresh.append(times(never))
        return {"repeated_ns": again, "fresh_ns": fresh}

    def unseen(self, name: str, values: Any, random: Any) -> Any:
        """Another input than `values` for the input `name`, of that shape, that the model takes and that costs it what that one does: numbers
        beside these, and of all else one place in each example as another one has it, drawn by `random`. What is made of nothing but other examples' places
        would be asked the dear part of a network that hands on what it is unsure of."""
        import numpy as np

        axis = self.axes.get(name, 0)
        if axis is None:
            return values.copy()
        if values.dtype.kind == "f":
            return values + random.normal(0, 1e-3, values.shape).astype(values.dtype)
        if self.pool is None:
            self.pool = self.feed_of(self.examples, slice(len(self.feeds) * self.job["rows"]), trimmed=False)
        there = list(np.indices(values.shape, sparse=True))
        there[axis] = random.integers(self.pool[name].shape[axis], size=values.shape)
        drawn, made = np.moveaxis(self.pool[name][tuple(there)], axis, 0), values.copy()
        for example, other in enumerate(drawn):
            row = np.moveaxis(made, axis, 0)[example, ...]
            if len(differing := np.argwhere(row != other)):
                place = tuple(random.choice(differing))
                row[place] = other[place]
        return made

    def outputs(self, inputs: str, to: str, batch: int, judged: str | None = None) -> dict[str, Any]:
        """Each query of `batch` in turn; where their answers do not fit together, with the padding, and then
        one at a time.

        inputs: a folder of examples; to: the file of their outputs; judged: the output that is kept of all
        examples, the first where it is None.
        """
        import numpy as np

        from edgecomp.inputs import MASK, by_token, count, load

        asked = load(Path(inputs))

        def put_together(size: int, trimmed: bool) -> dict[str, Any]:
            places = [slice(i, min(i + size, count(asked))) for i in range(0, count(asked), size)]
            queries, held = [], 0
            for place in places:
                found = answers.as_arrays(self.session.run(self.feed_of(asked, place, trimmed)), self.axes)
                wanted = judged if judged in found else next(iter(found))
                kept = found if held < MOST_BESIDE else {wanted: found[wanted]}
                queries.append(copied(kept))
                held += sum(values.nbytes for name, values in kept.items() if name != wanted)
            return answers.put_together(queries, [place.stop - place.start for place in places])

        rows = self.job["rows"]
        ways = [(batch * rows, True), (batch * rows, False), (rows, True)]
        for size, trimmed in ways if MASK in asked else ways[::2]:
            parts = put_together(size, trimmed)
            if all(not isinstance(part, list) for part in parts.values()):
                break
        if MASK in asked:
            mask = np.asarray(asked[MASK])
            parts = {
                name: by_token(part, mask) if isinstance(part, np.ndarray) else part
                for name, part in parts.items()
            }
        answers.save(parts, Path(to))
        return {}

    def generate(self, count: int, tokens: int) -> dict[str, Any]:
        """`count` texts of so many `tokens`, of one prompt after another."""
        return generating.generate(self.session, self.feeds, count, tokens)

    def forced(self, inputs: str, to: str) -> dict[str, Any]:
        """What is said of each token that comes in the texts of a folder, `inputs`; to: an .npy file."""
        return generating.forced(self.session, inputs, to)

    def said(self, inputs: str, to: str) -> dict[str, Any]:
        """The logits of every place of the texts of a folder, `inputs`; to: an .npz file."""
        return generating.said(self.session, inputs, to)

    def harness(self) -> dict[str, Any]:
        return {"harness_ns": sorted(loops.harness_ns() for _ in range(5))[2]}

    def profile(self, runs: int) -> dict[str, Any]:
        """Time by layer over `runs` inferences; None where the runtime has no profile."""
        from edgecomp.runtimes import Profile

        if not isinstance(self.runtime, Profile):
            return {"layers": None}
        layers = self.runtime.layer_times(
            Path(self.job["model"]),
            self.feeds[0],
            threads=self.job["threads"],
            options=self.job["options"],
            runs=runs,
        )
        return {"layers": [layer._asdict() for layer in layers]}

    def pin(self, cores: list[int]) -> dict[str, Any]:
        """The threads that have worked since it was loaded each on one of the `cores`, the busiest first; all
        others beside them."""
        busy = {thread: ns - self.idle.get(thread, 0) for thread, ns in noise.thread_times().items()}
        for place, thread in enumerate(sorted(busy, key=lambda thread: -busy[thread])):
            with contextlib.suppress(ProcessLookupError):  # it has ended meanwhile
                os.sched_setaffinity(thread, {cores[place]} if place < len(cores) else set(cores))
        return {}

    def memory(self) -> dict[str, Any]:
        held = memory.snapshot()
        memory.reset_peak()
        return {"memory": held}


def copied(arrays: Mapping[str, Any]) -> dict[str, Any]:
    """The `arrays`, by name, in memory of their own: a runtime may use its own again."""
    return {name: values.copy() for name, values in arrays.items()}
