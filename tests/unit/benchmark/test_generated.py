"""Inputs for a model of which nothing is known but its signature."""

from pathlib import Path

import numpy as np
import pytest

from edgecomp.benchmark.inputs.examples import read
from edgecomp.benchmark.inputs.generated import at_once, check_names, generate, shapes_of
from edgecomp.benchmark.inputs.signatures import example_axes, rows_of
from edgecomp.config.target import Shapes
from edgecomp.errors import DataError, UsageError
from edgecomp.runtimes import Port
from edgecomp.runtimes.base import from_bfloat16

SHAPES = Shapes(sequence_length=7, image_size=9)
IMAGE = Port("image", (None, 3, None, None), "float32")
IDS = Port("input_ids", (None, None), "int64")
MASK = Port("attention_mask", (None, None), "int64")
TYPES = Port("token_type_ids", (None, None), "int64")


def made(*ports: Port, shapes: Shapes = SHAPES, rows: int = 1, queries: int = 5) -> dict[str, np.ndarray]:
    return generate(ports, shapes, rows=rows, queries=queries, seed=0).inputs


def test_open_axes_get_the_targets_lengths_and_ids_are_ids() -> None:
    found = made(IMAGE, IDS, MASK, TYPES)
    assert {name: values.shape for name, values in found.items()} == {
        "image": (5, 3, 9, 9),
        "input_ids": (5, 7),
        "attention_mask": (5, 7),
        "token_type_ids": (5, 7),
    }
    assert found["image"].dtype == np.float32
    assert 0 <= found["input_ids"].min() < found["input_ids"].max() < 100
    assert (found["attention_mask"] == 1).all()
    assert (found["token_type_ids"] == 0).all()
    again = made(IMAGE, IDS, MASK, TYPES)
    assert all((again[name] == values).all() for name, values in found.items())


@pytest.mark.parametrize("dtype", ["int64", "int32", "uint8", "float32", "float16", "float64", "bool"])
def test_a_mask_of_any_type_is_of_ones(dtype: str) -> None:
    mask = made(IDS, Port("attention_mask", (None, None), dtype))["attention_mask"]
    assert mask.dtype == dtype
    assert (mask == 1).all()


def test_what_was_made_up_is_told() -> None:
    told = generate([IDS, MASK], SHAPES, rows=1, queries=1, seed=0).words
    assert told == {"input_ids": "int64 [7] of ids under 100", "attention_mask": "int64 [7] of ones"}


def test_ids_stay_inside_the_smallest_table_and_the_range_of_their_type() -> None:
    assert made(IDS._replace(below=12), queries=50)["input_ids"].max() == 11
    assert made(Port("code", (None, 4), "int8"), queries=50)["code"].max() < 100


def test_lengths_and_places_are_legal() -> None:
    x, lengths = Port("x", (None, 20, 5), "float32"), Port("lengths", (None,), "int64")
    found = made(x, lengths, Port("position_ids", (None, None), "int64"))
    assert (found["lengths"] == 20).all()
    np.testing.assert_array_equal(found["position_ids"], np.tile(np.arange(7), (5, 1)))


def test_the_files_own_names_say_how_long_an_axis_is() -> None:
    time_first = Port("x", (None, None, 5), "float32", ("time", "batch", ""))
    state = Port("h", (1, None, 8), "float32", ("", "batch", ""))
    sized = Shapes(axes={"time": 3})
    assert {name: values.shape for name, values in made(time_first, state, shapes=sized).items()} == {
        "x": (5, 3, 5),  # examples come first until the file is asked
        "h": (5, 1, 8),
    }
    assert example_axes([time_first, state]) == {"x": 1, "h": 1}
    assert at_once([time_first], Shapes(axes={"batch": 4})) == 4
    assert made(IMAGE, shapes=Shapes(axes={"image.2": 6}))["image"].shape == (5, 3, 6, 224)
    one_name = [Port(name, (None, None), "int64", ("n", "length")) for name in ("a", "b")]
    assert {values.shape for values in made(*one_name, shapes=Shapes(axes={"length": 4})).values()} == {
        (5, 4)
    }


