"""Checks that may fail for a while: who answers for it, why, until when, and how badly."""

import datetime
import math
from collections.abc import Mapping, Sequence

from edgecomp.config.policy import BOUNDED_FROM, Threshold, Waiver
from edgecomp.gate.document import Check
from edgecomp.gate.judge import limit_of
from edgecomp.gate.verdict import Reason, Verdict

Thresholds = Mapping[str, Mapping[str, Threshold]]  # target → check's name


def with_waivers(
    checks: Sequence[Check], waivers: Sequence[Waiver], thresholds: Thresholds, today: datetime.date
) -> list[Check]:
    """The checks, each with the waiver that holds for it, if any.

    waivers: the policy's; thresholds: of the checks; today: the day they are held against. A valid waiver
    leaves the verdict as it is; one that has expired fails, whatever the check found: nobody answers for it
    any more. One whose limit the check's interval does not keep leaves the check to decide.
    """
    return [
        _waived(check, waivers, thresholds.get(check.target, {}).get(check.name), today) for check in checks
    ]


def _waived(
    check: Check, waivers: Sequence[Waiver], threshold: Threshold | None, today: datetime.date
) -> Check:
    covering = sorted(
        (one for one in waivers if one.covers(check.target, check.name)), key=lambda one: one.expires
    )
    valid = [one for one in covering if not one.has_expired(today)]  # a renewal may stand beside the first
    if not covering:
        return check
    for waiver in reversed(valid):
        if holds(waiver, check, threshold):
            return check.but(waiver=waiver)
    last = covering[-1]
    if valid:
        said = f"{check.sentence} Its waiver ({last.owner}: {last.reason}) holds up to {last.limit} only."
        return check.but(sentence=said)
    sentence = (
        f"{check.target}: the waiver of {check.name} ({last.owner}: {last.reason}) expired on {last.expires}; "
        f"the check itself: {check.verdict}: {check.sentence.partition(': ')[2]}"
    )
    return check.but(verdict=Verdict.FAIL, reason=Reason.WAIVER_EXPIRED, sentence=sentence, severity="block")


def holds(waiver: Waiver, check: Check, threshold: Threshold | None) -> bool:
    """Whether a check's whole interval is on the good side of a waiver's limit; without a limit it need not be.

    threshold: the check's, which the limit widens; None where it is not known: then no limit is kept.
    """
    if waiver.limit is None:
        return True
    found = check.estimate
    if threshold is None or found is None or found.low is None or found.high is None:
        return False
    try:
        limit = limit_of(waiver.widened(threshold))
    except ValueError:  # of another unit than a check that a recipe has changed
        return False
    limit = math.log(limit) if found.dimension == "log_ratio" else limit
    keeps = found.high <= limit if check.passes == "below" else found.low >= limit
    return keeps and check.verdict is not Verdict.INVALID


def unbounded(checks: Sequence[Check]) -> list[str]:
    """Of waivers in `checks` that hold without a limit, in words: what they let ship, and that it ends."""
    waived = [check for check in checks if check.waiver and check.waiver.limit is None]
    version = ".".join(map(str, BOUNDED_FROM))
    return [
        f"{check.target}: the waiver of {check.name} ({check.waiver.owner}) has no limit: until {check.waiver.expires} it lets anything ship; "
        f"from version {version} that is an error, so give it one in the check's unit (limit: …)"
        for check in waived
        if check.waiver
    ]


def deciding(checks: Sequence[Check]) -> list[Check]:
    """Those of `checks` that decide the exit code."""
    return [check for check in checks if check.decides]


def headline(checks: Sequence[Check]) -> str:
    """What to say first where not every check decides; else nothing.

    checks: all of them. That none decides, or that what does not pass is waived.
    """
    if checks and not deciding(checks):
        return "Every check is waived or only advises: nothing decides. Add a check to the policy that does."
    waived = [
        check
        for check in checks
        if check.waiver and check.severity == "block" and check.verdict is not Verdict.PASS
    ]
    until = [str(check.waiver.expires) for check in waived if check.waiver]
    if not waived or any(check.verdict is not Verdict.PASS for check in deciding(checks)):
        return ""
    names = ", ".join(dict.fromkeys(check.name for check in waived))
    return f"What does not pass is waived (checks {names}): it may ship until {min(until)}; fix it before, or have it waived anew."
