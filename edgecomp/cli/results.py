"""Verdicts and figures: as tables in a terminal, as a CI service shows them, and as one line of JSON."""

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from edgecomp.api.results import Benched, ComparisonResult, Judged, RunResult, Verified
from edgecomp.api.run import Planned
from edgecomp.artifacts.run_folder import RunFolder
from edgecomp.cli.terminal import COLOURS, Screen, bench_table, line, say, verdict_table, write
from edgecomp.errors import EdgecompError
from edgecomp.gate.document import VerdictDocument
from edgecomp.gate.verdict import EXIT_CODES, Verdict
from edgecomp.report.in_ci import annotations, step_summary, until

REHEARSAL = "A rehearsal (--quick): it says that the recipe works, and its verdict is that of a student hardly trained."
KEYS = ("target", "name", "metric", "limit", "verdict", "reason", "severity", "waiver")


def show_plan(planned: Planned, screen: Screen, as_json: bool) -> None:
    """Which of the steps would run, and why: what is `planned`, on `screen`, or where `as_json` as a line of
    JSON."""
    if as_json:
        say({"plan": planned.reasons, "steps": planned.steps, "notes": screen.notes})
        return
    for step, reason in planned.reasons.items():
        screen.out.print(f"{step:<24} {reason}")
    screen.out.print(f"{len(planned.reasons)} of {planned.steps} steps would run in {planned.folder}")


def show_run(result: RunResult, screen: Screen, as_json: bool) -> int:
    """The verdict of a run's `result` on `screen`, and where `as_json` as a line of JSON; where only some
    steps were made again, which. Returns the exit code."""
    if not result.is_judged:
        if as_json:
            artifacts = {step: str(result.folder / step) for step in result.made}
            say({"verdict": None, "exit_code": 0, "artifacts": artifacts})
        return 0
    verdict, recipe = result.document, result.job.recipe
    _show(verdict, screen, recipe.name, result.report, REHEARSAL if recipe.quick else result.next_step)
    if as_json:
        manifest = RunFolder(result.folder).manifest()
        outputs = [path for record in manifest.steps.values() for path in record.outputs] if manifest else []
        say(
            summary(verdict)
            | {
                "quick": recipe.quick,
                "artifacts": {path: str(result.folder / path) for path in outputs},
                "report": str(result.report),
                "data": list(result.data_notes),
            }
        )
    return result.exit_code


def show_page(page: Path, screen: Screen, as_json: bool) -> None:
    """Where a `page` of several runs lies, on `screen`, and where `as_json` as a line of JSON."""
    screen.out.print(f"Report: {page}", soft_wrap=True)
    if as_json:
        say({"report": str(page)})


def show_benched(one: Benched, screen: Screen) -> None:
    """What was measured of `one` model file under one target, on `screen`."""
    screen.out.print(bench_table(one.content))
    for doubt in one.content["doubts"]:
        screen.out.print(line(("INVALID", f"bold {COLOURS['INVALID']}"), f" {doubt}."))
    screen.out.print(f"Result: {one.folder}/bench.json, bench.html", soft_wrap=True)


def show_bench(
    done: Sequence[Benched], errors: Mapping[str, EdgecompError], screen: Screen, as_json: bool
) -> int:
    """The exit code of a bench: the first error's, else INVALID's where a result cannot be believed. done:
    what was measured, already on the screen; errors: by target, or by target and scenario; screen: not
    written to; as_json: whether all is told in a line of JSON."""
    invalid = any(one.content["doubts"] for one in done)
    code = next((error.exit_code for error in errors.values()), EXIT_CODES[Verdict.INVALID] if invalid else 0)
    if as_json:
        keys = ("not_supported", "saturation", "made_up", "audit", "doubts", "notes")
        results = [
            {
                "target": one.target,
                "folder": str(one.folder),
                "quality": one.content["quality"]["grade"],
                "confinement": one.content["confinement"]["how"],
                **{key: one.content[key] for key in keys},
                **one.content["metrics"],
            }
            for one in done
        ]
        say(
            {
                "exit_code": code,
                "results": results,
                "errors": {name: str(error) for name, error in errors.items()},
            }
        )
    return code


