"""The gate stage: measurements of every target → the verdict, as gate/verdict.json holds it."""

import datetime
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from edgecomp import __version__
from edgecomp.config.policy import Policy, Threshold, with_budget
from edgecomp.files.writing import digest_of
from edgecomp.gate import estimates
from edgecomp.gate.groups import differences
from edgecomp.gate.judge import Row, judge
from edgecomp.gate.missing import NotMeasured
from edgecomp.gate.scores import TEACHER
from edgecomp.gate.verdict import Reason, Verdict, combine, exit_code
from edgecomp.gate.waivers import deciding, headline, unbounded, with_waivers
from edgecomp.machine import installed, saturates
from edgecomp.metrics.measurements import Emulated, Measurements, Portable
from edgecomp.metrics.registry import METRICS

FORMAT_VERSION = 1
"""1: verdict, unwaived (without the rows that are), exit_code, next_step, policy, gates (rows), figures (target → arm → metric → estimate),
answers (target → what differs, edgecomp.gate.groups), and, since a verdict is derived again before it is shown, made_with (versions of what
may change it)."""
LIBRARIES = ("numpy", "scipy")


def judged(
    *,
    rows: dict[str, dict[str, Threshold]],
    policy: Policy,
    budgets: dict[str, dict[str, Threshold]],
    bench_folders: dict[str, Path],
    beside: dict[str, Path],
    portable: dict[str, Path],
    emulated: dict[str, tuple[Path, Path]],
    today: datetime.date,
) -> dict[str, Any]:
    """The verdict on each target's rows; what is shown beside them is only summarised."""
    measured = {target: Measurements.load(path) for target, path in bench_folders.items()}
    for target, (emulation, reference) in emulated.items():
        measured[target] = replace(measured[target], emulated=Emulated.load(emulation, reference))
    for target, path in portable.items():
        measured[target] = replace(measured[target], portable=Portable.load(path))
    found = with_waivers(judge(rows, measured, policy.wall), policy.waivers, rows, today)
    verdict = combine(row.verdict for row in found if row.severity == "block")
    unwaived = combine(row.verdict for row in deciding(found))
    shown = measured | {target: Measurements.load(path) for target, path in beside.items()}
    return {
        "format": FORMAT_VERSION,
        "made_with": {"edgecomp": __version__, **{name: installed(name) for name in LIBRARIES}},
        "verdict": verdict,
        "unwaived": unwaived,
        "exit_code": exit_code(unwaived, policy.on_inconclusive),
        "next_step": next_step(unwaived, found, measured),
        "policy": {
            "name": policy.name,
            "on_inconclusive": policy.on_inconclusive,
            "changes": changes(policy, budgets, rows),
            "warnings": unbounded(found),
            "sha256": digest_of(
                {t: {n: row.model_dump() for n, row in named.items()} for t, named in rows.items()}
            ),
        },
        "gates": [row.as_json() for row in found],
        "figures": {target: figures(one) for target, one in shown.items()},
        "answers": answers(measured),
    }


def answers(measured: Mapping[str, Measurements]) -> dict[str, Any]:
    """By target, what differs between the student's answers and the teacher's (edgecomp.gate.groups)."""
    found = {target: differences(one, one.student, TEACHER) for target, one in measured.items()}
    return {target: one for target, one in found.items() if one is not None}


def changes(
    policy: Policy, budgets: dict[str, dict[str, Threshold]], rows: dict[str, dict[str, Threshold]]
) -> list[str]:
    """What the recipe or the command line made of the policy's rows and the targets' budgets, in words."""
    found: dict[str, None] = {}
    for target, judged in rows.items():
        given = with_budget(policy.rows, budgets[target])
        for name, row in given.items():
            if name not in judged:
                found[f"{name} taken out ({row.text})"] = None
            elif judged[name] != row:
                found[f"{name} {judged[name].text} at {judged[name].confidence:g} "
                      f"instead of {row.text} at {row.confidence:g}"] = None  # fmt: skip
        for name in judged:
            if name not in given:
                found[f"{name} {judged[name].text} added"] = None
    return list(found)


