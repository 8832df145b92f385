"""A verdict as a person sees it, as a CI service shows it, and as one line of JSON."""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table

from edgecomp.artifacts import RunFolder, Step, check_writable
from edgecomp.console import COLOURS, Screen, verdict_table
from edgecomp.errors import UsageError
from edgecomp.history import Result, drift
from edgecomp.job import Job
from edgecomp.metrics import METRICS, format_value, nearest
from edgecomp.report.in_ci import annotations, step_summary

REHEARSAL = "A rehearsal (--quick): it says that the recipe works, and its verdict is that of a student hardly trained."
KEYS = ("target", "name", "metric", "limit", "verdict", "reason", "severity", "waiver")


def show_plan(
    planned: Sequence[tuple[Step, str]], steps: int, folder: Path, screen: Screen, as_json: bool
) -> None:
    """Which of the steps would run, and why."""
    if as_json:
        say({"plan": {step.name: reason for step, reason in planned}, "steps": steps})
        return
    for step, reason in planned:
        screen.out.print(f"{step.name:<24} {reason}")
    screen.out.print(f"{len(planned)} of {steps} steps would run in {folder}")


def show_run(job: Job, folder: RunFolder, screen: Screen, as_json: bool) -> int:
    """The verdict of a run folder; the exit code."""
    verdict = json.loads((folder.path / "gate" / "verdict.json").read_text(encoding="utf-8"))
    report = folder.path / "report" / "report.html"
    for note in folder.notes:
        screen.note(f"damaged, and made again: {note}")
    _show(verdict, screen, job.recipe.name, report, REHEARSAL if job.recipe.quick else verdict["next_step"])
    if as_json:
        manifest = folder.manifest()
        outputs = [path for record in manifest.steps.values() for path in record.outputs] if manifest else []
        say(
            summary(verdict)
            | {
                "quick": job.recipe.quick,
                "artifacts": {path: str(folder.path / path) for path in outputs},
                "report": str(report),
            }
        )
    return int(verdict["exit_code"])


def show_comparison(verdict: Mapping[str, Any], folder: Path, screen: Screen, as_json: bool) -> int:
    """The verdict of `edgecomp compare`; the exit code."""
    compared = verdict["compared"]
    name = f"{compared['candidate']['given']} against {compared['baseline']['given']}"
    _show(verdict, screen, name, folder / "compare.html", verdict["next_step"])
    if told := outputs_told(compared["facts"]):
        screen.out.print(told, markup=False)
    for warning in compared["warnings"]:
        screen.note(f"{warning}.")
    if compared["restarts"]:
        took = f"{compared['restarts']} restarts of each side, {compared['elapsed_s']:.0f} s in all"
        screen.err.print(f"[dim]{took}[/]")
    if told := compared["certificate"]:
        of = f"{told['machine']['cpu']}, {told['machine']['cores']} core(s)"
        screen.err.print(f"[dim]Noise certificate of {told['began']}, {escape(of)}[/]")
    if compared["not_compared"]:
        screen.note(f"Policy {verdict['policy']['name']}: {compared['not_compared']}.")
    if as_json:
        keys = ("restarts", "examples", "elapsed_s", "baseline", "candidate", "not_compared", "warnings")
        of_answers = {
            key: compared["facts"].get(key) for key in ("judged", "outputs", "not_finite", "made_up")
        }
        say(summary(verdict) | {key: compared[key] for key in keys} | of_answers | {"folder": str(folder)})
    return int(verdict["exit_code"])


def outputs_told(facts: Mapping[str, Any]) -> str:
    """Which output was judged, and what each of the candidate's differs from the baseline's by."""
    judged, found = facts.get("judged"), facts.get("outputs", {})
    apart = ", ".join(f"{name} {'–' if error is None else f'{error:.2f} %'}" for name, error in found.items())
    said = f"Judged: output {judged['output']} ({judged['how']}). " if judged else ""
    return said + (
        f"Outputs beside the baseline's, mean difference over their deviation: {apart}." if apart else ""
    )


def show_selftest(record: Mapping[str, Any], file: Path, screen: Screen, as_json: bool) -> None:
    """How often each verdict was given, by slowdown, and what follows."""
    found = record["summary"]
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    for name in ("really slower by", "gates", "PASS", "FAIL", "INCONCLUSIVE", "INVALID", "median time"):
        table.add_column(name, justify="left" if name == "really slower by" else "right")
    for slowdown, one in found["by_slowdown"].items():
        table.add_row(
            f"{100 * float(slowdown):g} %" if float(slowdown) else "nothing",
            str(one["gates"]),
            *(str(one[verdict]["hits"]) for verdict in ("PASS", "FAIL", "INCONCLUSIVE", "INVALID")),
            f"{one['median_s']:.1f} s",
        )
    screen.out.print()
    screen.out.print(table)
    same = found["by_slowdown"]["0"]["FAIL"]
    screen.out.print(
        f"\nFalse alarms: {same['hits']} of {same['gates']} gates, so between {100 * same['lower']:.1f} and "
        f"{100 * same['upper']:.1f} % (95 %)."
    )
    screen.out.print(f"{record['target']}: {found['advice']}.")
    screen.out.print(f"Record: {file}", soft_wrap=True)
    if as_json:
        say({"exit_code": 0, "record": str(file), **found})


