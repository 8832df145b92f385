"""What is said of a run's trainings: the alarms that were raised, and ways in which distillation is known to fail, each in words.

Each failure is a row of FAILURES: a pure function of the trainings' histories that gives a sentence, or None. The limits are set so that
none is said of a clean training: tests/unit/report/test_training_said.py draws 300 of them.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

History = Sequence[Mapping[str, float]]

ALARM, TERM, EXPLAINED, EXPLAINABLE = "alarm: ", "loss: ", "explained: ", "explainable: "
SCORES = ("validation_score_pct", "validation_accuracy_pct")  # the second, of the first version
ON_MISTAKES, STAGE = "agreement_on_mistakes_pct", "stage"
DIVERGENCES = ("soft-labels", "soft-cross-entropy", "dkd", "dist", "standardised-soft-labels")

ALARMS = {
    "not_finite": "a loss or a gradient was no number, and its step was left out",
    "exploding_gradient": "a gradient was more than a hundred times as large as the first ones",
    "vanishing_gradient": "gradients vanished",
    "stuck_loss": "the loss did not move",
    "collapsed_divergence": "the divergence from the teacher came to nothing, although answers are unlike the teacher's",
    "memory": "the memory was about to run out",
}
"""By name, what was raised."""


class Trainings(NamedTuple):
    """The histories of a teacher and of its fp32 student, and how many validation examples their scores are of; 0 where nobody knows.

    constant: names of terms whose weights and arguments do not change.
    """

    teacher: History
    student: History
    examples: int
    constant: tuple[str, ...]


def score(epoch: Mapping[str, float]) -> float:
    """The validation score of an `epoch`, in per cent."""
    return next((epoch[name] for name in SCORES if name in epoch), math.nan)


def over_imitation(of: Trainings) -> str | None:
    """Agreement with the teacher's mistakes rises, while the score falls. of: the trainings."""
    told = [epoch for epoch in of.student if ON_MISTAKES in epoch]
    scores, shared = (
        _smooth([of_one(epoch) for epoch in told]) for of_one in (score, lambda one: one[ON_MISTAKES])
    )
    if len(scores) < 2:
        return None
    best = scores.index(max(scores))
    fallen, risen = scores[best] - scores[-1], shared[-1] - shared[best]
    if fallen <= max(1.0, 3 * _error(scores[best], of.examples)) or risen < 5:
        return None
    return (
        f"the student imitates its teacher's mistakes: since epoch {best + 2} it shares {risen:.1f} points more of them, and its score has "
        f"fallen by {fallen:.1f}: weigh hard labels more, or end earlier (distill.loop.patience)"
    )


def idle_projection(of: Trainings) -> str | None:
    """A projection has never explained what another would explain: one that only an early stage learnt may be behind later. of: the trainings."""
    for layer in _last(of, EXPLAINED):
        value = max(epoch.get(f"{EXPLAINED}{layer}", 0.0) for epoch in of.student)
        best = of.student[-1].get(f"{EXPLAINABLE}{layer}")
        if best is not None and value < 0.05 and best > 0.3:
            return (
                f"the projection of {layer} has learnt nothing: it explains {100 * max(value, 0):.0f} % of the teacher's variance, and a "
                f"least-squares map would explain {100 * best:.0f} %: take projection: least-squares, or a larger weight"
            )
    return None


def narrow_projection(of: Trainings) -> str | None:
    """The best linear map explains little: the student's layer has no room for what the teacher's holds. of: the trainings."""
    projected = _last(
        of, EXPLAINED
    )  # where relations alone are compared, nothing has to be a linear map of the other
    for layer, value in _last(of, EXPLAINABLE).items():
        if layer in projected and value < 0.3:
            return (
                f"information is lost on the way to {layer}: the best linear map from it explains {100 * max(value, 0):.0f} % of the variance "
                "of the teacher's layer: take a wider layer, or one at the same depth"
            )
    return None


def still_term(of: Trainings) -> str | None:
    """A term that has never moved, with others that have. of: the trainings."""
    first, last = _ends(of)
    if last is None or first is None:
        return None
    for name in of.constant:
        key = f"{TERM}{name}"
        values = [epoch[key] for epoch in _same_stage(of.student) if key in epoch]
        if len(values) >= 4 and values[0] > 0 and max(values) - min(values) < 0.002 * values[0]:
            return f"the term {name} never moved, it is {values[-1]:.4g}: raise its weight, or take it out"
    return None


