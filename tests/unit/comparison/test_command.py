"""`edgecomp compare` through the command line: real workers, real exit codes, and everything that can go wrong."""

import json
import xml.etree.ElementTree as ET
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pytest
from comparing import classifier, compare, examples, fake
from onnx import TensorProto
from pyarrow import parquet

from edgecomp.cli.terminal import Screen
from edgecomp.comparison import command
from edgecomp.comparison.command import Asked, compare_and_record
from edgecomp.comparison.trial import Outcome
from edgecomp.errors import EdgecompError, ModelFileError
from edgecomp.files.writing import sha256
from edgecomp.history.store import results


def only_cpu(folder: Path) -> tuple[str, str]:
    rows = {"cpu_p50_ms": {"against": "baseline", "margin": "2.5 %"}}
    (folder / "p.yaml").write_text(json.dumps({"format": 1, "name": "p", "rows": rows}))
    return "--policy", "p.yaml"


def test_the_same_model_passes_and_leaves_its_evidence(folder: Path) -> None:
    done = compare(
        folder,
        "base.json",
        "base.json",
        "-t",
        "t.yaml",
        "--json",
        "--junit",
        "out/j.xml",
        "--metrics",
        "m.txt",
    )
    assert done.code == 0, done.err
    assert done.json["verdict"] == "PASS"
    assert "no answers were judged" in done.json["not_compared"]
    found = done.verdict(folder)
    assert found["policy"]["name"] == "no-slower"
    assert found["compared"]["restarts"] >= 5
    made = folder / done.json["folder"]
    with np.load(made / "samples.npz") as samples:
        assert samples["candidate.cpu_ns"].shape[0] == found["compared"]["restarts"]
        assert set(samples.files) == {f"{arm}.{name}" for arm in ("baseline", "again", "candidate") for name in
                                      ("cpu_ns", "wall_ns", "cold_start_ns", "load_ns", "imports_peak_bytes", "peak_memory_bytes")}  # fmt: skip
    page = (made / "compare.html").read_text()
    assert "<svg" in page
    assert "base.json" in page
    suites = ET.parse(folder / "out" / "j.xml").getroot()
    assert [case.find("failure") for case in suites.iter("testcase")] == [
        None
    ] * 7  # inputs and outputs among them
    assert found["compared"]["facts"]["outputs"] == {"y": 0}
    assert "Outputs beside the baseline's, mean difference over their deviation: y 0.00 %." in done.err
    assert done.json["made_up"] == {"x": "float32 [4] of normal numbers"}
    assert 'edgecomp_gate_passed{target="t",row="cpu_p50_ms"} 1' in (folder / "m.txt").read_text()


def test_a_slower_model_fails_with_a_sentence_that_names_the_row(folder: Path) -> None:
    fake(folder, "slow.json", latency_ns=360_000)
    summary_file = folder / "summary.md"
    done = compare(
        folder,
        "base.json",
        "slow.json",
        "-t",
        "t.yaml",
        GITHUB_ACTIONS="true",
        GITHUB_STEP_SUMMARY=str(summary_file),
    )
    assert done.code == 1, done.err
    assert "FAIL t: CPU time of one inference, median: +" in " ".join(done.out.split())
    assert "::error title=FAIL%3A cpu_p50_ms on t::" in done.err
    assert summary_file.read_text().startswith("### edgecomp slow.json against base.json: FAIL")
    assert max(map(len, done.out.splitlines())) <= 120  # paths are not broken


