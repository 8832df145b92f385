"""What `edgecomp compare` refuses before it measures, and what it takes for a side."""

import json
from contextlib import chdir
from pathlib import Path
from shutil import copytree
from typing import Any

import numpy as np
import pytest
from comparing import compare
from forging import made_to_fit

from edgecomp.cli.terminal import Screen
from edgecomp.comparison.command import Asked, compare_and_record
from edgecomp.errors import EdgecompError


def refused(
    folder: Path,
    base: Path | str,
    candidate: Path | str,
    words: str,
    target: str = "t.yaml",
    code: int = 2,
    **asked: Any,
) -> None:
    """In this process: nothing is started."""
    paths = {
        name: Path(value) if name in ("data", "out", "certificate", "junit", "metrics") else value
        for name, value in asked.items()
    }
    with chdir(folder), pytest.raises(EdgecompError) as refusal:
        compare_and_record(Asked(Path(base), Path(candidate), target, **paths), Screen(json=True))
    assert words in str(refusal.value)
    assert refusal.value.exit_code == code


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"base": "missing.json"}, "no such model file or run folder: missing.json"),
        ({"base": "bas.onnx"}, "no such model file or run folder: bas.onnx; did you mean 'base.onnx'"),
        ({"candidate": "empty"}, "empty is no run folder"),
        ({"candidate": "base.onnx"}, "fake takes .json, not .onnx"),
        ({"candidate": "bad.json"}, "the fake runtime cannot load"),
        ({"policy": "relase"}, "did you mean 'release'"),
        ({"policy": "two.yaml"}, "checks 'cpu_p50_ms' and 'again' contradict each other"),
        ({"policy": "units.yaml"}, "margin '5 ms'"),
        ({"policy": "industrial"}, "checks.int8_over_fp32: a comparison has no student_fp32, but a baseline: write `against: baseline`"),
        ({"policy": "rate.yaml"}, "checks.throughput_p50_per_s: a comparison does not measure throughput_p50_per_s; checks against: baseline can"),
        ({"policy": "flips.yaml"}, "checks.negative_flips_pct: a comparison does not hold it against the baseline"),
        ({"policy": "waived.yaml"}, "no target 'onnxruntime-cp'; did you mean 'onnxruntime-cpu'"),
        ({"data": "nan.npz"}, "nan.npz: x of example 1 holds a NaN or an infinity (2 of 3 examples do): mend them, or leave them out"),
        ({"data": "four.npz"}, "four.npz: a label is 4, and the model has 4 classes, 0 to 3"),
        ({"data": "nothing.npz"}, "no such file of examples: nothing.npz"),
        ({"data": "bad.json"}, "read from .npz and .parquet, not .json"),
        ({"data": "cut.npz"}, "cut.npz is not a readable .npz file"),
        ({"data": "one.npz"}, "one.npz is not a readable .npz file"),
        ({"data": "flate.npz"}, "flate.npz is not a readable .npz file: cannot be read, it may be cut short or damaged: x.npy: Error -3 while decompressing"),
        ({"data": "cut.parquet"}, "cut.parquet is not a readable parquet file"),
        ({"data": "none.npz"}, "x 0, label 0 examples: they must be as many, and one at least"),
        ({"data": "names.npz"}, "names.npz has no x; did you mean 'xx'"),
        ({"data": "fractions.npz"}, "one class number an example"),
        ({"data": "negative.npz"}, "`label` holds -1, which is no class"),
        ({"out": "empty"}, "empty is there already"),
        ({"out": "bad.json/new"}, "--out bad.json/new cannot be written"),
        ({"junit": "bad.json/j.xml"}, "--junit bad.json/j.xml cannot be written"),
        ({"metrics": "empty"}, "--metrics empty cannot be written: it is a folder"),
        ({"certificate": "bad.json"}, "bad.json is no record of `edgecomp selftest`: format: missing"),
        ({"certificate": "list.json"}, "list.json is no record of `edgecomp selftest`: "),
        ({"certificate": "nan.json"}, "nan.json is no record of `edgecomp selftest`: it holds NaN, which is no number"),
        ({"certificate": "deep.json"}, "deep.json is no record of `edgecomp selftest`: "),
        ({"certificate": "shape.json"}, "shape.json is no record of `edgecomp selftest`: machine.cores: input should be a valid integer"),
        ({"certificate": "advice.json"}, "advice.json is no record of `edgecomp selftest`: summary.advice: missing"),
        ({"certificate": "other.json"}, "other.json is of target u, and this is t: run `edgecomp selftest --target t`"),
        ({"junit": "base.json"}, "--junit base.json would overwrite base.json, which is read"),
        ({"metrics": "t.yaml"}, "--metrics t.yaml would overwrite t.yaml, which is read"),
        ({"junit": "x.xml", "metrics": "x.xml"}, "--metrics x.xml is what --junit names"),
        ({"junit": "h.sqlite", "store": Path("h.sqlite")}, "--junit h.sqlite would overwrite h.sqlite, which is read"),
        ({"store": Path("base.json")}, "--store base.json would overwrite base.json, which is read"),
    ],
)  # fmt: skip
def test_bad_requests_are_told_in_a_line(folder: Path, asked: dict[str, Any], words: str) -> None:
    (folder / "empty").mkdir()
    (folder / "base.onnx").write_bytes(b"")
    (folder / "bad.json").write_text('{"latency": 3}')
    row = {"against": "baseline", "margin": "5 %"}
    two = {"cpu_p50_ms": row, "again": row | {"metric": "cpu_p50_ms", "margin": "7 %"}}
    (folder / "two.yaml").write_text(json.dumps({"format": 1, "name": "two", "rows": two}))
    (folder / "units.yaml").write_text(
        json.dumps({"format": 1, "name": "u", "rows": {"cpu_p50_ms": row | {"margin": "5 ms"}}})
    )
    waived = {
        "row": "cpu_p50_ms",
        "target": "onnxruntime-cp",
        "owner": "ana",
        "reason": "r",
        "expires": "2999-01-01",
    }
    for name, content in (
        ("rate", {"rows": {"throughput_p50_per_s": row}}),
        ("flips", {"rows": {"negative_flips_pct": row | {"margin": "1 pt"}}}),
        ("waived", {"rows": {"cpu_p50_ms": row}, "waivers": [waived]}),
    ):
        (folder / f"{name}.yaml").write_text(json.dumps({"format": 1, "name": name, **content}))
    record: dict[str, Any] = {
        "format": 1, "target": "t", "began": "now", "summary": {"advice": "x"}, "machine": {"cpu": "c", "cores": 2, "memory_bytes": 1},
    }  # fmt: skip
    for name, certificate in (
        ("list", [record]),
        ("nan", record | {"summary": {"advice": "x", "spread": float("nan")}}),
        ("shape", record | {"machine": {"cpu": "c", "cores": [2], "memory_bytes": 1}}),
        ("advice", record | {"summary": {}}),
        ("other", record | {"target": "u"}),
    ):
        (folder / f"{name}.json").write_text(json.dumps(certificate))
    (folder / "deep.json").write_text("[" * 100_000)
    for name in ("cut.npz", "cut.parquet"):
        (folder / name).write_bytes(b"PK\x03\x04 and then nothing")
    x, labels = np.zeros((3, 4), np.float32), np.zeros(3, np.int64)
    np.save(folder / "one.npy", x)
    (folder / "one.npy").rename(folder / "one.npz")
    np.savez_compressed(folder / "flate.npz", x=x, label=labels)
    content = (folder / "flate.npz").read_bytes()
    first = 30 + content[26] + content[28]  # behind the header, the name and what zip adds to them
    (folder / "flate.npz").write_bytes(content[:first] + b"\xff" + content[first + 1 :])
    np.savez(folder / "none.npz", x=x[:0], label=labels[:0])
    np.savez(folder / "names.npz", xx=x, label=labels)
    np.savez(folder / "fractions.npz", x=x, label=labels + 0.5)
    np.savez(folder / "negative.npz", x=x, label=labels - 1)
    np.savez(folder / "nan.npz", x=x + np.array([[0], [np.nan], [np.inf]], np.float32), label=labels)
    np.savez(folder / "four.npz", x=x, label=labels + 4)
    refused(folder, **({"base": "base.json", "candidate": "base.json"} | asked), words=words)


