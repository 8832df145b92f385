"""Several runs on one page: side by side, each held against the first, or as an index of a folder that holds them."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from markupsafe import Markup

from edgecomp.arms import judged
from edgecomp.config.job import Job
from edgecomp.errors import UsageError
from edgecomp.files.scratch import replacing
from edgecomp.gate.document import VerdictDocument
from edgecomp.gate.verdict import WORST_FIRST
from edgecomp.metrics.registry import FILE_SIZE, LATENCY_P50, METRICS, PEAK
from edgecomp.metrics.units import format_value
from edgecomp.report.figures import column
from edgecomp.report.page.headline import TITLES, Change, bounds, in_words, why
from edgecomp.report.page.tables import Cell, Table
from edgecomp.report.stage import environment
from edgecomp.stats.figure import Figure
from edgecomp.tasks import task
from edgecomp.text import plain


class Run(NamedTuple):
    """A run as it was read. name: what it is called; made: when it was judged, ISO 8601, or nothing; report: its report.html."""

    name: str
    job: Job
    verdict: VerdictDocument
    made: str
    report: Path

    @property
    def student(self) -> str:
        """The arm that is judged."""
        return judged(self.job.recipe.quantize).name

    def figure(self, target: str, metric: str) -> Figure | None:
        """The student's figure of `metric` under `target`; None where there is none."""
        found = self.verdict.figures.get(target, {}).get(self.student, {}).get(metric)
        return found if found is not None and found.estimate is not None else None

    def verdict_on(self, target: str) -> str:
        """Of the checks of `target` that decide; nothing where none does."""
        deciding = [one.verdict for one in self.verdict.checks if one.target == target and one.decides]
        return min(deciding, key=WORST_FIRST.index, default="")


class Unread(NamedTuple):
    """A folder that looks like a run and cannot be shown. why: a sentence."""

    name: str
    why: str


def side_by_side(runs: Sequence[Run], file: Path) -> None:
    """Writes a page with a table a target, a row a run. runs: two at least, of one task; file: the page.

    Raises UsageError where their tasks differ, or no target is of two of them.
    """
    first, *others = runs
    for one in others:
        if one.job.recipe.meant != first.job.recipe.meant:
            raise UsageError(
                f"{first.name} answers {_task(first)} and {one.name} {_task(one)}: nothing of theirs can be put side by side"
            )
    targets = {name: [one for one in runs if name in one.verdict.figures] for name in _targets(runs)}
    shared = {name: found for name, found in targets.items() if len(found) > 1}
    if not shared:
        had = "; ".join(f"{one.name}: {', '.join(one.verdict.figures)}" for one in runs)
        raise UsageError(f"no target is of two of these runs: {had}")
    facts = {
        "runs": [_cells_of(one, file) for one in runs],
        "compared": [_beside(name, found, file) for name, found in shared.items()],
        "alone": [name for name in targets if name not in shared],
        "first": first.name,
    }
    _write(file, "beside.html.j2", facts)


def index(runs: Sequence[Run], unread: Sequence[Unread], folder: Path, file: Path) -> None:
    """Writes a page that lists `runs`, the newest first, and what is `unread`. folder: that holds them; file: the page."""
    newest = sorted(runs, key=lambda one: one.made, reverse=True)
    rows = [_row_of_index(one, target, file) for one in newest for target in _targets([one])]
    heads = ("run", "verdict", "recipe", "judged", "target", "score", *(TITLES[one] for one in COSTS))
    table = Table("Runs, the newest first", heads, rows)
    _write(
        file,
        "index.html.j2",
        {"folder": folder.resolve().name, "table": table, "unread": unread, "count": len(newest)},
    )


COSTS = (LATENCY_P50, FILE_SIZE, PEAK)
"""What is shown of a run besides its score."""


def _task(run: Run) -> str:
    meant = run.job.recipe.meant
    return meant if isinstance(meant, str) else f"the outputs {', '.join(meant)}"


def _targets(runs: Sequence[Run]) -> list[str]:
    return list(dict.fromkeys(target.name for one in runs for target in one.job.targets))


def _metrics(run: Run) -> list[str]:
    """The metrics of the headline: the user's own score, where there is one, the task's, and what it costs."""
    own = ["score"] if run.job.recipe.score else []
    score = task(run.job.recipe.meant).score
    return [*own, *([score] if score else []), *COSTS]


