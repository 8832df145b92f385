"""A verdict as a person sees it, as a CI service shows it, and as one line of JSON."""

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.table import Table

from edgecomp.api.doctor import Finding
from edgecomp.artifacts.places import check_writable
from edgecomp.artifacts.run_folder import RunFolder, Step
from edgecomp.cli.terminal import COLOURS, Screen, line, say, verdict_table, write
from edgecomp.config.job import Job
from edgecomp.config.target import load_target, target_names
from edgecomp.errors import UsageError, nearest
from edgecomp.gate.document import VerdictDocument
from edgecomp.history import store as history
from edgecomp.history.record import of_run, remember
from edgecomp.history.store import Result, drift
from edgecomp.metrics.registry import METRICS
from edgecomp.metrics.units import format_value
from edgecomp.pipeline import stages
from edgecomp.pipeline.loaders import Run
from edgecomp.report.in_ci import annotations, step_summary, until

REHEARSAL = "A rehearsal (--quick): it says that the recipe works, and its verdict is that of a student hardly trained."
KEYS = ("target", "name", "metric", "limit", "verdict", "reason", "severity", "waiver")


def show_plan(
    planned: Sequence[tuple[Step, str]], steps: int, folder: Path, screen: Screen, as_json: bool
) -> None:
    """Which of the steps would run, and why."""
    if as_json:
        plan = {step.name: reason for step, reason in planned}
        say({"plan": plan, "steps": steps, "notes": screen.notes})
        return
    for step, reason in planned:
        screen.out.print(f"{step.name:<24} {reason}")
    screen.out.print(f"{len(planned)} of {steps} steps would run in {folder}")


def show_run(job: Job, folder: RunFolder, screen: Screen, as_json: bool, store: Path | None = None) -> int:
    """The verdict of a run folder, derived again from its raw samples; the exit code. store: the history that it is appended to.

    Raises AlteredError where another verdict stands in the folder.
    """
    from edgecomp.report.evidence import of_data

    run = Run(job, folder.path, screen.track)
    stages.check_labels(run)
    verdict, note = stages.checked(run)
    if store is not None:
        for result in of_run(verdict, folder.path, job.recipe.name):
            remember(result, store, screen.note)
    report = folder.path / "report" / "report.html"
    for damage in folder.notes:
        screen.note(f"damaged, and made again: {damage}")
    if note:
        screen.note(note)
    _show(verdict, screen, job.recipe.name, report, REHEARSAL if job.recipe.quick else verdict.next_step)
    splits = of_data(folder.path)
    notes = splits.notes if splits else []
    for note in notes:
        screen.note(f"data: {note}")
    if as_json:
        manifest = folder.manifest()
        outputs = [path for record in manifest.steps.values() for path in record.outputs] if manifest else []
        say(
            summary(verdict)
            | {
                "quick": job.recipe.quick,
                "artifacts": {path: str(folder.path / path) for path in outputs},
                "report": str(report),
                "data": notes,
            }
        )
    return verdict.exit_code


def show_comparison(verdict: VerdictDocument, folder: Path, screen: Screen, as_json: bool) -> int:
    """The verdict of `edgecomp compare`; the exit code."""
    compared = verdict.compared
    assert compared is not None
    name = f"{compared.candidate.given} against {compared.baseline.given}"
    _show(verdict, screen, name, folder / "compare.html", verdict.next_step)
    if told := outputs_told(compared.facts):
        screen.out.print(told, markup=False)
    for warning in compared.warnings:
        screen.note(f"{warning}.")
    if compared.restarts:
        took = f"{compared.restarts} restarts of each side, {compared.elapsed_s:.0f} s in all"
        screen.say(took)
    if certificate := compared.certificate:
        of = f"{certificate['machine']['cpu']}, {certificate['machine']['cores']} core(s)"
        screen.say(f"Noise certificate of {certificate['began']}, {of}")
    if compared.not_compared:
        screen.note(f"Policy {verdict.policy.name}: {compared.not_compared}.")
    if as_json:
        record = compared.model_dump(mode="json")
        keys = ("restarts", "examples", "elapsed_s", "baseline", "candidate", "not_compared", "warnings")
        of_answers = {key: compared.facts.get(key) for key in ("judged", "outputs", "not_finite", "made_up")}
        say(summary(verdict) | {key: record[key] for key in keys} | of_answers | {"folder": str(folder)})
    return verdict.exit_code


