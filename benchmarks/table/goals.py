"""What the product promises of these data sets, held against the table. Goals are read off the test split, once."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from intervals import Interval, crossed, mcnemar
from results import HOST, Results
from scipy.stats import beta

NOT_RUN = "not run"


class Goal(NamedTuple):
    """state: `shown` where the whole interval is on the good side, `met, not shown` where only the mean is, `missed`,
    `does not apply`, or `not run`."""

    text: str
    state: str
    found: str


def at_least(text: str, interval: Interval | None, limit: float, unit: str = "points") -> Goal:
    if interval is None:
        return Goal(text, NOT_RUN, "")
    found = (
        f"{interval.mean:.2f} [{interval.lower:.2f}, {interval.upper:.2f}] {unit}, {interval.seeds} "
        f"seed{'s' if interval.seeds > 1 else ''}"
    )
    if interval.lower >= limit:
        return Goal(text, "shown" if interval.seeds > 1 else "met, not shown", found)
    return Goal(text, "met, not shown" if interval.mean >= limit else "missed", found)


def at_least_each(text: str, shares: Sequence[float], examples: int, limit: float) -> Goal:
    """Of each seed's share of the examples, in per cent, with the lower bound of the lowest one (Clopper & Pearson 1934)."""
    if not shares:
        return Goal(text, NOT_RUN, "")
    lowest = min(shares)
    hits = round(lowest / 100 * examples)
    lower = 100 * float(beta.ppf(0.025, hits, examples - hits + 1))
    found = f"{', '.join(f'{one:.2f}' for one in shares)} %, the lowest at least {lower:.2f}"
    return Goal(text, "shown" if lower >= limit else "met, not shown" if lowest >= limit else "missed", found)


def difference(
    results: Results, target: str, first: tuple[str, str], second: tuple[str, str]
) -> Interval | None:
    """First less second, each a kind and an arm, over the seeds that both have."""
    pair = results.paired(*((kind, target, arm) for kind, arm in (first, second)))
    return None if pair is None else crossed(pair[0] - pair[1])


def recovery(
    results: Results, kind: str, control: str, target: str, text: str, significant: bool = False
) -> Goal:
    """Whether QAD recovers 70 % of what the best PTQ loses, where that is 3 standard errors or more."""
    arms = results.paired(
        (control, target, "control"), (kind, target, "ptq_best"), (kind, target, "student_int8")
    )
    if arms is None:
        return Goal(text, NOT_RUN, "")
    reference, rival, own = arms
    seeds = len(own)
    lost = crossed(reference - rival)
    share = reference.mean() / 100
    error = 100 * (share * (1 - share) / reference.shape[1]) ** 0.5
    if lost.mean < 3 * error:
        return Goal(
            text,
            "does not apply",
            f"the best PTQ loses {lost.mean:.2f} points, three standard errors are {3 * error:.2f}",
        )
    regained = (own.mean() - rival.mean()) / (reference.mean() - rival.mean())
    margin = crossed(own - rival - 0.7 * (reference - rival))  # recovers 70 %: this is not negative
    p = max(mcnemar(a > 0, b > 0) for a, b in zip(own, rival, strict=True))
    found = f"{100 * regained:.0f} % of {lost.mean:.2f} points, {seeds} seed{'s' if seeds > 1 else ''}, McNemar p {'≤' if seeds > 1 else '='} {p:.2g}"
    if regained < 0.7 or (significant and p >= 0.01):
        return Goal(text, "missed", found)
    return Goal(text, "shown" if margin.lower >= 0 and seeds > 1 else "met, not shown", found)


def speed(results: Results, target: str, times: str, least: float, text: str, kind: str = "int8") -> Goal:
    every = results.ratios(kind, target, "student_int8", "student_fp32", times)
    if not every.size:
        return Goal(text, NOT_RUN, "")
    found = f"{np.median(every):.2f} × [{every.min():.2f}, {every.max():.2f}] over {len(every)} restarts"
    if np.median(every) < least:
        return Goal(text, "missed", found)
    return Goal(text, "shown" if every.min() >= least else "met, not shown", found)