def figures(measured: Measurements) -> dict[str, dict[str, dict[str, Any]]]:
    """Every metric of every arm that there is a figure for."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for arm in measured.arms:
        found[arm] = {}
        for metric in METRICS:
            try:
                found[arm][metric] = asdict(estimates.estimate(measured, arm, metric, 0.95))
            except NotMeasured:
                continue  # a table cell left empty, not a verdict
    return found


ADVICE = {
    "time": "try a smaller student (student.arguments), fewer layers, or a target with more threads",
    "rate": "try a smaller student (student.arguments), or a faster target",
    "bytes": "try a smaller student (student.arguments)",
    "percent": "train longer (distill.epochs, quantize.epochs) or take a larger student (student.arguments)",
    "points": "give the target a scheme that its CPU executes without saturation (cpu-u8-narrow)",
}
ROUNDING = (
    "the file is right as it is written, and this runtime's integer kernels round it to something else: try "
    "quantize.calibration=mse, more quantize.epochs, or quantize.max_drop"
)
SLOWER_THAN_FP32 = (
    "quantize.precision_by=speed keeps in float the layers that are slower in integers; where it is set, int8 buys only size and "
    "memory on this target"
)
WRONG_EXPORT = (
    "even as it is written the file is not the model that was trained: an operator is exported wrongly; see the "
    "report's table of layers, and leave the layer in float (quantize.float_layers)"
)

WRONG_IN_FLOAT = (
    "integers are not to blame: this runtime computes an operator of it as something else. Write that part of the network "
    "with other operators, or take a target with another runtime"
)


def next_step(verdict: Verdict, rows: list[Row], measured: Mapping[str, Measurements]) -> str:
    """One sentence: what to do now. verdict: of the rows that decide."""
    if said := headline(rows):
        return said
    decide = deciding(rows)
    worst = [row for row in decide if row.verdict is verdict]
    # Sums that are cut off explain the rest, and then a wrong export.
    worst.sort(key=lambda row: (row.reason is not Reason.SATURATES, row.metric not in estimates.EXPORT))
    if verdict is Verdict.PASS:
        which = "All gates" if len(decide) == len(rows) else "All gates that decide"
        return f"{which} passed: ship deploy/, or tighten a threshold (thresholds.NAME.max=…) to see what gives first."
    if not worst:
        return "Nothing was judged: add targets, or rows to the policy."
    first = worst[0]
    more = f" ({len(worst) - 1} more such)" if len(worst) > 1 else ""
    if first.reason is Reason.WAIVER_EXPIRED:
        return f"{first.sentence.rstrip('.')}{more}: mend it, or have its owner renew the waiver."
    if wrong := _wrong_in_float(measured[first.target], verdict) if first.target in measured else "":
        return f"{first.target}: {wrong}{more}: {WRONG_IN_FLOAT}."
    if verdict is Verdict.FAIL:
        advice = ADVICE.get(METRICS[first.metric].dimension, "")
        if cut_off := _cut_off(measured[first.target]):
            return f"{first.target}: {cut_off}{more}."
        if first.reason is Reason.BUDGET_EXCEEDED:
            advice = f"{ADVICE['bytes']}, or a target with more memory"
        elif first.metric in estimates.EMULATED:
            advice = ADVICE["points"]
        elif first.metric == "int8_share_pct":
            advice = "see the report's table of layers; one that is meant to be in float is named in quantize.float_layers"
        elif first.name == "int8_over_fp32":
            advice = SLOWER_THAN_FP32
        elif first.metric in estimates.EXPORT:
            advice = WRONG_EXPORT if _is_wrong_as_written(measured[first.target]) else ROUNDING
        return f"{first.sentence.rstrip('.')}{more}: {advice}."
    if verdict is Verdict.INVALID:
        return f"{first.sentence.rstrip('.')}{more}: nothing can be concluded; measure again with `edgecomp bench`."
    if first.reason is Reason.NOT_RUN:
        return f"{first.sentence.rstrip('.')}{more}: make it run, or take the row out (thresholds.{first.name}=null)."
    if first.reason is Reason.UNTELLING:
        return f"{first.sentence.rstrip('.')}{more}: {ADVICE['percent']}, until it tells the classes apart."
    if first.reason is Reason.TOO_FEW_SAMPLES and first.estimate is None:
        return f"{first.sentence.rstrip('.')}{more}: raise it."
    if first.reason is Reason.CONTENDED:
        return (
            f"{first.sentence.rstrip('.')}{more}: measure again on a quieter machine with `edgecomp bench`."
        )
    if first.estimate is not None and first.estimate.unit == "restarts":
        return (
            f"{first.sentence.rstrip('.')}{more}: measure more (bench.restarts=…), or on a quieter machine."
        )
    return f"{first.sentence.rstrip('.')}{more}: a larger test split (data.test_fraction) can decide it."


def _wrong_in_float(measured: Measurements, verdict: Verdict) -> str:
    """That a file without any integers is not the network that was trained: the student's own, or what is no bar; else nothing."""
    arms = {
        Verdict.FAIL: ("student_fp32",),
        Verdict.INVALID: tuple(measured.facts.get("as_trained_sqnr_db", {})),
    }
    found = (estimates.not_as_trained(measured, arm) for arm in arms.get(verdict, ()))
    return next(filter(None, found), "")


def _cut_off(measured: Measurements) -> str:
    """That integer sums are cut off on a CPU that the file may meet, or here, in which layers, and what to do; else nothing."""
    portable = measured.portable
    if portable is None or not portable.why or (portable.isa != "host" and not saturates(portable.host)):
        return ""
    if portable.isa == "host":
        return f"{portable.why}: {ADVICE['points']}"
    return (
        f"{portable.why}; this machine is {portable.host}, and the target {portable.isa}: run it on such a machine, or "
        "give the target scheme cpu-u8-narrow"
    )


def _is_wrong_as_written(measured: Measurements) -> bool:
    """Whether the file disagrees with the network it is made of even without the runtime's optimisations.

    At least 99.9 % agree then where an export is faithful; between that and this is the runtime's integer rounding. A runtime
    that cannot execute a file as it is written does not tell.
    """
    parity = measured.arms[measured.student].parity or {}
    agreeing = parity.get("agreeing_unoptimised")
    return agreeing is not None and bool(agreeing < 0.999 * parity["examples"])
