"""The report's tables as data: what a page lays out, stacks on a narrow screen, folds where it is long, and sorts."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from edgecomp.arms import ARMS, STUDENT_FP32
from edgecomp.metrics.registry import ACCURACY, LATENCY_P50, LATENCY_P99, METRICS
from edgecomp.report.answers import Shown
from edgecomp.report.evidence import Evidence
from edgecomp.report.figures import column
from edgecomp.report.page.confusion import Confusion
from edgecomp.report.page.headline import headline_metrics, verdict_of
from edgecomp.stats.figure import Figure

FOLDED = 12
"""Rows from which on a table is folded."""


class Cell(NamedTuple):
    """text: what it says; sort: what it is sorted by instead; under: an id, on a second line; is_code: in type of one width; note: a
    line beneath, in small type."""

    text: str
    sort: float | None = None
    under: str = ""
    is_code: bool = False
    note: str = ""


class Table(NamedTuple):
    """caption: what it is of; heads: of its columns; rows: of cells, the first of which is the row's own head; is_long: whether it
    is folded however short it is."""

    caption: str
    heads: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    is_long: bool = False

    @property
    def folds(self) -> bool:
        return self.is_long or len(self.rows) > FOLDED


def table(
    caption: str, heads: Sequence[str], rows: Iterable[Sequence[object]], *, is_long: bool = False
) -> Table:
    """A Table of `caption` and `heads`. rows: of cells, or of anything else, which is shown as its text; is_long: as Table has it."""
    return Table(
        caption,
        heads,
        [
            [one if isinstance(one, Cell) else Cell(one if isinstance(one, str) else str(one)) for one in row]
            for row in rows
        ],
        is_long,
    )


def of_shown(shown: Shown, target: str) -> Table:
    """What changed between two models' answers, as one of this page's tables. shown: of edgecomp.report.answers; target: which it is of."""
    rows = [[Cell(text, leading_number(text)) for text in row] for row in shown.rows]
    return Table(f"{shown.title}: {target}", shown.header, rows)


def leading_number(text: str) -> float | None:
    """What `text` is sorted by, where it begins with a number: `1,234`, `97.78 %`, `-2.22 pt [-10.11, 4.55]`."""
    found = re.match(r"[+-]?[\d,]*\.?\d+(?= |$)", text)
    return float(found[0].replace(",", "")) if found else None


def confusions(found: Confusion, target: str, names: Mapping[str, str]) -> Table:
    """The commonest confusions under `target`. found: of its models; names: arm → what it is called."""
    heads = ("class", "taken for", *(names.get(one.arm, one.arm) for one in found.matrices))
    rows = [
        [Cell(label), Cell(answer), *(number(count, ",d") for count in counts)]
        for label, answer, counts in found.worst()
    ]
    return Table(f"Commonest confusions: {target}", heads, rows)


def number(value: float | None, form: str, unit: str = "") -> Cell:
    """`value` as `form` of `format` writes it, with its unit; a dash for None."""
    return Cell("–") if value is None else Cell(f"{value:{form}}{unit and ' ' + unit}", float(value))


def figures(evidence: Evidence, target: str) -> Table:
    """Every figure of every arm under `target` in `evidence`."""
    arms = evidence.figures[target]
    shown = column(figure for of in arms.values() for figure in of.values())

    def cell(figure: Figure | None) -> Cell:
        return Cell(shown.text(figure), figure.estimate if figure else None)

    rows = [
        [Cell(metric.title, under=metric.id), *(cell(of.get(metric.id)) for of in arms.values())]
        for metric in METRICS.values()
        if any(metric.id in of for of in arms.values())
    ]
    heads = [f"figure [{shown.bounds}]", *(evidence.names.get(arm, arm) for arm in arms)]
    return Table(f"All figures: {target}", heads, rows)


def devices(evidence: Evidence) -> Table:
    """The judged student of `evidence` on each target's device, a row a device: its score, times and memory, or why there are none."""
    measured = [(target, evidence.measured[target.name]) for target in evidence.job.targets]
    wanted = list(dict.fromkeys(name for _, one in measured for name in headline_metrics(one)))
    place = wanted.index(LATENCY_P50) + 1
    metrics = [*wanted[:place], LATENCY_P99, *wanted[place:]]
    of = {target.name: evidence.figures.get(target.name, {}).get(one.student, {}) for target, one in measured}
    shown = column(figures.get(metric) for figures in of.values() for metric in metrics)

    def cell(figure: Figure | None) -> Cell:
        return Cell(shown.text(figure), figure.estimate if figure else None)

    rows = [
        [
            Cell(target.name, note=f"not run: {one.not_run}" if one.not_run else ""),
            target.host or "this machine",
            "–" if one.not_run else one.facts["machine"]["cpu"],
            verdict_of(evidence, target.name) or "–",
            *(cell(of[target.name].get(metric)) for metric in metrics),
            one.facts["quality"]["grade"] if "quality" in one.facts else "–",
        ]
        for target, one in measured
    ]
    heads = ("target", "device", "CPU", "verdict", *(METRICS[metric].title for metric in metrics), "grade")
    return table(f"By device, the judged student [{shown.bounds}]", heads, rows)


