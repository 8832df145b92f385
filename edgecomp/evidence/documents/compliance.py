"""compliance.md: the headings of regulations, each answered by evidence, by the user's own declaration, or as not declared."""

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from edgecomp.arms import judged
from edgecomp.artifacts.run_folder import Manifest
from edgecomp.config.declared import Declared
from edgecomp.config.job import Job
from edgecomp.evidence.documents.headings import HEADINGS
from edgecomp.evidence.members import NOT_DECLARED, libraries
from edgecomp.gate.document import VerdictDocument
from edgecomp.metrics.registry import LATENCY_P50, LATENCY_P99, METRICS, PEAK, PORTABLE_AGREEMENT, THROUGHPUT
from edgecomp.metrics.units import format_value
from edgecomp.stats.figure import Figure
from edgecomp.tasks import TASKS
from edgecomp.text import markdown

PAGE = "compliance.md"


class Facts(NamedTuple):
    """What a pack knows of a run: what was asked for, its manifest, and its verdict."""

    job: Job
    run: Manifest
    document: VerdictDocument

    def figures(self, metric: str) -> str:
        """What is measured of `metric`, of the student that is judged, on each target: the figure, its bounds, its limit and what came of it."""
        student = judged(self.job.recipe.quantize).name
        by_target = {
            one.name: self.document.figures.get(one.name, {}).get(student, {}).get(metric)
            for one in self.job.targets
        }
        said = {name: _told(figure) for name, figure in by_target.items() if figure is not None}
        limits = {one.target: one for one in self.document.checks if one.metric == metric}
        return "; ".join(
            f"{METRICS[metric].title} on {name}: {told}"
            + (f", limit {limits[name].limit}: {limits[name].verdict}" if name in limits else "")
            for name, told in said.items()
        )


def _told(figure: Figure) -> str:
    value = format_value(figure.estimate, figure.dimension)
    if not figure.is_bounded or figure.is_exact:
        return value
    low, high = format_value(figure.low, figure.dimension), format_value(figure.high, figure.dimension)
    return f"{value} [{low}, {high}; {figure.confidence_text}]"


def _verdict(facts: Facts) -> str:
    checks = facts.document.checks
    passed = sum(one.verdict == "PASS" for one in checks)
    return f"{facts.document.verdict}: {passed} of {len(checks)} checks passed (gate/verdict.json)"


def _not_passed(facts: Facts) -> str:
    found = [
        f"{one.target}, {one.title}: {one.verdict}" for one in facts.document.checks if one.verdict != "PASS"
    ]
    return "; ".join(found) or "every check passed"


def _limitations(facts: Facts) -> str:
    return (
        " ".join(one.sentence for one in facts.document.checks if one.verdict != "PASS")
        or "every check passed"
    )


def _waivers(facts: Facts) -> str:
    given = [one for one in facts.document.checks if one.waiver]
    return "; ".join(
        f"{one.target}, {one.name}: waived by {one.waiver.owner} until {one.waiver.expires}"
        for one in given
        if one.waiver
    ) or ("no check is waived")


def _targets(facts: Facts) -> str:
    return "; ".join(
        f"{one.name}: {one.runtime}, {one.threads} thread(s), instruction set {one.isa}"
        for one in facts.job.targets
    )


def _slices(facts: Facts) -> str:
    rows = [(target, one) for target, found in facts.document.answers.items() for one in found.slices]
    return "; ".join(
        f"{one.name} on {target}: {one.difference_pt[0]:+.2f} points [{one.difference_pt[1]:.2f}, {one.difference_pt[2]:.2f}] of right answers "
        f"over its reference, {one.examples:,} examples"
        for target, one in rows
    )


def _data(facts: Facts) -> str:
    data, files = facts.job.recipe.data, facts.job.data_files
    return f"{data.path or data.source}, {len(files)} files with their digests in job.json; what each step read: run.json"


def _files(facts: Facts) -> str:
    made = [
        path
        for one in facts.job.targets
        for path in (
            facts.run.steps[f"deploy/{one.name}"].outputs if f"deploy/{one.name}" in facts.run.steps else ()
        )
    ]
    return ", ".join(made)


