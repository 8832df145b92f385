"""The report of a small run: every figure on the page is worked out again, from JSON and from the raw samples by another way."""

import base64
import csv
import hashlib
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from report_pages import Page
from running import Cli
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, recall_score

from edgecomp.config.job import read_job
from edgecomp.gate.document import read
from edgecomp.metrics import layer_times
from edgecomp.metrics.layer_times import LayerTimes
from edgecomp.metrics.registry import METRICS
from edgecomp.metrics.units import format_value
from edgecomp.report import stage
from edgecomp.report.evidence import Evidence
from edgecomp.report.figures import column
from edgecomp.report.page.releases import Release
from edgecomp.report.pictures import layers
from edgecomp.stats.figure import Figure

pytestmark = pytest.mark.slow
TARGETS = ("onnxruntime-cpu", "openvino-cpu")


@pytest.fixture
def folder(tiny_run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_run, tmp_path / "run"))


class Report(NamedTuple):
    page: Page
    verdict: dict[str, Any]
    content: dict[str, Any]


def shown(folder: Path) -> Report:
    page = Page((folder / "report" / "report.html").read_text(encoding="utf-8"))
    verdict, content = (
        json.loads((folder / place).read_text(encoding="utf-8"))
        for place in ("gate/verdict.json", "report/report.json")
    )
    return Report(page, verdict, content)


def again(folder: Path, target: str, arm: str) -> dict[str, float]:
    """Figures of an arm, from samples.npz, outputs.npz and the files that ship, without edgecomp's estimators: metric → base unit."""
    bench = folder / "bench" / target
    with np.load(bench / "samples.npz") as kept:
        samples = {
            name.removeprefix(f"{arm}."): kept[name] for name in kept.files if name.startswith(f"{arm}.")
        }
    with np.load(bench / "outputs.npz") as kept:
        labels, logits, teacher = kept["labels"], kept[arm], kept["teacher"]
    about = json.loads((bench / "measurements.json").read_text(encoding="utf-8"))
    answers = np.array([int(np.flatnonzero(row == row.max())[0]) for row in logits])

    def of_restarts(values: Any) -> float:
        ordered = sorted(float(value) for value in values)
        middle = len(ordered) // 2
        return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2

    def median(calls: Any) -> float:
        return of_restarts(calls)

    wall, cpu = samples["single_stream_wall_ns"], samples["single_stream_cpu_ns"]
    return {
        "latency_p50_ms": of_restarts(median(calls) for calls in wall) / 1e6,
        "cpu_p50_ms": of_restarts(median(calls) for calls in cpu) / 1e6,
        "cold_start_p50_ms": of_restarts(samples["cold_start_ns"]) / 1e6,
        "load_p50_ms": of_restarts(samples["load_ns"]) / 1e6,
        "throughput_p50_per_s": of_restarts(
            about["offline_batch"] * 1e9 / median(calls) for calls in samples["offline_wall_ns"]
        ),
        "peak_memory_bytes": of_restarts(samples["peak_memory_bytes"]),
        "model_memory_bytes": of_restarts(samples["peak_memory_bytes"] - samples["imports_peak_bytes"]),
        "accuracy_pct": 100 * accuracy_score(labels, answers),
        "macro_f1_pct": 100 * f1_score(labels, answers, average="macro"),
        "worst_recall_pct": 100 * min(recall_score(labels, answers, average=None)),
        "teacher_agreement_pct": 100 * float(np.mean(answers == teacher.argmax(axis=1))),
        "file_size_bytes": sum((_of_arm(folder, target, arm, name)).stat().st_size for name in about["arms"][arm]["file_sha256"]),
    }  # fmt: skip


def _of_arm(folder: Path, target: str, arm: str, name: str) -> Path:
    """The file that was measured, found by its digest."""
    about = json.loads((folder / "bench" / target / "measurements.json").read_text(encoding="utf-8"))
    wanted = about["arms"][arm]["file_sha256"][name]
    for file in folder.rglob("*"):
        if file.is_file() and hashlib.sha256(file.read_bytes()).hexdigest() == wanted:
            return file
    raise AssertionError(f"{arm} of {target}: no file has the digest of {name}")


