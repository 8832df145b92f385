"""A copy of data without what was removed, which a recipe reads as it read the data themselves."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgecomp.data.sources.examples import Examples, Source


def write(
    source: Source, folder: Path, *, inputs: str = "text", label: str = "label", of_classes: bool = True
) -> list[Path]:
    """Writes each split of `source` into `folder`, texts as SPLIT.parquet and others as SPLIT.npz, and returns the files.

    inputs, label: what their column or array is called; of_classes: whether labels are written as the names of classes.
    """
    written = []
    for name, examples in source.splits.items():
        labels = _labels(examples, source.classes, of_classes)
        if isinstance(examples.values, list):
            written.append(folder / f"{name}.parquet")
            _table(written[-1], {inputs: examples.values, label: labels}, examples)
            continue
        written.append(folder / f"{name}.npz")
        arrays: dict[str, Any] = (
            dict(examples.values) if isinstance(examples.values, dict) else {inputs: examples.values}
        )
        if examples.slices is not None:
            arrays["slice"] = examples.slices
        np.savez(written[-1], **arrays, **{label: np.asarray(labels)})  # type: ignore[arg-type]  # its stubs take any name for allow_pickle
    return written


def _labels(examples: Examples, classes: Sequence[str], of_classes: bool) -> list[Any]:
    if of_classes and examples.labels.ndim == 1 and examples.labels.dtype.kind in "iu" and classes:
        return [classes[number] for number in examples.labels]
    return list(examples.labels.tolist())


def _table(file: Path, columns: dict[str, Any], examples: Examples) -> None:
    import pyarrow
    from pyarrow import parquet

    if examples.slices is not None:
        columns = columns | {"slice": examples.slices.tolist()}
    parquet.write_table(pyarrow.table(columns), file)