def file_size(results: Results, most: float, kind: str = "int8") -> list[Goal]:
    goals = []
    for target in HOST:
        text = f"{target}: int8 file at most {most:.2f} of fp32"
        int8, fp32 = (
            results.figures(kind, target, arm, lambda one: one["file_bytes"])
            for arm in ("student_int8", "student_fp32")
        )
        ratios = [a / b for a, b in zip(int8, fp32, strict=True)]
        state = NOT_RUN if not ratios else "shown" if max(ratios) <= most else "missed"
        goals.append(Goal(text, state, f"{max(ratios):.3f}" if ratios else ""))
    return goals


def _cifar10(results: Results) -> list[Goal]:
    goals = []
    own, control = ("int8", "student_int8"), ("int8", "control")
    for target in HOST:
        goals += [
            at_least(f"{target}: int8 within 0.3 points of its fp32 control", difference(results, target, own, control), -0.3),
            at_least(
                f"{target}: 4-bit weights and activations, QAD at least 2 points above the best PTQ",
                difference(results, target, *(("4-bit weights and activations", arm) for arm in ("student_int8", "ptq_best"))),
                2.0,
            ),
            recovery(results, "int8", "int8", target, f"{target}: ResNet-8 at int8, QAD recovers 70 % of what the best PTQ loses"),
            recovery(results, "depthwise, int8", "depthwise, int8", target,
                     f"{target}: depthwise network at int8, QAD recovers 70 % of what the best PTQ loses"),
            speed(results, target, "b32", 1.8 if target == HOST[0] else 2.4,
                  f"{target}: int8 at least {1.8 if target == HOST[0] else 2.4} × fp32 at batch 32"),
            speed(results, target, "b1", 1.0, f"{target}: int8 never slower than fp32 at batch 1"),
        ]  # fmt: skip
    return goals + file_size(results, 0.30) + _no_vnni(results)


def _no_vnni(results: Results) -> list[Goal]:
    narrow = ("no VNNI, its own scheme", "onnxruntime-avx2", "emulated")
    ordinary = ("no VNNI, the ordinary scheme", "onnxruntime-avx2-ordinary", "emulated")
    host = ("int8", "onnxruntime-cpu", "student_int8")
    with_host, with_ordinary = (results.paired(narrow, other) for other in (host, ordinary))
    return [
        at_least(
            "no VNNI: its own scheme, executed as that CPU, within 0.5 points of the VNNI figure",
            None if with_host is None else crossed(with_host[0] - with_host[1]),
            -0.5,
        ),
        at_least(
            "no VNNI: the ordinary file loses more",
            None if with_ordinary is None else crossed(with_ordinary[0] - with_ordinary[1]),
            0.0,
        ),
    ]


def _sst2(results: Results) -> list[Goal]:
    goals = []
    own = ("int8", "student_int8")
    for target in HOST:
        right = results.right("int8", target, "student_int8")
        pair = results.paired(("int8", target, "student_int8"), ("int8", target, "teacher"))
        agreement = results.figures("int8", target, "student_int8", lambda one: one["agreement_pct"])
        examples = 0 if right is None else right.shape[1]
        goals += [
            at_least(f"{target}: at least 87.5 % right", None if right is None else crossed(right), 87.5, "%"),
            at_least(
                f"{target}: at least 97.5 % of the teacher",
                None if pair is None else crossed(pair[0] - 0.975 * pair[1]),
                0.0,
            ),
            at_least_each(f"{target}: agreement with the teacher at least 92 %", agreement, examples, 92.0),
            at_least(f"{target}: int8 within 0.5 points of its fp32 control",
                     difference(results, target, own, ("int8", "control")), -0.5),
            recovery(results, "ternary weights", "int8", target,
                     f"{target}: ternary weights, QAD recovers 70 % of what the best PTQ loses", significant=True),
            speed(results, target, "b1", 1.8, f"{target}: int8 at least 1.8 × fp32 at batch 1"),
        ]  # fmt: skip
    return goals + file_size(results, 0.26)


GOALS: dict[str, Callable[[Results], list[Goal]]] = {"cifar10": _cifar10, "sst2": _sst2}