def every_layer(precision: Mapping[str, Any], caption: str) -> Table:
    """What each layer does in float and costs in integers. precision: of precision.json; caption: of the table."""
    heads = ("layer in float", "validation score", "divergence (nats)", "cost of its integers (nats)")
    rows = [
        [
            one["layer"],
            number(one[ACCURACY], ".2f", "%"),
            number(one["divergence"], ".5f"),
            number(one["cost"], "+.5f"),
        ]
        for one in precision["sensitivities"]
    ]
    return table(caption, heads, rows, is_long=True)


def float_layers(evidence: Evidence) -> Table:
    """The layers of `evidence` that are left in float, and why."""
    rows = [
        [
            one["layer"],
            one["reason"],
            "; ".join(f"{target}: {cost:+.3f} ms" for target, cost in one["cost_ms"].items())
            or "not measured",
        ]
        for one in evidence.float_layers
    ]
    return table("Layers left in float", ("left in float", "why", "CPU time it adds to one inference"), rows)


def teachers(found: Mapping[str, Any]) -> Table:
    """Several teachers and what each counts. found: teachers.json's."""
    rows = [
        [name, number(one["weight"], ".3g"), number(one["validation_score_pct"], ".2f", "%")]
        for name, one in found["teachers"].items()
    ]
    return table("Teachers", ("teacher", "weight", "validation"), rows)


def exits(found: Mapping[str, Any]) -> Table:
    """Early exits and what they answer. found: exits.json's."""
    rows = [
        [
            one["layer"],
            number(one[ACCURACY], ".2f", "%"),
            number(one["cost"], ".3f"),
            number(100 * one["leaving"], ".1f", "%"),
        ]
        for one in found["exits"]
    ]
    return table("Early exits", ("exit", "alone, accuracy", "cost", "answered"), rows)


def cascades(evidence: Evidence) -> Table:
    """What each target's cascade of `evidence` loses, hands on and answers on the validation split."""
    rows = [
        [
            target,
            number(found["margin"], ".4g")
            if found["margin"] is not None
            else "none: everything is handed on",
            number(100 * found["handed_on"], ".1f", "%"),
            f"{100 * found['lost']:.2f} % (≤ {100 * found['lost_at_most']:.2f} %)",
            *(number(found[ACCURACY][name], ".2f", "%") for name in ("student", "teacher", "cascade")),
        ]
        for target, found in evidence.cascades.items()
    ]
    columns = (
        "target",
        "kept from this margin on",
        "handed on",
        "lost",
        "accuracy, student",
        "teacher",
        "cascade",
    )
    return table("The cascade", columns, rows)


def tried(evidence: Evidence) -> Table:
    """The ways to quantise that were tried, in `evidence`; the one that is judged is said to be."""
    rows = [
        [
            Cell(one["name"], note="this is judged" if one["is_chosen"] else ""),
            number(one["seconds"], ".0f"),
            "; ".join(one["found"].values()),
        ]
        for one in evidence.tried
    ]
    return table("Ways that were tried", ("way", "seconds", "what it came to"), rows)


def candidates(target: str, best: Mapping[str, Any]) -> Table:
    """Every candidate of the best post-training quantisation under `target`. best: ptq.json's."""
    rows = []
    for score in best["scores"]:
        found = score.get("validation_score_pct", score.get("validation_accuracy_pct"))
        took = [number(score.get(part), ".1f") for part in ("made_s", "executed_s")]
        rows.append(
            [score["name"], f"none: {score['reason']}" if found is None else number(found, ".2f", "%"), *took]
        )
    caption = f"{target}: {best['chosen']}, of {len(best['scores'])} candidates"
    header = ("candidate", "validation accuracy", "made in s", "executed in s")
    return table(caption, header, rows, is_long=True)


