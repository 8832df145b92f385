"""An A/B test judged from the log of what was served: the key that a version was assigned to is the unit, and never the request.

It may be looked at at any time, after every key if need be: bounds are of a confidence sequence (edgecomp.stats.always_valid).
"""

import datetime
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import gammaln

from edgecomp.errors import DataError, UsageError, nearest
from edgecomp.files.scratch import new_folder
from edgecomp.files.writing import digest_of, sha256, write_json
from edgecomp.gate.document import Check, PolicyRecord, VerdictDocument, whole
from edgecomp.gate.verdict import Reason, Verdict, exit_code
from edgecomp.metrics.units import DIFFERENCE, format_value, parse_quantity
from edgecomp.operations.log_table import numbers, read_columns
from edgecomp.stats import always_valid
from edgecomp.stats.figure import Figure

KEY, VERSION, METRIC, LATENCY = "key", "version", "metric", "latency_ms"
ALPHA = 0.01  # of false winners, whenever it is looked at, of all candidates together
MOST_MOVED = 0.01  # of the keys, that more than one version served
UNBALANCED = 0.001  # the chance that a division as declared is called another one, over all looks
PLANNED = 3.5  # half a width over the standard error, about, where a margin is shown
TARGET = "served"

Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Asked:
    """log: a table with the columns `key`, `version`, `metric` and, if its guard is wanted, `latency_ms`. margin: what a candidate may be worse by,
    in the metric's unit (`0.01 score`) or, of one that is 0 or 1, in points (`1 pt`); latency_margin: `10 %`. shares: of the keys, by version;
    equal where none are given."""

    log: Path
    baseline: str
    candidates: Sequence[str] = ()
    margin: str = "1 pt"
    latency_margin: str = "10 %"
    lower_is_better: bool = False
    shares: Mapping[str, float] = field(default_factory=dict)
    out: Path | None = None


@dataclass(frozen=True)
class ByKey:
    """What was served, a key a row: version, the mean of its metric, and the mean logarithm of its latencies, None where none are known. moved: keys
    that several versions served, which are left out; requests: rows."""

    version: npt.NDArray[Any]
    metric: Values
    log_latency: Values | None
    moved: int
    requests: int

    def of(self, version: str) -> npt.NDArray[np.bool_]:
        """Which keys the `version` served."""
        return np.asarray(self.version == version)


def judge_log(asked: Asked) -> tuple[VerdictDocument, Path]:
    """The verdict on what is `asked`, and the folder that it is written into, as verdict.json. Raises DataError, UsageError."""
    began = datetime.datetime.now(datetime.UTC)
    by_key = keyed(asked.log)
    versions = sorted(set(by_key.version.tolist()))
    for name in (asked.baseline, *asked.candidates):
        if name not in versions:
            raise UsageError(
                f"{asked.log}: no key was served by version {name!r}{nearest(name, versions)}; there are {', '.join(versions)}"
            )
    candidates = list(asked.candidates) or [one for one in versions if one != asked.baseline]
    if not candidates:
        raise UsageError(
            f"{asked.log}: every key was served by {asked.baseline}: there is nothing to compare with"
        )
    margin, latency = _margin(asked.margin, by_key.metric), _relative(asked.latency_margin)
    checks = list(_checks(asked, by_key, versions, candidates, margin, latency))
    verdict = whole(checks)
    told = {
        "margin": asked.margin,
        "latency": asked.latency_margin,
        "alpha": ALPHA,
        "baseline": asked.baseline,
    }
    document = VerdictDocument(
        verdict=verdict,
        unwaived=verdict,
        exit_code=exit_code(verdict, "block"),
        next_step=_next_step(verdict),
        policy=PolicyRecord(name="A/B", on_inconclusive="block", changes=(), sha256=digest_of(told)),
        gates=tuple(checks),
        figures={},
    )
    folder = asked.out or Path("runs") / "ab" / f"{asked.log.stem}-{began.strftime('%Y%m%dT%H%M%S%f')}"
    if folder.exists():
        raise UsageError(f"{folder} is there already, and verdicts are not changed: name another with --out")
    with new_folder(folder, f"it came to {verdict}") as scratch:
        write_json(scratch / "verdict.json", document.as_json())
        write_json(scratch / "log.json", {"file": str(asked.log), "sha256": sha256(asked.log), "requests": by_key.requests, "keys": len(by_key.version),
                                          "moved": by_key.moved, "began": began.isoformat(timespec="seconds"), **told})  # fmt: skip
    return document, folder