def test_an_unknown_target_is_told_with_the_nearest(folder: Path) -> None:
    done = compare(folder, "base.json", "base.json", "-t", "onnxruntime-cp")
    assert done.code == 2
    assert "did you mean 'onnxruntime-cpu'" in done.err


# Runs and releases


def test_two_runs_are_compared_on_the_test_split_they_share(tiny_run: Path, tmp_path: Path) -> None:
    done = compare(
        tmp_path, str(tiny_run), str(tiny_run), "-t", "onnxruntime-cpu", "--json", "--max-time", "3"
    )
    assert done.json["examples"] > 100, done.err
    found = done.verdict(tmp_path)
    assert found["policy"]["name"] == "release"
    assert found["compared"]["candidate"]["model"].endswith("deploy/onnxruntime-cpu/model.onnx")
    assert done.rows["baseline_agreement_pct"]["estimate"] == 100


def test_a_run_without_the_target_says_what_it_has(tiny_run: Path, tmp_path: Path) -> None:
    refused(tmp_path, tiny_run, tiny_run, "has nothing for tensorrt", target="tensorrt")


def test_a_release_that_was_touched_is_refused(tiny_run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "release"
    copytree(tiny_run, copy)
    model = copy / "deploy" / "onnxruntime-cpu" / "model.onnx"
    model.write_bytes(model.read_bytes() + b"\0")
    refused(tmp_path, copy, tiny_run, "is not what was written", target="onnxruntime-cpu")
    deployed = copy / "deploy" / "onnxruntime-cpu"
    refused(
        tmp_path, deployed, tiny_run, "is not the file that contract.json names", target="onnxruntime-cpu"
    )


def test_a_target_that_the_last_run_left_out_is_no_release_of_it(tiny_run: Path, tmp_path: Path) -> None:
    """Its folder is kept, and so is its record."""
    copy = tmp_path / "release"
    copytree(tiny_run, copy)
    job = json.loads((copy / "job.json").read_text())
    job["targets"] = [one for one in job["targets"] if one["name"] != "openvino-cpu"]
    (copy / "job.json").write_text(json.dumps(job))
    refused(tmp_path, copy, tiny_run, "deploy/openvino-cpu is of an earlier run", target="openvino-cpu")


def test_a_release_of_another_export_than_is_there_is_refused(tiny_run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "release"
    copytree(tiny_run, copy)
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["steps"]["deploy/onnxruntime-cpu"]["made_from"]["export"] = "0" * 64
    (copy / "manifest.json").write_text(json.dumps(manifest))
    refused(tmp_path, copy, tiny_run, "was made from another export than is there", target="onnxruntime-cpu")


@pytest.mark.parametrize("file", ["test.npz", "preprocessing.json"])
def test_a_test_split_that_was_damaged_is_no_evidence(tiny_run: Path, tmp_path: Path, file: str) -> None:
    copy = tmp_path / "release"
    copytree(tiny_run, copy)
    damaged = copy / "data" / file
    damaged.write_bytes(damaged.read_bytes()[:-40])
    for sides in ((copy, tiny_run), (tiny_run, copy)):
        words = f"INVALID, altered: {damaged} is not what was written"
        refused(tmp_path, *sides, words, target="onnxruntime-cpu", code=4)


def test_labels_that_no_bench_was_judged_by_are_no_evidence(tiny_run: Path, tmp_path: Path) -> None:
    """Every digest is made to fit: what the run was judged by is not."""
    copy = tmp_path / "release"
    copytree(tiny_run, copy)
    test = copy / "data" / "test.npz"
    with np.load(test) as held:
        arrays = {name: held[name] for name in held.files}
    np.savez(test, **(arrays | {"labels": (arrays["labels"] + 1) % 10}))
    made_to_fit(copy, "data/test.npz")
    refused(tmp_path, copy, copy, "are not those that", target="onnxruntime-cpu", code=4)


def test_other_preprocessing_is_another_contract(tiny_run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "deployed"
    copytree(tiny_run / "deploy" / "onnxruntime-cpu", copy)
    told = json.loads((copy / "preprocessing.json").read_text())
    (copy / "preprocessing.json").write_text(json.dumps(told | {"mean": [0.25]}))
    done = compare(tmp_path, str(tiny_run), str(copy), "-t", "onnxruntime-cpu", "--json")
    assert done.compatible["labels"]["verdict"] == "PASS"
    assert (done.code, done.compatible["preprocessing"]["verdict"]) == (1, "FAIL")
    assert "mean is [0.25] instead of" in done.verdict(tmp_path)["gates"][0]["sentence"]


def test_options_of_other_models_are_not_of_language_models(tmp_path: Path) -> None:
    words = (
        "--output: openvino-genai runs language models, whose texts are judged token by token: leave it out"
    )
    refused(tmp_path, "a", "b", words, target="openvino-genai", output="token")


def test_language_models_are_not_compared_on_a_device(tmp_path: Path) -> None:
    shipped = Path(__file__).parents[3] / "targets" / "openvino-genai.yaml"
    (tmp_path / "far.yaml").write_text(shipped.read_text() + "\nhost: me@far\n")
    refused(tmp_path, "a", "b", "language models are compared on this machine alone", target="far.yaml")