def unstable_divergence(of: Trainings) -> str | None:
    """A divergence from the teacher that jumps up again and again. of: the trainings."""
    for name in of.constant:
        if not name.startswith(DIVERGENCES):
            continue
        values = [epoch[f"{TERM}{name}"] for epoch in _same_stage(of.student) if f"{TERM}{name}" in epoch]
        jumps = sum(after > 1.5 * before for before, after in pairwise(values))
        if jumps >= 2 and jumps >= 0.15 * len(values) and max(values[1:], default=0) > 0.5 * values[0]:
            return f"the divergence {name} is unstable: it rose by half in {jumps} of {len(values)} epochs: lower the learning rate, or set clip_norm"
    return None


def weak_teacher(of: Trainings) -> str | None:
    """The teacher is no better than what it teaches. of: the trainings."""
    taught, teaches = (
        score(of.student[-1]),
        score(of.teacher[-1]),
    )  # the last: the best of many is best by chance
    if not taught - teaches > max(1.0, 6 * _error(teaches, of.examples)):
        return None
    return (
        f"the teacher is no better than its student on the validation split ({teaches:.1f} and {taught:.1f} %): hard labels alone may do as well, "
        "so train the teacher longer, or take a better one"
    )


def wide_gap(of: Trainings) -> str | None:
    """The student stays far behind its teacher, and no longer comes nearer. of: the trainings."""
    scores, teaches = [score(epoch) for epoch in of.student], score(of.teacher[-1])
    taught, before = max(scores), max(scores[: len(scores) * 3 // 4], default=0.0)
    rising = taught - before > 0.05 * (teaches - taught)
    if not teaches - taught > max(15.0, 3 * _error(teaches, of.examples)) or rising:
        return None
    return (
        f"the gap between teacher and student is wide ({teaches:.1f} and {taught:.1f} %): put a network of a size in between, which learns of the "
        "teacher and then teaches, or a larger student"
    )


FAILURES: dict[str, Callable[[Trainings], str | None]] = {
    "over-imitation": over_imitation,
    "idle projection": idle_projection,
    "narrow projection": narrow_projection,
    "still term": still_term,
    "unstable divergence": unstable_divergence,
    "weak teacher": weak_teacher,
    "wide gap": wide_gap,
}


def failures(of: Trainings) -> list[str]:
    """A sentence for each way in which distillation has failed. of: the trainings; none where nothing was trained."""
    if not of.student or not of.teacher or "loss" not in of.student[-1]:
        return []
    return [said for rule in FAILURES.values() if (said := rule(of))]


def alarms(histories: Mapping[str, History]) -> list[str]:
    """A sentence for each alarm in `histories`, by arm, with the first epoch that raised it."""
    found: dict[tuple[str, str], int] = {}
    for arm, history in histories.items():
        for place, epoch in enumerate(history):
            for key in epoch:
                if key.startswith(ALARM):
                    found.setdefault((arm, key.removeprefix(ALARM)), place + 1)
    return [f"{arm}, epoch {epoch}: {ALARMS.get(name, name)}" for (arm, name), epoch in found.items()]


def _smooth(values: Sequence[float]) -> list[float]:
    """Means of three values that follow each other."""
    return [sum(values[start : start + 3]) / 3 for start in range(len(values) - 2)]


def _last(of: Trainings, prefix: str) -> dict[str, float]:
    """By layer, a figure of the last epoch."""
    return {
        key.removeprefix(prefix): value for key, value in of.student[-1].items() if key.startswith(prefix)
    }


def _ends(of: Trainings) -> tuple[Mapping[str, float] | None, Mapping[str, float] | None]:
    same = _same_stage(of.student)
    return (same[0], same[-1]) if same else (None, None)


def _same_stage(history: History) -> History:
    """The epochs of the last stage."""
    return [epoch for epoch in history if epoch.get(STAGE) == history[-1].get(STAGE)]


def _error(percent: float, examples: int) -> float:
    """The standard error of a share, in points; without examples infinite, so that nothing is said."""
    return math.inf if examples <= 0 else math.sqrt(max(percent * (100 - percent), 1.0) / examples)
