"""Whether data are still those that a model was made for: columns of two tables, held against each other.

PSI, the population stability index Σ (q - p) log(q / p) over bins of the reference, with bounds; and the two-sample Kolmogorov-Smirnov distance of
numbers. Without drift n·m/(n + m) · PSI is distributed as χ² with one degree of freedom less than there are bins (Yurdakul & Naranjo 2020, Journal of
Risk Model Validation 14:89), and with drift as the noncentral χ²: bounds are those of its noncentrality.
"""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats
from scipy.optimize import brentq

from edgecomp.errors import DataError, UsageError, nearest
from edgecomp.gate.verdict import Reason, Verdict, combine
from edgecomp.operations.log_table import read_columns

LIMIT = 0.2  # of PSI: below 0.1 nothing is said to have moved, above 0.25 much (Siddiqi 2006, Credit Risk Scorecards)
BINS = 10
MOST_VALUES = 50  # of a column of words or whole numbers, each of which is a bin
ALPHA = 0.01  # of a FAIL by chance, of all columns together; of a PASS, of each
FALSE_PASS = 0.05
RARE = 0.5  # counts that an empty bin is given
PREDICTION = "prediction"


@dataclass(frozen=True)
class Column:
    """How far a column has moved. psi: with bounds, `low` and `high`, each of its own confidence; distance: Kolmogorov-Smirnov's, of numbers, else None;
    bins: that PSI is of; needed: rows of each table that would decide, None where it is decided; largest: the bin that has moved most, with its
    share before and now."""

    name: str
    psi: float
    low: float
    high: float
    bins: int
    distance: float | None
    verdict: Verdict
    reason: Reason
    needed: int | None
    largest: tuple[str, float, float]


@dataclass(frozen=True)
class Drift:
    """Of all columns. rows: of the reference and of what is current."""

    columns: tuple[Column, ...]
    rows: tuple[int, int]
    limit: float

    @property
    def verdict(self) -> Verdict:
        """The worst of the columns' verdicts."""
        return combine(column.verdict for column in self.columns)

    def as_json(self) -> dict[str, Any]:
        """What a script reads."""
        columns = [
            {**vars(one), "verdict": str(one.verdict), "reason": str(one.reason)} for one in self.columns
        ]
        return {
            "format": 1,
            "verdict": str(self.verdict),
            "rows": list(self.rows),
            "limit": self.limit,
            "columns": columns,
        }

    def as_prometheus(self) -> str:
        """Prometheus' text format (its exposition formats, version 0.0.4): `edgecomp_drift_psi{column="…"}` with bounds, and which columns fail."""
        lines = [
            "# HELP edgecomp_drift_psi Population stability index of a column beside the reference.",
            "# TYPE edgecomp_drift_psi gauge",
        ]
        lines += [f"edgecomp_drift_psi{{column={_quoted(one.name)}}} {one.psi:.6g}" for one in self.columns]
        lines += [
            "# HELP edgecomp_drift_psi_bound Its lower and upper bound.",
            "# TYPE edgecomp_drift_psi_bound gauge",
        ]
        for one in self.columns:
            lines += [
                f'edgecomp_drift_psi_bound{{column={_quoted(one.name)},side="{side}"}} {value:.6g}'
                for side, value in (("low", one.low), ("high", one.high))
            ]
        lines += [
            "# HELP edgecomp_drift_failed 1 where a column has drifted beyond the limit.",
            "# TYPE edgecomp_drift_failed gauge",
        ]
        lines += [
            f"edgecomp_drift_failed{{column={_quoted(one.name)}}} {int(one.verdict is Verdict.FAIL)}"
            for one in self.columns
        ]
        lines += ["# HELP edgecomp_drift_rows Rows of the tables.", "# TYPE edgecomp_drift_rows gauge"]
        lines += [
            f'edgecomp_drift_rows{{table="{name}"}} {count}'
            for name, count in zip(("reference", "current"), self.rows, strict=True)
        ]
        return "\n".join(lines) + "\n"


def drift(reference: Path, current: Path, *, columns: Sequence[str] = (), limit: float = LIMIT) -> Drift:
    """The columns of two tables, `reference` and `current` (.parquet, .csv), beside each other. columns: those that are looked at, all that both have where none is named; limit:
    of PSI. Raises DataError, UsageError."""
    if not (math.isfinite(limit) and limit > 0):
        raise UsageError(f"--limit {limit}: PSI is held to a number above 0; {LIMIT} is usual")
    old, new = read_columns(reference), read_columns(current)
    names = list(columns) or [name for name in old if name in new]
    for name in names:
        for file, held in ((reference, old), (current, new)):
            if name not in held:
                raise UsageError(
                    f"{file} has no column {name!r}{nearest(name, held)}; it has {', '.join(held)}"
                )
    if not names:
        raise DataError(
            f"{reference} and {current} have no column of one name: {', '.join(old)}; {', '.join(new)}"
        )
    rows = len(next(iter(old.values()))), len(next(iter(new.values())))
    found = tuple(_column(name, old[name], new[name], limit, ALPHA / len(names)) for name in names)
    return Drift(found, rows, limit)


