"""A benchmark process: one model, its runtime, numpy, and nothing else.

Started as `python -m edgecomp.bench.worker JOB` with a JSON job: runtime, model, threads, cores, options, inputs, rows (examples at once), trusted (the model's file
may run code), slowdown (a share of extra work, for a trial of the measuring itself), parent (a pipe whose other end closes with whoever asks). It says which phase it enters (imports, load, first_run), answers once, says what that took, and then obeys one JSON command a line until
its input ends:

    single_stream  count                       → wall_ns and cpu_ns of each inference, one example at a time
    offline        count, batch                → wall_ns and cpu_ns of each batch
    serve          arrivals, most, delay_ns    → latency_ns of each request of an open loop (arrivals: a .npy file)
    stress         clients, seconds, every_s   → many at once: latencies, errors, wrong answers, memory (to: an .npz file)
    repeated       count                       → cpu_ns of each input asked again, and of fresh ones like it
    harness                                    → ns that a call costs in these loops, of a model that does nothing
    outputs        inputs, to, batch           → the first output of every example, in a .npy file
    profile        runs                        → time by layer, by the runtime's own clock
    pin            cores                       → threads that work on a core each, from now on
    memory                                     → what the process holds now; the high-water mark begins anew

Replies go to the file descriptor the job names, so that no library's chatter can garble them.
"""

import contextlib
import fcntl
import json
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from edgecomp.bench import loops, memory, noise
from edgecomp.errors import EdgecompError

DISTINCT_INPUTS = 16


def main() -> None:
    job = json.loads(sys.argv[1])
    _end_with(job["parent"])
    replies = os.fdopen(job["replies"], "w", buffering=1)

    def say(content: dict[str, Any]) -> None:
        replies.write(json.dumps(content) + "\n")

    try:
        _serve(job, say)
    except EdgecompError as error:
        say({"error": str(error), "kind": type(error).__name__})
        sys.exit(1)
    except MemoryError:
        say({"error": "out of memory", "kind": "MemoryError"})
        sys.exit(1)