@pytest.mark.parametrize("target", TARGETS)
def test_every_figure_is_that_of_the_json_and_most_come_again_from_the_samples(
    folder: Path, target: str
) -> None:
    report = shown(folder)
    heads, rows = report.page.tables[f"All figures: {target}"]
    arms = list(report.verdict["figures"][target])
    assert len(heads) == 1 + len(arms)
    of_json = {
        arm: {metric: Figure.model_validate(one) for metric, one in found.items()}
        for arm, found in report.verdict["figures"][target].items()
    }
    text = column([one for found in of_json.values() for one in found.values()]).text
    titles = {f"{metric.title} {metric.id}": metric.id for metric in METRICS.values()}
    seen, recomputed = set(), set()
    for row in rows:
        metric = titles[row.cells[0]]
        for arm, cell in zip(arms, row.cells[1:], strict=True):
            figure = of_json[arm].get(metric)
            assert cell == text(figure), (metric, arm)
            seen |= {(arm, metric)} if figure else set()
            value = again(folder, target, arm).get(metric)
            if figure is not None and value is not None:
                assert cell.startswith(format_value(value, METRICS[metric].dimension)), (metric, arm)
                assert figure.estimate == pytest.approx(value, rel=1e-9), (metric, arm)
                recomputed.add(metric)
    assert seen == {(arm, metric) for arm, found in of_json.items() for metric in found}, (
        "nothing is left out"
    )
    assert len(recomputed) == 12


def test_checks_strips_and_pictures_say_what_the_verdict_does(folder: Path) -> None:
    page, verdict, content = shown(folder)
    for target in TARGETS:
        checks = [one for one in verdict["gates"] if one["target"] == target]
        heads, rows = page.tables[f"{target}: checks"]
        figures = [
            Figure.model_validate(one["estimate"]) if one["estimate"] else None for one in verdict["gates"]
        ]
        text = column(figures).text
        assert len(rows) == len(checks)
        for row, check in zip(rows, checks, strict=True):
            figure = Figure.model_validate(check["estimate"]) if check["estimate"] else None
            badge, title, measured, picture, limit, _ = row.cells
            assert (badge, measured, picture, limit) == (check["verdict"], text(figure), "", check["limit"])
            assert title.startswith(check["title"])
            assert row.labels[2] == heads[2]
    intervals = [one for one in page.said if re.search(r"limit (at most|at least)|nothing measured", one)]
    assert len(intervals) == len(verdict["gates"])
    for said, check in zip(intervals, verdict["gates"], strict=True):
        if check["estimate"]:
            assert said.startswith(format_value(check["estimate"]["value"], check["estimate"]["dimension"]))
            assert said.endswith(format_value(check["limit_value"], check["estimate"]["dimension"]))
    strips = dict(zip(TARGETS, content["headlines"], strict=True))
    for target, strip in strips.items():
        teacher, student = again(folder, target, "teacher"), again(folder, target, "student_int8")
        for one in strip["headlines"]:
            metric = one["metric"]
            dimension = METRICS[metric].dimension
            assert one["teacher"] == format_value(teacher[metric], dimension)
            assert one["student"] == format_value(student[metric], dimension)
            assert f"{one['teacher']} → {one['student']}" in " ".join(page.text.split())
            if metric == "accuracy_pct":
                assert one["change"].removeprefix("+") == f"{student[metric] - teacher[metric]:.2f} pt"
            elif metric == "file_size_bytes":
                assert one["change"] == f"{teacher[metric] / student[metric]:.3g} × smaller"
            elif one["change"] != "1 ×":
                ratio = student[metric] / teacher[metric]
                turned = {"faster": 1 / ratio, "less": 1 / ratio, "slower": ratio, "more": ratio}
                value, _, word = one["change"].split()
                assert float(value) == pytest.approx(
                    turned[word], rel=0.01
                )  # of one restart: of its own ratio
    with open(folder / "report" / "figures.csv", encoding="utf-8", newline="") as file:
        table = list(csv.DictReader(file))
    of_arms = [row for row in table if row["arm"] != "check"]
    assert len(of_arms) == sum(len(found) for arms in verdict["figures"].values() for found in arms.values())
    for row in of_arms:
        assert float(row["estimate"]) == verdict["figures"][row["target"]][row["arm"]][row["metric"]]["value"]
    assert [row["verdict"] for row in table if row["arm"] == "check"] == [
        one["verdict"] for one in verdict["gates"]
    ]