SHOWN = ("cpu_p50_ms", "peak_memory_bytes", "accuracy_pct")


def show_history(
    found: list[Result], metrics: list[str] | None, plot: Path | None, screen: Screen, as_json: bool
) -> None:
    """A line a result, oldest first. Raises UsageError for a metric that does not exist, or a plot that cannot be written."""
    if plot is not None:
        check_writable(plot, "--plot")
    chosen = metrics or list(SHOWN)
    for metric in chosen:
        if metric not in METRICS:
            known = nearest(metric, METRICS) or f"; there are {', '.join(METRICS)}"
            raise UsageError(f"no such metric: {metric!r}{known}")
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    table.add_column("when (UTC)", no_wrap=True)
    table.add_column("what", overflow="fold")
    table.add_column("verdict", no_wrap=True)
    for name in chosen:
        table.add_column(name, overflow="fold")
    for target in dict.fromkeys(result.target for result in found):
        table.add_row(f"[bold]{target}[/]")
        for result in (one for one in found if one.target == target):
            colour = COLOURS.get(result.verdict or "", "default")
            table.add_row(
                result.at[:16].replace("T", " "),
                f"{result.kind} {'/'.join(Path(result.model).parts[-2:])} [dim]{result.sha256[:8]}[/]",
                f"[{colour}]{result.verdict or '–'}[/]",
                *(_told(result, metric) for metric in chosen),
            )
    screen.out.print(table)
    drifted = [
        text
        for place, result in enumerate(found)
        if not any(later.target == result.target and later.kind == "compare" for later in found[place + 1 :])
        for text in drift(result, found[:place])
    ]
    for text in drifted:
        screen.note(f"{text}.")
    if plot is not None:
        from edgecomp.report.trend import write_trend

        write_trend(found, chosen, plot)
        screen.out.print(f"Plot: {plot}", soft_wrap=True)
    if as_json:
        say(
            {
                "exit_code": 0,
                "results": [
                    asdict(result) | {"figures": [f._asdict() for f in result.figures]} for result in found
                ],
                "drift": drifted,
            }
        )


def _told(result: Result, metric: str) -> str:
    """Its own figure, and what it is over its baseline's."""
    of = [figure for figure in result.figures if figure.metric == metric]
    own = [
        format_value(one.value, one.dimension)
        for one in of
        if one.dimension not in ("log_ratio", "multiple", "points")
    ]
    ratio = [f"({format_value(one.value, one.dimension)})" for one in of if one.dimension == "log_ratio"]
    return " ".join(own[:1] + ratio[:1]) or "–"


def summary(verdict: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "verdict": verdict["verdict"],
        "unwaived": verdict["unwaived"],
        "exit_code": verdict["exit_code"],
        "gates": [
            {key: row.get(key) for key in KEYS}
            | {
                "estimate": row["estimate"] and row["estimate"]["value"],
                "interval": row["estimate"] and [row["estimate"]["lower"], row["estimate"]["upper"]],
                "dimension": row["estimate"] and row["estimate"]["dimension"],
            }
            for row in verdict["gates"]
        ],
        "policy": verdict["policy"],
    }


def say(content: Mapping[str, Any]) -> None:
    """The last line of standard output."""
    sys.stdout.write(json.dumps(content, allow_nan=False) + "\n")


def _show(verdict: Mapping[str, Any], screen: Screen, name: str, report: Path, what_now: str) -> None:
    screen.out.print()
    screen.out.print(verdict_table(dict(verdict)))
    screen.out.print()
    screen.out.print(f"[bold {COLOURS[verdict['verdict']]}]{verdict['verdict']}[/] {escape(what_now)}")
    for row in (row for row in verdict["gates"] if row["waiver"] and row["verdict"] != "PASS"):
        waiver = row["waiver"]
        screen.out.print(
            f"Waived until {waiver['expires']} by {waiver['owner']}: {row['target']}, {row['name']} is {row['verdict']} "
            f"({waiver['reason']})",
            markup=False,
        )
    if verdict["policy"]["changes"]:
        screen.out.print(
            f"Policy {verdict['policy']['name']}, changed: {'; '.join(verdict['policy']['changes'])}",
            markup=False,
        )
    if os.environ.get("GITHUB_ACTIONS") == "true":
        _tell_github(verdict, name, str(report), screen)
    if report.is_file():
        screen.out.print(f"Report: {report}", soft_wrap=True)


def _tell_github(verdict: Mapping[str, Any], name: str, report: str, screen: Screen) -> None:
    """Annotations in the log (on standard error, which GitHub reads as well), and a table on the job's page, which costs a note where
    it cannot be written, never the verdict."""
    for line in annotations(verdict):
        sys.stderr.write(f"{line}\n")
    if page := os.environ.get("GITHUB_STEP_SUMMARY"):
        try:
            with Path(page).open("a", encoding="utf-8") as file:
                file.write(step_summary(verdict, name, report))
        except OSError as error:
            screen.note(f"no step summary (GITHUB_STEP_SUMMARY): {error}")
