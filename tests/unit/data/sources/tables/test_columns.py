from io import BytesIO

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from edgecomp.data.sources.tables.columns import can_be_inputs, can_be_label, kind, plain, values
from edgecomp.errors import DataError


def png(value: int) -> bytes:
    file = BytesIO()
    Image.new("L", (3, 2), value).save(file, "PNG")
    return file.getvalue()


def got(*chunks: pa.Array) -> object:
    return values(pa.chunked_array(list(chunks)), "c", "here", None, None)


def refused(*chunks: pa.Array) -> str:
    with pytest.raises(DataError) as caught:
        got(*chunks)
    return str(caught.value)


def test_bytes_are_images_alone_or_with_a_path() -> None:
    alone = pa.array([png(1), png(2)])
    hub = pa.array([{"bytes": png(3), "path": None}])
    for chunks, expected in (((alone, alone), [1, 2, 1, 2]), ((hub, hub), [3, 3])):
        images = got(*chunks)
        assert isinstance(images, np.ndarray)
        assert images.shape == (len(expected), 1, 2, 3)
        assert images[:, 0, 0, 0].tolist() == expected
        assert kind(chunks[0].type) == "image"


def test_strings_are_texts() -> None:
    assert got(pa.array(["a", ""]), pa.array(["b"])) == ["a", "", "b"]
    for type_ in (pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string())):
        assert got(pa.array(["a", "b", "a"], pa.string()).cast(type_)) == ["a", "b", "a"]
        assert plain(pa.chunked_array([pa.array(["a", None]).cast(type_)])) == ["a", None]
        assert kind(type_) == "text"


@pytest.mark.parametrize(
    "type_", [pa.list_(pa.float64()), pa.large_list(pa.int8()), pa.list_(pa.float16(), 2)]
)
def test_lists_are_arrays(type_: pa.DataType) -> None:
    column = pa.array([[9, 9], [1, 2], [3, 4], [5, 6]], pa.list_(pa.float64())).cast(type_)
    arrays = got(column[1:3], column[3:])
    assert isinstance(arrays, np.ndarray)
    assert arrays.dtype == np.float32
    assert arrays.tolist() == [[1, 2], [3, 4], [5, 6]]


def test_lists_of_lists_keep_their_shape() -> None:
    cube = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    np.testing.assert_array_equal(got(pa.array(cube.tolist())), cube)


@pytest.mark.parametrize(
    ("column", "complaint"),
    [
        (
            pa.array(["a", None, None]),
            "2 of 3 texts of column 'c' are missing, the first in example 1 (from 0)",
        ),
        (pa.nulls(2), "2 of 2 texts"),
        (pa.array([1, 2]), "column 'c' holds int64, not texts"),
        (pa.array([1.5]), "holds double"),
        (pa.array([{"a": 1, "b": 2}]), "holds struct"),
        (pa.array([png(1), None]), "1 of 2 images of column 'c' are missing, the first in example 1"),
        (pa.array([{"bytes": None, "path": "a.png"}, {"bytes": b"x", "path": ""}]), "a path does not do"),
        (pa.array([png(1), b"x"]), "here, example 1 (from 0): cannot be read as an image"),
        (pa.array([[1.0], [1.0, 2.0]]), "different lengths: 1 in example 0, 2 in example 1"),
        (pa.array([[[1], [2]], [[3], []]]), "different lengths: 1 in example 0, 0 in example 1"),
        (pa.array([[1.0], None]), "a missing value in example 1"),
        (pa.array([[1.0, 2.0], [3.0, None]]), "a missing value in example 1"),
        (pa.array([[], []], pa.list_(pa.float32())), "are empty"),
        (pa.array([[True]]), "lists of bool, not of numbers"),
        (pa.array([["a"], ["b", "c d"]]), "example 1 (from 0) of column"),
        (pa.array([["a"], []], pa.list_(pa.string())), "has one at least"),
        (pa.array([[1.0, 2.0], [3.0, float("nan")]]), "the first in example 1 (from 0), at [1]: nan"),
    ],
)
def test_columns_that_cannot_serve_are_refused(column: pa.Array, complaint: str) -> None:
    assert complaint in refused(column)
    assert refused(column).startswith("here")


def test_what_may_be_inputs_and_labels() -> None:
    struct = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    inputs = [pa.string(), struct, pa.binary(), pa.list_(pa.int64())]
    labels = [pa.string(), pa.int64(), pa.uint8(), pa.bool_(), pa.float64()]
    for type_ in (*inputs, *labels, pa.date32(), pa.null()):
        assert can_be_inputs(type_) == (type_ in inputs)
        assert can_be_label(type_) == (type_ in labels)