@pytest.mark.parametrize("target", TARGETS)
def test_confusions_and_latencies_come_again_from_the_samples(folder: Path, target: str) -> None:
    text = (folder / "report" / "report.html").read_text(encoding="utf-8")
    with np.load(folder / "bench" / target / "outputs.npz") as kept:
        labels, given = kept["labels"], {arm: kept[arm].argmax(axis=1) for arm in ("teacher", "student_int8")}
    for arm, label in (("teacher", "teacher, fp32"), ("student_int8", "student, int8")):
        start = text.index(f'aria-label="Confusion matrix, {target}, {label}"')
        (rows,) = (
            rows
            for _, rows in Page(
                text[start : text.index("</table>", start) + 8].partition(">")[2]
            ).tables.values()
        )
        counts = [[int(cell) for cell in row.cells[1:]] for row in rows]
        assert counts == confusion_matrix(labels, given[arm]).tolist()
    with np.load(folder / "bench" / target / "samples.npz") as kept:
        half, most = np.percentile(kept["student_int8.single_stream_wall_ns"].ravel() / 1e6, (50, 99))
    said = (
        f"student, int8: half within {format_value(half, 'time')}, 99 % within {format_value(most, 'time')}"
    )
    assert any(one.startswith(f"{target}: ") and said in one for one in shown(folder).page.said)


@pytest.mark.parametrize("target", TARGETS)
def test_times_by_layer_come_again_from_what_the_runtime_told(folder: Path, target: str) -> None:
    page, _, content = shown(folder)
    kept = json.loads((folder / "bench" / target / "layers.json").read_text(encoding="utf-8"))["arms"]
    int8, fp32 = kept["student_int8"], kept["student_fp32"]
    parity = json.loads((folder / "parity" / target / "parity.json").read_text(encoding="utf-8"))
    in_int8 = {one["name"] for one in parity["student_int8"]["layers"] if one["precision"] == "int8"}

    def middle_half(one: dict[str, Any]) -> float:
        return float(np.mean(np.sort(one["each_us"])[12:38]))  # of 50

    assert all(len(one["each_us"]) == arm["runs"] == 50 for arm in (int8, fp32) for one in arm["layers"])
    took = [middle_half(one) for one in int8["layers"]]
    in_float: dict[str, float] = {}
    for one in fp32["layers"]:
        in_float[one["layer"]] = in_float.get(one["layer"], 0.0) + middle_half(one)
    heads, rows = page.tables[f"Time by layer: {target}, student, int8"]
    assert heads == ["layer", "operator", "precision", "an inference", "share", "student, fp32"]
    assert len(rows) == len(took) > 5
    for row, one, us in zip(rows, int8["layers"], took, strict=True):
        assert row.cells[0] in (one["layer"], one["name"])
        assert row.cells[1:5] == [
            one["type"],
            "int8" if one["name"] in in_int8 else "not int8",
            f"{us:,.1f} µs",
            f"{100 * us / sum(took):.1f} %",
        ]
        beside = in_float.get(one["layer"])
        assert row.cells[5] == ("–" if beside is None else f"{beside:,.1f} µs")
    share = 100 * sum(us for one, us in zip(int8["layers"], took, strict=True) if one["name"] in in_int8) / sum(took)  # fmt: skip
    together = format_value(sum(took) / 1e3, "time")
    said = f"{target}: {len(took)} layers take {together} an inference, {share:.1f} % of it in int8; the longest is "
    assert any(one.startswith(said) for one in page.said)
    assert f"; those of the student, fp32, {format_value(sum(in_float.values()) / 1e3, 'time')}." in page.text
    assert sum(row.cells[2] == "int8" for row in rows) >= 5
    if target == "openvino-cpu":  # ONNX Runtime calls its float convolutions otherwise
        assert sum(row.cells[5] != "–" for row in rows) >= 5
    assert [one["us"] for one in content["layer_times"][target]] == pytest.approx(took)
    text = (folder / "report" / "report.html").read_text(encoding="utf-8")
    drawn = text[text.index(f'aria-label="{said}') :]
    bars = re.findall(rf'style="fill: ({layers.INTEGERS}|{layers.FLOAT})"', drawn[: drawn.index("</svg>")])
    wanted = [layers.INTEGERS if row.cells[2] == "int8" else layers.FLOAT for row in rows]
    assert bars == wanted[::-1]