def test_a_step_summary_that_cannot_be_written_costs_a_note(tmp_path: Path) -> None:
    classifier(tmp_path / "base.onnx")
    classifier(tmp_path / "new.onnx", name="image")  # another contract: nothing is timed
    told = {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": "/nonexistent/summary.md"}
    done = compare(tmp_path, "base.onnx", "new.onnx", "-t", "onnxruntime-cpu", "--json", **told)
    assert (done.code, done.json["verdict"]) == (1, "FAIL")
    assert "no step summary (GITHUB_STEP_SUMMARY)" in done.err


def test_a_model_that_sleeps_fails_by_wall_time(folder: Path) -> None:
    """CPU time does not see it."""
    fake(folder, "sleeps.json", sleeps=True, latency_ns=900_000)
    policy = {
        "format": 1,
        "name": "wall",
        "rows": {"latency_p50_ms": {"against": "baseline", "margin": "10 %"}},
    }
    (folder / "p.yaml").write_text(json.dumps(policy | {"wall": "required"}))
    done = compare(folder, "base.json", "sleeps.json", "-t", "t.yaml", "--policy", "p.yaml", "--json")
    assert (done.code, done.rows["latency_p50_ms"]["verdict"]) == (1, "FAIL")


def test_a_candidate_that_answers_from_memory_is_not_faster(folder: Path) -> None:
    fake(folder, "caches.json", repeated_factor=0.1)
    done = compare(folder, "base.json", "caches.json", "-t", "t.yaml", *only_cpu(folder), "--json")
    assert done.code == 4
    assert done.rows["cpu_p50_ms"]["reason"] == "not_itself"


@pytest.mark.parametrize(
    ("base", "candidate", "code", "verdict"),
    [({}, {"crash_after": 30}, 1, "FAIL"), ({"crash_after": 30}, {}, 4, "INVALID"), ({"crash_after": 0}, {"crash_after": 0}, 4, "INVALID")],
)  # fmt: skip
def test_who_crashes_decides_what_that_means(
    folder: Path, base: dict[str, Any], candidate: dict[str, Any], code: int, verdict: str
) -> None:
    fake(folder, "b.json", **base)
    fake(folder, "c.json", **candidate)
    done = compare(folder, "b.json", "c.json", "-t", "t.yaml", "--json")
    assert (done.code, done.json["verdict"]) == (code, verdict), done.err
    assert done.rows["runs"]["reason"] == "crashed"
    assert "ended with exit code 11" in done.verdict(folder)["gates"][0]["sentence"]
    assert {row["verdict"] for name, row in done.rows.items() if name != "runs"} == {"INCONCLUSIVE"}


def test_no_time_is_no_pass(folder: Path) -> None:
    done = compare(folder, "base.json", "base.json", "-t", "t.yaml", "--max-time", "1", "--json")
    assert (done.code, done.json["verdict"]) == (3, "INCONCLUSIVE")
    assert done.rows["cpu_p50_ms"]["reason"] == "too_few_samples"
    assert done.json["restarts"] >= 1


# Answers


def test_answers_are_compared_example_by_example(tmp_path: Path) -> None:
    base, same = classifier(tmp_path / "base.onnx"), classifier(tmp_path / "same.onnx")
    worse = classifier(tmp_path / "worse.onnx", weights=np.eye(4)[:, [0, 1, 3, 2]])
    examples(tmp_path / "d.npz", slice=np.array(["head", "tail"] * 200))
    policy = {
        "format": 1,
        "name": "answers",
        "rows": {
            "accuracy_pct": {"against": "baseline", "margin": "5 pt"},
            "worst_slice_pct": {"against": "baseline", "margin": "8 pt"},
            "baseline_agreement_pct": {"min": "90 %", "confidence": 0.99},
            "negative_flips_pct": {"max": "3 %", "confidence": 0.99},
        },
    }
    (tmp_path / "p.yaml").write_text(json.dumps(policy))
    told = ("-t", "onnxruntime-cpu", "--data", "d.npz", "--policy", "p.yaml", "--json")
    good = compare(tmp_path, str(base), str(same), *told)
    assert good.code == 0, good.out
    assert good.json["examples"] == 400
    data, made = good.verdict(tmp_path)["compared"]["data"], tmp_path / good.json["folder"]
    assert data == {"what": "given with --data", "file": "d.npz", "sha256": sha256(tmp_path / "d.npz")}
    assert data["sha256"] in (made / "compare.html").read_text()
    with np.load(made / "answers.npz") as answers:
        by_output = {"outputs", "outputs.0.error", "outputs.0.cosine", "outputs.0.agrees"}
        assert set(answers.files) == {"baseline.logits", "candidate.logits", "labels", "slices"} | by_output
        right = answers["candidate.logits"].argmax(axis=1) == answers["labels"]
    assert 100 * right.mean() == good.verdict(tmp_path)["figures"]["onnxruntime-cpu"]["candidate"]["accuracy_pct"]["value"]  # fmt: skip
    bad = compare(tmp_path, str(base), str(worse), *told)
    assert bad.code == 1
    assert {row["verdict"] for row in bad.rows.values()} == {"FAIL"}
    assert bad.json["restarts"] == 0  # no row is of times


@pytest.mark.parametrize(
    ("candidate", "words"),
    [
        ({"width": 3}, "output logits is of [any, 3] instead of [any, 4]"),
        ({"name": "image"}, "input x is missing; input image is new"),
        ({"batch": 1}, "input x is of [1, 4] instead of [any, 4]"),
        ({"dtype": TensorProto.INT64}, "input x is of int64 instead of float32"),
    ],
)
def test_another_contract_is_a_verdict(tmp_path: Path, candidate: dict[str, Any], words: str) -> None:
    classifier(tmp_path / "base.onnx")
    classifier(tmp_path / "new.onnx", **candidate)
    done = compare(tmp_path, "base.onnx", "new.onnx", "-t", "onnxruntime-cpu", "--json")
    failed = [row for row in done.verdict(tmp_path)["gates"] if row["verdict"] == "FAIL"]
    assert done.code == 1
    assert {row["reason"] for row in failed} == {"incompatible"}
    assert any(words in row["sentence"] for row in failed)
    assert words in " ".join(done.err.split())  # brackets and all


def test_the_page_leaves_file_names_as_they_are(tmp_path: Path) -> None:
    classifier(tmp_path / "base.onnx")
    classifier(tmp_path / "new.onnx", name="image")  # another contract: nothing is timed
    np.savez(tmp_path / "dAtA.npz", x=np.zeros((3, 4), np.float32))
    done = compare(
        tmp_path, "base.onnx", "new.onnx", "-t", "onnxruntime-cpu", "-d", "dAtA.npz", "--json", "--out", "c"
    )
    assert done.code == 1
    page = (tmp_path / "c" / "compare.html").read_text()
    assert "Note: dAtA.npz has no `label`: no answers were judged but as numbers, output by output." in page


def test_files_of_the_same_name_are_told_apart(tmp_path: Path) -> None:
    for folder, name in (("old", "x"), ("new", "image")):  # another contract: nothing is timed
        (tmp_path / folder).mkdir()
        classifier(tmp_path / folder / "model.onnx", name=name)
    done = compare(
        tmp_path, "old/model.onnx", "new/model.onnx", "-t", "onnxruntime-cpu", "--json", "--junit", "j.xml"
    )
    assert done.json["folder"].startswith("runs/compare/new-onnxruntime-cpu/")
    compared = done.verdict(tmp_path)["compared"]
    assert [compared[side]["given"] for side in ("baseline", "candidate")] == [
        "old/model.onnx",
        "new/model.onnx",
    ]
    page = (tmp_path / done.json["folder"] / "compare.html").read_text()
    assert "<title>new/model.onnx against old/model.onnx" in page
    (kept,) = results(tmp_path / "history.sqlite")
    assert kept.model == "new/model.onnx"


def test_a_candidate_that_takes_more_is_compatible(tmp_path: Path) -> None:
    classifier(tmp_path / "base.onnx", batch=1)
    classifier(tmp_path / "new.onnx")
    done = compare(tmp_path, "base.onnx", "new.onnx", "-t", "onnxruntime-cpu", "--json", "--max-time", "1")
    assert {name: done.compatible[name]["verdict"] for name in ("inputs", "outputs")} == dict.fromkeys(
        ("inputs", "outputs"), "PASS"
    )


def test_examples_come_from_parquet_too(tmp_path: Path) -> None:
    classifier(tmp_path / "base.onnx")
    with np.load(examples(tmp_path / "d.npz")) as held:
        table = pyarrow.table(
            {"x": pyarrow.array(held["x"].tolist(), pyarrow.list_(pyarrow.float32())), "label": held["label"]}
        )
    parquet.write_table(table, tmp_path / "d.parquet")
    (tmp_path / "p.yaml").write_text(
        json.dumps({"format": 1, "name": "p", "rows": {"accuracy_pct": {"min": "90 %"}}})
    )
    done = compare(
        tmp_path,
        "base.onnx",
        "base.onnx",
        "-t",
        "onnxruntime-cpu",
        "-d",
        "d.parquet",
        "--policy",
        "p.yaml",
        "--json",
    )
    assert (done.code, done.json["examples"]) == (0, 400), done.err


def test_an_expired_waiver_fails_and_a_valid_one_does_not_decide(folder: Path) -> None:
    fake(folder, "slow.json", latency_ns=360_000)
    waived = {"row": "cpu_p50_ms", "owner": "ana", "reason": "known", "expires": "2999-01-01"}
    rows = {"cpu_p50_ms": {"against": "baseline", "margin": "2.5 %"}, "file_size_bytes": {"max": "1 MiB"}}
    for expires, code in (("2999-01-01", 0), ("2020-01-01", 1)):
        (folder / "p.yaml").write_text(
            json.dumps({"format": 1, "name": "p", "rows": rows, "waivers": [waived | {"expires": expires}]})
        )
        done = compare(folder, "base.json", "slow.json", "-t", "t.yaml", "--policy", "p.yaml", "--json")
        assert done.code == code, done.out
        assert done.json["verdict"] == "FAIL"
    assert done.rows["cpu_p50_ms"]["reason"] == "waiver_expired"


# What is timed must be the model


@pytest.mark.parametrize("again", [lambda file: fake(file.parent, file.name, latency_ns=1), Path.unlink])
def test_a_file_that_is_rewritten_while_it_is_measured_is_told(
    folder: Path, monkeypatch: pytest.MonkeyPatch, again: Callable[[Path], object]
) -> None:
    fake(folder, "new.json")

    def compared(*_: object, **__: object) -> Outcome:
        again(folder / "new.json")
        return Outcome(None, None, [], 0.0)

    monkeypatch.setattr(command, "compare", compared)
    monkeypatch.chdir(folder)
    with pytest.raises(ModelFileError, match="json was written while it was measured"):
        compare_and_record(Asked(Path("base.json"), Path("new.json"), "t.yaml"), Screen(json=True))
    assert not (folder / "runs").exists()


def test_a_candidate_that_gives_no_numbers_while_it_is_timed_is_invalid(tmp_path: Path) -> None:
    classifier(tmp_path / "base.onnx")
    classifier(tmp_path / "nan.onnx", weights=np.full((4, 4), np.nan))
    done = compare(tmp_path, "base.onnx", "nan.onnx", "-t", "onnxruntime-cpu", "--json")
    assert done.code == 4, done.out
    assert done.rows["cpu_p50_ms"]["reason"] == "not_finite"


def test_a_candidate_that_answers_otherwise_while_it_is_timed_is_invalid(folder: Path) -> None:
    """It is right when it is asked for its answers, and wrong after two hundred requests."""
    fake(folder, "wrong.json", wrong_after=200)
    values = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)
    np.savez(folder / "d.npz", x=values, label=(2 * values).argmax(axis=1))
    done = compare(
        folder, "base.json", "wrong.json", "-t", "t.yaml", "-d", "d.npz", *only_cpu(folder), "--json"
    )
    assert (done.code, done.rows["cpu_p50_ms"]["reason"]) == (4, "not_itself"), done.out


