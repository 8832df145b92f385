"""What a verdict says to do now: one sentence, which fits the reason of the worst check."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from edgecomp.arms import STUDENT_FP32
from edgecomp.gate.document import Check
from edgecomp.gate.judge import DEVICE
from edgecomp.gate.verdict import Reason, Verdict
from edgecomp.gate.waivers import deciding, headline
from edgecomp.machine import saturates
from edgecomp.metrics.estimates import not_as_trained
from edgecomp.metrics.measurements import Measurements
from edgecomp.metrics.registry import (
    ADVERSARIAL_ACCURACY,
    ATTACKS_WITHSTOOD,
    CORRUPTED_ACCURACY,
    INT8_SHARE,
    KEY_SAMPLES,
    MEMBERSHIP_ADVANTAGE,
    METRICS,
)


class Remedies(Protocol):
    """What the command that was run suggests."""

    nothing: str  # where no check was judged

    def passed(self, all_decide: bool) -> str:
        """The sentence of PASS; all_decide: whether there is no check that only advises."""

    def of(self, check: Check) -> tuple[str, str]:
        """What is said of a check that did not pass, and the remedy."""


def next_step(verdict: Verdict, checks: Sequence[Check], remedies: Remedies) -> str:
    """One sentence: what was found, and what to do now.

    verdict: of the checks that decide; checks: all of them; remedies: of the command that was run.
    """
    if said := headline(checks):
        return said
    decide = deciding(checks)
    worst = [check for check in decide if check.verdict is verdict]
    if not worst:
        return f"Nothing was judged: {remedies.nothing}."
    if verdict is Verdict.PASS:
        return remedies.passed(len(decide) == len(checks))
    # Sums that are cut off explain the rest, and then a wrong export.
    worst.sort(
        key=lambda check: (check.reason is not Reason.SATURATES, _source(check) not in ("export", "kernels"))
    )
    more = f" ({len(worst) - 1} more such)" if len(worst) > 1 else ""
    said, remedy = remedies.of(worst[0])
    return f"{said}{more}: {remedy}."


def _source(check: Check) -> str:
    """What its metric is estimated from; nothing of a check that is of no metric."""
    return METRICS[check.metric].source if check.metric in METRICS else ""


BY_DIMENSION = {
    "time": "try a smaller student (student.arguments), fewer layers, or a target with more threads",
    "rate": "try a smaller student (student.arguments), or a faster target",
    "bytes": "try a smaller student (student.arguments)",
    "percent": "train longer (distill.epochs, quantize.epochs) or take a larger student (student.arguments)",
    "points": "give the target a scheme that its CPU executes without saturation (cpu-u8-narrow)",
}
OF_HEALTH = {
    ADVERSARIAL_ACCURACY: "train on varied or attacked inputs (data.shift, data.flip, a network of your own), or state the strength that "
    "the device can meet (health.attacks)",
    CORRUPTED_ACCURACY: "train on varied inputs (data.shift, data.flip), or on such as the device sees",
    KEY_SAMPLES: "train on such examples, or longer (distill.epochs, quantize.epochs); where the teacher does not hold them either, a better teacher",
    MEMBERSHIP_ADVANTAGE: "train for fewer epochs, on more data or on varied inputs (data.shift, data.flip)",
}
OF_HEALTH[ATTACKS_WITHSTOOD] = OF_HEALTH[ADVERSARIAL_ACCURACY]
OF_ITS_OWN_TEACHER = {
    "time": "int8 buys size here, and no speed: try another target, or give its fp32 file",
    "rate": "int8 buys size here, and no speed: try another target, or give its fp32 file",
    "bytes": "take a smaller model: this one is as small as its integers make it",
    "percent": "train longer (`edgecomp quantize … --time MINUTES`; of its recipe, quantize.epochs), with more inputs (--data), or "
    "allow more (--min-agreement, --max-error, --max-drop)",
}
"""Of a model that is quantised with itself as its teacher, as `edgecomp quantize` does: there is no other student."""
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
FLOAT_LAYERS = (
    "see the report's table of layers; one that is meant to be in float is named in quantize.float_layers"
)
MEASURE_AGAIN = "measure again on a quieter machine with `edgecomp bench`"


class RunRemedies:
    """Of `edgecomp run`, and of `quantize`, which runs a recipe. measured: by target; own_teacher: whether the student is its teacher, as it is."""

    nothing = "add targets, or checks to the policy"

    def __init__(self, measured: Mapping[str, Measurements], own_teacher: bool = False) -> None:
        self.measured = measured
        self._by_dimension = BY_DIMENSION | (OF_ITS_OWN_TEACHER if own_teacher else {})
        self._more_examples = (
            "more inputs (--data) can decide it"
            if own_teacher
            else "a larger test split (data.test_fraction) can decide it"
        )

    def passed(self, all_decide: bool) -> str:
        which = "All checks" if all_decide else "All checks that decide"
        return f"{which} passed: ship deploy/, or tighten a threshold (thresholds.NAME.max=…) to see what gives first."

    def of(self, check: Check) -> tuple[str, str]:
        said = check.sentence.rstrip(".")
        if check.reason is Reason.WAIVER_EXPIRED:
            return said, "fix it, or have its owner renew the waiver"
        measured = self.measured.get(check.target)
        if measured is not None:
            if wrong := _wrong_in_float(measured, check.verdict):
                return f"{check.target}: {wrong}", WRONG_IN_FLOAT
            if check.verdict is Verdict.FAIL and (cut_off := _cut_off(measured)):
                return f"{check.target}: {cut_off[0]}", cut_off[1]
        if check.verdict is Verdict.FAIL:
            return said, self._of_fail(check)
        if check.verdict is Verdict.INVALID:
            return said, "nothing can be concluded; measure again with `edgecomp bench`"
        return said, self._of_inconclusive(check)

    def _of_fail(self, check: Check) -> str:
        if check.reason is Reason.BUDGET_EXCEEDED:
            return f"{self._by_dimension['bytes']}, or a target with more memory"
        if _source(check) == "emulation":
            return self._by_dimension["points"]
        if check.metric in OF_HEALTH:
            return OF_HEALTH[check.metric]
        if check.metric == INT8_SHARE:
            return FLOAT_LAYERS
        if check.name == "int8_over_fp32":
            return SLOWER_THAN_FP32
        if _source(check) == "export":
            return WRONG_EXPORT if _is_wrong_as_written(self.measured[check.target]) else ROUNDING
        return self._by_dimension.get(METRICS[check.metric].dimension, "see the report")

    def _of_inconclusive(self, check: Check) -> str:
        if check.name == DEVICE:
            return "run it there, or name the target under `ungated_targets`"
        if check.reason is Reason.NOT_RUN:
            return f"make it run, or take the check out (thresholds.{check.name}=null)"
        if check.reason is Reason.UNTELLING:
            return f"{self._by_dimension['percent']}, until it tells the classes apart"
        if check.reason is Reason.TOO_FEW_SAMPLES and check.estimate is None:
            return "raise it"
        if check.reason is Reason.CONTENDED:
            return MEASURE_AGAIN
        if check.estimate is not None and check.estimate.unit == "restarts":
            return "measure more (bench.restarts=…), or on a quieter machine"
        if check.metric in OF_HEALTH:
            return "more examples (health.examples=…, data.test_fraction) can decide it"
        return self._more_examples


class ComparisonRemedies:
    """Of `edgecomp compare`."""

    nothing = "add checks to the policy"

    def passed(self, all_decide: bool) -> str:
        which = "in every check" if all_decide else "in every check that decides"
        return f"The candidate is no worse than the baseline allows, {which}."

    def of(self, check: Check) -> tuple[str, str]:
        return check.sentence.rstrip("."), self._remedy(check)

    def _remedy(self, check: Check) -> str:
        of_answers = _source(check) == "answers"
        if check.reason is Reason.UNDECIDED:
            more = (
                "more examples (--data)"
                if of_answers or _source(check) == "outputs"
                else "more time (--max-time) or a quieter machine"
            )
            return f"give it {more}"
        if check.reason is Reason.NOT_RUN and of_answers:
            return "give it labelled examples (--data), with slices where a check is of them"
        if check.reason is Reason.CRASHED and check.verdict is Verdict.INVALID:
            return "fix the baseline, or compare with another: there is nothing to hold the candidate against"
        return IN_COMPARISON[check.reason]


IN_COMPARISON = {
    Reason.OVER_LIMIT: "fix the candidate, or have an owner waive the check until a day",
    Reason.WAIVER_EXPIRED: "fix the candidate, or have its owner renew the waiver",
    Reason.BUDGET_EXCEEDED: "make the candidate smaller, or name a target with more memory (--target)",
    Reason.INCOMPATIBLE: "give the candidate the baseline's inputs, outputs and preprocessing, or change its callers first",
    Reason.CRASHED: "fix the candidate",
    Reason.MADE_UP: "nothing is known of the candidate: give inputs that it takes (--data)",
    Reason.TOO_FEW_SAMPLES: "give it more time (--max-time)",
    Reason.CONTENDED: "compare again, on a quieter machine",
    Reason.SATURATES: "quantise it again with weights in half the range (scheme cpu-u8-narrow)",
    Reason.ASSIGNMENT: "mend how versions are assigned to keys, and begin the test again",
    Reason.NULL_CONTROL: "nothing can be concluded: compare again, on a quieter machine",
    Reason.NOT_RUN: "make it run, or take the check out of the policy",
    Reason.UNTELLING: "give examples that tell the classes apart (--data)",
    Reason.ANOMALOUS: "make sure that the candidate is the model that is meant, and does the same work",
    Reason.NOT_FINITE: "look for the NaN or the infinity in the model and the examples, and compare again",
    Reason.IMPOSSIBLE: "nothing can be concluded: look at the models' outputs (--output), the labels and this machine's clocks",
    Reason.NOT_ITSELF: "have it do the same work for every request, and compare again",
}


def _wrong_in_float(measured: Measurements, verdict: Verdict) -> str:
    """That a file without any integers is not the network that was trained: the student's own, or what is no bar; else nothing."""
    arms = {
        Verdict.FAIL: (STUDENT_FP32.name,),
        Verdict.INVALID: tuple(measured.facts.get("as_trained_sqnr_db", {})),
    }
    found = (not_as_trained(measured, arm) for arm in arms.get(verdict, ()))
    return next(filter(None, found), "")


def _cut_off(measured: Measurements) -> tuple[str, str] | None:
    """That integer sums are cut off on a CPU that the file may meet, or here, in which layers; and what to do."""
    portable = measured.portable
    if portable is None or not portable.why or (portable.isa != "host" and not saturates(portable.host)):
        return None
    if portable.isa == "host":
        return portable.why, BY_DIMENSION["points"]
    return (
        f"{portable.why}; this machine is {portable.host}, and the target {portable.isa}",
        "run it on such a machine, or give the target scheme cpu-u8-narrow",
    )


def _is_wrong_as_written(measured: Measurements) -> bool:
    """Whether the file disagrees with the network it is made of even without the runtime's optimisations.

    At least 99.9 % agree then where an export is faithful; between that and this is the runtime's integer rounding. A runtime
    that cannot execute a file as it is written does not tell.
    """
    parity = measured.arms[measured.student].parity or {}
    agreeing = parity.get("agreeing_unoptimised")
    return agreeing is not None and bool(agreeing < 0.999 * parity["examples"])