def keyed(log: Path) -> ByKey:
    """The table `log` by key. Raises DataError."""
    columns = read_columns(log, (KEY, VERSION, METRIC), (LATENCY,))
    metric = numbers(log, METRIC, columns[METRIC])
    latency = numbers(log, LATENCY, columns[LATENCY]) if LATENCY in columns else None
    if latency is not None and not (latency > 0).all():
        raise DataError(
            f"{log}: column {LATENCY!r} has {int((latency <= 0).sum()):,} values that are not above 0"
        )
    keys, place = np.unique(columns[KEY], return_inverse=True)
    versions, kind = np.unique(columns[VERSION].astype(str), return_inverse=True)
    first = np.full(len(keys), -1)
    first[place[::-1]] = kind[::-1]  # of each key's first row
    moved = np.zeros(len(keys), bool)
    moved[place[kind != first[place]]] = True
    requests = np.bincount(place, minlength=len(keys))
    stays = ~moved
    of_latency = None if latency is None else (np.bincount(place, np.log(latency)) / requests)[stays]
    return ByKey(
        versions[first[stays]],
        (np.bincount(place, metric) / requests)[stays],
        of_latency,
        int(moved.sum()),
        len(metric),
    )


def _checks(
    asked: Asked,
    by_key: ByKey,
    versions: Sequence[str],
    candidates: Sequence[str],
    margin: tuple[float, str],
    latency: float,
) -> Iterator[Check]:
    yield _assignment(asked, by_key, versions)
    alpha, sign = ALPHA / len(candidates), -1.0 if asked.lower_is_better else 1.0
    base = by_key.of(asked.baseline)
    for version in candidates:
        ours = by_key.of(version)
        value, dimension = margin
        scale = sign * (100.0 if dimension == "points" else 1.0)
        found = (scale * by_key.metric[base], scale * by_key.metric[ours])
        yield _judged(
            f"metric[{version}]",
            f"metric of {version} beside {asked.baseline}",
            found,
            -value,
            alpha,
            dimension,
            asked.margin,
        )
        if (
            by_key.log_latency is not None
        ):  # the higher the better: a latency's logarithm with the sign turned
            found = (-by_key.log_latency[base], -by_key.log_latency[ours])
            yield _judged(
                f"latency[{version}]",
                f"latency of {version} over {asked.baseline}'s",
                found,
                -latency,
                alpha,
                "log_ratio",
                asked.latency_margin,
            )


def _judged(
    name: str,
    title: str,
    samples: tuple[Values, Values],
    limit: float,
    alpha: float,
    dimension: str,
    margin: str,
) -> Check:
    """A candidate's mean less the baseline's, the higher the better, held to a limit below 0."""
    planned = (limit / PLANNED) ** 2
    found = always_valid.difference(*samples, alpha=alpha, planned=planned)
    turn = -1.0 if dimension == "log_ratio" else 1.0  # shown as what it is: a latency over another
    shown = sorted(turn * one for one in (found.low, found.high) if one is not None)
    figure = Figure(
        estimate=turn * found.difference, low=shown[0] if shown else None, high=shown[1] if shown else None, dimension=dimension,
        n=len(samples[0]) + len(samples[1]), unit="keys", confidence=1 - alpha, sided="two",
    )  # fmt: skip
    verdict, reason, why = _decided(found, limit, samples, alpha, planned)
    at = f"{100 * (1 - alpha):.6g} % at every look"
    text = f"{TARGET}: {title}: {format_value(figure.estimate, dimension)}"
    if figure.low is not None and figure.high is not None:
        between = f"{format_value(figure.low, dimension)}, {format_value(figure.high, dimension)}"
        text += f" [{between}] ({at}, {figure.n:,} keys)"
    text += f": {why}."
    is_over = "≤ +" if dimension == "log_ratio" else "≥ -"
    return Check(
        target=TARGET, name=name, metric=name.partition("[")[0], title=title, limit=f"{is_over}{margin}", limit_value=turn * limit,
        passes="below" if dimension == "log_ratio" else "above", estimate=figure, verdict=verdict, reason=reason, sentence=text,
    )  # fmt: skip


def _decided(
    found: always_valid.Sequence, limit: float, samples: tuple[Values, Values], alpha: float, planned: float
) -> tuple[Verdict, Reason, str]:
    count = sum(map(len, samples))
    if found.low is None or found.high is None:
        fewest = min(map(len, samples))
        return (
            Verdict.INCONCLUSIVE,
            Reason.TOO_FEW_SAMPLES,
            f"{fewest} keys on one side, and {always_valid.FEWEST} are the fewest that are judged",
        )
    if found.low > limit:
        better = "; it is better" if found.low > 0 else ""
        return Verdict.PASS, Reason.WITHIN_LIMIT, f"within the margin{better}"
    if found.high < limit:
        return Verdict.FAIL, Reason.OVER_LIMIT, "worse than the margin allows"
    times = always_valid.factor(found, limit, alpha, planned)
    more = (
        "no number of keys would tell"
        if times is None
        else f"about {math.ceil(count * (times - 1)):,} more keys would tell"
    )
    return Verdict.INCONCLUSIVE, Reason.UNDECIDED, f"undecided: {more}, if it stays so"