def test_a_range_says_which_values_are_legal() -> None:
    ranged = Shapes(ranges={"weekday": "1:7", "heat": "-1.5:0"})
    found = made(
        Port("weekday", (None, 1), "int32"), Port("heat", (None, 1), "float32"), shapes=ranged, queries=99
    )
    assert (found["weekday"].min(), found["weekday"].max()) == (1, 7)
    assert -1.5 <= found["heat"].min() < found["heat"].max() <= 0


def test_bfloat16_is_made_up_as_its_bits() -> None:
    bits = made(Port("x", (None, 4), "bfloat16"))["x"]
    assert bits.dtype == np.uint16
    values = from_bfloat16(bits)
    assert 0 < np.abs(values).max() < 5
    exact = made(Port("x", (None, 4), "float32"))["x"]
    assert np.abs(values - exact).max() <= 2**-8 * np.abs(exact).max()


def test_what_has_no_axis_of_examples_is_the_same_for_all() -> None:
    x, threshold = Port("x", (None, 4), "float32"), Port("threshold", (), "float32")
    size = Port("size", (2,), "int64")
    found = made(x, threshold, size)
    assert found["threshold"].shape == (5,)
    assert (found["threshold"] == 1).all()
    assert found["size"].shape == (5, 2)
    assert len(np.unique(found["size"], axis=0)) == 1
    assert example_axes([x, threshold, size]) == {"x": 0, "threshold": None, "size": None}


@pytest.mark.parametrize(
    ("ports", "axes"),
    [
        ([Port("x", (1, 64), "float32"), Port("size", (2,), "int64")], {"x": 0, "size": None}),
        ([Port("size", (2,), "int64"), Port("x", (1, 3, 8, 8), "float32")], {"size": None, "x": 0}),
        ([Port("x", (None, 4), "float32"), Port("scale", (1, 4), "float32")], {"x": 0, "scale": None}),
        ([Port("ids", (None, None), "int64", ("n", "l")), Port("places", (None,), "int64", ("l",))], {"ids": 0, "places": None}),
        ([Port("ids", (None, None), "int64", ("batch_size", "l")), Port("mask", (None, None), "int64", ("unk__1", "unk__2"))], {"ids": 0, "mask": 0}),
        ([Port("x", None, None)], {"x": 0}),
    ],
)  # fmt: skip
def test_which_axis_is_of_examples(ports: list[Port], axes: dict[str, int | None]) -> None:
    assert example_axes(ports) == axes


