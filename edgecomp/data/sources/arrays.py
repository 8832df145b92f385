"""Arrays of numbers, checked."""

from typing import Any

import numpy as np
import numpy.typing as npt

from edgecomp.errors import DataError


def finite(values: npt.NDArray[Any], where: str) -> npt.NDArray[np.float32]:
    """As float32 [N, ...]. Raises DataError where one is NaN, infinite, or too large for float32."""
    with np.errstate(over="ignore"):
        single = values.astype(np.float32, copy=False)
    bad = ~np.isfinite(single)
    if bad.any():
        place = tuple(int(index) for index in np.argwhere(bad)[0])
        raise DataError(f"{where}: {int(bad.sum())} values are NaN, infinite or beyond float32, the first in example "
                        f"{place[0]} (from 0), at {list(place[1:])}: {values[place]}; fill them in, or take those "
                        "examples out")  # fmt: skip
    return single
