"""The gate stage: measurements of every target → the verdict document, as gate/verdict.json holds it."""

import datetime
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from edgecomp.config.policy import Policy, Threshold, with_budget
from edgecomp.files.writing import digest_of
from edgecomp.gate.document import Changes, VerdictDocument, document, whole
from edgecomp.gate.groups import differences
from edgecomp.gate.judge import judge, never_ran
from edgecomp.gate.next_step import RunRemedies, next_step
from edgecomp.gate.waivers import deciding, unbounded, with_waivers
from edgecomp.metrics.estimates import estimate
from edgecomp.metrics.estimators.scores import TEACHER
from edgecomp.metrics.measurements import Emulated, Health, Measurements, Portable
from edgecomp.metrics.missing import NotMeasured
from edgecomp.metrics.registry import METRICS
from edgecomp.stats.figure import Figure

CONFIDENCE = 0.95  # of the figures that are shown and not judged: of each bound


def judged(
    *,
    rows: dict[str, dict[str, Threshold]],
    policy: Policy,
    budgets: dict[str, dict[str, Threshold]],
    bench_folders: dict[str, Path],
    beside: dict[str, Path],
    portable: dict[str, Path],
    emulated: dict[str, tuple[Path, Path]],
    health: dict[str, Path],
    today: datetime.date,
    own_teacher: bool = False,
) -> VerdictDocument:
    """The verdict on each target's checks; what is shown beside them is only summarised.

    rows: target → check → threshold; policy: whose checks and waivers they are; budgets: the targets' own
    rows; bench_folders, portable, health: by target, the folders of these steps; emulated: the folder, and the file
    of the fake-quant student's logits; beside: the bench's folders of targets that are not gated; today: the
    day that waivers are held against; own_teacher: whether the student is its teacher, as it is. Raises RunFolderError, UsageError where a folder holds no measurements
    of this format.
    """
    measured = {target: Measurements.load(path) for target, path in bench_folders.items()}
    for target, (emulation, reference) in emulated.items():
        measured[target] = replace(measured[target], emulated=Emulated.load(emulation, reference))
    for target, path in portable.items():
        measured[target] = replace(measured[target], portable=Portable.load(path))
    for target, path in health.items():
        measured[target] = replace(measured[target], health=Health.load(path))
    checks = judge(rows, measured, policy.wall)
    for target, one in measured.items():
        checks += never_ran(target, one, [check for check in checks if check.target == target])
    found = with_waivers(checks, policy.waivers, rows, today)
    shown = measured | {target: Measurements.load(path) for target, path in beside.items()}
    return document(
        found,
        policy,
        next_step=next_step(whole(deciding(found)), found, RunRemedies(measured, own_teacher)),
        changes=changes(policy, budgets, rows),
        warnings=unbounded(found),
        sha256=digest_of({t: {n: row.model_dump() for n, row in named.items()} for t, named in rows.items()}),
        figures={target: figures(one) for target, one in shown.items()},
        answers=answers(measured),
        stand_ins={
            target: f"{one.not_run}; its answers were {one.stand_in}"
            for target, one in measured.items()
            if one.stand_in
        },
    )


def answers(measured: Mapping[str, Measurements]) -> dict[str, Changes]:
    """By target, what differs between the student's answers and the teacher's (edgecomp.gate.groups).

    measured: by target.
    """
    found = {target: differences(one, one.student, TEACHER) for target, one in measured.items()}
    return {target: one for target, one in found.items() if one is not None}


def changes(
    policy: Policy, budgets: dict[str, dict[str, Threshold]], rows: dict[str, dict[str, Threshold]]
) -> list[str]:
    """What the recipe or the command line made of the policy's checks and the targets' budgets, in words; of
    which targets, where not of all.

    budgets, rows: target → check → threshold; rows: as they are judged.
    """
    found: dict[str, list[str]] = {}
    for target, judged in rows.items():
        given = with_budget(policy.rows, budgets[target])
        for name, row in given.items():
            if any(one.startswith(f"{name}[") for one in judged):
                continue  # each of several outputs has it
            if name not in judged:
                found.setdefault(f"{name} taken out ({row.text})", []).append(target)
            elif judged[name] != row:
                now = f"{judged[name].text} at {judged[name].confidence:g}"
                found.setdefault(f"{name} {now} instead of {row.text} at {row.confidence:g}", []).append(
                    target
                )
        for name in judged:
            if name.partition("[")[0] not in given:
                found.setdefault(f"{name} {judged[name].text} added", []).append(target)
    return [said if len(of) == len(rows) else f"{said} of {', '.join(of)}" for said, of in found.items()]


def figures(measured: Measurements) -> dict[str, dict[str, Figure]]:
    """Every metric of every arm in `measured` that there is a figure for: arm → metric → figure."""
    found: dict[str, dict[str, Figure]] = {}
    for arm in measured.arms:
        found[arm] = {}
        for metric in METRICS:
            try:
                found[arm][metric] = estimate(measured, arm, metric, CONFIDENCE)
            except NotMeasured:
                continue  # a table cell left empty, not a verdict
    return found