def show_comparison(result: ComparisonResult, screen: Screen, as_json: bool) -> int:
    """The verdict of `edgecomp compare`, its `result`, on `screen`, and where `as_json` as a line of JSON.
    Returns the exit code."""
    verdict, folder, compared = result.document, result.folder, result.compared
    name = f"{compared.candidate.given} against {compared.baseline.given}"
    _show(verdict, screen, name, result.report, result.next_step)
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


def show_judged(result: Judged, name: str, screen: Screen, as_json: bool) -> int:
    """The verdict of an A/B test, its `result`, on `screen`, with every check's sentence, and where `as_json` as a line of JSON. name: of what is
    judged. Returns the exit code."""
    _show(result.document, screen, name, result.folder / "verdict.json", result.next_step)
    for check in result.checks:
        screen.out.print(check.sentence, markup=False)
    if as_json:
        say(summary(result.document) | {"folder": str(result.folder)})
    return result.exit_code


def show_packed(result: Verified, key: Path | None, screen: Screen, as_json: bool) -> None:
    """Where the pack of `result` is and what it says, on `screen`, and where `as_json` as a line of JSON. key: that signed it, if any."""
    document = result.document
    screen.out.print(
        line(
            (document.verdict, f"bold {COLOURS[document.verdict]}"),
            f" is what {result.job.recipe.name} came to.",
        )
    )
    screen.out.print(f"Pack: {result.folder}", soft_wrap=True)
    if key is None:
        screen.note("it is not signed, and nobody can tell who made it: --key signs it")
    if as_json:
        say(
            {
                "verdict": document.verdict,
                "exit_code": 0,
                "pack": str(result.folder),
                "signed": key is not None,
            }
        )


def show_verified(result: Verified, key: Path | None, screen: Screen, as_json: bool) -> int:
    """What a pack says that holds, the `result`, on `screen`, and where `as_json` as a line of JSON. key: that it was held against, if
    any. Returns the exit code."""
    document, recipe = result.document, result.job.recipe
    screen.out.print()
    screen.out.print(verdict_table(document))
    screen.out.print()
    of = f" is the verdict on {recipe.name} of {result.judged_on}, derived again from the raw samples."
    screen.out.print(line((document.verdict, f"bold {COLOURS[document.verdict]}"), of))
    for note in result.notes:
        screen.note(f"{note}.")
    if result.is_signed:
        screen.out.print(f"It holds: every member is signed by {key}.", soft_wrap=True)
    else:
        screen.out.print(
            "Consistent, signer unknown: whoever made it may have made up the samples; --key takes the signer's public key."
        )
    if as_json:
        more = {
            "exit_code": result.exit_code,
            "pack": str(result.folder),
            "recipe": recipe.name,
            "edgecomp": result.edgecomp,
        }
        told = {
            "judged_on": str(result.judged_on),
            "signer": "known" if result.is_signed else "unknown",
            "notes": list(result.notes),
        }
        say(summary(document) | more | told)
    return result.exit_code


def outputs_told(facts: Mapping[str, Any]) -> str:
    """Which output was judged, and what each of the candidate's differs from the baseline's by. facts: of
    what was compared."""
    judged, found = facts.get("judged"), facts.get("outputs", {})
    apart = ", ".join(f"{name} {'–' if error is None else f'{error:.2f} %'}" for name, error in found.items())
    said = f"Judged: output {judged['output']} ({judged['how']}). " if judged else ""
    return said + (
        f"Outputs beside the baseline's, mean difference over their deviation: {apart}." if apart else ""
    )


def show_selftest(record: Mapping[str, Any], file: Path, screen: Screen, as_json: bool) -> None:
    """How often each verdict was given, by slowdown, and what follows: the `record`, which is in `file`, on
    `screen`, and where `as_json` as a line of JSON."""
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


def summary(verdict: VerdictDocument) -> dict[str, Any]:
    """`verdict` as the last line of standard output has it."""
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
        "stand_ins": content["stand_ins"],
    }


def _show(verdict: VerdictDocument, screen: Screen, name: str, report: Path, what_now: str) -> None:
    screen.out.print()
    screen.out.print(verdict_table(verdict))
    screen.out.print()
    screen.out.print(line((verdict.verdict, f"bold {COLOURS[verdict.verdict]}"), f" {what_now}"))
    for target, said in verdict.stand_ins.items():
        screen.note(f"{target}: {said}.")
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
    """What differs between both models' answers, by target of `verdict`, on `screen`: the sentence, and where
    answers changed the worst rows of each table."""
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