def test_a_file_that_no_runtime_reads_is_a_bad_request_and_one_that_dies_at_load_a_verdict(
    tmp_path: Path,
) -> None:
    classifier(tmp_path / "base.onnx")
    (tmp_path / "cut.onnx").write_bytes((tmp_path / "base.onnx").read_bytes()[:40])
    done = compare(tmp_path, "base.onnx", "cut.onnx", "-t", "onnxruntime-cpu")
    assert done.code == 2
    assert "cut.onnx" in done.err


def test_slices_of_the_examples_are_a_row_of_the_default_policy(tmp_path: Path) -> None:
    classifier(tmp_path / "base.onnx")
    examples(tmp_path / "d.npz", slice=np.array(["head", "tail"] * 200))
    done = compare(
        tmp_path,
        "base.onnx",
        "base.onnx",
        "-t",
        "onnxruntime-cpu",
        "-d",
        "d.npz",
        "--json",
        "--max-time",
        "1",
    )
    assert done.rows["worst_slice_pct"]["verdict"] == "PASS"
    assert "the examples have slices" in done.json["policy"]["changes"][0]


@pytest.mark.parametrize("fails", ["evidence.np.savez", "command.write_page", "evidence.write_json"])
def test_a_full_disk_costs_what_it_must_and_the_verdict_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], fails: str
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    classifier(tmp_path / "base.onnx")
    classifier(tmp_path / "new.onnx", weights=np.eye(4)[:, [0, 1, 3, 2]])
    examples(tmp_path / "d.npz")
    rows = {"accuracy_pct": {"against": "baseline", "margin": "5 pt"}}  # nothing is timed
    (tmp_path / "p.yaml").write_text(json.dumps({"format": 1, "name": "p", "rows": rows}))
    asked = Asked(tmp_path / "base.onnx", tmp_path / "new.onnx", "onnxruntime-cpu", str(tmp_path / "p.yaml"), tmp_path / "d.npz",
                  out=tmp_path / "c", store=tmp_path / "h.sqlite")  # fmt: skip
    monkeypatch.setattr(f"edgecomp.comparison.{fails}", full)
    if fails == "command.write_page":
        verdict, folder = compare_and_record(asked, Screen(json=True))
        assert verdict.verdict == json.loads((folder / "verdict.json").read_text())["verdict"] == "FAIL"
        assert "was not written: No space left on device" in " ".join(capsys.readouterr().err.split())
        return
    with pytest.raises(
        EdgecompError, match=r"c could not be written \(No space left on device\): .* it came to FAIL: "
    ) as told:
        compare_and_record(asked, Screen(json=True))
    assert told.value.exit_code == 70
    assert {path.name for path in tmp_path.iterdir()} == {"base.onnx", "new.onnx", "d.npz", "p.yaml"}