def _beside(target: str, runs: Sequence[Run], file: Path) -> Table:
    """The runs under one target, the first at the top."""
    metrics = [metric for metric in _metrics(runs[0]) if any(one.figure(target, metric) for one in runs)]
    shown = column(one.figure(target, metric) for one in runs for metric in metrics)

    def cell(run: Run, metric: str) -> Cell:
        figure, before = run.figure(target, metric), runs[0].figure(target, metric)
        if figure is None:
            return Cell("not run")
        change = over_the_first(metric, figure, before) if run is not runs[0] and before else None
        told = f"{in_words(metric, change)} {bounds(change)}" if change else ""
        return Cell(shown.text(figure), figure.estimate, note=told)

    rows = [
        [_link(one, file), _badge(one.verdict_on(target)), *(cell(one, metric) for metric in metrics)]
        for one in runs
    ]
    titles = [TITLES.get(metric, METRICS[metric].title) for metric in metrics]
    return Table(target, ("run", "verdict", *(f"{title} [{shown.bounds}]" for title in titles)), rows)


def over_the_first(metric: str, figure: Figure, first: Figure) -> Change | None:
    """What a run's figure is over the first run's: a difference of scores, and else a multiple; None where it has no meaning.

    metric: of both; figure, first: of samples that know nothing of each other, so the bounds of both are taken together: where each
    may be wrong in a share of cases, what is between them may be in twice as many.
    """
    if (
        figure.estimate is None
        or first.estimate is None
        or figure.confidence is None
        or first.confidence is None
    ):
        return None
    wrong = (1 - figure.confidence) + (1 - first.confidence)
    is_exact = figure.is_exact and first.is_exact
    rest = {"confidence": figure.confidence if is_exact else 1 - wrong, "sided": "one"}
    ends = (figure.low, figure.high, first.low, first.high)
    if METRICS[metric].source == "answers":
        low, high = (None, None) if None in ends else (figure.low - first.high, figure.high - first.low)  # type: ignore[operator]  # none of them is None
        dimension = "points" if figure.dimension == "percent" else "score_difference"
        values = {
            "estimate": figure.estimate - first.estimate,
            "low": low,
            "high": high,
            "dimension": dimension,
        }
        return Change(figure.model_copy(update={**values, **rest}), False)
    if first.estimate <= 0 or figure.estimate <= 0:
        return None
    over, under = (figure, first) if figure.estimate >= first.estimate else (first, figure)
    low, high = (
        (over.low / under.high, over.high / under.low)
        if over.low and over.high and under.low and under.high
        else (None, None)
    )
    assert over.estimate is not None
    assert under.estimate is not None
    values = {"estimate": over.estimate / under.estimate, "low": low, "high": high, "dimension": "multiple"}
    return Change(figure.model_copy(update={**values, **rest}), over is first)


def _cells_of(run: Run, file: Path) -> dict[str, Any]:
    return {
        "link": _link(run, file).text,
        "verdict": str(run.verdict.verdict),
        "recipe": run.job.recipe.name,
        "made": run.made,
        "why": why(run.verdict),
    }


def _row_of_index(run: Run, target: str, file: Path) -> list[Cell]:
    def told(metric: str) -> Cell:
        figure = run.figure(target, metric)
        if figure is None:
            return Cell("not run")
        return Cell(format_value(figure.estimate, figure.dimension), figure.estimate)

    score = next((one for one in _metrics(run) if one not in COSTS), "")
    of_score = told(score)._replace(under=score) if score else Cell("–")
    recipe = Cell(run.job.recipe.name + (" (a rehearsal)" if run.job.recipe.quick else ""))
    return [
        _link(run, file),
        _badge(run.verdict_on(target)),
        recipe,
        Cell(run.made or "–"),
        Cell(target),
        of_score,
        *(told(metric) for metric in COSTS),
    ]


def _link(run: Run, file: Path) -> Cell:
    """The run's name, as a link from the page to its report where that is there."""
    if not run.report.is_file():
        return Cell(run.name)
    to = quote(os.path.relpath(run.report, file.parent), errors="surrogateescape")
    return Cell(Markup('<a href="{}">{}</a>').format(to, plain(run.name)))


def _badge(verdict: str) -> Cell:
    return Cell(Markup('<span class="badge {}">{}</span>').format(verdict, verdict)) if verdict else Cell("–")


def _write(file: Path, template: str, facts: Mapping[str, Any]) -> None:
    with replacing(file) as temporary:
        temporary.write_text(environment().get_template(template).render(**facts), encoding="utf-8")
