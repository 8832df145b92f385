"""Arrays of numbers, checked."""

from typing import Any

import numpy as np
import numpy.typing as npt

from edgecomp.errors import DataError

COARSE = 1e-3  # of a feature's deviation: a rounding of float32's that a network may notice


def finite(values: npt.NDArray[Any], where: str, told: list[str] | None = None) -> npt.NDArray[np.float32]:
    """`values` [N, ...] as float32. Raises DataError, which begins with `where`, if one is NaN, infinite, or
    too large for float32.

    told: is added to where float32 changes more than the last digits.
    """
    with np.errstate(over="ignore"):
        single = values.astype(np.float32, copy=False)
    bad = ~np.isfinite(single)
    if bad.any():
        raise DataError(f"{where}: {int(bad.sum())} values are NaN, infinite or beyond float32, the first {_at(bad)}: "
                        f"{values[_first(bad)]}; fill them in, or take those examples out")  # fmt: skip
    if told is not None and len(values) and not np.can_cast(values.dtype, np.float32):
        changed = _changed(values, single)
        if changed.any():
            place = _first(changed)
            told.append(f"{where}: float32, which networks compute in, changes {int(changed.sum()):,} of {values.size:,} values "
                        f"by more than its rounding may, the first {_at(changed)}: {values[place].item()!r} becomes "
                        f"{single[place].item()!r}; subtract what they have in common, or scale them")  # fmt: skip
    return single


def _changed(values: npt.NDArray[Any], single: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
    """Whole numbers that become others, what becomes zero, and what is rounded by a part of its feature's deviation."""
    if values.dtype.kind in "iu":
        with np.errstate(invalid="ignore"):  # the largest integer has no float32
            return single.astype(values.dtype) != values  # type: ignore[no-any-return]  # numpy: of arrays of any type
    error = np.abs(single - values)
    vanished = (single == 0) & (values != 0)
    whole = (np.abs(values) <= 2**53) & (np.trunc(values) == values) & (error > 0)
    coarse = error > COARSE * values.std(axis=0)
    return vanished | whole | (coarse & (values.std(axis=0) > 0))  # type: ignore[no-any-return]  # numpy: of arrays of any type


def _first(bad: npt.NDArray[np.bool_]) -> tuple[int, ...]:
    return tuple(int(index) for index in np.argwhere(bad)[0])


def _at(bad: npt.NDArray[np.bool_]) -> str:
    example, *place = _first(bad)
    return f"in example {example} (from 0){f', at {place}' if place else ''}"
