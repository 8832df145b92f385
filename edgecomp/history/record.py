"""Results as the history keeps them, and what it says of the newest. A history that cannot be written costs a note, never a verdict."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from edgecomp.errors import UsageError
from edgecomp.gate.document import VerdictDocument, whole
from edgecomp.gate.verdict import Verdict
from edgecomp.history import store as history
from edgecomp.history.store import Entry, Result
from edgecomp.metrics.measurements import Measurements
from edgecomp.metrics.registry import METRICS
from edgecomp.report.page.releases import Release
from edgecomp.stats.figure import Figure


def remember(result: Result, store: Path, note: Callable[[str], None]) -> None:
    """Appends `result` to the history `store`. note: is told where that cannot be done, which is no error."""
    try:
        history.append(result, store)
    except UsageError as error:
        note(f"not in the history: {error}")


def drifted(result: Result, store: Path) -> list[str]:
    """What has drifted with a `result` that is not in the history `store` yet, in words; nothing where there
    is no history."""
    try:
        return history.drift(result, history.results(store)) if store.is_file() else []
    except UsageError:
        return []  # `remember` tells


def releases(store: Path, recipe: str) -> list[Release]:
    """Earlier results of the runs of a recipe, oldest first, with the figures in each metric's own unit; nothing where there is no
    history. store: the file; recipe: its name."""
    if not store.is_file():
        return []
    try:
        found = history.results(store)
    except UsageError:
        return []  # `remember` tells
    return [
        Release(
            one.at,
            one.target,
            one.sha256,
            one.source,
            one.verdict,
            {
                entry.metric: entry.figure
                for entry in one.figures
                if entry.figure.dimension == METRICS[entry.metric].dimension
            },
        )
        for one in found
        if one.kind == "run" and one.model == recipe
    ]


def of_comparison(verdict: VerdictDocument, folder: Path) -> Result:
    """Its checks, and the candidate's own figures. folder: where the verdict lies."""
    compared = verdict.compared
    assert compared is not None
    checks = tuple(
        Entry(check.metric, check.estimate, check.limit_value, check.verdict)
        for check in verdict.checks
        if check.estimate and check.estimate.estimate is not None
    )
    own = verdict.figures.get(compared.target.name, {}).get("candidate", {})
    return Result(
        kind="compare",
        target=compared.target.name,
        model=compared.candidate.given,
        sha256=compared.candidate.sha256,
        source=str(folder),
        figures=checks + _entries(own),
        verdict=verdict.verdict,
        baseline_sha256=compared.baseline.sha256,
        at=compared.began,
    )


def of_bench(content: Mapping[str, Any], metrics: Mapping[str, Figure], folder: Path) -> Result:
    """The entry for a bench of one model. content: bench.json's; metrics: its figures, by metric; folder:
    where it lies."""
    return Result(
        kind="bench",
        target=content["target"]["name"],
        model=content["model"],
        sha256=history.identity(content["file_sha256"]),
        source=str(folder),
        figures=_entries(metrics),
        verdict=Verdict.INVALID if content["doubts"] else None,
        at=content["began"],
    )


def of_run(verdict: VerdictDocument, run: Path, name: str) -> list[Result]:
    """Of each target that was measured, by its own runtime, with the verdict of its own checks that decide; None where none does.

    run: the run folder; name: the recipe's.
    """
    found = []
    for target in dict.fromkeys(check.target for check in verdict.checks):
        measured = Measurements.load(run / "bench" / target)
        if measured.student not in measured.arms or target in verdict.stand_ins:
            continue
        files = measured.arms[measured.student].file_sha256
        own = _entries(verdict.figures[target].get(measured.student, {}))
        checks = [check for check in verdict.checks if check.target == target and check.decides]
        judged = whole(checks) if checks else None
        found.append(Result("run", target, name, history.identity(files), str(run), own, verdict=judged))
    return found


def _entries(by_metric: Mapping[str, Figure]) -> tuple[Entry, ...]:
    return tuple(Entry(metric, one) for metric, one in by_metric.items() if one.estimate is not None)
