"""What a comparison's verdict says to do now: one sentence, which fits the reason of its worst row."""

from edgecomp.gate import scores
from edgecomp.gate.judge import Row
from edgecomp.gate.verdict import Reason, Verdict
from edgecomp.gate.waivers import deciding, headline

ADVICE = {
    Reason.OVER_LIMIT: "mend the candidate, or have an owner waive the row until a day",
    Reason.WAIVER_EXPIRED: "mend the candidate, or have its owner renew the waiver",
    Reason.BUDGET_EXCEEDED: "make the candidate smaller, or name a target with more memory (--target)",
    Reason.INCOMPATIBLE: "give the candidate the baseline's inputs, outputs and preprocessing, or change its callers first",
    Reason.CRASHED: "mend the candidate",
    Reason.MADE_UP: "nothing is known of the candidate: give inputs that it takes (--data)",
    Reason.TOO_FEW_SAMPLES: "give it more time (--max-time)",
    Reason.CONTENDED: "compare again, on a quieter machine",
    Reason.SATURATES: "quantise it again with weights in half the range (scheme cpu-u8-narrow)",
    Reason.NULL_CONTROL: "nothing can be concluded: compare again, on a quieter machine",
    Reason.NOT_RUN: "make it run, or take the row out of the policy",
    Reason.UNTELLING: "give examples that tell the classes apart (--data)",
    Reason.ANOMALOUS: "make sure that the candidate is the model that is meant, and does the same work",
    Reason.NOT_FINITE: "look for the NaN or the infinity in the model and the examples, and compare again",
    Reason.IMPOSSIBLE: "nothing can be concluded: look at the models' outputs (--output), the labels and this machine's clocks",
    Reason.NOT_ITSELF: "have it do the same work for every request, and compare again",
}


def next_step(verdict: Verdict, rows: list[Row]) -> str:
    """What was found, and what to do now. verdict: of the rows that decide."""
    if first := headline(rows):
        return first
    decide = deciding(rows)
    worst = [row for row in decide if row.verdict is verdict]
    if not worst:
        return "Nothing was judged: add rows to the policy."
    if verdict is Verdict.PASS:
        which = "in every row" if len(decide) == len(rows) else "in every row that decides"
        return f"The candidate is no worse than the baseline allows, {which}."
    more = f" ({len(worst) - 1} more such)" if len(worst) > 1 else ""
    return f"{worst[0].sentence.rstrip('.')}{more}: {_advice(worst[0])}."


def _advice(row: Row) -> str:
    of_answers = row.metric in scores.KNOWN
    if row.reason is Reason.UNDECIDED:
        more = "more examples (--data)" if of_answers else "more time (--max-time) or a quieter machine"
        return f"give it {more}"
    if row.reason is Reason.NOT_RUN and of_answers:
        return "give it labelled examples (--data), with slices where a row is of them"
    if row.reason is Reason.CRASHED and row.verdict is Verdict.INVALID:
        return "mend the baseline, or compare with another: there is nothing to hold the candidate against"
    return ADVICE[row.reason]
