"""The store of soft labels: a teacher's logits for every view of every training image, in one HDF5 file."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from edgecomp.errors import DataError

FORMAT_VERSION = 2
"""2: datasets `logits`, float16 or float32 [views, N, classes], and `validation`, [N, classes]; attribute `teacher_sha256`."""


class SoftLabels:
    """logits of one view, float32 [N, classes], read when asked for."""

    def __init__(self, file: h5py.File) -> None:
        self._logits, self._validation = file["logits"], file["validation"]
        self.views: int = self._logits.shape[0]

    def view(self, index: int) -> npt.NDArray[np.float32]:
        """Of the training split, in view number `index`; after the last one they begin again."""
        return self._logits[index % self.views].astype(np.float32)  # type: ignore[no-any-return]

    def validation(self) -> npt.NDArray[np.float32]:
        """Of the validation split, unshifted."""
        return self._validation[:].astype(np.float32)  # type: ignore[no-any-return]


def write(
    path: Path,
    views: Iterator[npt.NDArray[np.float32]],
    validation: npt.NDArray[np.float32],
    *,
    count: int,
    teacher_sha256: str,
    exact: bool = False,
) -> None:
    """Stores `count` views of the training split, and the validation split, in the file at `path`; each is
    float32 [N, classes]. teacher_sha256: of the teacher that gave them; exact: in float32 as they are, of a student that is to answer as its teacher does: beside a
    large mean float16 rounds away what differs.

    Raises DataError where a logit is not finite, or beyond float16 where it is stored so.
    """
    with h5py.File(path, "w", libver="latest") as file:
        file.attrs["format"] = FORMAT_VERSION
        file.attrs["teacher_sha256"] = teacher_sha256
        kind = np.float32 if exact else np.float16
        file["validation"] = as_stored(validation, "the validation split", kind)
        dataset = None
        for index, logits in enumerate(views):
            stored = as_stored(logits, f"view {index}", kind)
            if dataset is None:
                dataset = file.create_dataset(
                    "logits", (count, *logits.shape), dtype=kind, chunks=(1, *logits.shape)
                )
            dataset[index] = stored


def as_stored(
    logits: npt.NDArray[np.float32], of: str, kind: type[np.floating[Any]] = np.float16
) -> npt.NDArray[Any]:
    """The `logits` as numbers of that `kind`. of: what they are, for messages. Raises DataError where one is not finite, or beyond the kind."""
    with np.errstate(over="ignore"):
        stored = logits.astype(kind)
    if not np.isfinite(logits).all():
        raise DataError(
            f"the teacher's logits of {of} are not finite: it has diverged; lower teacher.learning_rate"
        )
    if not np.isfinite(stored).all():
        raise DataError(f"the teacher's logits of {of} reach {np.abs(logits).max():.3g}, and soft labels are stored up to "
                        f"{np.finfo(kind).max:,.0f}: the teacher has diverged (lower "
                        "teacher.learning_rate), or what it gives are no logits")  # fmt: skip
    return stored


@contextmanager
def opened(path: Path) -> Iterator[SoftLabels]:
    """The soft labels in the file at `path`, which is open for as long. Raises OSError where it is no HDF5
    file."""
    with h5py.File(path, "r") as file:
        yield SoftLabels(file)
