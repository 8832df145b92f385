"""What a CI service shows by itself: GitHub's annotations and step summary, and OpenMetrics, which GitLab compares.

https://docs.github.com/actions/reference/workflow-commands-for-github-actions,
https://docs.gitlab.com/ci/testing/metrics_reports, https://prometheus.io/docs/specs/om/open_metrics_spec
"""

from collections.abc import Mapping

from edgecomp.config.policy import Waiver
from edgecomp.gate.document import Check, VerdictDocument
from edgecomp.gate.verdict import WORST_FIRST
from edgecomp.metrics.registry import METRICS
from edgecomp.report import answers
from edgecomp.report.figures import column
from edgecomp.text import markdown, markdown_code, openmetrics_label, workflow_message, workflow_property

ANNOTATIONS = 10  # of each kind, that GitHub shows of a step
SUMMARY_BYTES = 2**20  # that GitHub takes
SHOWN = 10  # rows of a table of changed answers


def annotations(verdict: VerdictDocument) -> list[str]:
    """GitHub's workflow commands, one for each check of `verdict` that is not PASS.

    Errors for what blocks, warnings for what does not; ANNOTATIONS of each at most, of which the last counts
    what is left.
    """
    blocks = verdict.policy.on_inconclusive == "block"
    found: dict[str, list[str]] = {"error": [], "warning": []}
    for check in worst_first(verdict):
        if check.verdict == "PASS":
            continue
        warns = not check.decides or (check.verdict == "INCONCLUSIVE" and not blocks)
        kind = "warning" if warns else "error"
        title = workflow_property(f"{check.verdict}: {check.name} on {check.target}")
        found[kind].append(f"::{kind} title={title}::{workflow_message(check.sentence)}")
    for kind, lines in found.items():
        if len(lines) > ANNOTATIONS:
            left = len(lines) - ANNOTATIONS + 1
            found[kind] = [
                *lines[: ANNOTATIONS - 1],
                f"::{kind} title=edgecomp::and {left} more: see the report",
            ]
    return found["error"] + found["warning"]


def step_summary(verdict: VerdictDocument, name: str, report: str) -> str:
    """Markdown for GitHub's job page, failures first, whole checks within its limit.

    verdict: the document; name: of the recipe, policy or comparison; report: where that lies.
    """
    waived = "" if verdict.unwaived == verdict.verdict else f" ({verdict.unwaived} without what is waived)"
    shown = column(check.estimate for check in verdict.checks)
    text = [
        f"### edgecomp {markdown(name)}: {verdict.verdict}{waived}",
        "",
        markdown(verdict.next_step),
        "",
        *(
            line
            for target, said in verdict.stand_ins.items()
            for line in (markdown(f"{target}: {said}."), "")
        ),
        f"| verdict | target | check | measured [{shown.bounds}] | limit |",
        "| --- | --- | --- | --- | --- |",
    ]
    end = ["", f"Report: {markdown_code(report)}", ""]
    room = SUMMARY_BYTES - len("\n".join([*text, *end, "| and 99999 more | | | | |"]).encode())
    checks = worst_first(verdict)
    for place, check in enumerate(checks):
        cells = (
            check.verdict + (" (waived)" if check.waiver else "" if check.decides else " (advises)"),
            check.target,
            check.title,
            shown.text(check.estimate),
            check.limit,
        )
        line = f"| {' | '.join(map(markdown, cells))} |"
        room -= len(line.encode()) + 1
        if room < 0:
            text.append(f"| and {len(checks) - place} more | | | | |")
            break
        text.append(line)
    for line in changed_answers(verdict):
        room -= len(line.encode()) + 1
        if room < 0:
            break
        text.append(line)
    return "\n".join([*text, *end])


def changed_answers(verdict: VerdictDocument) -> list[str]:
    """What differs between both models' answers, in Markdown: by class and slice, and which answers changed.

    verdict: the document; nothing where it holds no answers.
    """
    lines = []
    for target, found in verdict.answers.items():
        lines += ["", f"**{markdown(target)}**: {markdown(answers.sentence(found))}"]
        for table in answers.tables(found, SHOWN):
            lines += [
                "",
                f"| {' | '.join(map(markdown, table.header))} |",
                f"|{' --- |' * len(table.header)}",
            ]
            lines += [f"| {' | '.join(map(markdown, row))} |" for row in table.rows]
            lines += ["", f"and {table.left} more"] if table.left else []
    return lines


def openmetrics(verdict: VerdictDocument, judged: Mapping[str, str]) -> str:
    """The judged model's figures and each check's verdict, as gauges of `verdict`. judged: target → arm."""
    lines = []
    for metric in METRICS.values():
        samples = [
            (target, found.estimate)
            for target, arms in verdict.figures.items()
            if (found := arms.get(judged.get(target, ""), {}).get(metric.id)) is not None
            and found.estimate is not None  # OpenMetrics has no word for a figure that is not known
        ]
        if samples:
            lines += [f"# HELP edgecomp_{metric.id} {metric.title}", f"# TYPE edgecomp_{metric.id} gauge"]
            lines += [
                f'edgecomp_{metric.id}{{target="{openmetrics_label(target)}"}} {value!r}'
                for target, value in samples
            ]
    lines += ["# HELP edgecomp_gate_passed whether a check passes", "# TYPE edgecomp_gate_passed gauge"]
    lines += [
        f'edgecomp_gate_passed{{target="{openmetrics_label(check.target)}",row="{openmetrics_label(check.name)}"}} {int(check.verdict == "PASS")}'
        for check in verdict.checks
    ]
    return "\n".join([*lines, "# EOF", ""])


def worst_first(verdict: VerdictDocument) -> list[Check]:
    """The checks of `verdict`: those that decide before those that do not, the worst of them first."""
    return sorted(verdict.checks, key=lambda check: (not check.decides, WORST_FIRST.index(check.verdict)))


def until(waiver: Waiver) -> str:
    """How long a waiver holds, and how far."""
    return f"until {waiver.expires}" + (f" and up to {waiver.limit}" if waiver.limit else "")