def show_targets(screen: Screen, as_json: bool) -> None:
    """The device profiles and their budgets."""
    profiles = [load_target(name) for name in target_names()]
    if as_json:
        say([profile.model_dump(mode="json") for profile in profiles])
        return
    for profile in profiles:
        screen.out.print(line((profile.name, "bold"), "  ", (profile.description, "dim")))
        place = f", {profile.cores} core(s)" if profile.cores else ""
        place += f", {profile.memory} of memory" if profile.memory else ""
        screen.out.print(
            f"  runtime {profile.runtime}, {profile.threads} thread(s){place}, scheme {profile.scheme}"
        )
        for metric, row in profile.budget_rows().items():
            screen.out.print(f"  {metric:<20} {row.text}")


def show_findings(findings: Sequence[Finding], screen: Screen, as_json: bool) -> None:
    """What this machine has."""
    if as_json:
        say({finding.what: finding._asdict() for finding in findings})
        return
    table = Table(box=None, pad_edge=False, show_header=False)
    for finding in findings:
        mark = {True: line(("yes", "green")), False: line(("no", "yellow")), None: line("")}[
            finding.available
        ]
        table.add_row(finding.what, mark, finding.detail)
    screen.out.print(table)


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
    screen.out.print()
    screen.out.print(
        f"False alarms: {same['hits']} of {same['gates']} gates, so between {100 * same['lower']:.1f} and "
        f"{100 * same['upper']:.1f} % (95 %)."
    )
    screen.out.print(f"{record['target']}: {found['advice']}.")
    screen.out.print(f"Record: {file}", soft_wrap=True)
    if as_json:
        say({"exit_code": 0, "record": str(file), **found})


SHOWN_ANSWERS = 5  # rows of a table
SHOWN = ("cpu_p50_ms", "accuracy_pct")  # of history, a line a result in 80 columns