def test_a_target_without_times_by_layer_says_why_and_an_older_run_nothing(
    folder: Path, tmp_path: Path
) -> None:
    job, verdict = read_job(folder), read(folder / "gate" / "verdict.json")

    def written() -> Page:
        stage.write_report(run_folder=folder, job=job, verdict=verdict, folder=tmp_path)
        return Page((tmp_path / "report.html").read_text(encoding="utf-8"))

    layer_times.save(folder / "bench" / TARGETS[0], {"student_int8": LayerTimes(not_run="no <b>profile</b>")})
    page = written()
    assert "onnxruntime-cpu, student, int8: not run: no <b>profile</b>." in page.text
    assert f"Time by layer: {TARGETS[0]}, student, int8" not in page.tables
    assert f"Time by layer: {TARGETS[1]}, student, int8" in page.tables
    for target in TARGETS:
        (folder / "bench" / target / "layers.json").unlink()
    assert "Time by layer" not in written().text


def test_the_page_runs_one_script_and_asks_nobody_for_anything(folder: Path) -> None:
    text = (folder / "report" / "report.html").read_text(encoding="utf-8")
    page = Page(text)
    (script,) = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    (policy,) = (known["content"] for tag, known in page.tags if known.get("http-equiv"))
    assert policy is not None
    assert f"script-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'; ")
    links = [known.get("href") or "" for tag, known in page.tags if tag in ("a", "link", "use", "image")]
    links += [known.get("xlink:href") or "" for _, known in page.tags if "xlink:href" in known]
    assert all(link.startswith(("#", "data:")) or not link for link in links)
    ids = [known["id"] for _, known in page.tags if known.get("id")]
    assert len(ids) == len(set(ids))
    for link in links:
        assert not link.startswith("#") or link[1:] in ids
    heads = [known for tag, known in page.tags if tag == "th"]
    assert all(known.get("scope") in ("col", "row") for known in heads)
    assert all(page.said), "every picture says what it shows"


def kernels_called(name: str, times: LayerTimes) -> LayerTimes:
    """The same, of layers that are all called `name`; one of them by its layer alone."""
    first, *others = (one._replace(name=name, type=name) for one in times.layers)
    return replace(times, layers=(first._replace(layer=name), *others))


HOSTILE = (
    "<script>alert(1)</script> {{ 7 * 7 }} | a |",
    '"><svg/onload=alert(1)> fill: #000000',
    "' onmouseover='x $x^{",
    "\x1b[31m\u202ered",
)