def _assignment(asked: Asked, by_key: ByKey, versions: Sequence[str]) -> Check:
    """Whether the keys were divided as was declared, and stayed where they were: else versions served different people."""
    counts = np.array([int(by_key.of(one).sum()) for one in versions])
    shares = np.array([asked.shares.get(one, 0.0 if asked.shares else 1.0) for one in versions])
    if not (shares > 0).all():
        raise UsageError(
            f"--share: versions {', '.join(versions)} have served, and shares are given for {', '.join(asked.shares)}: give one for each"
        )
    moved = by_key.moved / max(1, by_key.moved + len(by_key.version))
    against = evidence(counts, shares / shares.sum())
    told = ", ".join(f"{one} {count:,}" for one, count in zip(versions, counts, strict=True))
    verdict, reason, why = Verdict.PASS, Reason.WITHIN_LIMIT, f"as declared ({told})"
    if moved > MOST_MOVED:
        verdict, reason = Verdict.INVALID, Reason.ASSIGNMENT
        why = f"{by_key.moved:,} keys ({100 * moved:.1f} %) were served by several versions, and {100 * MOST_MOVED:g} % is the most: assign by the key"
    elif against > 1 / UNBALANCED:
        verdict, reason = Verdict.INVALID, Reason.ASSIGNMENT
        why = f"{told}, which is no division into {', '.join(f'{100 * one:.3g} %' for one in shares / shares.sum())}: some keys are missing, or were not assigned so"
    return Check(
        target=TARGET, name="assignment", metric="assignment", title="keys by version", limit="as declared", limit_value=0.0, passes="below",
        estimate=None, verdict=verdict, reason=reason, sentence=f"{TARGET}: keys by version: {why}.",
    )  # fmt: skip


def evidence(counts: npt.NDArray[np.int64], shares: Values) -> float:
    """How many times likelier the counts, [versions], are under some division than under `shares`: an e-value, which exceeds 1/α at any look with
    probability α at most (Lindon & Malek 2022, Anytime-valid inference for multinomial count data, with a uniform prior)."""
    ones = np.ones(len(counts))
    log = (
        gammaln(ones + counts).sum()
        - gammaln((ones + counts).sum())
        - gammaln(ones).sum()
        + gammaln(ones.sum())
    )
    return float(np.exp(min(700.0, log - (counts * np.log(shares)).sum())))


def _margin(text: str, metric: Values) -> tuple[float, str]:
    """The margin in the metric's own unit, and the dimension of a difference. Raises UsageError."""
    try:
        quantity = parse_quantity(text)
    except ValueError as error:
        raise UsageError(f"--margin: {error}") from None
    is_share = bool(((metric >= 0) & (metric <= 1)).all())
    if quantity.dimension == "points" and is_share:
        return _positive(quantity.value, text), "points"
    if quantity.dimension == "score":
        return _positive(quantity.value, text), DIFFERENCE
    also = " or, as it lies between 0 and 1, in points ('1 pt')" if is_share else ""
    raise UsageError(f"--margin {text!r}: write it in the metric's own unit ('0.01 score'){also}")


def _positive(value: float, text: str) -> float:
    if value <= 0:
        raise UsageError(
            f"--margin {text!r}: it is above 0: nothing shows that two versions are exactly the same"
        )
    return value


def _relative(text: str) -> float:
    try:
        quantity = parse_quantity(text)
    except ValueError as error:
        raise UsageError(f"--latency-margin: {error}") from None
    if quantity.dimension != "percent" or quantity.value <= 0:
        raise UsageError(f"--latency-margin {text!r}: write a share of the baseline's, such as '10 %'")
    return math.log(1 + quantity.value / 100)


def _next_step(verdict: Verdict) -> str:
    return {
        Verdict.PASS: "The candidate is no worse than its margins allow: it may take over.",
        Verdict.FAIL: "Go back to the baseline.",
        Verdict.INCONCLUSIVE: "Serve on, and look again whenever you like: the bounds hold at every look.",
        Verdict.INVALID: "Mend the assignment, and begin again: what was served so far compares different keys.",
    }[verdict]
