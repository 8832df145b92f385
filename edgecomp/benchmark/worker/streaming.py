"""Lines of text in, classes out, as fast as they go: preparing a line is part of what it costs."""

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from edgecomp.benchmark.worker import loops
from edgecomp.errors import RuntimeUnavailableError

Prepare = Callable[[Sequence[str]], dict[str, Any]]
Answer = Callable[[Sequence[str]], Any]


class How(NamedTuple):
    """A way to go: sessions side by side, and how many lines each takes at once. once: whether a line that a batch has twice is computed once."""

    sessions: int
    batch: int
    once: bool = False


def read_lines(file: str) -> list[str]:
    """The lines of a text file, as `edgecomp.benchmark.texts` writes it."""
    return Path(file).read_text(encoding="utf-8").split("\n")


def preparing(max_bytes: int | None = None, tokenizer: str | None = None) -> Prepare:
    """What makes a model's inputs by name of some lines: their first `max_bytes` bytes, or tokens by the `tokenizer` in that file."""
    import numpy as np

    from edgecomp.inputs import MASK, as_bytes, trimmed

    if max_bytes is not None:
        most = max_bytes
        return lambda lines: {"bytes": as_bytes(lines, most).astype(np.int64)}
    try:
        from tokenizers import Tokenizer
    except ImportError as error:
        raise RuntimeUnavailableError("lines become tokens by tokenizers: pip install tokenizers") from error
    backend = Tokenizer.from_file(str(tokenizer))

    def tokens(lines: Sequence[str]) -> dict[str, Any]:
        found = backend.encode_batch(list(lines))
        return trimmed(
            {
                "input_ids": np.array([one.ids for one in found], np.int64),
                MASK: np.array([one.attention_mask for one in found], np.int64),
            }
        )

    return tokens


def answering(session: Any, prepare: Prepare, once: bool = False) -> Answer:
    """What gives the class of each of some lines, int64 [N], by the largest number of the first output of `session`; of
    answers by token the first one's. prepare: makes its
    inputs; once: as `How` has it."""
    names = [port.name for port in session.signature().inputs]

    def answer(lines: Sequence[str]) -> Any:
        fed = prepare(lines)
        fed = fed if set(fed) == set(names) else dict(zip(names, fed.values(), strict=True))
        classes = next(iter(session.run(fed).values())).argmax(-1)
        return classes.reshape(len(lines), -1)[:, 0]

    def answer_each_once(lines: Sequence[str]) -> Any:
        places = {line: place for place, line in enumerate(dict.fromkeys(lines))}
        return answer(list(places))[[places[line] for line in lines]]

    return answer_each_once if once else answer


class Pass(NamedTuple):
    """Once over all lines. computed: lines that the model was asked, fewer than there are where each is asked once."""

    wall_ns: int
    cpu_ns: int
    classes: list[Any]
    computed: int


def once_over(
    answers: Sequence[Answer], lines: Sequence[str], how: How, clocks: loops.Clocks = loops.REAL
) -> Pass:
    """All `lines` by a thread for each of the `answers`, in batches that are taken in turn; classes: by batch, in the lines' order. how:
    of which way the batches are; clocks: to read.

    Raises what an answer raises.
    """
    parts = [lines[place : place + how.batch] for place in range(0, len(lines), how.batch)]
    classes: list[Any] = [None] * len(parts)
    lock, places, failed = threading.Lock(), iter(range(len(parts))), list[BaseException]()

    def work(answer: Answer) -> None:
        while not failed:
            with lock:
                place = next(places, None)
            if place is None:
                return
            try:
                classes[place] = answer(parts[place])
            except BaseException as error:  # noqa: BLE001 - raised again by the thread that waits
                failed.append(error)

    threads = [threading.Thread(target=work, args=(answer,)) for answer in answers[1:]]
    cpu_begin, begin = clocks.cpu(), clocks.wall()
    for thread in threads:
        thread.start()
    work(answers[0])
    for thread in threads:
        thread.join()
    wall_ns, cpu_ns = clocks.wall() - begin, clocks.cpu() - cpu_begin
    if failed:
        raise failed[0]
    computed = sum(len(set(part)) for part in parts) if how.once else len(lines)
    return Pass(wall_ns, cpu_ns, classes, computed)


def arriving(
    answer: Answer,
    lines: Sequence[str],
    arrivals_ns: Sequence[int],
    most: int,
    clocks: loops.Clocks = loops.REAL,
) -> loops.Served:
    """An open loop: `lines` come when they come, and what waits is answered together by `answer`, at most so many. arrivals_ns: since the start, in
    order; clocks: to read, and to sleep by."""
    place = 0

    def next_lines(count: int) -> dict[str, Any]:
        nonlocal place
        place += count
        return {"lines": [lines[one % len(lines)] for one in range(place - count, place)]}

    return loops.serve(
        lambda fed: {"classes": answer(fed["lines"])}, next_lines, arrivals_ns, most=most, clocks=clocks
    )


def stream(
    sessions: Sequence[Any], prepare: Prepare, lines: Sequence[str], how: How, seconds: float, to: str
) -> dict[str, Any]:
    """As many passes over the `lines` as go into so many `seconds`, two at least, after one that is not timed.

    sessions: of the model, as many as are side by side; prepare: makes its inputs; to: a .npy file of the classes. Returns wall_ns and
    cpu_ns by pass, and how many lines were computed.
    """
    import numpy as np

    answers = [answering(session, prepare, how.once) for session in sessions]
    first = once_over(answers, lines, how)
    np.save(to, np.concatenate(first.classes))
    walls: list[int] = []
    cpus: list[int] = []
    end = time.perf_counter() + seconds
    while len(walls) < 2 or time.perf_counter() < end:
        taken = once_over(answers, lines, how)
        walls.append(taken.wall_ns)
        cpus.append(taken.cpu_ns)
    return {"wall_ns": walls, "cpu_ns": cpus, "computed": first.computed}