def test_a_hostile_name_is_an_element_nowhere_on_the_page(folder: Path, tmp_path: Path) -> None:
    job, verdict = read_job(folder), read(folder / "gate" / "verdict.json")
    honest = Evidence.read(job, folder, verdict)

    def written(name: str) -> Page:
        of = "openvino-cpu"
        checks = tuple(
            one.but(target=name, title=name, limit=name, sentence=name)
            for one in verdict.checks
            if one.target == of
        )
        targets = [
            one.model_copy(update={"name": name, "description": name})
            for one in job.targets
            if one.name == of
        ]
        recipe = job.recipe.model_copy(update={"name": name, "description": name})
        rows = {name: job.rows[of]}
        measured = replace(
            honest.measured[of], target=name, facts=honest.measured[of].facts | {"classes": [name] * 10}
        )
        answers = {name: verdict.answers[of].model_copy(update={"changes": ()})}
        hostile = replace(
            honest,
            job=job.model_copy(update={"targets": targets, "recipe": recipe, "rows": rows}),
            verdict=verdict.but(gates=checks, figures={name: verdict.figures[of]}, answers=answers, next_step=name),
            measured={name: measured},
            layer_times={name: {arm: kernels_called(name, times) for arm, times in honest.layer_times[of].items()}},
            portable={name: honest.portable[of]},
            manifest=honest.manifest | {"steps": {**honest.manifest["steps"], f"bench/{name}": honest.manifest["steps"][f"bench/{of}"]}},
        )  # fmt: skip
        past = [
            Release(
                "2026",
                name,
                name,
                name,
                "PASS",
                {"latency_p50_ms": verdict.figures[of]["teacher"]["latency_p50_ms"]},
            )
        ]
        stage._write(hostile, hostile.job, tmp_path, stage.NONE_SHOWN, past)
        return Page((tmp_path / "report.html").read_text(encoding="utf-8"))

    plain = written("plain")
    for name in HOSTILE:
        page = written(name)
        elements = [{(tag, *sorted(known)) for tag, known in one.tags} for one in (page, plain)]
        assert elements[0] <= elements[1]
        assert not {"\x1b", "\u202e"} & set(page.text)
        assert page.text.count(name.replace("\x1b[31m", "").replace("\u202e", "")) > 10


def test_runs_are_put_side_by_side_and_a_folder_of_them_gets_an_index(
    cli: Cli, folder: Path, tmp_path: Path
) -> None:
    shutil.copytree(folder, tmp_path / "second")
    page_file = tmp_path / "page.html"
    done = cli("report", str(folder), str(tmp_path / "second"), "--out", str(page_file), "--json")
    assert (done.code, done.json) == (0, {"report": str(page_file)})
    page = Page(page_file.read_text(encoding="utf-8"))
    for target in TARGETS:
        heads, (first, second) = page.tables[target]
        assert [head.partition(" [")[0] for head in heads] == ["run", "verdict", "accuracy", "median latency", "model file", "peak memory"]  # fmt: skip
        student = again(folder, target, "student_int8")
        assert first.cells[2].startswith(format_value(student["accuracy_pct"], "percent"))
        assert first.cells[3].startswith(format_value(student["latency_p50_ms"], "time"))
        assert second.cells[4] == f"{format_value(student['file_size_bytes'], 'bytes')} 1 × (exact)"
        assert {first.cells[1], second.cells[1]} <= {"PASS", "FAIL", "INCONCLUSIVE"}
    links = {known["href"] for tag, known in page.tags if tag == "a"}
    assert links == {"run/report/report.html", "second/report/report.html"}
    (tmp_path / "third").mkdir()
    (tmp_path / "third" / "job.json").write_text("{}", encoding="utf-8")
    listed = cli("report", str(tmp_path))
    assert listed.code == 0
    text = (tmp_path / "index.html").read_text(encoding="utf-8")
    _, rows = Page(text).tables["Runs, the newest first"]
    assert sorted((row.cells[0], row.cells[4]) for row in rows) == sorted((run, target) for run in ("run", "second") for target in TARGETS)  # fmt: skip
    assert "third</strong>: " in text
    assert "was not judged yet" in text


def test_what_cannot_be_put_side_by_side_is_refused(cli: Cli, folder: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(folder, tmp_path / "other"))
    for arguments, said in (
        ([folder, folder], "takes two run folders at least"),
        ([folder, tmp_path / "nothing"], "is no run folder (it holds no job.json)"),
        ([folder, tmp_path], "is no run folder (it holds no job.json)"),
        ([folder / "report"], "is no run folder and holds none"),
        ([folder, "--out", tmp_path / "x.html"], "--out is of several runs"),
    ):
        done = cli("report", *map(str, arguments))
        assert (done.code, said in done.err) == (2, True), done.err
    samples = other / "bench" / TARGETS[0] / "samples.npz"
    with np.load(samples) as kept:
        found = {name: kept[name] * 2 for name in kept.files}
    np.savez(samples, **found)
    refused = cli("report", str(folder), str(other), "--out", str(tmp_path / "x.html"))
    assert refused.code == 4
    assert not (tmp_path / "x.html").exists()
