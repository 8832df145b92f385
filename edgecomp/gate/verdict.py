"""Verdicts and their reasons, of a check and for the whole, and the exit code."""

from collections.abc import Iterable
from enum import StrEnum

from edgecomp import exit_codes
from edgecomp.metrics import missing


class Verdict(StrEnum):
    PASS = "PASS"
    FAIL = "FAIL"
    INCONCLUSIVE = "INCONCLUSIVE"
    INVALID = "INVALID"


class Reason(StrEnum):
    """Why a check has its verdict."""

    WITHIN_LIMIT = "within_limit"  # PASS: the whole interval is on the good side
    OVER_LIMIT = "over_limit"  # FAIL: the whole interval is on the bad side
    UNDECIDED = "undecided"  # INCONCLUSIVE: the threshold lies inside the confidence interval
    TOO_FEW_SAMPLES = "too_few_samples"  # INCONCLUSIVE: no interval at this confidence from so few
    BUDGET_EXCEEDED = "budget_exceeded"  # FAIL: it did not fit into the target's memory
    NOT_RUN = "not_run"  # INCONCLUSIVE: nothing was measured
    CONTENDED = "contended"  # INCONCLUSIVE: others used the machine, and CPU time does not say the same
    UNTELLING = "untelling"  # INCONCLUSIVE: the examples compared cannot show a difference
    NOT_FINITE = "not_finite"  # INVALID: a NaN or an infinity among the measurements
    IMPOSSIBLE = "impossible"  # INVALID: no measurement can be that, such as a latency of 0
    SATURATES = "saturates"  # FAIL: its integer products can be cut off on a CPU that it may meet
    WAIVER_EXPIRED = "waiver_expired"  # FAIL: it was waived until a day that is over
    ANOMALOUS = "anomalous"  # INCONCLUSIVE: better than it can plausibly be
    INCOMPATIBLE = "incompatible"  # FAIL: other inputs or outputs than the baseline's
    CRASHED = "crashed"  # FAIL: the candidate died; INVALID: the baseline did
    MADE_UP = "made_up"  # INCONCLUSIVE: inputs were made up, and the candidate refused them, or outputs of them were to decide
    ASSIGNMENT = "assignment"  # INVALID: keys of an A/B test are not divided as was declared
    NULL_CONTROL = "null_control"  # INVALID: the baseline beside itself is called different
    NOT_ITSELF = "not_itself"  # INVALID: timed, it did not do what it does otherwise; or a reference's file is not what was trained


EXIT_CODES = {
    Verdict.PASS: exit_codes.PASS,
    Verdict.FAIL: exit_codes.FAIL,
    Verdict.INCONCLUSIVE: exit_codes.INCONCLUSIVE,
    Verdict.INVALID: exit_codes.INVALID,
}

WORST_FIRST = (Verdict.FAIL, Verdict.INVALID, Verdict.INCONCLUSIVE, Verdict.PASS)

UNMEASURED: dict[type[missing.NotMeasured], tuple[Verdict, Reason]] = {
    missing.NotMeasured: (Verdict.INCONCLUSIVE, Reason.NOT_RUN),
    missing.TooFewSamples: (Verdict.INCONCLUSIVE, Reason.TOO_FEW_SAMPLES),
    missing.Untelling: (Verdict.INCONCLUSIVE, Reason.UNTELLING),
    missing.NotFinite: (Verdict.INVALID, Reason.NOT_FINITE),
    missing.NotItself: (Verdict.INVALID, Reason.NOT_ITSELF),
    missing.Saturates: (Verdict.FAIL, Reason.SATURATES),
    missing.Impossible: (Verdict.INVALID, Reason.IMPOSSIBLE),
}
"""The verdict of a check whose metric has no figure, by why it has none."""


def combine(verdicts: Iterable[Verdict]) -> Verdict:
    """The whole's verdict: the worst of the checks' verdicts; no checks at all are INVALID."""
    found = set(verdicts)
    return next((verdict for verdict in WORST_FIRST if verdict in found), Verdict.INVALID)


def exit_code(verdict: Verdict, on_inconclusive: str) -> int:
    """What edgecomp ends with on `verdict`. on_inconclusive: as in Policy, `block` or `warn`."""
    if verdict is Verdict.INCONCLUSIVE and on_inconclusive == "warn":
        return 0
    return EXIT_CODES[verdict]
