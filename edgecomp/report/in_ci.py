"""What a CI service shows by itself: GitHub's annotations and step summary, and OpenMetrics, which GitLab compares.

https://docs.github.com/actions/reference/workflow-commands-for-github-actions,
https://docs.gitlab.com/ci/testing/metrics_reports, https://prometheus.io/docs/specs/om/open_metrics_spec
"""

from collections.abc import Mapping
from typing import Any

from edgecomp.gate.verdict import WORST_FIRST, decides
from edgecomp.metrics.registry import METRICS
from edgecomp.report import answers
from edgecomp.report.evidence import estimate_text
from edgecomp.text import markdown, markdown_code, openmetrics_label, workflow_message, workflow_property

ANNOTATIONS = 10  # of each kind, that GitHub shows of a step
SUMMARY_BYTES = 2**20  # that GitHub takes
SHOWN = 10  # rows of a table of changed answers


def annotations(verdict: Mapping[str, Any]) -> list[str]:
    """GitHub's workflow commands, one a row that is not PASS: errors for what blocks, warnings for what does not."""
    blocks = verdict["policy"]["on_inconclusive"] == "block"
    found: dict[str, list[str]] = {"error": [], "warning": []}
    for row in worst_first(verdict):
        if row["verdict"] == "PASS":
            continue
        warns = not decides(row) or (row["verdict"] == "INCONCLUSIVE" and not blocks)
        kind = "warning" if warns else "error"
        title = workflow_property(f"{row['verdict']}: {row['name']} on {row['target']}")
        found[kind].append(f"::{kind} title={title}::{workflow_message(row['sentence'])}")
    for kind, lines in found.items():
        if len(lines) > ANNOTATIONS:
            left = len(lines) - ANNOTATIONS + 1
            found[kind] = [
                *lines[: ANNOTATIONS - 1],
                f"::{kind} title=edgecomp::and {left} more: see the report",
            ]
    return found["error"] + found["warning"]


def step_summary(verdict: Mapping[str, Any], name: str, report: str) -> str:
    """Markdown for GitHub's job page, failures first, whole rows within its limit."""
    waived = (
        ""
        if verdict["unwaived"] == verdict["verdict"]
        else f" ({verdict['unwaived']} without what is waived)"
    )
    text = [
        f"### edgecomp {markdown(name)}: {verdict['verdict']}{waived}",
        "",
        markdown(verdict["next_step"]),
        "",
        "| verdict | target | gate | measured | limit |",
        "| --- | --- | --- | --- | --- |",
    ]
    end = ["", f"Report: {markdown_code(report)}", ""]
    room = SUMMARY_BYTES - len("\n".join([*text, *end, "| and 99999 more | | | | |"]).encode())
    rows = worst_first(verdict)
    for place, row in enumerate(rows):
        cells = (
            row["verdict"] + (" (waived)" if row["waiver"] else "" if decides(row) else " (advises)"),
            row["target"],
            row["title"],
            estimate_text(row["estimate"]),
            row["limit"],
        )
        line = f"| {' | '.join(map(markdown, cells))} |"
        room -= len(line.encode()) + 1
        if room < 0:
            text.append(f"| and {len(rows) - place} more | | | | |")
            break
        text.append(line)
    for line in changed_answers(verdict):
        room -= len(line.encode()) + 1
        if room < 0:
            break
        text.append(line)
    return "\n".join([*text, *end])


def changed_answers(verdict: Mapping[str, Any]) -> list[str]:
    """What differs between both models' answers, in Markdown: by class and slice, and which answers changed."""
    lines = []
    for target, found in verdict.get("answers", {}).items():
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


def openmetrics(verdict: Mapping[str, Any], student: str) -> str:
    """The judged model's figures and each row's verdict, as gauges."""
    lines = []
    for metric in METRICS.values():
        samples = [
            (target, found["value"])
            for target, arms in verdict["figures"].items()
            if (found := arms.get(student, {}).get(metric.id)) is not None
        ]
        if samples:
            lines += [f"# HELP edgecomp_{metric.id} {metric.title}", f"# TYPE edgecomp_{metric.id} gauge"]
            lines += [
                f'edgecomp_{metric.id}{{target="{openmetrics_label(target)}"}} {value!r}'
                for target, value in samples
            ]
    lines += ["# HELP edgecomp_gate_passed whether a row passes", "# TYPE edgecomp_gate_passed gauge"]
    lines += [
        f'edgecomp_gate_passed{{target="{openmetrics_label(row["target"])}",row="{openmetrics_label(row["name"])}"}} {int(row["verdict"] == "PASS")}'
        for row in verdict["gates"]
    ]
    return "\n".join([*lines, "# EOF", ""])


def worst_first(verdict: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Rows that decide before those that do not, the worst of them first."""
    return sorted(verdict["gates"], key=lambda row: (not decides(row), WORST_FIRST.index(row["verdict"])))


def until(waiver: Mapping[str, Any]) -> str:
    """How long a waiver holds, and how far."""
    return f"until {waiver['expires']}" + (f" and up to {waiver['limit']}" if waiver.get("limit") else "")
