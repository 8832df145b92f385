"""The stream scenario: lines in order, every one answered, and what preparing them takes is part of it."""

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edgecomp.benchmark.hosts.process import Place
from edgecomp.benchmark.scenarios.streaming import fastest
from edgecomp.benchmark.texts import Texts, texts_for
from edgecomp.benchmark.worker import loops, streaming
from edgecomp.benchmark.worker.station import Station
from edgecomp.benchmark.worker.streaming import How
from edgecomp.data.preprocessing import Bytes, Numbers
from edgecomp.errors import (
    BudgetExceededError,
    DataError,
    InferenceError,
    RuntimeUnavailableError,
    UsageError,
)
from edgecomp.metrics.samples import CPU, WALL

LINES = [f"line {number % 7} of {number}" for number in range(50)]


class Lengths:
    """A session whose class is how long a line is."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def signature(self) -> Any:
        return SimpleNamespace(inputs=(SimpleNamespace(name="text"),))

    def run(self, fed: Mapping[str, Any]) -> dict[str, Any]:
        lengths = (fed["text"] != 0).sum(1)
        self.asked.append(len(lengths))
        return {"logits": np.eye(64)[lengths]}


def answers(sessions: Sequence[Lengths], once: bool = False) -> list[streaming.Answer]:
    return [streaming.answering(one, streaming.preparing(max_bytes=32), once) for one in sessions]


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("batch", [1, 7, 64])
def test_every_line_is_answered_in_its_place(count: int, batch: int) -> None:
    sessions = [Lengths() for _ in range(count)]
    found = streaming.once_over(answers(sessions), LINES, How(count, batch))
    assert np.concatenate(found.classes).tolist() == [len(line) for line in LINES]
    assert sum(sum(one.asked) for one in sessions) == found.computed == 50
    assert found.wall_ns > 0


def test_a_line_that_comes_again_in_a_batch_is_computed_once_where_that_is_asked() -> None:
    session, lines = Lengths(), ["a", "bb", "a", "a", "bb", "a"]
    found = streaming.once_over(answers([session], once=True), lines, How(1, 3, once=True))
    assert np.concatenate(found.classes).tolist() == [1, 2, 1, 1, 2, 1]
    assert session.asked == [2, 2]
    assert found.computed == 4


def test_an_error_of_one_session_is_raised_and_ends_the_others() -> None:
    def fails(lines: Sequence[str]) -> Any:
        raise InferenceError("no")

    with pytest.raises(InferenceError, match="no"):
        streaming.once_over([*answers([Lengths()]), fails], LINES * 20, How(2, 1))
    assert threading.active_count() < 10


class Loads:
    """A runtime, and what became of its sessions. fails: whether they cannot answer."""

    def __init__(self, fails: bool = False) -> None:
        self.open, self.made, self.fails = 0, 0, fails

    def load(self, model: Path, **_: Any) -> Any:
        self.open, self.made = self.open + 1, self.made + 1
        session: Any = Lengths()
        if self.fails:
            session.run = lambda fed: 1 / 0
        session.close = self.close
        return session

    def close(self) -> None:
        self.open -= 1


def station(runtime: Loads, **job: Any) -> Station:
    made = Station.__new__(Station)
    made.job = {"trusted": False, "sealed": [], "model": "x", "threads": 2, "options": {}} | job
    made.runtime, made.session = runtime, Lengths()
    return made


@pytest.mark.parametrize("fails", [False, True])
def test_sessions_of_a_stream_are_closed_however_it_ends(fails: bool, tmp_path: Path) -> None:
    (tmp_path / "lines").write_text("\n".join(LINES))
    runtime = Loads(fails)
    asked = station(runtime).stream, (str(tmp_path / "lines"), [2, 8, False], 0.0, str(tmp_path / "to.npy"))
    if fails:
        with pytest.raises(ZeroDivisionError):
            asked[0](*asked[1], max_bytes=32)
    else:
        asked[0](*asked[1], max_bytes=32)
    assert (runtime.made, runtime.open) == (2, 0)


def test_an_encrypted_model_has_one_session(tmp_path: Path) -> None:
    (tmp_path / "lines").write_text("\n".join(LINES))
    runtime = Loads()
    own, to = station(runtime, sealed=[7]), str(tmp_path / "to.npy")
    own.stream(str(tmp_path / "lines"), [1, 8, False], 0.0, to, max_bytes=32)
    with pytest.raises(RuntimeUnavailableError, match="an encrypted model is opened once"):
        own.stream(str(tmp_path / "lines"), [2, 8, False], 0.0, to, max_bytes=32)
    assert runtime.made == 0


def test_lines_that_arrive_are_answered_together_and_their_latency_counts_from_when_they_came() -> None:
    now = [0]

    def later(by_ns: int) -> int:
        now[0] += by_ns
        return now[0]

    clocks = loops.Clocks(
        wall=lambda: later(1000), cpu=lambda: 0, sleep=lambda seconds: later(int(seconds * 1e9)) and None
    )

    def answer(lines: Sequence[str]) -> Any:
        later(10_000_000)  # 10 ms, however many they are
        return np.array([len(line) for line in lines])

    arrivals = [0, 1_000_000, 2_000_000, 40_000_000]
    served = streaming.arriving(answer, ["a", "b"], arrivals, most=8, clocks=clocks)
    assert served.batches == [1, 2, 1]
    assert np.abs(np.array(served.latency_ns[:3]) - [10_000_000, 19_000_000, 18_000_000]).max() < 100_000


def deployed(folder: Path) -> Path:
    Bytes(32, ("a", "b")).save(folder)
    (folder / "sample.txt").write_text("one\ntwo\n", encoding="utf-8")
    return folder / "model.onnx"


def test_lines_of_other_encodings_empty_binary_and_long_ones_are_read_and_counted(tmp_path: Path) -> None:
    file = tmp_path / "lines.txt"
    file.write_bytes(b"one\n\n\xe9t\xe9\n" + bytes(range(1, 9)) + b"\0x\r\n" + b"y" * 10_000_000)
    texts = texts_for(deployed(tmp_path), file)
    assert texts.facts["lines"] == len(texts.lines) == 5
    assert (texts.facts["empty"], texts.facts["not_utf8"]) == (1, 1)
    assert "\0" not in "".join(texts.lines)
    assert streaming.read_lines(str(texts.write(tmp_path))) == texts.lines
    assert texts.inputs(99)["bytes"].shape == (5, 32)


def test_without_lines_the_deployed_samples_are_asked(tmp_path: Path) -> None:
    assert texts_for(deployed(tmp_path), None).lines == ["one", "two"]


def test_what_is_no_stream_of_lines_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="stands alone: lines of text take the preprocessing"):
        texts_for(tmp_path / "model.onnx", None)
    model = deployed(tmp_path)
    with pytest.raises(DataError, match=r"no such file of texts: .*liens.txt"):
        texts_for(model, tmp_path / "liens.txt")
    (tmp_path / "empty.txt").write_bytes(b"")
    with pytest.raises(DataError, match=r"empty.txt has no line"):
        texts_for(model, tmp_path / "empty.txt")
    Numbers("array", (3,), (0.0,) * 3, (1.0,) * 3, ("a", "b")).save(tmp_path)
    with pytest.raises(UsageError, match=r"takes no texts \(array\)"):
        texts_for(model, None)


class Counted:
    """A host whose processes take a mebibyte for each line that is answered at once, and are the faster for it."""

    def __init__(self) -> None:
        self.most = 0

    @contextmanager
    def start(self, *given: Any) -> Iterator[Any]:
        self.most = 0
        yield self

    def ask(self, what: str, **given: Any) -> Any:
        if what == "memory":
            return {"memory": {"peak_bytes": self.most * 2**20}}
        if what == "stream_arriving":
            return {"latency_ns": [1e6], "batches": [given["most"]]}
        sessions, batch, _ = given["how"]
        self.most = max(self.most, sessions * batch)
        count = len(streaming.read_lines(given["lines"]))
        np.save(given["to"], np.zeros(count, np.int64))
        return {WALL: [1e9 * count / (sessions * batch)], CPU: [1e9], "computed": count}


def streamed(folder: Path, most_mib: int | None) -> dict[str, Any]:
    most = None if most_mib is None else most_mib * 2**20
    place = Place("onnxruntime-cpu", {}, threads=2, host=Counted(), most_bytes=most)  # type: ignore[arg-type]  # as much of one as is asked
    (folder / "model.onnx").write_bytes(b"")
    texts = Texts([f"line {place}" for place in range(600)], {"max_bytes": 32}, {})
    _, told = fastest(
        place, model=folder / "model.onnx", inputs=folder, rows=1, texts=texts, restarts=1, rate_per_s=None, scratch=folder,
        track=lambda items, what, total: items,
    )  # fmt: skip
    return told


def test_a_stream_goes_the_fastest_way_that_keeps_the_targets_memory(tmp_path: Path) -> None:
    whole = streamed(tmp_path, None)
    assert (whole["sessions"], whole["batch"]) == (2, 1024)
    some = streamed(tmp_path, 600)
    assert (some["sessions"], some["batch"]) == (2, 256)
    assert some["peak_memory_bytes"] == 512 * 2**20
    assert some["arriving"]["mean_batch"] == 256  # what waits is answered as it keeps to it too
    with pytest.raises(
        BudgetExceededError,
        match="takes 64 MiB at least, in whichever batches, and the target's budget is 60 MiB",
    ):
        streamed(tmp_path, 60)
