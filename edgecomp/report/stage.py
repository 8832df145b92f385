"""The report stage: report.html (one self-contained file), report.md, report.json, figures.csv, junit.xml,
metrics.txt (OpenMetrics) and metrics.json (for tools that compare runs)."""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined, pass_eval_context, select_autoescape
from jinja2.exceptions import UndefinedError
from jinja2.nodes import EvalContext
from markupsafe import Markup

from edgecomp import arms
from edgecomp.config.job import Job
from edgecomp.files.json_files import shaped
from edgecomp.files.writing import write_json
from edgecomp.gate.document import Check, VerdictDocument
from edgecomp.metrics.registry import METRICS
from edgecomp.report import answers
from edgecomp.report.answers import MOST_SHOWN, NONE_SHOWN, Originals
from edgecomp.report.evidence import Evidence
from edgecomp.report.figures import column, estimate_text, title, unit_text
from edgecomp.report.in_ci import openmetrics, until
from edgecomp.report.junit import junit
from edgecomp.report.page import headline, sections, tables
from edgecomp.report.page.confusion import Confusion, confusion
from edgecomp.report.page.figures_csv import by_metric, csv_of
from edgecomp.report.page.releases import Release
from edgecomp.stats.figure import Figure
from edgecomp.text import markdown, plain

FORMAT_VERSION = 2
"""Of report.json. 2: recipe, verdict, figures, parity by target and arm, precision, float_layers, history, provenance,
samples; layer_times since runs keep them, best_ptq since data come by name, data since splits share no example, training since alarms are kept,
headlines since the page begins with them."""


RAW = ("bench/", "portable/", "emulation/", "health/")
"""The folders of a run that hold what was measured and answered."""


def write_report(
    *,
    run_folder: Path,
    job: Job,
    verdict: VerdictDocument,
    folder: Path,
    originals: Originals = NONE_SHOWN,
    past: Sequence[Release] = (),
) -> None:
    """Writes all of the report into `folder`. Raises FileError where what is shown is not what edgecomp has written.

    run_folder: of the run that is shown; job: what it was asked to do; verdict: on its samples; originals: of changed examples;
    past: earlier results of the same recipe, oldest first.
    """
    with shaped(run_folder, "edgecomp"):
        try:
            _write(Evidence.read(job, run_folder, verdict), job, folder, originals, past)
        except UndefinedError as error:  # a key that a template misses
            raise KeyError(str(error)) from error


def _write(evidence: Evidence, job: Job, folder: Path, originals: Originals, past: Sequence[Release]) -> None:
    templates = environment()
    facts: dict[str, Any] = {
        "evidence": evidence,
        "recipe": job.recipe,
        "verdict": evidence.verdict,
        "why": headline.why(evidence.verdict, "" if job.recipe.quick else evidence.verdict.next_step),
        "strips": headline.strips(evidence),
        "metrics": METRICS,
        "names": evidence.names,
        "asked": yaml.safe_dump(job.recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True),
        "samples": raw_files(evidence),
        "confusions": _confusions(evidence),
    }
    html = _page(templates, evidence, facts | {"originals": originals, "pictures": _pictures(evidence, past)})
    (folder / "report.html").write_text(html, encoding="utf-8")
    markdown = templates.get_template("report.md.j2").render(**facts)
    (folder / "report.md").write_text(markdown, encoding="utf-8")
    (folder / "junit.xml").write_text(junit(evidence.verdict, job.recipe.name), encoding="utf-8")
    judged = {target: measured.student for target, measured in evidence.measured.items()}
    (folder / "metrics.txt").write_text(openmetrics(evidence.verdict, judged), encoding="utf-8")
    (folder / "figures.csv").write_text(csv_of(evidence.verdict, evidence.names), encoding="utf-8")
    write_json(folder / "metrics.json", by_metric(evidence.verdict, arms.judged(job.recipe.quantize).name))
    write_json(folder / "report.json", _content(evidence, job))


def _pictures(evidence: Evidence, past: Sequence[Release]) -> dict[str, Any]:
    """Every picture by name, None where there is nothing to draw."""
    # matplotlib takes a second that no other command needs
    from edgecomp.report.pictures import (
        cascade,
        fronts,
        layers,
        plots,
        reliability,
        robustness,
        training,
        trend,
    )

    return plots.pictures(evidence) | {
        "against_latency": fronts.against_latency(evidence),
        "against_size": fronts.against_size(evidence),
        "watched": training.watched(evidence),
        "reliability": reliability.reliability(evidence),
        "robustness": robustness.robustness(evidence),
        "work": layers.work_by_layer(evidence),
        "layers": layers.time_by_layer(evidence),
        "cascade": cascade.cascade(evidence),
        "trend": trend.trend(evidence, past),
    }