def _end_with(parent: int) -> None:
    """Has the kernel kill this process, also where it hangs, when the pipe's other end closes (fcntl(2), F_SETSIG).

    PR_SET_PDEATHSIG would follow the thread that has started it, and a thread may end before.
    """
    fcntl.fcntl(parent, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(parent, fcntl.F_SETSIG, signal.SIGKILL)
    fcntl.fcntl(parent, fcntl.F_SETFL, os.O_ASYNC)
    if select.select([parent], [], [], 0)[0]:  # it was closed before
        sys.exit(1)


def _serve(job: dict[str, Any], say: Callable[[dict[str, Any]], None]) -> None:
    if job["cores"]:
        os.sched_setaffinity(0, job["cores"])
    say({"phase": "imports"})
    import numpy as np

    from edgecomp import inputs, runtimes

    runtime = runtimes.adapter(job["runtime"])
    imported = time.perf_counter_ns()
    held = {"imports": memory.snapshot()}

    say({"phase": "load"})
    begin = time.perf_counter_ns()
    session = _loaded(runtime, job)
    load_ns = time.perf_counter_ns() - begin - getattr(session, "checked_ns", 0)
    held["load"] = memory.snapshot()

    signature = session.signature()
    names = [port.name for port in signature.inputs]
    told = {
        "imported_at_ns": imported,
        "load_ns": load_ns,
        "memory": held,
        "signature": [[port._asdict() for port in ports] for ports in signature],
        "versions": runtime.versions(),
        "cores": sorted(os.sched_getaffinity(0)),
    }
    if job["inputs"] is None:
        say(told)
        return
    rows = job["rows"]
    examples = inputs.load(Path(job["inputs"]))

    def feed_of(examples: inputs.Inputs, chosen: Any, trimmed: bool = True) -> dict[str, Any]:
        """Some examples, without the padding they share, under the names that this file has for its inputs."""
        fed = inputs.some(examples, chosen)
        fed = inputs.trimmed(fed) if trimmed else fed
        known = fed if set(fed) == set(names) else dict(zip(names, fed.values(), strict=True))
        return {name: np.ascontiguousarray(values) for name, values in known.items()}

    distinct = min(DISTINCT_INPUTS, inputs.count(examples) // rows)
    feeds = [feed_of(examples, slice(rows * i, rows * (i + 1))) for i in range(distinct)]
    say({"phase": "first_run"})
    begin = time.perf_counter_ns()
    session.run(feeds[0])
    first_ns = time.perf_counter_ns() - begin
    held["first_run"] = memory.snapshot()
    if job["slowdown"]:
        from edgecomp.bench.injected import Slowed

        session = Slowed(session, feeds[0], job["slowdown"])
    say(told | {"first_run_ns": first_ns, "phase": "steady"})
    station = Station(job, runtime, session, examples, feeds, feed_of)
    for line in sys.stdin:
        command = json.loads(line)
        say(station.obey(command))
    session.close()


def _loaded(runtime: Any, job: Mapping[str, Any]) -> Any:
    """A session. Whether a file may run code is asked of those runtimes alone whose files can."""
    trusted = {"trusted": True} if job["trusted"] else {}
    return runtime.load(Path(job["model"]), threads=job["threads"], options=job["options"], **trusted)


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
    ) -> None:
        self.job, self.runtime, self.session = job, runtime, session
        self.examples, self.feeds, self.feed_of = examples, feeds, feed_of
        self.asked = 0
        self.idle = thread_times()

    def obey(self, command: dict[str, Any]) -> dict[str, Any]:
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
        walls, cpus, outputs = loops.single_stream(self.session.run, self.feeds, count, first=self.asked)
        place = (self.asked + count - 1) % len(self.feeds)
        self.asked += count
        answer = next(iter(outputs.values()))
        return {"wall_ns": walls, "cpu_ns": cpus, "asked": place, "answer": answer.ravel()[:1000].tolist()}

    def offline(self, count: int, batch: int) -> dict[str, Any]:
        walls, cpus = loops.queries(self.session.run, self.batch(batch), count)
        return {"wall_ns": walls, "cpu_ns": cpus}

    def serve(self, arrivals: str, most: int, delay_ns: int) -> dict[str, Any]:
        import numpy as np

        feeds = {size: self.batch(size) for size in range(1, most + 1)}
        for feed in feeds.values():
            self.session.run(feed)  # each shape's first run
        due = np.load(arrivals, allow_pickle=False).tolist()
        served = loops.serve(self.session.run, feeds.__getitem__, due, most=most, delay_ns=delay_ns)
        return served._asdict()

    def stress(self, clients: int, seconds: float, every_s: float, to: str) -> dict[str, Any]:
        import numpy as np

        sessions = [self.session] * clients
        if not self.session.concurrent:
            more = [_loaded(self.runtime, self.job) for _ in range(clients - 1)]
            sessions = [self.session, *more]
        right = []
        for session in sessions:  # once alone, from this thread, before the first inferences come from many
            right = [next(iter(session.run(feed).values())).copy() for feed in self.feeds]

        def same(place: int, outputs: Mapping[str, Any]) -> bool:
            answer = next(iter(outputs.values()))
            return answer.shape == right[place].shape and np.allclose(
                answer, right[place], rtol=1e-3, atol=1e-5
            )

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

    def repeated(self, count: int) -> dict[str, Any]:
        """Each input asked again and again, and then others of its shape that were never seen, `count` times each.

        What is asked again is so in copies: in the CPU's caches it lies no warmer than what was never seen.
        """
        import numpy as np

        random = np.random.default_rng(0)
        again: list[list[int]] = []
        fresh: list[list[int]] = []
        for feed in self.feeds:
            never = [
                {
                    name: values + random.normal(0, 1e-3, values.shape).astype(values.dtype)
                    if values.dtype.kind == "f"
                    else random.permutation(values, axis=-1)
                    for name, values in feed.items()
                }
                for _ in range(count + 1)
            ]
            same = [{name: values.copy() for name, values in feed.items()} for _ in range(count + 1)]
            again.append(loops.single_stream(self.session.run, same, count, first=1)[1])
            fresh.append(loops.single_stream(self.session.run, never, count, first=1)[1])
        return {"repeated_cpu_ns": again, "fresh_cpu_ns": fresh}

    def outputs(self, inputs: str, to: str, batch: int) -> dict[str, Any]:
        import numpy as np

        from edgecomp.inputs import count, load

        asked, size = load(Path(inputs)), batch * self.job["rows"]

        def answers(trimmed: bool) -> list[Any]:
            feeds = (self.feed_of(asked, slice(i, i + size), trimmed) for i in range(0, count(asked), size))
            return [next(iter(self.session.run(feed).values())).copy() for feed in feeds]

        parts = answers(trimmed=True)
        if len({part.shape[1:] for part in parts}) > 1:  # an output for each token: as long as its batch is
            parts = answers(trimmed=False)
        np.save(to, np.concatenate(parts))
        return {}

    def harness(self) -> dict[str, Any]:
        return {"harness_ns": sorted(loops.harness_ns() for _ in range(5))[2]}

    def profile(self, runs: int) -> dict[str, Any]:
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
        """The threads that have worked since it was loaded each on a core of its own, the busiest first; all others beside them."""
        busy = {thread: ns - self.idle.get(thread, 0) for thread, ns in thread_times().items()}
        for place, thread in enumerate(sorted(busy, key=lambda thread: -busy[thread])):
            with contextlib.suppress(ProcessLookupError):  # it has ended meanwhile
                os.sched_setaffinity(thread, {cores[place]} if place < len(cores) else set(cores))
        return {}

    def memory(self) -> dict[str, Any]:
        held = memory.snapshot()
        memory.reset_peak()
        return {"memory": held}


def thread_times() -> dict[int, int]:
    """CPU time of each thread of this process so far, in ns (Linux, Documentation/scheduler/sched-stats.rst)."""
    times = {}
    for thread in os.listdir("/proc/self/task"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            times[int(thread)] = int(Path(f"/proc/self/task/{thread}/schedstat").read_text().split()[0])
    return times


if __name__ == "__main__":
    main()
