"""Rows that may fail for a while: who answers for it, why, and until when."""

import datetime
from collections.abc import Sequence
from dataclasses import replace

from edgecomp.gate.judge import Row
from edgecomp.gate.verdict import Reason, Verdict
from edgecomp.policies import Waiver


def with_waivers(rows: Sequence[Row], waivers: Sequence[Waiver], today: datetime.date) -> list[Row]:
    """The rows, each with the waiver that holds for it. A valid one leaves the verdict as it is; one that has expired fails,
    whatever the row found: nobody answers for it any more."""
    return [_waived(row, waivers, today) for row in rows]


def _waived(row: Row, waivers: Sequence[Waiver], today: datetime.date) -> Row:
    covering = [one for one in waivers if one.covers(row.target, row.name)]
    waiver = max(covering, key=lambda one: one.expires, default=None)  # a renewal may stand beside the first
    if waiver is None:
        return row
    if not waiver.has_expired(today):
        return replace(row, waiver=waiver.model_dump(mode="json"))
    sentence = (
        f"{row.target}: the waiver of {row.name} ({waiver.owner}: {waiver.reason}) expired on {waiver.expires}; "
        f"the row itself: {row.verdict}: {row.sentence.partition(': ')[2]}"
    )
    return replace(
        row, verdict=Verdict.FAIL, reason=Reason.WAIVER_EXPIRED, sentence=sentence, severity="block"
    )


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
