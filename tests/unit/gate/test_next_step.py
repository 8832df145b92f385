"""What a verdict says to do."""

import judging
import pytest

from edgecomp.gate import next_step as says
from edgecomp.gate.document import Check
from edgecomp.gate.next_step import ComparisonRemedies
from edgecomp.gate.verdict import Reason, Verdict


def next_step(verdict: Verdict, checks: list[Check]) -> str:
    return says.next_step(verdict, checks, ComparisonRemedies())


def row(verdict: Verdict, reason: Reason, name: str = "cpu_p50_ms", severity: str = "block") -> Check:
    return judging.check(
        name=name, metric=name, verdict=verdict, reason=reason, sentence="t: it is so.", severity=severity
    )


PASSES = row(Verdict.PASS, Reason.WITHIN_LIMIT)


@pytest.mark.parametrize("reason", [one for one in Reason if one is not Reason.WITHIN_LIMIT])
def test_every_reason_has_its_advice(reason: Reason) -> None:
    told = next_step(Verdict.INVALID, [row(Verdict.INVALID, reason)])
    assert told.startswith("t: it is so: ")
    assert told.endswith(".")


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (row(Verdict.INVALID, Reason.CRASHED), "fix the baseline"),
        (row(Verdict.FAIL, Reason.CRASHED), "fix the candidate"),
        (row(Verdict.FAIL, Reason.INCOMPATIBLE), "give the candidate the baseline's inputs"),
        (row(Verdict.INCONCLUSIVE, Reason.UNDECIDED), "more time (--max-time)"),
        (row(Verdict.INCONCLUSIVE, Reason.UNDECIDED, "accuracy_pct"), "more examples (--data)"),
        (row(Verdict.INCONCLUSIVE, Reason.NOT_RUN, "accuracy_pct"), "labelled examples (--data)"),
        (row(Verdict.INVALID, Reason.NULL_CONTROL), "a quieter machine"),
        (row(Verdict.INVALID, Reason.NOT_FINITE), "look for the NaN"),
    ],
)
def test_the_advice_fits_the_reason(found: Check, words: str) -> None:
    assert words in next_step(found.verdict, [found])


def test_a_row_that_only_advises_is_not_among_those_that_pass() -> None:
    assert next_step(Verdict.PASS, [PASSES]).endswith("allows, in every check.")
    advises = row(Verdict.INCONCLUSIVE, Reason.UNDECIDED, severity="warn")
    assert next_step(Verdict.PASS, [PASSES, advises]).endswith("allows, in every check that decides.")
    assert next_step(Verdict.INVALID, [advises]).startswith("Every check is waived or only advises")
    assert next_step(Verdict.INVALID, []).startswith("Nothing was judged")
