"""An open loop against a server: every request is sent when it comes, and what fails or is wrong under load is told, never a pass."""

import threading
from pathlib import Path
from typing import Any

import pytest
from kserve import Behaviour, Every, serving

import edgecomp
from edgecomp.benchmark.scenarios import served
from edgecomp.benchmark.worker import loops
from edgecomp.errors import DeviceError, InferenceError


class Connections:
    """Answers at once; at most so many are asked together."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.lock = threading.Lock()

    def run(self, feed: Any) -> dict[str, Any]:
        with self.lock:
            self.asked.append(feed["x"])
        if feed["x"] == 3:
            raise InferenceError("refused")
        return {"y": feed["x"]}


def test_every_request_is_sent_once_and_what_failed_or_was_wrong_is_counted() -> None:
    connections, feeds = Connections(), [{"x": number} for number in range(5)]
    found = loops.sent(
        lambda: connections.run, dict, 4, feeds, lambda place, outputs: place != 1, list(range(0, 2000, 100))
    )
    assert sorted(connections.asked) == sorted(4 * [0, 1, 2, 3, 4])
    assert found.wrong == 4
    assert found.errors == {"InferenceError: refused": 4}
    assert [latency < 0 for latency in found.latency_ns] == [place % 5 == 3 for place in range(20)]
    assert all(late >= 0 for late in found.late_ns)
    assert 1 <= found.most_at_once <= 4


def test_a_request_that_waits_for_a_connection_waits_from_when_it_came() -> None:
    """Nothing is omitted because the server is slow: with one connection the last of five waits for four others."""
    now, lock = [0], threading.Lock()

    def sleep(seconds: float) -> None:
        with lock:
            now[0] += round(seconds * 1e9)

    def run(feed: Any) -> dict[str, Any]:
        sleep(0.010)
        return {}

    clocks = loops.Clocks(wall=lambda: now[0], cpu=lambda: 0, sleep=sleep)
    found = loops.sent(
        lambda: run, dict, 1, [{}], lambda *_: True, [0, 1_000_000, 2_000_000, 3_000_000, 4_000_000], clocks
    )
    assert found.latency_ns == [10_000_000, 19_000_000, 28_000_000, 37_000_000, 46_000_000]
    assert found.most_at_once == 1


def test_an_answer_is_read_once_the_clock_has_stopped_and_one_that_is_none_has_failed() -> None:
    now, lock = [0], threading.Lock()

    def sleep(seconds: float) -> None:
        with lock:
            now[0] += round(seconds * 1e9)

    def run(feed: Any) -> int:
        sleep(0.010)
        return int(feed)

    def read(answer: int) -> dict[str, Any]:
        sleep(1.0)
        if answer == 1:
            raise InferenceError("no answer")
        return {}

    clocks = loops.Clocks(wall=lambda: now[0], cpu=lambda: 0, sleep=sleep)
    found = loops.sent(lambda: run, read, 1, [0, 1, 2], lambda *_: True, [0, 20_000_000, 40_000_000], clocks)
    assert found.latency_ns == [10_000_000, -1, 10_000_000]
    assert found.errors == {"InferenceError: no answer": 1}
    assert found.elapsed_ns == 50_000_000


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("tritonclient.http", reason="pip install 'edgecomp[serving]'")
    monkeypatch.setattr(served, "STEPS", 3)  # to an eighth of one client's rate, which a busy machine holds
    monkeypatch.setattr(served, "DOUBLINGS", 1)
    monkeypatch.setattr(served, "REQUESTS", 40)
    monkeypatch.setattr("edgecomp.benchmark.standalone.limit_of", lambda *_: 10_000.0)  # ms: any rate holds
    monkeypatch.chdir(tmp_path)


def bench(url: str, **more: Any) -> Any:
    return edgecomp.bench(url, scenarios=["server"], restarts=1, max_time_s=1, history=None, **more)


def test_a_server_is_measured_as_a_model_file_is(short: None) -> None:
    with serving() as (url, _):
        result = bench(url)
    (one,) = result.results
    assert not result.errors
    assert not result.doubts
    assert one.content["model"] == url
    assert {"latency_p50_ms", "server_per_s"} <= set(one.content["metrics"])
    assert not {"cpu_p50_ms", "peak_memory_bytes", "file_size_bytes", "cold_start_p50_ms"} & set(
        one.content["metrics"]
    )
    assert "the server's own" in one.content["not_supported"]["peak_memory_bytes"]
    assert [load["share_pct"] for load in one.content["scenarios"]["server"]["loads"]] == [50, 80, 95]
    assert one.content["versions"]["fake"] == "1"
    assert (one.folder / "bench.html").is_file()


def test_wrong_answers_under_load_make_it_invalid(short: None) -> None:
    with serving() as (url, told):
        told.wrong = WrongTogether()
        result = bench(url)
    assert "are not the single client's" in result.doubts[0]


class WrongTogether:
    """Every tenth request after the thousandth, which is in the open loop."""

    def __contains__(self, number: int) -> bool:
        return number > 1000 and number % 10 == 0


def test_an_overloaded_server_is_told(short: None) -> None:
    with serving() as (url, told):
        told.busy = Every(1200)
        result = bench(url)
    assert any("503" in str(error) for error in result.errors.values()), result.errors


def test_other_inputs_an_unknown_model_and_no_server_are_told(short: None, tmp_path: Path) -> None:
    import numpy as np

    np.savez(tmp_path / "other.npz", z=np.zeros((4, 4), np.float32))
    with serving(Behaviour()) as (url, _):
        for asked, words in ((url, "z"), (url.replace("double", "none"), "no such model")):
            result = bench(asked, inputs=tmp_path / "other.npz")
            (error,) = result.errors.values()
            assert error.exit_code == 2  # type: ignore[attr-defined]
            assert words in str(error)
    result = bench(url)
    (error,) = result.errors.values()
    assert isinstance(error, DeviceError)
    assert "no answer" in str(error)