def test_what_was_measured_is_kept_whatever_is_made_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    classifier(tmp_path / "base.onnx")
    classifier(tmp_path / "new.onnx", name="image")  # another contract: nothing is timed
    asked = Asked(
        tmp_path / "base.onnx",
        tmp_path / "new.onnx",
        "onnxruntime-cpu",
        out=tmp_path / "c",
        store=tmp_path / "h.sqlite",
    )
    for later in ("of_comparison", "drifted", "write_page", "junit"):
        with monkeypatch.context() as patched:
            patched.setattr(command, later, lambda *_, **__: 1 / 0)
            with suppress(ZeroDivisionError):
                compare_and_record(replace(asked, out=tmp_path / later), Screen(json=True))
        assert json.loads((tmp_path / later / "verdict.json").read_text())["verdict"] == "FAIL"


def test_a_row_of_any_name_is_shown_and_kept(tmp_path: Path) -> None:
    classifier(tmp_path / "base.onnx")
    classifier(tmp_path / "new.onnx", name="image")  # another contract: nothing is timed
    row = {"metric": "cpu_p50_ms", "against": "baseline", "margin": "5 %"}
    names = ["[/]", "[bold", "a\n::stop-commands::b", "\x1b[31mx", "{{ 7 }}", "<b>"]
    policy = {"format": 1, "name": "[/]", "rows": {name: row for name in names}}
    (tmp_path / "p.yaml").write_text(json.dumps(policy))
    summary = tmp_path / "s.md"
    done = compare(tmp_path, "base.onnx", "new.onnx", "-t", "onnxruntime-cpu", "--policy", "p.yaml", "--junit", "j.xml", "--metrics", "m.txt", "--json",
                   GITHUB_ACTIONS="true", GITHUB_STEP_SUMMARY=str(summary))  # fmt: skip
    assert done.code == 1, done.err
    assert {row["name"] for row in done.json["gates"]} == {"inputs", "outputs", *names}
    commands = [line for line in done.err.splitlines() if line.lstrip().startswith("::")]
    assert {line.split()[0] for line in commands} <= {"::error", "::warning"}
    assert "\x1b" not in done.err + summary.read_text() + (tmp_path / "j.xml").read_text()