def _column(name: str, old: npt.NDArray[Any], new: npt.NDArray[Any], limit: float, alpha: float) -> Column:
    if (old.dtype.kind in "fiub") != (new.dtype.kind in "fiub"):
        raise DataError(
            f"column {name!r} is of {old.dtype} in the reference and of {new.dtype} now: it is another column"
        )
    labels, counts = binned(name, old, new)
    psi = stability_index(counts)
    effective = 1 / sum(1 / rows for rows in counts.sum(axis=1))
    degrees = len(labels) - 1
    low, high = bounds(psi, effective, degrees, alpha)
    verdict, reason, needed = Verdict.PASS, Reason.WITHIN_LIMIT, None
    if low > limit:
        verdict, reason = Verdict.FAIL, Reason.OVER_LIMIT
    elif high >= limit:
        verdict, reason = Verdict.INCONCLUSIVE, Reason.UNDECIDED
        needed = rows_needed(degrees, limit)
    shares = counts / counts.sum(axis=1, keepdims=True)
    place = int(np.abs(shares[1] - shares[0]).argmax())
    is_number = old.dtype.kind in "fiu"
    distance = float(stats.ks_2samp(old, new).statistic) if is_number else None
    largest = (labels[place], float(shares[0, place]), float(shares[1, place]))
    return Column(name, psi, low, high, len(labels), distance, verdict, reason, needed, largest)


def binned(
    name: str, old: npt.NDArray[Any], new: npt.NDArray[Any]
) -> tuple[list[str], npt.NDArray[np.float64]]:
    """What the bins are called, and how many of each table, `old` and `new`, are in each: [2, bins]. Deciles of the old numbers, or each value of few;
    values that are new are a bin of their own. name: of the column, for messages. Raises DataError."""
    values = np.unique(old)
    if old.dtype.kind in "f" or (old.dtype.kind in "iu" and len(values) > MOST_VALUES):
        for table, held in (("the reference", old), ("the current table", new)):
            if not np.isfinite(held.astype(np.float64)).all():
                raise DataError(f"column {name!r} of {table} has cells that are NaN or infinite")
        edges = np.unique(np.quantile(old, np.linspace(0, 1, BINS + 1)[1:-1]))
        counts = np.array(
            [
                np.bincount(np.searchsorted(edges, held, side="right"), minlength=len(edges) + 1)
                for held in (old, new)
            ],
            float,
        )
        said = [f"{edge:.4g}" for edge in edges]
        names = [
            f"below {said[0]}",
            *(f"{a} to {b}" for a, b in itertools.pairwise(said)),
            f"{said[-1]} and above",
        ]
        kept = counts.sum(axis=0) > 0
        return [one for one, is_kept in zip(names, kept, strict=True) if is_kept], counts[:, kept]
    if len(values) > MOST_VALUES:
        raise DataError(
            f"column {name!r} has {len(values):,} different words, and {MOST_VALUES} is the most that bins are made of: take it out (--column)"
        )
    names = [*map(str, values)]
    counts = np.array([[int((held == value).sum()) for value in values] for held in (old, new)], float)
    unseen = len(new) - counts[1].sum()
    if unseen or len(names) == 1:  # of a column that never changed, what is new is all that can be
        names.append("values that are new")
        counts = np.hstack([counts, [[0.0], [unseen]]])
    return names, counts


def stability_index(counts: npt.NDArray[np.float64]) -> float:
    """PSI of counts [2, bins]; an empty bin counts half a row, so that it is finite."""
    shares = np.maximum(counts, RARE) / np.maximum(counts, RARE).sum(axis=1, keepdims=True)
    return float(((shares[1] - shares[0]) * np.log(shares[1] / shares[0])).sum())


def bounds(psi: float, effective: float, degrees: int, alpha: float) -> tuple[float, float]:
    """One-sided bounds of the PSI that the tables' sources differ by: the lower at 1 - alpha, the upper at 95 %.

    psi: that was found; effective: n·m/(n + m) of the rows; degrees: bins less one.
    """
    return tuple(
        _noncentrality(effective * psi, degrees, level) / effective for level in (1 - alpha, FALSE_PASS)
    )  # type: ignore[return-value]  # two of them


def _noncentrality(statistic: float, degrees: int, level: float) -> float:
    """That with which a noncentral χ² is below the statistic with probability `level`; 0 where none is."""

    def off(noncentrality: float) -> float:
        below = (
            stats.ncx2.cdf(statistic, degrees, noncentrality)
            if noncentrality
            else stats.chi2.cdf(statistic, degrees)
        )
        return float(below) - level

    if off(0.0) <= 0:
        return 0.0
    most = max(1.0, statistic)
    while off(most) > 0:
        most *= 2
    return float(brentq(off, 0.0, most))


def rows_needed(degrees: int, limit: float) -> int:
    """Rows of each of two tables of one length with which columns that have not moved pass, mostly: whose PSI, at its median by chance, has an
    upper bound below `limit`. degrees: bins less one."""
    median = float(stats.chi2.median(degrees))
    return math.ceil(2 * _noncentrality(median, degrees, FALSE_PASS) / limit)


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def sentences(found: Drift) -> Iterator[str]:
    """What is to be said of each column that does not pass, in words. found: of all."""
    for one in found.columns:
        if one.verdict is Verdict.PASS:
            continue
        name, before, now = one.largest
        moved = f"most of it {name!r}: {100 * before:.1f} % before, {100 * now:.1f} % now"
        if one.verdict is Verdict.FAIL:
            yield f"{one.name}: PSI {one.psi:.3f} [{one.low:.3f}, {one.high:.3f}] is over {found.limit:g}; {moved}"
        else:
            yield f"{one.name}: PSI {one.psi:.3f} [{one.low:.3f}, {one.high:.3f}] holds {found.limit:g} within its bounds: some {one.needed:,} rows of each table would tell"
