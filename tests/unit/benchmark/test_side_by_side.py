"""Two models side by side, as real processes, and work that is really added to one."""

import json
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgecomp import inputs
from edgecomp.benchmark.hosts.process import Place, Worker
from edgecomp.benchmark.scenarios.side_by_side import ARMS, Crashed, Side, SideBySide, Turns
from edgecomp.benchmark.worker.injected import Slowed
from edgecomp.comparison.selftest import reference_model
from edgecomp.comparison.trial import place_of
from edgecomp.config.target import load_target
from edgecomp.machine import usable_core_numbers
from edgecomp.runtimes.fake import Behaviour, FakeSession

PLACE = Place("fake", {}, threads=1, timeout_s=20)


def side(folder: Path, name: str, **behaviour: Any) -> Side:
    (folder / name).write_text(json.dumps({"latency_ns": 200_000} | behaviour))
    return Side(folder / name, PLACE)


@pytest.fixture
def asked(tmp_path: Path) -> Path:
    values = np.random.default_rng(0).normal(size=(16, 4)).astype(np.float32)
    inputs.save({"x": values}, tmp_path / "inputs")
    return tmp_path / "inputs"


def beside(asked: Path, baseline: Side, candidate: Side) -> SideBySide:
    return SideBySide(baseline, candidate, inputs=asked, rows=1, random=np.random.default_rng(0))


def test_a_restart_is_a_fresh_process_of_each_arm_in_turns(tmp_path: Path, asked: Path) -> None:
    pair = beside(asked, side(tmp_path, "b.json"), side(tmp_path, "c.json", latency_ns=400_000))
    first, second = pair.restart(), pair.restart()
    shape = (pair.facts["rounds"], 2, pair.facts["calls"])
    for arm in ARMS:
        assert first.samples[f"{arm}.cpu_ns"].shape == second.samples[f"{arm}.wall_ns"].shape == shape
        assert first.samples[f"{arm}.cold_start_ns"] > first.samples[f"{arm}.load_ns"] > 0
        assert first.samples[f"{arm}.peak_memory_bytes"] > 10e6
    medians = {arm: np.median(first.samples[f"{arm}.cpu_ns"]) for arm in ARMS}
    assert medians["again"] == pytest.approx(medians["baseline"], rel=0.2)
    assert medians["candidate"] == pytest.approx(2 * medians["baseline"], rel=0.2)
    assert pair.facts["repeated_over_fresh"] == pytest.approx(1, abs=0.2)
    assert len(first.blocks) == pair.facts["rounds"]


@pytest.mark.parametrize(
    ("baseline", "candidate", "arm"),
    [({}, {"crash_after": 20}, "candidate"), ({"crash_after": 20}, {"crash_after": 0}, "baseline"), ({}, {"crash_after": 0}, "candidate")],
)  # fmt: skip
def test_a_death_is_told_with_whose_it_is(
    tmp_path: Path, asked: Path, baseline: dict[str, Any], candidate: dict[str, Any], arm: str
) -> None:
    pair = beside(asked, side(tmp_path, "b.json", **baseline), side(tmp_path, "c.json", **candidate))
    with pytest.raises(Crashed) as crash:
        pair.restart()
    assert crash.value.arm in ((arm, "again") if arm == "baseline" else (arm,)) or candidate == {
        "crash_after": 0
    }


def test_threads_are_kept_on_the_cores_they_are_given(tmp_path: Path, asked: Path) -> None:
    core = usable_core_numbers()[-1]
    one = side(tmp_path, "b.json")
    with Worker(one.place, model=one.model, inputs=asked) as worker:
        worker.ask("single_stream", count=20)
        worker.ask("pin", cores=[core])
        threads = [int(path.name) for path in Path(f"/proc/{worker.pid}/task").iterdir()]
        assert {frozenset(os.sched_getaffinity(thread)) for thread in threads} == {frozenset({core})}


def test_every_restart_begins_with_another_core(
    tmp_path: Path, asked: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[list[int]] = []
    ask = Worker.ask

    def spy(self: Worker, do: str, **details: Any) -> dict[str, Any]:
        if do == "pin":
            given.append(details["cores"])
        return ask(self, do, **details)

    monkeypatch.setattr(Worker, "ask", spy)
    pair = beside(asked, side(tmp_path, "b.json"), side(tmp_path, "c.json"))
    pair.restart()
    pair.restart()
    cores = usable_core_numbers()
    assert given == [[cores[0]]] * 3 + [[cores[1 % len(cores)]]] * 3


def test_turns_are_short_and_not_too_few() -> None:
    quick, slow = Turns.of(50e-6), Turns.of(2.0)
    assert quick.calls * 50e-6 == pytest.approx(0.008)
    assert (slow.rounds, slow.calls) == (3, 3)
    for latency in np.geomspace(1e-6, 10, 30):
        turns = Turns.of(float(latency))
        assert 3 <= turns.calls <= 200
        assert 3 <= turns.rounds <= 16


def test_a_slowed_session_does_the_work() -> None:
    numbers = np.linspace(0.0, 1.0, 200_000)
    out = np.empty_like(numbers)
    # Work, not a time: it takes longer beside other work, as a model's does.
    session = FakeSession(Behaviour(latency_ns=1), lambda ns: np.sin(numbers, out=out))
    feed = {"x": np.ones((1, 4), np.float32)}
    slowed = Slowed(session, 0.5)

    def cost(run: Any) -> int:
        begin = time.process_time_ns()
        run(feed)
        return time.process_time_ns() - begin

    ratios = [cost(slowed.run) / cost(session.run) for _ in range(61)]
    assert np.median(ratios) == pytest.approx(1.5, abs=0.15)
    assert (slowed.run(feed)["y"] == 2).all()
    assert slowed.signature() == session.signature()


def test_the_worker_is_slowed_for_real(tmp_path: Path) -> None:
    target = load_target("onnxruntime-cpu")
    baseline = Side(reference_model(target, tmp_path), place_of(target))
    values = np.random.default_rng(0).normal(size=(16, 3, 32, 32)).astype(np.float32)
    inputs.save({"input": values}, tmp_path / "inputs")
    pair = beside(
        tmp_path / "inputs", baseline, replace(baseline, place=replace(baseline.place, slowdown=0.5))
    )
    samples = pair.restart().samples
    # A round's two are neighbours in time, as the gate pairs them: what runs beside changes from round to round.
    by_round = {arm: np.median(samples[f"{arm}.cpu_ns"], axis=(1, 2)) for arm in ARMS}
    assert np.median(by_round["candidate"] / by_round["baseline"]) == pytest.approx(1.5, abs=0.1)
