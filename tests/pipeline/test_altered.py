"""Evidence that somebody altered, with every digest made to fit: nothing that is shown comes of it."""

import datetime
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from forging import made_to_fit
from running import TINY, Cli

from edgecomp.config.job import read_job
from edgecomp.config.policy import Waiver
from edgecomp.errors import AlteredError
from edgecomp.pipeline.loaders import Run
from edgecomp.pipeline.stages import judging
from edgecomp.progress import silent

pytestmark = pytest.mark.slow


@pytest.fixture
def folder(tiny_run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_run, tmp_path / "run"))


def forged(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    file = folder / "gate" / "verdict.json"
    verdict = json.loads(file.read_text(encoding="utf-8"))
    change(verdict)
    file.write_text(json.dumps(verdict), encoding="utf-8")
    made_to_fit(folder, "gate/verdict.json")


def test_a_verdict_stands_when_its_waiver_has_expired(folder: Path) -> None:
    """Whoever opens the folder a year later sees what was decided, and that it would be another today."""
    today = datetime.datetime.now(datetime.UTC).date()
    later = today + datetime.timedelta(days=400)
    run = Run(read_job(folder), folder, silent, today=today)
    waived = {row.name for row in judging.derived(run).checks if row.verdict != "PASS"}
    assert waived
    waivers = [
        Waiver(check=name, owner="ann", reason="x", expires=today + datetime.timedelta(days=9))
        for name in waived
    ]
    job = run.job.model_copy(update={"policy": run.job.policy.model_copy(update={"waivers": waivers})})
    run = replace(run, job=job)
    judging.gate(run, folder / "gate", folder)
    judging._derived_here.clear()
    verdict, note = judging.checked(replace(run, today=later))
    assert (str(verdict.verdict), verdict.exit_code) == ("FAIL", 0)
    assert f"is of {today}, and a waiver has expired since: judged today it ends with exit 1" in note
    assert judging.checked(run)[1] == ""
    forged(folder, lambda kept: kept.update(next_step="ship it"))
    forged(folder, all_pass)
    with pytest.raises(AlteredError):
        judging.checked(replace(run, today=later))


def ships(verdict: dict[str, Any]) -> None:
    verdict |= {
        "verdict": "PASS",
        "unwaived": "PASS",
        "exit_code": 0,
        "next_step": "All checks passed: ship deploy/.",
    }


def all_pass(verdict: dict[str, Any]) -> None:
    ships(verdict)
    for row in verdict["gates"]:
        row |= {"verdict": "PASS", "reason": "within_limit"}


def a_waiver(verdict: dict[str, Any]) -> None:
    ships(verdict)
    for row in verdict["gates"]:
        row["waiver"] = {
            "row": row["name"],
            "target": None,
            "owner": "ann",
            "reason": "x",
            "expires": "2999-01-01",
        }


def a_figure(verdict: dict[str, Any]) -> None:
    verdict["figures"]["openvino-cpu"]["student_int8"]["accuracy_pct"]["value"] = 99.99


@pytest.mark.parametrize("change", [ships, all_pass, a_waiver, a_figure])
def test_a_forged_verdict_is_invalid_wherever_it_would_be_shown(
    cli: Cli, folder: Path, change: Callable[[dict[str, Any]], object]
) -> None:
    forged(folder, change)
    store = folder.parent / "history.sqlite"
    for arguments in (
        ("run", "digits", *TINY, "--out", str(folder), "--store", str(store)),
        ("report", str(folder)),
    ):
        done = cli(*arguments, "--json")
        assert done.code == 4, done.err
        assert {key: done.json[key] for key in ("verdict", "reason", "exit_code")} == {
            "verdict": "INVALID",
            "reason": "altered",
            "exit_code": 4,
        }
        assert "ship" not in done.err
        assert "does not follow from the samples beside it" in done.json["error"]
    assert not store.exists()
    honest = cli("run", str(folder), "--only", "gate", "--json")
    assert honest.json["verdict"] in ("FAIL", "INCONCLUSIVE")
    assert cli("run", "digits", *TINY, "--out", str(folder)).code == honest.code


@pytest.mark.parametrize("version", ["another", None])
def test_a_verdict_by_other_rules_is_judged_again_and_not_called_altered(
    cli: Cli, folder: Path, version: str | None
) -> None:
    def older(verdict: dict[str, Any]) -> None:
        all_pass(verdict)
        verdict["gates"] = verdict["gates"][:3]
        if version is None:
            del verdict["made_with"]
        else:
            verdict["made_with"]["edgecomp"] = version

    forged(folder, older)
    done = cli("report", str(folder), "--json")
    assert done.code == done.json["exit_code"] != 0
    assert done.json["verdict"] in ("FAIL", "INCONCLUSIVE")
    assert len(done.json["gates"]) > 3
    assert "judged again here, from its samples" in " ".join(done.err.split())
    assert f"# {done.json['verdict']}: digits" in (folder / "report" / "report.md").read_text(
        encoding="utf-8"
    )


def test_labels_that_are_not_the_test_splits_are_invalid(cli: Cli, folder: Path) -> None:
    test = folder / "data" / "test.npz"
    with np.load(test) as held:
        arrays = {name: held[name] for name in held.files}
    np.savez(test, **(arrays | {"labels": (arrays["labels"] + 1) % 10}))
    changed = cli("run", str(folder), "--only", "gate", "--json")  # its digest does not fit
    assert (changed.code, changed.json["reason"]) == (4, "altered")
    assert "data/test.npz is not what was written" in changed.json["error"]
    made_to_fit(folder, "data/test.npz")
    for arguments in (
        ("run", str(folder), "--only", "gate"),
        ("report", str(folder)),
        ("run", "digits", *TINY, "--out", str(folder)),
    ):
        done = cli(*arguments, "--json")
        assert (done.code, done.json["verdict"], done.json["reason"]) == (4, "INVALID", "altered"), done.err
        assert "are not those of" in done.json["error"]


def test_samples_that_were_changed_are_invalid_and_measured_again(cli: Cli, folder: Path) -> None:
    samples = folder / "bench" / "openvino-cpu" / "samples.npz"
    samples.write_bytes(samples.read_bytes()[:-1] + b"x")
    done = cli("run", str(folder), "--only", "gate", "--json")
    assert (done.code, done.json["reason"]) == (4, "altered")
    assert "bench/openvino-cpu/samples.npz is not what was written" in done.json["error"]
