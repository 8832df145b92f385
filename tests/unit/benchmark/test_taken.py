"""Examples of another type or shape than a model's are taken where no number changes, and else it is said what to do."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from edgecomp.benchmark.inputs.examples import read
from edgecomp.benchmark.inputs.taken import as_taken
from edgecomp.errors import DataError
from edgecomp.runtimes import Port

IMAGE = Port("x", (None, 3, 2, 2), "float32")


def test_a_parquet_of_float64_and_flat_lists_is_taken(tmp_path: Path) -> None:
    images = np.arange(36).reshape(3, 12) / 8
    columns = {"x": images.tolist(), "age": [1, 2, 3], "label": [0, 1, 0]}
    parquet.write_table(pa.table(columns), tmp_path / "e.parquet")
    found = read(tmp_path / "e.parquet", [IMAGE, Port("age", (None, 1), "float32")]).inputs
    assert found["x"].dtype == found["age"].dtype == np.float32
    np.testing.assert_array_equal(found["x"], images.reshape(3, 3, 2, 2))
    assert found["age"].tolist() == [[1], [2], [3]]


@pytest.mark.parametrize(
    ("values", "dtype", "told"),
    [
        (np.array([[0.5], [0.1]]), "float32", "1 of 2 numbers are others: 0.1 of example 1 .* 0.10000000149011612; if"),
        (np.array([[1], [2**24 + 1]]), "float32", "16777217 of example 1 .* becomes 16777216.0"),
        (np.array([[2**31]]), "int32", "2147483648 of example 0 .* becomes -2147483648"),
        (np.array([[1.5]]), "int64", "the model takes int64, .* 1.5 of example 0 .* becomes 1"),
        (np.array([[-1]]), "uint8", r"becomes 255; if that is meant, write them as uint8: .astype\('uint8'\)"),
        (np.array([[2]]), "bool", "becomes True"),
        (np.array([[np.nan]]), "int64", "nan of example 0"),
    ],
)  # fmt: skip
def test_a_number_that_would_be_another_is_refused(values: np.ndarray, dtype: str, told: str) -> None:
    with pytest.raises(DataError, match=f"e.npz: x is of {values.dtype}, .*{told}"):
        as_taken(Path("e.npz"), Port("x", (None, 1), dtype), values)


@pytest.mark.parametrize(
    ("given", "shape", "taken"),
    [
        ((4, 12), (None, 3, 2, 2), (4, 3, 2, 2)),
        ((4, 12), (1, 3, 2, 2), (4, 3, 2, 2)),
        ((4, 12), (None, None, 6), (4, 2, 6)),
        ((4,), (None, 1), (4, 1)),
        ((4,), (None, 1, 1), (4, 1, 1)),
        # what cannot be told stays, and is refused
        ((4, 11), (None, 3, 2, 2), (4, 11)),
        ((4, 12), (None, None, None), (4, 12)),
        ((4, 2, 6), (None, 3, 2, 2), (4, 2, 6)),
        ((4,), (None, None), (4,)),
        ((4,), (None, 2), (4,)),
        ((4, 12), None, (4, 12)),
        ((4, 12), (None, None), (4, 12)),
    ],
)
def test_flat_lists_are_shaped_where_that_can_be_told(
    given: tuple[int, ...], shape: tuple[int | None, ...] | None, taken: tuple[int, ...]
) -> None:
    values = np.arange(np.prod(given), dtype=np.float32).reshape(given)
    found = as_taken(Path("e.npz"), Port("x", shape, "float32"), values)
    assert found.shape == taken
    np.testing.assert_array_equal(found.ravel(), values.ravel())


@pytest.mark.parametrize("dtype", ["bfloat16", "string", None])
def test_other_types_are_left_alone(dtype: str | None) -> None:
    values = np.array([[0.1]])
    assert as_taken(Path("e.npz"), Port("x", (None, 1), dtype), values) is values


def test_a_nan_stays_one_to_be_told() -> None:
    assert np.isnan(as_taken(Path("e.npz"), IMAGE, np.full((1, 12), np.nan))).all()
