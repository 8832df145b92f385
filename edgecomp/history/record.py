"""Results as the history keeps them, and what it says of the newest. A history that cannot be written costs a note, never a verdict."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from edgecomp.errors import UsageError
from edgecomp.gate.verdict import Verdict, combine, decides
from edgecomp.history import store as history
from edgecomp.history.store import Figure, Result
from edgecomp.metrics.measurements import Measurements
from edgecomp.metrics.registry import METRICS


def remember(result: Result, store: Path, note: Callable[[str], None]) -> None:
    try:
        history.append(result, store)
    except UsageError as error:
        note(f"not in the history: {error}")


def drifted(result: Result, store: Path) -> list[str]:
    """What has drifted with a result that is not in the history yet, in words; nothing where there is no history."""
    try:
        return history.drift(result, history.results(store)) if store.is_file() else []
    except UsageError:
        return []  # `remember` tells


def of_comparison(verdict: Mapping[str, Any], folder: Path) -> Result:
    """Its rows, and the candidate's own figures beside them."""
    compared = verdict["compared"]
    target = compared["target"]["name"]
    rows = tuple(
        Figure(
            row["metric"],
            row["estimate"]["dimension"],
            row["estimate"]["value"],
            row["estimate"]["lower"],
            row["estimate"]["upper"],
            row["limit_value"],
            row["verdict"],
        )
        for row in verdict["gates"]
        if row["estimate"] and row["estimate"]["value"] is not None
    )
    own = verdict["figures"].get(target, {}).get("candidate", {})
    return Result(
        kind="compare",
        target=target,
        model=compared["candidate"]["given"],
        sha256=compared["candidate"]["sha256"],
        source=str(folder),
        figures=rows + _figures(own),
        verdict=verdict["verdict"],
        baseline_sha256=compared["baseline"]["sha256"],
        at=compared["began"],
    )


def of_bench(content: Mapping[str, Any], folder: Path) -> Result:
    return Result(
        kind="bench",
        target=content["target"]["name"],
        model=content["model"],
        sha256=history.identity(content["file_sha256"]),
        source=str(folder),
        figures=_figures(content["metrics"]),
        verdict=Verdict.INVALID if content["doubts"] else None,
        at=content["began"],
    )


def of_run(verdict: Mapping[str, Any], run: Path, name: str) -> list[Result]:
    """Of each target that was measured, with the verdict of its own rows that decide; None where none does."""
    found = []
    for target in dict.fromkeys(row["target"] for row in verdict["gates"]):
        measured = Measurements.load(run / "bench" / target)
        if measured.student not in measured.arms:
            continue
        files = measured.arms[measured.student].file_sha256
        own = _figures(verdict["figures"][target].get(measured.student, {}))
        rows = [
            Verdict(row["verdict"]) for row in verdict["gates"] if row["target"] == target and decides(row)
        ]
        judged = combine(rows) if rows else None
        found.append(Result("run", target, name, history.identity(files), str(run), own, verdict=judged))
    return found


def _figures(by_metric: Mapping[str, Mapping[str, Any]]) -> tuple[Figure, ...]:
    return tuple(
        Figure(metric, METRICS[metric].dimension, one["value"], one["lower"], one["upper"])
        for metric, one in by_metric.items()
        if one["value"] is not None
    )
