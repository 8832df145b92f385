"""Augmentation that is a pure function of (seed, view, example), so that soft labels can be stored once for each view.

Teacher and student see the same view of an example: a consistent teacher (Beyer et al. 2022, arXiv:2106.05237). Images are moved,
mirrored, coloured and blended when a view is asked for; numbers are blended; texts are varied once, when the data are split, and each
view of them is a file.
"""

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from edgecomp.tasks import Labels

Arrays = Mapping[str, npt.NDArray[Any]]


class Augmentation(Protocol):
    def view(self, arrays: Arrays, labels: Labels, index: int) -> dict[str, npt.NDArray[np.generic]]:
        """View number `index` of a split's arrays, by name, [N, ...]; labels: [N], which all views share."""
        ...
