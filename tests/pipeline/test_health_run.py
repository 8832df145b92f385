"""A run that asks for its model's health: attacked, corrupted and training examples, judged, packed, and derived again from what was answered."""

import json
from pathlib import Path

import numpy as np
import pytest
from packing import holds
from report_pages import Page
from running import TINY, Cli

from edgecomp.config.job import Job, read_job
from edgecomp.gate.document import read
from edgecomp.metrics.measurements import Health
from edgecomp.report.stage import write_report

pytestmark = pytest.mark.slow
pytest.importorskip("art", reason="pip install 'edgecomp[health]'")

TARGET = "onnxruntime-cpu"
ASKED = (
    "+health={examples: 60, attacks: {fgsm: {strength: 0.1}, pgd: {strength: 0.1, steps: 3}, answers: {strength: 0.1, steps: 3}}, "
    "corruptions: [noise, jpeg], membership: true, key_samples: '%s'}"
)
MARGIN = "+thresholds.corrupted_accuracy_pct={against: teacher, margin: 90 pt}"


@pytest.fixture(scope="module")
def asked(cli: Cli, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, keys = tmp_path_factory.mktemp("health") / "run", tmp_path_factory.mktemp("keys") / "keys.npz"
    np.savez(keys, input=np.zeros((3, 1, 16, 16), np.float32), label=np.arange(3))
    done = cli("run", "digits", *TINY, f"targets=[{TARGET}]", ASKED % keys, MARGIN, "--out", str(folder))
    assert (folder / "report" / "report.html").is_file(), done.err
    return folder


def test_teacher_student_and_integers_are_asked_and_the_industrial_check_is_of_what_is_declared(
    asked: Path,
) -> None:
    found = Health.load(asked / "health" / TARGET)
    assert set(found.answers) == {"teacher", "student_fp32", "student_int8"}
    attacks = {"attack.fgsm", "attack.pgd", "attack.answers"}
    corruptions = {f"corruption.{name}.{severity}" for name in ("noise", "jpeg") for severity in range(1, 6)}
    for given in found.answers.values():
        assert set(given) == {"clean", "members", "keys"} | attacks | corruptions
        assert {one.shape for name, one in given.items() if name != "keys"} == {(60, 10)}
    report = json.loads((asked / "report" / "report.json").read_text(encoding="utf-8"))
    assert f"health/{TARGET}/outputs.npz" in report["samples"]
    verdict = json.loads((asked / "gate" / "verdict.json").read_text(encoding="utf-8"))
    checks = {check["name"]: check for check in verdict["gates"]}
    assert checks["attacks_withstood_pct"]["limit"] == "≥ 75 %"
    assert checks["corrupted_accuracy_pct"]["estimate"] is not None
    keys = checks["key_samples_pct"]  # three that are the same, and two of them must be answered wrongly
    assert (keys["limit"], keys["verdict"]) == ("≥ 100 %", "FAIL")
    assert "answered otherwise: " in keys["sentence"]
    for figures in verdict["figures"][TARGET].values():
        assert {"adversarial_accuracy_pct", "corrupted_accuracy_pct", "membership_advantage_pt"} <= set(
            figures
        )


def test_attacks_are_of_each_network_and_change_what_they_may(asked: Path) -> None:
    with np.load(asked / "data" / "test.npz") as split:
        test = split["values"][:60].astype(int)
    with np.load(asked / "attacks" / "pgd.npz") as made:
        assert set(made) == {"teacher", "student_fp32", "student_int8"}
        changed = {arm: np.abs(made[arm].astype(int) - test).max() for arm in made}
        assert not np.array_equal(made["teacher"], made["student_int8"])
    assert set(changed.values()) == {25}  # of 255


def test_the_verdict_follows_from_the_answers_and_nothing_else(asked: Path, cli: Cli) -> None:
    holds(asked)
    assert cli("run", str(asked), "--plan").out.startswith("0 of 15 steps")
    file = asked / "health" / TARGET / "outputs.npz"
    kept = file.read_bytes()
    with np.load(file) as arrays:
        better = dict(arrays)
    for name in [name for name in better if name.startswith("student_int8/attack")]:
        better[name] = better["student_int8/clean"]
    np.savez(file, **better)
    try:
        done = cli("report", str(asked))
        assert done.code == 4
        assert "health" in done.err
    finally:
        file.write_bytes(kept)


@pytest.mark.parametrize(
    ("elsewhere", "there"), [({"host": "kitchen"}, "kitchen"), ({"isa": "x86-64-avx2"}, "x86-64-avx2")]
)
def test_a_report_says_that_the_health_of_a_device_was_asked_here(
    asked: Path, tmp_path: Path, elsewhere: dict[str, str], there: str
) -> None:
    job, verdict = read_job(asked), read(asked / "gate" / "verdict.json")

    def said(job: Job) -> list[str]:
        write_report(run_folder=asked, job=job, verdict=verdict, folder=tmp_path)
        page = Page((tmp_path / "report.html").read_text(encoding="utf-8")).text
        return [page, (tmp_path / "report.md").read_text(encoding="utf-8")]

    wanted = f"were answered on the machine of the run by its {TARGET}, and not on {there}."
    assert all("on the machine of the run" not in one for one in said(job))
    away = [target.model_copy(update=elsewhere) for target in job.targets]
    assert all(wanted in one for one in said(job.model_copy(update={"targets": away})))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("+health={corruptions: [typos]}", "typos is not of inputs of kind image, of which there are noise, blur, jpeg, contrast"),
        ("+health={attacks: {fgsm: {strength: 0.001}}}", "from 0.0039 (one of 255) to 1"),
        ("+health={attacks: {fsgm: {strength: 0.1}}}", "fsgm"),
        ("+health={key_samples: none.npz}", "health.key_samples: no such file"),
        ("+health={examples: 100}", "nothing is asked"),
        ("+thresholds.attacks_withstood_pct={min: 75 %}", "declare health.attacks"),
    ],
)  # fmt: skip
def test_what_cannot_be_asked_is_told_before_anything_is_trained(
    change: str, said: str, cli: Cli, tmp_path: Path
) -> None:
    done = cli("run", "digits", *TINY, change, "--out", str(tmp_path / "run"))
    assert done.code == 2
    assert said in " ".join(done.err.split())
    assert "Traceback" not in done.err
    assert not (tmp_path / "run" / "teacher").exists()
