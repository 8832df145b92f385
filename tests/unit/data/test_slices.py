"""data.slice: the part of the data that a test example is of, from the file to the measurements."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgecomp.config.parts.data import Data
from edgecomp.data.sources import Source, Wanted, read
from edgecomp.data.splits import SPLITS, Split, write_splits
from edgecomp.errors import DataError
from edgecomp.metrics.measurements import Arm, Measurements

FRACTIONS = {"test_fraction": 0.25, "validation_fraction": 0.15, "calibration_fraction": 0.1}


def csv(folder: Path) -> Source:
    rows = [f"{number},k{number % 2},{'night' if number % 3 else 'day'}" for number in range(120)]
    (folder / "a.csv").write_text("\n".join(["f,label,when", *rows]))
    return read(Wanted("huggingface", path="a.csv", inputs=["f"], label="label", slice="when"), folder)


def npz(folder: Path) -> Source:
    f = np.arange(120, dtype=np.float32)[:, None]
    when = np.where(np.arange(120) % 3 > 0, "night", "day")
    np.savez(folder / "a.npz", inputs=f, label=np.arange(120) % 2, when=when)
    return read(Wanted("numpy", path="a.npz", slice="when"), folder)


@pytest.mark.parametrize("made", [csv, npz])
def test_each_test_example_keeps_its_slice(made: Callable[[Path], Source], tmp_path: Path) -> None:
    write_splits(made(tmp_path), **FRACTIONS, limit=None, tokenizer=None, seed=0, folder=tmp_path)
    split = Split.load(tmp_path, "test")
    assert split.slices is not None
    assert list(split.arrays) == ["values"]  # never an input
    numbers = split.arrays["values"][:, 0].astype(int)
    assert split.slices.tolist() == ["night" if number % 3 else "day" for number in numbers]
    first = split.first(7)
    assert first.slices is not None
    assert len(first.slices) == 7
    assert all(Split.load(tmp_path, name).slices is None for name in SPLITS if name != "test")


def test_slices_are_kept_with_the_measurements(tmp_path: Path) -> None:
    arm = Arm(
        samples={},
        logits=np.zeros((2, 2), np.float32),
        memory={},
        file_size_bytes=1,
        file_sha256={},
        parameter_bytes=None,
    )
    slices = np.array(["day", "night"])
    of = Measurements("t", "onnxruntime-cpu", {"student_int8": arm}, np.array([0, 1]), 1, {}, slices=slices)
    of.save(tmp_path)
    loaded = Measurements.load(tmp_path).slices
    assert loaded is not None
    assert loaded.tolist() == ["day", "night"]


@pytest.mark.parametrize(
    ("text", "wanted", "complaint"),
    [
        ("f,label,when\n1,a,\n2,b,x\n", "when", "'when' (data.slice) of example 0 (from 0) is"),
        ("f,label,when\n1,a,x\n2,b,x\n", "whn", "has no column 'whn' (data.slice); did you mean 'when'?"),
        ("f,label,when\n1,a,x\n2,b,x\n", "label", "data.label and data.slice both name 'label'"),
    ],
)
def test_what_is_no_slice_is_refused(text: str, wanted: str, complaint: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(DataError) as caught:
        read(Wanted("huggingface", path="a.csv", inputs=["f"], label="label", slice=wanted), tmp_path)
    assert complaint in str(caught.value)


def test_a_source_without_columns_has_no_slices(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no use for data\.slice"):
        read(Wanted("digits", slice="when"), tmp_path)


def test_a_recipe_without_slices_has_the_digest_it_had() -> None:
    assert "slice" not in Data(source="digits").model_dump()
    assert Data(source="digits", slice="when").model_dump()["slice"] == "when"