def _architecture(facts: Facts) -> str:
    recipe = facts.job.recipe
    return f"teacher {recipe.teacher.network} {recipe.teacher.arguments}; student {recipe.student.network} {recipe.student.arguments}"


EVIDENCE: Mapping[str, Callable[[Facts], str]] = {
    "architecture": _architecture,
    "batches": lambda facts: facts.figures(THROUGHPUT),
    "compatibility": lambda facts: "",  # a run knows no previous release
    "computing": lambda facts: f"{sum(one.seconds for one in facts.run.steps.values()):.0f} s for all steps, at most {facts.job.recipe.threads} threads (run.json)",
    "data": _data,
    "design": lambda facts: f"quantisation {facts.job.recipe.quantize.method}, {'-'.join(map(str, facts.job.recipe.quantize.bits))} bits (job.json)",
    "development": lambda facts: f"{len(facts.run.steps)} steps, with their settings and digests (job.json, run.json)",
    "digests": lambda facts: "every member and every file that was made has its digest (pack.json, run.json); attestations where it is signed",
    "examples": lambda facts: "the pack holds scores, labels and digests, and no example's input",
    "files": _files,
    "intervals": lambda facts: "every figure with its confidence interval, each check by the whole interval (report/report.html)",
    "latency": lambda facts: facts.figures(LATENCY_P99) or facts.figures(LATENCY_P50),
    "libraries": lambda facts: f"{len(libraries(facts.run))} libraries, with versions and licences (licences.json, bom.json)",
    "limitations": _limitations,
    "memory": lambda facts: facts.figures(PEAK),
    "metrics": lambda facts: "report/metrics.txt, in OpenMetrics",
    "not_passed": _not_passed,
    "policy": lambda facts: f"policy {facts.document.policy.name}: {len(facts.document.checks)} checks, each with its limit (job.json, gate/verdict.json)",
    "portability": lambda facts: facts.figures(PORTABLE_AGREEMENT),
    "quality": lambda facts: facts.figures(TASKS[facts.job.recipe.task].headline),
    "samples": lambda facts: "all raw samples are here, and `edgecomp verify` derives the verdict from them again (bench/)",
    "slices": _slices,
    "steps": lambda facts: f"finished {facts.run.steps['gate'].finished}; each step's cache key says what changed (run.json)",
    "targets": _targets,
    "verdict": _verdict,
    "version": lambda facts: f"{facts.job.recipe.name}, made by edgecomp {facts.run.edgecomp}",
    "waivers": _waivers,
}  # fmt: skip
"""What a run itself answers; empty where this one does not."""


def page(facts: Facts) -> bytes:
    """The page, in Markdown. facts: of the run."""
    lines = [f"# {markdown(facts.job.recipe.name)}: {facts.document.verdict}", ""]
    lines += ["Evidence and declarations under the headings that an auditor goes through. It is a map, and no claim of conformity: whether an", "answer is enough is for the reader to say.", ""]  # fmt: skip
    for framework, rows in HEADINGS.items():
        lines += [f"## {framework}", "", "| | by | |", "| --- | --- | --- |"]
        lines += [
            f"| {heading} | {by} | {said} |" for heading, keys in rows for by, said in [_row(facts, keys)]
        ]
        lines.append("")
    return "\n".join(lines).encode()


def _row(facts: Facts, keys: Iterable[str]) -> tuple[str, str]:
    found = [one for one in (answer(facts, key) for key in keys) if one[1]] or [(NOT_DECLARED, NOT_DECLARED)]
    return ", ".join(dict.fromkeys(by for by, _ in found)), "<br>".join(markdown(said) for _, said in found)


def answer(facts: Facts, key: str) -> tuple[str, str]:
    """Who answers a key of HEADINGS, `evidence`, `declared` or nobody, and what; a run that has no such evidence says nothing. facts: of
    the run."""
    if key in EVIDENCE:
        return "evidence", EVIDENCE[key](facts)
    said = getattr(facts.job.recipe.declared or Declared(), key)
    name = key.replace("_", " ")
    return ("declared", f"{name}: {said}") if said else (NOT_DECLARED, f"{name}: {NOT_DECLARED}")