@pytest.mark.parametrize(
    ("port", "words"),
    [
        (Port("words", (None, 3), "string"), "'words' is of string, which cannot be made up"),
        (Port("x", (None, 3), "float8e4m3fn"), "'x' is of float8e4m3fn, which cannot be made up"),
        (Port("x", None, None), "does not tell the shape of its input 'x'"),
        (Port("x", (None, 2**31), "float32"), "1 at once, would take 8.0 GiB, more than 512.0 MiB: make it"),
        (Port("x", (10**6, 2**10), "float32"), "1,000,000 at once, would take 3.8 GiB, more than 512.0 MiB"),
    ],
)
def test_what_cannot_be_made_up_is_asked_for(port: Port, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        generate([port], SHAPES, rows=rows_of([port]) or 1, queries=1, seed=0)


def test_large_examples_are_fewer() -> None:
    large = Port("x", (None, 2**24), "float32")  # 64 MiB each
    assert made(large, queries=16)["x"].shape[0] == 8


def test_a_file_without_inputs_is_told() -> None:
    with pytest.raises(UsageError, match="the file takes no inputs"):
        generate([], SHAPES, rows=1, queries=1, seed=0)


@pytest.mark.parametrize(
    ("sizes", "ranges", "words"),
    [
        (["length"], [], "--shape length is no length of an axis: write NAME=N"),
        (["length=0"], [], "--shape length=0 is no length"),
        ([f"length={'9' * 5000}"], [], "is no length"),
        ([], ["x=5"], "--range x=5: '5' is no range: write LOW:HIGH"),
        ([], ["x=3:1"], "'3:1' is no range: its ends are numbers, and the first is not over the second"),
        ([], ["x=0:inf"], "'0:inf' is no range"),
        ([], ["0:1"], "--range 0:1 names no input"),
    ],
)
def test_shapes_and_ranges_that_are_none_are_refused(sizes: list[str], ranges: list[str], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        shapes_of(None, sizes, ranges)


def test_the_command_line_goes_before_the_target_and_names_what_the_file_has() -> None:
    found = shapes_of(Shapes(batch=2, axes={"length": 5, "time": 6}), ["length=9"], ["x=0:1"])
    assert (found.batch, found.axes, found.ranges) == (2, {"length": 9, "time": 6}, {"x": "0:1"})
    ports = [Port("ids", (None, None, 3), "int64", ("batch", "length", ""))]
    check_names(ports, ["length=9", "batch=2", "ids.1=4"], ["ids=0:1"])
    with pytest.raises(UsageError, match="no such axis that the file leaves free; did you mean 'length'"):
        check_names(ports, ["lenght=9"], [])
    with pytest.raises(UsageError, match="no such input; did you mean 'ids'"):
        check_names(ports, [], ["idz=0:1"])


def test_more_examples_at_once_than_anybody_asks_are_refused() -> None:
    with pytest.raises(UsageError, match="1,000,000 examples at once are more than 65,536"):
        at_once([Port("x", (None, 4), "float32", ("batch", ""))], Shapes(axes={"batch": 10**6}))


def test_a_range_that_the_type_has_not_is_refused() -> None:
    with pytest.raises(UsageError, match="whole numbers from 0 to 255"):
        made(Port("x", (None, 1), "uint8"), shapes=Shapes(ranges={"x": "-1:3"}))
    with pytest.raises(UsageError, match="whole numbers"):
        made(Port("x", (None, 1), "int64"), shapes=Shapes(ranges={"x": "0.5:3"}))


def test_a_fixed_batch_is_seen() -> None:
    assert rows_of([IMAGE, IDS]) is None
    assert rows_of([Port("x", (8, 3), "float32"), IDS]) == 8


# Examples that are given


def test_examples_come_from_a_file(tmp_path: Path) -> None:
    given = {"input_ids": np.ones((3, 5), np.int64), "attention_mask": np.ones((3, 5), np.int64)}
    np.savez(tmp_path / "in.npz", left_over=np.zeros(3), **given)
    found = read(tmp_path / "in.npz", [IDS, MASK])
    assert list(found.inputs) == ["input_ids", "attention_mask"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({}, "has no input_ids, attention_mask; it has nothing"),
        ({"input_ids": np.ones((3, 5), np.int64)}, "has no attention_mask; it has input_ids"),
        ({"input_ids": np.full((3, 5), 1.5), "attention_mask": np.ones((3, 5), np.int64)},
         "of float64, the model takes int64, in which 15 of 15 numbers are others: 1.5 of example 0"),
        ({"input_ids": np.ones((3, 5, 1), np.int64), "attention_mask": np.ones((3, 5), np.int64)},
         r"of \[3, 5, 1\], the model takes \[any, any\]"),
        ({"input_ids": np.ones((3, 5), np.int64), "attention_mask": np.ones((2, 5), np.int64)}, "input_ids 3, attention_mask 2 examples: they must be as many"),
        ({"input_ids": np.ones((0, 5), np.int64), "attention_mask": np.ones((0, 5), np.int64)}, "one at least"),
    ],
)  # fmt: skip
def test_examples_that_do_not_fit_are_refused(
    content: dict[str, np.ndarray], words: str, tmp_path: Path
) -> None:
    np.savez(tmp_path / "in.npz", **content)
    with pytest.raises(DataError, match=words):
        read(tmp_path / "in.npz", [IDS, MASK])


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cut.npz").write_bytes(b"PK\3\4 cut short")
    with pytest.raises(DataError, match=r"cut\.npz is not a readable \.npz file"):
        read(tmp_path / "cut.npz", [IDS])
    with pytest.raises(DataError, match="no such file of examples"):
        read(tmp_path / "none.npz", [IDS])


def test_examples_are_of_every_type_that_a_model_takes(tmp_path: Path) -> None:
    """And of any shape: a threshold and a size are given once, and an axis of examples is where the file says."""
    given = {
        "words": np.array([["a"], ["bc"], ["d"]]),
        "flags": np.array([[True], [False], [True]]),
        "half": np.ones((3, 2), np.float16),
        "brain": np.array([[1.0], [-2.5], [3.0]], np.float32),
        "threshold": np.float32(0.5),
        "size": np.array([1, 4]),
        "time": np.arange(24, dtype=np.float32).reshape(4, 3, 2),
        "free": np.ones((3, 9), np.int32),
    } | {
        name: np.ones((3, 1), name)
        for name in ("int8", "int16", "uint16", "int32", "uint32", "uint64", "float64")
    }
    ports = [
        Port("words", (None, 1), "string", ("n", "")),
        Port("flags", (None, 1), "bool", ("n", "")),
        Port("half", (None, 2), "float16", ("n", "")),
        Port("brain", (None, 1), "bfloat16", ("n", "")),
        Port("threshold", (), "float32"),
        Port("size", (2,), "int64"),
        Port("time", (None, None, 2), "float32", ("t", "n", "")),
        Port("free", None, "int32"),
        *(Port(name, (None, 1), name, ("n", "")) for name in ("int8", "int16", "uint16", "int32", "uint32", "uint64", "float64")),
    ]  # fmt: skip
    np.savez(tmp_path / "in.npz", label=np.array([True, False, True]), **given)
    found = read(tmp_path / "in.npz", ports)
    assert {len(values) for values in found.inputs.values()} == {3}
    assert found.axes == {"threshold": None, "size": None, "time": 1}
    np.testing.assert_array_equal(from_bfloat16(found.inputs["brain"]), given["brain"])
    np.testing.assert_array_equal(found.inputs["time"][1], given["time"][:, 1])
    np.testing.assert_array_equal(found.inputs["size"][2], [1, 4])
    np.testing.assert_array_equal(found.labels, [1, 0, 1])


def test_what_a_fixed_file_takes_once_may_be_given_once(tmp_path: Path) -> None:
    ports = [Port("x", (1, 64), "float32"), Port("scale", (1,), "float32")]
    np.savez(tmp_path / "in.npz", x=np.ones((5, 64), np.float32), scale=np.ones(1, np.float32))
    assert read(tmp_path / "in.npz", ports).axes == {"scale": None}


def test_arrays_that_are_not_asked_for_are_left_alone(tmp_path: Path) -> None:
    np.savez(tmp_path / "in.npz", x=np.ones((2, 4), np.float32), pickled=np.array([{"a": 1}], dtype=object))
    assert list(read(tmp_path / "in.npz", [Port("x", (None, 4), "float32")]).inputs) == ["x"]
    with pytest.raises(DataError, match="texts of fixed length"):
        read(tmp_path / "in.npz", [Port("pickled", (None,), "string")])


def test_a_file_that_would_fill_the_memory_is_refused_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.savez_compressed(tmp_path / "in.npz", x=np.zeros((2**18, 4), np.float32))  # 4 MiB in some kB
    monkeypatch.setattr("edgecomp.files.archives.memory_bytes", lambda: 2**20)
    with pytest.raises(DataError, match=r"would unpack to 4\.0 MiB, and this machine has 1\.0 MiB"):
        read(tmp_path / "in.npz", [Port("x", (None, 4), "float32")])
