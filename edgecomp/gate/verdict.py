"""Verdicts, by row and for the whole."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Verdict(StrEnum):
    PASS = "PASS"
    FAIL = "FAIL"
    INCONCLUSIVE = "INCONCLUSIVE"
    INVALID = "INVALID"


class Reason(StrEnum):
    """Why a row has its verdict."""

    WITHIN_LIMIT = "within_limit"  # PASS: the whole interval is inside
    OVER_LIMIT = "over_limit"  # FAIL: the whole interval is outside
    UNDECIDED = "undecided"  # INCONCLUSIVE: the interval holds the limit
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
    MADE_UP = "made_up"  # INCONCLUSIVE: the candidate refused inputs that were made up
    NULL_CONTROL = "null_control"  # INVALID: the baseline beside itself is called different
    NOT_ITSELF = "not_itself"  # INVALID: timed, it did not do what it does otherwise; or a reference's file is not what was trained


EXIT_CODES = {Verdict.PASS: 0, Verdict.FAIL: 1, Verdict.INCONCLUSIVE: 3, Verdict.INVALID: 4}

WORST_FIRST = (Verdict.FAIL, Verdict.INVALID, Verdict.INCONCLUSIVE, Verdict.PASS)


@dataclass(frozen=True)
class Estimate:
    """A figure with one-sided bounds, each at `confidence`; None where the samples cannot give one.

    `dimension` as in metrics.UNITS, or `ratio`, a multiple that is held to a margin in per cent and shown so, or its logarithm; `count` is the number of independent units (restarts or examples).
    Exact figures (a file's size) have equal bounds and count 1.
    """

    value: float | None
    lower: float | None
    upper: float | None
    dimension: str
    count: int
    unit: str
    confidence: float
    note: str = ""


def combine(verdicts: Iterable[Verdict]) -> Verdict:
    """The whole's verdict: the worst row's; no rows at all are INVALID."""
    found = set(verdicts)
    return next((verdict for verdict in WORST_FIRST if verdict in found), Verdict.INVALID)


def exit_code(verdict: Verdict, on_inconclusive: str) -> int:
    if verdict is Verdict.INCONCLUSIVE and on_inconclusive == "warn":
        return 0
    return EXIT_CODES[verdict]


def decides(row: Mapping[str, Any]) -> bool:
    """Whether a row counts for the exit code: it is not waived, and does not merely advise."""
    return row["waiver"] is None and row.get("severity", "block") == "block"
