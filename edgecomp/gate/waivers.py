"""Rows that may fail for a while: who answers for it, why, until when, and how badly."""

import datetime
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from edgecomp.config.policy import BOUNDED_FROM, Threshold, Waiver
from edgecomp.gate.judge import Row, limit_of
from edgecomp.gate.verdict import Reason, Verdict

Thresholds = Mapping[str, Mapping[str, Threshold]]  # target → row's name


def with_waivers(
    rows: Sequence[Row], waivers: Sequence[Waiver], thresholds: Thresholds, today: datetime.date
) -> list[Row]:
    """The rows, each with the waiver that holds for it. A valid one leaves the verdict as it is; one that has expired fails,
    whatever the row found: nobody answers for it any more. One whose limit the row's interval does not keep leaves the row to decide."""
    return [_waived(row, waivers, thresholds.get(row.target, {}).get(row.name), today) for row in rows]


def _waived(row: Row, waivers: Sequence[Waiver], threshold: Threshold | None, today: datetime.date) -> Row:
    covering = sorted(
        (one for one in waivers if one.covers(row.target, row.name)), key=lambda one: one.expires
    )
    valid = [one for one in covering if not one.has_expired(today)]  # a renewal may stand beside the first
    if not covering:
        return row
    for waiver in reversed(valid):
        if holds(waiver, row, threshold):
            return replace(row, waiver=waiver.model_dump(mode="json"))
    last = covering[-1]
    if valid:
        said = f"{row.sentence} Its waiver ({last.owner}: {last.reason}) holds up to {last.limit} only."
        return replace(row, sentence=said)
    sentence = (
        f"{row.target}: the waiver of {row.name} ({last.owner}: {last.reason}) expired on {last.expires}; "
        f"the row itself: {row.verdict}: {row.sentence.partition(': ')[2]}"
    )
    return replace(
        row, verdict=Verdict.FAIL, reason=Reason.WAIVER_EXPIRED, sentence=sentence, severity="block"
    )


def holds(waiver: Waiver, row: Row, threshold: Threshold | None) -> bool:
    """Whether a row's whole interval is on the good side of a waiver's limit; without a limit it need not be."""
    if waiver.limit is None:
        return True
    found = row.estimate
    if threshold is None or found is None or found.lower is None or found.upper is None:
        return False
    try:
        limit = limit_of(waiver.widened(threshold))
    except ValueError:  # of another unit than a row that a recipe has changed
        return False
    limit = math.log(limit) if found.dimension == "log_ratio" else limit
    keeps = found.upper <= limit if row.passes == "below" else found.lower >= limit
    return keeps and row.verdict is not Verdict.INVALID


def unbounded(rows: Sequence[Row]) -> list[str]:
    """Of waivers that hold without a limit, in words: what they let ship, and that it ends."""
    waived = [row for row in rows if row.waiver and row.waiver["limit"] is None]
    version = ".".join(map(str, BOUNDED_FROM))
    return [
        f"{row.target}: the waiver of {row.name} ({row.waiver['owner']}) has no limit: until {row.waiver['expires']} it lets anything ship; "
        f"from version {version} that is an error, so give it one in the row's unit (limit: …)"
        for row in waived
        if row.waiver
    ]


def deciding(rows: Sequence[Row]) -> list[Row]:
    """Those that decide the exit code."""
    return [row for row in rows if row.waiver is None and row.severity == "block"]


def headline(rows: Sequence[Row]) -> str:
    """What to say first where not every row decides: that none does, or that what does not pass is waived; else nothing."""
    if rows and not deciding(rows):
        return "Every row is waived or only advises: nothing decides. Add a row to the policy that does."
    waived = [
        row for row in rows if row.waiver and row.severity == "block" and row.verdict is not Verdict.PASS
    ]
    until = [str(row.waiver["expires"]) for row in waived if row.waiver]
    if not waived or any(row.verdict is not Verdict.PASS for row in deciding(rows)):
        return ""
    names = ", ".join(dict.fromkeys(row.name for row in waived))
    return f"What does not pass is waived (rows {names}): it may ship until {min(until)}; mend it before, or have it waived anew."