def show_history(
    store: Path,
    target: str | None,
    last: int | None,
    metrics: list[str] | None,
    plot: Path | None,
    screen: Screen,
    as_json: bool,
) -> None:
    """A line a result, oldest first. Raises UsageError for a metric that does not exist, or a plot that cannot be written."""
    if plot is not None:
        check_writable(plot, "--plot", history.files(store))
    found = history.results(store, target, last, screen.note)
    chosen = metrics or list(SHOWN)
    for metric in chosen:
        if metric not in METRICS:
            known = nearest(metric, METRICS) or f"; there are {', '.join(METRICS)}"
            raise UsageError(f"no such metric: {metric!r}{known}")
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 1, 0, 0))
    table.add_column("when (UTC)", no_wrap=True)
    table.add_column("what", min_width=10)
    table.add_column("verdict", no_wrap=True)
    for name in chosen:
        table.add_column(name, no_wrap=True)
    for of in dict.fromkeys(result.target for result in found):
        table.add_row(line((of, "bold")))
        for result in (one for one in found if one.target == of):
            colour = COLOURS.get(result.verdict or "", "default")
            what = line(f"{result.kind} {Path(result.model).name} ", (result.sha256[:8], "dim"))
            what.no_wrap, what.overflow = True, "ellipsis"
            table.add_row(
                result.at[:16].replace("T", " "),
                what,
                line((result.verdict or "–", colour)),
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
        from edgecomp.history.trend import write_trend

        write_trend(found, chosen, plot)
        screen.out.print(f"Plot: {plot}", soft_wrap=True)
    if as_json:
        say(
            {
                "exit_code": 0,
                "results": [
                    asdict(result) | {"figures": [entry.as_json() for entry in result.figures]}
                    for result in found
                ],
                "drift": drifted,
            }
        )


def _told(result: Result, metric: str) -> str:
    """Its own figure, and what it is over its baseline's."""
    of = [entry.figure for entry in result.figures if entry.metric == metric]
    own = [format_value(one.estimate, one.dimension) for one in of if one.dimension not in history.COMPARED]
    ratio = [f"({format_value(one.estimate, one.dimension)})" for one in of if one.dimension == "log_ratio"]
    return " ".join(own[:1] + ratio[:1]) or "–"


def summary(verdict: VerdictDocument) -> dict[str, Any]:
    """The verdict as the last line of standard output has it."""
    content = verdict.as_json()
    return {
        **{key: content[key] for key in ("verdict", "unwaived", "exit_code")},
        "gates": [
            {key: told[key] for key in KEYS}
            | {
                "estimate": check.estimate and check.estimate.estimate,
                "interval": check.estimate and [check.estimate.low, check.estimate.high],
                "confidence": check.estimate and check.estimate.confidence,
                "sided": check.estimate and check.estimate.sided,
                "dimension": check.estimate and check.estimate.dimension,
            }
            for check, told in zip(verdict.checks, content["gates"], strict=True)
        ],
        "policy": content["policy"],
    }


def _show(verdict: VerdictDocument, screen: Screen, name: str, report: Path, what_now: str) -> None:
    screen.out.print()
    screen.out.print(verdict_table(verdict))
    screen.out.print()
    screen.out.print(line((verdict.verdict, f"bold {COLOURS[verdict.verdict]}"), f" {what_now}"))
    show_answers(verdict, screen)
    for check in verdict.checks:
        if (waiver := check.waiver) and check.verdict != "PASS":
            screen.out.print(
                f"Waived {until(waiver)} by {waiver.owner}: {check.target}, {check.name} is {check.verdict} ({waiver.reason})"
            )
    for warning in verdict.policy.warnings:
        screen.note(f"{warning}.")
    if verdict.policy.changes:
        screen.out.print(f"Policy {verdict.policy.name}, changed: {'; '.join(verdict.policy.changes)}")
    if os.environ.get("GITHUB_ACTIONS") == "true":
        _tell_github(verdict, name, str(report), screen)
    if report.is_file():
        screen.out.print(f"Report: {report}", soft_wrap=True)


def show_answers(verdict: VerdictDocument, screen: Screen) -> None:
    """What differs between both models' answers, by target: the sentence, and where answers changed the worst rows of each table."""
    from edgecomp.report import answers

    for target, found in verdict.answers.items():
        screen.out.print(f"{target}: {answers.sentence(found)}")
        for shown in answers.tables(found, SHOWN_ANSWERS) if found.changed else ():
            table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
            for place, name in enumerate(shown.header):
                table.add_column(name, justify="left" if place == 0 else "right", overflow="fold")
            for row in shown.rows:
                table.add_row(*row)
            screen.out.print(table)
            if shown.left:
                screen.out.print(
                    line((f"and {shown.left:,} more ({shown.title.lower()}): see the report", "dim"))
                )


def _tell_github(verdict: VerdictDocument, name: str, report: str, screen: Screen) -> None:
    """Annotations in the log (on standard error, which GitHub reads as well), and a table on the job's page, which costs a note where
    it cannot be written, never the verdict."""
    for command in annotations(verdict):
        write(sys.stderr, f"{command}\n")
    if page := os.environ.get("GITHUB_STEP_SUMMARY"):
        try:
            with Path(page).open("a", encoding="utf-8") as file:
                file.write(step_summary(verdict, name, report))
        except OSError as error:
            screen.note(f"no step summary (GITHUB_STEP_SUMMARY): {error}")