def _page(templates: Environment, evidence: Evidence, given: Mapping[str, Any]) -> str:
    """report.html."""
    found: str = templates.get_template("report.html.j2").render(
        sections=sections.shown(evidence, given), **given
    )
    return found


def _confusions(evidence: Evidence) -> dict[str, Confusion]:
    """By target, where the task has one class an example and there are answers."""
    found = {target.name: confusion(evidence.measured[target.name]) for target in evidence.job.targets}
    return {target: one for target, one in found.items() if one is not None}


def _content(evidence: Evidence, job: Job) -> dict[str, Any]:
    """What report.json holds."""
    told = evidence.verdict.as_json()
    return {
        "format": FORMAT_VERSION,
        "recipe": job.recipe.model_dump(mode="json"),
        "verdict": {key: value for key, value in told.items() if key != "figures"},
        "figures": told["figures"],
        "headlines": [
            one._asdict() | {"headlines": [each._asdict() for each in one.headlines]}
            for one in headline.strips(evidence)
        ],
        "parity": [{"target": target, "arm": arm, **found} for target, arm, found in evidence.compared],
        "layer_times": {
            target: [one._asdict() for one in layers] for target, layers in evidence.by_layer.items()
        },
        "precision": evidence.precision,
        "other_schemes": evidence.other_schemes,
        "float_layers": evidence.float_layers,
        "portable": evidence.portable,
        "saturation": evidence.saturation,
        "best_ptq": evidence.best_ptq,
        "picked": evidence.picked,
        "tried": evidence.tried,
        "exits": evidence.exits,
        "teachers": evidence.teachers,
        "facts": {name: measured.facts for name, measured in evidence.measured.items()},
        "data": evidence.splits and evidence.splits.model_dump(),
        "history": evidence.history,
        "training": evidence.said_of_training,
        "provenance": dict(evidence.provenance),
        "samples": raw_files(evidence),
    }


def all_figures(arms: Mapping[str, Mapping[str, Figure]]) -> list[Figure]:
    """The figures of all arms: arm → metric → figure."""
    return [figure for figures in arms.values() for figure in figures.values()]


def estimates(checks: Sequence[Check]) -> list[Figure | None]:
    """The figures of checks."""
    return [check.estimate for check in checks]


@pass_eval_context
def _safe(context: EvalContext, value: object) -> object:
    """What a template prints: a text as itself in its medium, whoever wrote it; a picture as it is."""
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    return plain(value) if context.autoescape else markdown(value)


def _swatch(key: Any) -> Markup:
    """What a legend draws of a key; drawing takes matplotlib, and a page without a picture does not."""
    from edgecomp.report.pictures.drawing import swatch

    return swatch(key)


def _against_limit(check: Check) -> Markup:
    """The picture of a check's interval and its limit."""
    from edgecomp.report.pictures.intervals import interval

    return interval(check.estimate, check.limit_value, check.passes)


def environment() -> Environment:
    """Where the templates are, and what they may call; every text that they print is made safe."""
    found = Environment(
        loader=PackageLoader("edgecomp.report"),
        autoescape=select_autoescape(["html.j2"]),
        undefined=StrictUndefined,
        finalize=_safe,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters |= {"estimate": estimate_text, "unit": unit_text, "title_of": title, "until": until}
    found.filters |= {"estimates": estimates, "all_figures": all_figures, "column": column}
    found.filters |= {"answers_said": answers.sentence, "answers_shown": answers.tables}
    found.filters |= {"as_table": tables.of_shown, "worst": tables.confusions}
    found.filters |= {"swatch": _swatch, "against_limit": _against_limit}
    script = files("edgecomp.report").joinpath("templates", "page.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    found.globals |= {"most_shown": MOST_SHOWN, "originals": NONE_SHOWN, "tables": tables}
    found.globals |= {"script": Markup(script), "script_sha256": digest}  # the one script that a page runs
    return found


def raw_files(evidence: Evidence) -> dict[str, str]:
    """The raw files of `evidence` that every figure comes from: path in the run folder → sha256."""
    return {
        path: digest["sha256"]
        for record in evidence.manifest["steps"].values()
        for path, digest in record["outputs"].items()
        if path.startswith(RAW)
    }
