"""Every figure of a run as one table of comma-separated values, unrounded, with the checks that hold it to a limit."""

import csv
import io
from collections.abc import Mapping

from edgecomp.gate.document import VerdictDocument
from edgecomp.stats.figure import Figure
from edgecomp.text import inline

COLUMNS = ("target", "arm", "label", "metric", "estimate", "low", "high", "dimension", "confidence", "sided", "n", "unit",
           "limit", "verdict")  # fmt: skip
"""One row a figure of an arm, then one a check: its arm is `check`, its metric the check's name."""
OBEYED = ("=", "+", "-", "@", "\t")
"""What a spreadsheet begins a formula with."""


def csv_of(verdict: VerdictDocument, names: Mapping[str, str]) -> str:
    """The table, RFC 4180 with line feeds. verdict: whose figures and checks it has; names: arm → what it is called."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(COLUMNS)
    for target, arms in verdict.figures.items():
        for arm, figures in arms.items():
            for metric, figure in figures.items():
                said = (target, arm, names.get(arm, arm), metric)
                writer.writerow([*map(_text, said), *_numbers(figure), "", ""])
    for check in verdict.checks:
        said = (check.target, "check", check.title, check.name)
        writer.writerow([*map(_text, said), *_numbers(check.estimate), _text(check.limit), check.verdict])
    return file.getvalue()


def by_metric(verdict: VerdictDocument, arm: str) -> dict[str, dict[str, dict[str, float]]]:
    """What tools that compare runs take: by target, of `figures` of the judged `arm` and of `checks`, every estimate by its name.
    verdict: whose."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    for target, arms in verdict.figures.items():
        found[target] = {
            "figures": {
                metric: figure.estimate
                for metric, figure in arms.get(arm, {}).items()
                if figure.estimate is not None
            },
            "checks": {},
        }
    for check in verdict.checks:
        if check.estimate is not None and check.estimate.estimate is not None:
            own = found.setdefault(check.target, {"figures": {}, "checks": {}})
            own["checks"][check.name] = check.estimate.estimate
    return found


def _numbers(figure: Figure | None) -> list[object]:
    if figure is None:
        return [""] * 8
    numbers = ("" if value is None else repr(value) for value in (figure.estimate, figure.low, figure.high))
    return [
        *numbers,
        figure.dimension,
        figure.confidence,
        figure.sided,
        figure.n,
        figure.unit,
    ]


def _text(text: str) -> str:
    """A text that no spreadsheet takes for a formula."""
    shown = inline(text)
    return f"'{shown}" if shown.startswith(OBEYED) else shown
