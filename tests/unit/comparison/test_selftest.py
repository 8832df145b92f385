"""`edgecomp selftest`, for real and short, and what is made of many trials."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from comparing import classifier, compare
from running import Cli

from edgecomp import machine
from edgecomp.comparison.selftest import Trial, summary
from edgecomp.config.policy import load_policy
from edgecomp.config.target import load_target
from edgecomp.stats.power import Rate, smallest_caught


def trials(spread: float, count: int = 12, verdict: str = "PASS") -> list[Trial]:
    random = np.random.default_rng(0)
    return [
        Trial(
            slowdown,
            "FAIL" if slowdown else verdict,
            {},
            6.0,
            random.normal(np.log1p(slowdown), spread, 6).tolist(),
            1.01,
        )
        for slowdown in (0.0, 0.10, 0.0, 0.05)
        for _ in range(count)
    ]


def test_what_a_quiet_machine_can_tell_apart() -> None:
    found = summary(trials(0.003), load_policy("no-slower"), load_target("onnxruntime-cpu"), 0)
    assert found["smallest_caught_pct"] <= 4
    assert found["by_slowdown"]["0"]["FAIL"] == Rate.of(0, 24)._asdict()
    assert "is caught in 95 % of gates" in found["advice"]


def test_a_noisy_machine_is_told_what_to_do() -> None:
    policy, target = load_policy("no-slower"), load_target("onnxruntime-cpu")
    assert summary(trials(0.03), policy, target, 0)["smallest_caught_pct"] > 5
    assert (
        "set on_inconclusive or a wider margin"
        in summary(trials(0.003, verdict="INCONCLUSIVE"), policy, target, 0)["advice"]
    )
    assert "do not gate releases on it" in summary(trials(0.003, verdict="FAIL"), policy, target, 0)["advice"]
    assert "too few gates" in summary(trials(0.003, count=1)[:1], policy, target, 0)["advice"]


def test_gates_that_were_really_slower_have_the_last_word() -> None:
    missed = [replace(one, verdict="PASS") if one.slowdown else one for one in trials(0.003)]
    found = summary(missed, load_policy("no-slower"), load_target("onnxruntime-cpu"), 0)
    assert "of 12 gates really slower by 5 % only 0 were" in found["advice"]


def test_what_is_caught_grows_with_the_spread() -> None:
    random = np.random.default_rng(0)
    caught = [
        smallest_caught(random.normal(0, spread, 60), np.log(1.025), 0.01, 0.0033, 0)
        for spread in (0.002, 0.01, 0.03, 2.0)
    ]
    assert caught[0] is not None
    assert caught[1] is not None
    assert caught[2] is not None
    assert caught[0] < caught[1] < caught[2]
    assert caught[3] is None


def test_it_runs_and_its_record_stands_beside_a_verdict(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "t.yaml").write_text(
        json.dumps({"format": 1, "name": "t", "runtime": "fake", "scheme": "none"})
    )
    (tmp_path / "m.json").write_text(json.dumps({"latency_ns": 300_000}))
    done = cli(
        "selftest", "-t", "t.yaml", "m.json", "--minutes", "0.2", "--out", "self.json", "--json", cwd=tmp_path
    )
    assert done.code == 0, done.err
    record = json.loads((tmp_path / "self.json").read_text())
    assert record["trials"][0]["slowdown"] == 0
    assert sum(one["gates"] for one in record["summary"]["by_slowdown"].values()) == len(record["trials"])
    again = cli("selftest", "-t", "t.yaml", "m.json", "--minutes", "0.2", "--out", "self.json", cwd=tmp_path)
    assert again.code == 2
    assert "is there already" in again.err
    compared = cli(
        "compare",
        "m.json",
        "m.json",
        "-t",
        "t.yaml",
        "--certificate",
        "self.json",
        "--max-time",
        "1",
        "--out",
        "c",
        cwd=tmp_path,
    )
    verdict = json.loads((tmp_path / "c" / "verdict.json").read_text())
    assert verdict["compared"]["certificate"]["summary"]["advice"] == record["summary"]["advice"]
    assert "noise certificate" in (tmp_path / "c" / "compare.html").read_text()
    assert f"Noise certificate of {record['began']}, {record['machine']['cpu']}" in " ".join(
        compared.err.split()
    )
    assert not any("certificate" in warning for warning in verdict["compared"]["warnings"])
    assert compared.code in (0, 3)


def test_a_target_without_a_reference_model_asks_for_one(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "t.yaml").write_text(
        json.dumps({"format": 1, "name": "t", "runtime": "fake", "scheme": "none"})
    )
    done = cli("selftest", "-t", "t.yaml", "--minutes", "0.1", cwd=tmp_path)
    assert done.code == 2
    assert "name a model file" in done.err


@pytest.mark.parametrize("target", ["onnxruntime-cpu", "openvino-cpu", "pytorch-cpu", "torchscript-cpu"])
def test_every_cpu_runtime_has_a_reference_model(target: str, tmp_path: Path) -> None:
    from edgecomp.benchmark.scenarios.side_by_side import Side
    from edgecomp.comparison.selftest import reference_model
    from edgecomp.comparison.trial import place_of, signature

    found = load_target(target)
    model = reference_model(found, tmp_path)
    assert len(signature("baseline", Side(model, place_of(found))).inputs) == 1


@pytest.mark.parametrize(("cores", "elsewhere"), [(0, False), (1, True)])
def test_a_certificate_of_another_machine_is_told(tmp_path: Path, cores: int, elsewhere: bool) -> None:
    facts = machine.facts()
    record = {
        "format": 1,
        "target": "onnxruntime-cpu",
        "began": "2020-01-01T00:00:00+00:00",
        "summary": {"advice": "fine"},
    }
    told = facts | {"cores": machine.usable_cores() + cores}
    (tmp_path / "self.json").write_text(json.dumps(record | {"machine": told}))
    classifier(tmp_path / "base.onnx")
    classifier(tmp_path / "new.onnx", name="image")  # another contract: nothing is timed
    done = compare(tmp_path, "base.onnx", "new.onnx", "-t", "onnxruntime-cpu", "--json", "--certificate", "self.json")  # fmt: skip
    warned = [one for one in done.json["warnings"] if "is of another machine" in one]
    assert len(warned) == elsewhere
    assert all("2020-01-01" in one and facts["cpu"] in one for one in warned)
