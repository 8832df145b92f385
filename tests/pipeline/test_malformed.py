"""Files of a bench in another shape than a bench writes, with every digest made to fit: told in a sentence, and nothing is lost."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from forging import made_to_fit
from running import Cli

from edgecomp.config.job import read_job
from edgecomp.errors import EdgecompError, FileError
from edgecomp.pipeline.loaders import Run
from edgecomp.pipeline.stages.judging import derived
from edgecomp.progress import silent
from edgecomp.report.stage import write_report

pytestmark = pytest.mark.slow

BENCH = Path("bench", "openvino-cpu")


@pytest.fixture
def folder(tiny_run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_run, tmp_path / "run"))


def edited(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], object]:
    def edit(folder: Path) -> None:
        file = folder / BENCH / "measurements.json"
        content = json.loads(file.read_text())
        change(content)
        file.write_text(json.dumps(content))

    return edit


def written(name: str, content: bytes) -> Callable[[Path], object]:
    return lambda folder: (folder / BENCH / name).write_bytes(content)


def without(name: str, start: str) -> Callable[[Path], object]:
    def edit(folder: Path) -> None:
        with np.load(folder / BENCH / name) as held:
            arrays = {key: held[key] for key in held.files if not key.startswith(start)}
        np.savez(folder / BENCH / name, **arrays)

    return edit


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (written("measurements.json", b""), "does not hold what was measured"),
        (written("measurements.json", b"[]"), "does not hold what was measured"),
        (written("measurements.json", b"{}"), "measurements.json: has no format"),
        (written("measurements.json", b'{"format": 3}'), "KeyError: 'arms'"),
        (written("measurements.json", b'{"format": 9}'), "has measurements of format 9"),
        (written("samples.npz", b"PK\x03\x04 and nothing"), "does not hold what was measured"),
        (written("outputs.npz", b"no archive"), "does not hold what was measured"),
        (without("outputs.npz", "student_int8"), "student_int8"),
        (without("outputs.npz", "labels"), "labels"),
        (edited(lambda content: content.update(arms=3)), "does not hold what was measured"),
        (
            edited(lambda content: content.update(deaths={"teacher": {}})),
            "openvino-cpu does not hold what was measured",
        ),
        (edited(lambda content: content["facts"].update(quality={})), "cannot be judged (KeyError: "),
        (edited(lambda content: content.update(offline_batch="many")), "cannot be judged"),
    ],
)
def test_what_no_bench_wrote_is_told(folder: Path, change: Callable[[Path], object], words: str) -> None:
    change(folder)
    with pytest.raises(EdgecompError) as told:
        derived(Run(read_job(folder), folder, silent))
    assert words in str(told.value)
    assert "measure again with `edgecomp bench" in str(told.value)
    assert told.value.exit_code == 2


@pytest.mark.parametrize("arm", ["student_int8", "student_fp32", "teacher"])
def test_an_arm_that_is_missing_is_not_measured_and_the_rest_is_judged_and_reported(
    folder: Path, tmp_path: Path, arm: str
) -> None:
    edited(lambda content: content["arms"].pop(arm))(folder)
    run = Run(read_job(folder), folder, silent)
    verdict = derived(run)
    told = verdict.as_json()
    rows = {row["name"]: row for row in told["gates"] if row["target"] == BENCH.name}
    missing = {"student_int8": "latency_p50_ms", "student_fp32": "int8_over_fp32", "teacher": "macro_f1_pct"}
    assert (rows[missing[arm]]["verdict"], rows[missing[arm]]["reason"]) == ("INCONCLUSIVE", "not_run")
    assert verdict.exit_code != 0
    write_report(run_folder=folder, job=run.job, verdict=verdict, folder=tmp_path)
    assert f"# {told['verdict']}: digits" in (tmp_path / "report.md").read_text()


def test_a_malformed_bench_is_one_sentence_on_the_command_line(cli: Cli, folder: Path) -> None:
    written("measurements.json", b"{}")(folder)
    made_to_fit(folder, str(BENCH / "measurements.json"))
    done = cli("run", str(folder), "--only", "gate", "--json")
    assert done.code == 2
    assert "bench/openvino-cpu does not hold what was measured (" in done.json["error"]
    assert "measurements.json: has no format" in done.json["error"]
    assert (folder / "gate" / "verdict.json").is_file()


@pytest.mark.parametrize(
    ("file", "change"),
    [
        (
            "portable/openvino-cpu/portable.json",
            lambda content: content["executed"].update(other={"run": False}),
        ),
        ("portable/openvino-cpu/portable.json", lambda content: content.pop("layers")),
        ("bench/openvino-cpu/layers.json", lambda content: content["arms"]["student_int8"].update(runs=0)),
        ("bench/openvino-cpu/layers.json", lambda content: content["arms"]["student_int8"].pop("layers")),
        ("export/saturation.json", lambda content: content["layers"][0].update(worst="many")),
    ],
)
def test_what_a_report_shows_and_no_step_wrote_is_told(
    folder: Path, tmp_path: Path, file: str, change: Callable[[Any], object]
) -> None:
    run = Run(read_job(folder), folder, silent)
    verdict = derived(run)
    content = json.loads((folder / file).read_text())
    change(content)
    (folder / file).write_text(json.dumps(content))
    with pytest.raises(FileError) as told:
        write_report(run_folder=folder, job=run.job, verdict=verdict, folder=tmp_path)
    assert re.search("is not what (edgecomp|`edgecomp run`) writes there", str(told.value))