def picked(evidence: Evidence, target: str) -> Table:
    """What the arms scored of which the better is released to `target`, of `evidence`."""
    found = evidence.picked[target]
    scores = [score | {"name": ARMS[score["name"]].label} for score in found["scores"]]
    return candidates(target, found | {"chosen": ARMS[found["chosen"]].label, "scores": scores})


def layers(parity: Mapping[str, Any], caption: str) -> Table:
    """What each layer of an exported file is executed as. parity: parity.json's; caption: of the table."""
    rows = [
        [
            one["name"],
            one["type"],
            one["precision"],
            Cell("not counted") if one["macs"] is None else number(one["macs"], ",d"),
        ]
        for one in parity.get("layers", [])
        if one["macs"] != 0
    ]
    return table(caption, ("layer", "operator", "precision", "multiply-accumulates"), rows)


def layer_times(evidence: Evidence, target: str) -> Table:
    """What each layer of the judged file under `target` takes in an inference, and what it takes in float, of `evidence`."""
    found = evidence.by_layer[target]
    total = sum(one.us for one in found)
    rows = [
        [
            one.name,
            one.type,
            one.precision or "unknown",
            number(one.us, ",.1f", "µs"),
            number(100 * one.us / total if total else None, ".1f", "%"),
            number(one.fp32_us, ",.1f", "µs"),
        ]
        for one in found
    ]
    heads = ("layer", "operator", "precision", "an inference", "share", STUDENT_FP32.label)
    return table(f"Time by layer: {target}, {evidence.names[evidence.measured[target].student]}", heads, rows)


def probes(parity: Mapping[str, Any], caption: str) -> Table:
    """How near an exported file's answers are to the network's, by shape of the batch. parity: parity.json's; caption: of the table."""
    rows = [
        [
            shape,
            one["agreeing"],
            number(one["mean_absolute_error"], ".5f"),
            number(one["sqnr_db"], ".1f", "dB"),
        ]
        for shape, one in parity["by_shape"].items()
    ]
    return table(caption, ("probes", "same answer", "mean error", "SQNR of the logits"), rows)


def integer_tensors(parity: Mapping[str, Any], caption: str) -> Table:
    """The signal-to-quantisation-noise ratio of every integer tensor. parity: parity.json's; caption: of the table."""
    rows = [[name, number(value, ".1f", "dB")] for name, value in parity["blocks"].items()]
    return table(caption, ("integer tensor", "SQNR"), rows)


def other_cpus(evidence: Evidence) -> Table:
    """What the files of `evidence` answer as other CPUs execute them."""
    rows = [
        [
            target,
            cpu,
            f"{one['agreeing']} of {one['examples']}" if one["run"] else "not run",
            one["how"],
        ]
        for target, found in evidence.portable.items()
        for cpu, one in found["executed"].items()
    ]
    return table("Answers on other CPUs", ("target", "executed as", "same answer as here", "how"), rows)


def saturation(evidence: Evidence) -> Table:
    """What each layer could do, in `evidence`, where sums of two products have 16 bits."""
    heads = (
        "layer",
        "largest sum its weights allow (16 bits: −32,768 to 32,767)",
        "sums that saturate, on the probes",
        "outputs that are wrong for it",
    )
    rows = [
        [
            one["layer"],
            number(one["worst"], ",d"),
            number(one["saturating_sums_pct"], ".4f", "%"),
            number(one["wrong_outputs_pct"], ".2f", "%"),
        ]
        for one in evidence.saturation
    ]
    return table("Audit by layer", heads, rows, is_long=True)


def provenance(evidence: Evidence) -> Table:
    """Where the figures of `evidence` are from."""
    return table("Provenance", ("what", "which"), evidence.provenance)


def digests(caption: str, heads: Sequence[str], files: Mapping[str, str]) -> Table:
    """Files and their sha256. caption, heads: of the table; files: name → digest."""
    rows = [(Cell(name, is_code=True), Cell(digest, is_code=True)) for name, digest in files.items()]
    return Table(caption, heads, rows, is_long=True)


def model_files(evidence: Evidence) -> dict[str, str]:
    """The model files that were measured in `evidence`: target, arm and file → sha256."""
    return {
        f"{target}, {evidence.names[arm]}: {file}": digest
        for target, measured in evidence.measured.items()
        for arm, data in measured.arms.items()
        for file, digest in data.file_sha256.items()
    }
