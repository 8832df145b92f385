"""Columns of an Arrow table as images, texts, arrays of numbers, and plain labels."""

from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from edgecomp.data.sources.arrays import finite
from edgecomp.data.sources.examples import Values
from edgecomp.data.sources.images import stacked, unreadable
from edgecomp.errors import DataError

types = pa.types

MOST_CATEGORIES = 64  # of a column


def kind(type_: pa.DataType) -> str:
    """What a column of `type_` holds, for people: `image`, `int64`, `list<float>`."""
    return "image" if _is_image(type_) else "text" if _is_text(type_) else str(type_)


def can_be_inputs(type_: pa.DataType) -> bool:
    """Whether a column of `type_` holds images, texts or lists."""
    return _is_image(type_) or _is_text(type_) or _is_list(_storage(type_))


def can_be_label(type_: pa.DataType) -> bool:
    """Whether a column of `type_` holds texts, numbers, or true and false."""
    type_ = _plain_type(type_)
    return _is_text(type_) or types.is_integer(type_) or types.is_boolean(type_) or types.is_floating(type_)


def is_number(type_: pa.DataType) -> bool:
    """Whether a column of `type_` holds a number a row."""
    return bool(types.is_integer(type_) or types.is_floating(type_))


def plain(column: pa.ChunkedArray) -> list[object]:
    """The Python values of `column`, None where missing."""
    return column.cast(_plain_type(column.type)).to_pylist()  # type: ignore[no-any-return]


def values(
    column: pa.ChunkedArray,
    name: str,
    where: str,
    image_size: int | None,
    mode: str | None,
    told: list[str] | None = None,
    to_clean: bool = False,
) -> Values:
    """Images uint8 [N, C, H, W] of encoded bytes, texts of strings, or float32 [N, ...] of lists: what
    `column` holds. Raises DataError, which names it by `where` and `name`.

    image_size, mode: what images are made, as `images.stacked` has it; told: is added to as `finite` does; to_clean: a
    text that is missing is an empty one.
    """
    column = _stored(column)
    if to_clean and (types.is_null(column.type) or _is_text(column.type)):
        column = column.cast(pa.string()).fill_null("")
    if _is_image(column.type):
        return _images(column, name, where, image_size, mode)
    if _is_list(column.type) and _is_text(column.type.value_type):
        return _words(column, name, where)
    if _is_list(column.type):
        return _numbers(column, name, where, told)
    if types.is_null(column.type) or (_is_text(column.type) and column.null_count):
        place = _first_missing(column)
        raise DataError(f"{where}: {column.null_count} of {len(column)} texts of column {name!r} are missing, the "
                        f"first in example {place} (from 0): fill them in, or take those examples out")  # fmt: skip
    if not _is_text(column.type):
        raise DataError(f"{where}: column {name!r} holds {column.type}, not texts, images or lists of numbers: name "
                        f"another in data.inputs, or all columns of numbers as a list, data.inputs=[{name}, …]")  # fmt: skip
    return column.to_pylist()  # type: ignore[no-any-return]


def _stored(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Without an extension's type, and without a dictionary."""
    if isinstance(column.type, pa.BaseExtensionType):
        column = pa.chunked_array([chunk.storage for chunk in column.chunks], type=_storage(column.type))
    return column.cast(_plain_type(column.type))


def unreadable_images(
    column: pa.ChunkedArray, image_size: int | None, mode: str | None
) -> list[tuple[int, str, str]]:
    """Of a `column` of images those that cannot be stacked, as `images.unreadable` has them; none of another column. image_size, mode: as there."""
    column = _stored(column)
    if not _is_image(column.type):
        return []
    encoded = pc.struct_field(column, "bytes") if types.is_struct(column.type) else column
    return unreadable(len(encoded), lambda place: BytesIO(encoded[place].as_py() or b""), image_size, mode)


def categories(table: pa.Table, where: str) -> dict[str, list[str]]:
    """By the name of a column of texts among the inputs, the texts that are in it, sorted. table: of the training split.

    Raises DataError where they are too many to be categories, or one is missing.
    """
    found = {}
    for name, column in zip(table.column_names, table.columns, strict=True):
        if not _is_text(column.type):
            continue
        if column.null_count:
            raise DataError(f"{where}: {column.null_count} of {len(column)} categories of column {name!r} are missing, the first in example "
                            f"{_first_missing(column)} (from 0): write them as one of their own, `unknown` for instance")  # fmt: skip
        found[name] = sorted({str(value) for value in plain(column)})
        if len(found[name]) > MOST_CATEGORIES:
            raise DataError(f"{where}: column {name!r} has {len(found[name]):,} different texts, and categories are {MOST_CATEGORIES} at most: take "
                            "it out of data.inputs, or group them")  # fmt: skip
    return found


def spread_out(name: str, known: Mapping[str, Sequence[str]]) -> list[str]:
    """What a column called `name` becomes: one of numbers itself, and of the `known` categories a column of 0 and 1 each."""
    return [f"{name}={value}" for value in known[name]] if name in known else [name]


def rows(
    table: pa.Table, known: Mapping[str, Sequence[str]], where: str, told: list[str] | None = None
) -> Values:
    """The columns of `table`, numbers all, side by side: float32 [N, columns]. Raises DataError, which begins
    with `where`. known: what `categories` found; told: is added to as `finite` does."""
    single = []
    for name, column in zip(table.column_names, table.columns, strict=True):
        if name in known:
            single += _of_categories(column, name, known[name], where, told)
            continue
        if types.is_boolean(column.type):
            column = column.cast(pa.int8())
        if not is_number(column.type):
            raise DataError(
                f"{where}: column {name!r} holds {kind(column.type)}, neither numbers nor categories: take it out of data.inputs"
            )
        if column.null_count:
            raise DataError(f"{where}: {column.null_count} of {len(column)} numbers of column {name!r} are missing, the first "
                            f"in example {_first_missing(column)} (from 0): fill them in, or take those examples out")  # fmt: skip
        single.append(finite(column.to_numpy(), f"{where}, column {name!r}", told))
    return np.column_stack(single)


def _images(
    column: pa.ChunkedArray, name: str, where: str, image_size: int | None, mode: str | None
) -> Values:
    encoded = pc.struct_field(column, "bytes") if types.is_struct(column.type) else column
    if encoded.null_count:
        raise DataError(f"{where}: {encoded.null_count} of {len(encoded)} images of column {name!r} are missing, the "
                        f"first in example {_first_missing(encoded)} (from 0): the bytes must be in the file, a path "
                        "does not do")  # fmt: skip
    return stacked(
        len(encoded),
        lambda index: BytesIO(encoded[index].as_py()),
        lambda index: f"{where}, example {index} (from 0)",
        image_size,
        mode,
    )


def _numbers(column: pa.ChunkedArray, name: str, where: str, told: list[str] | None) -> Values:
    """Lists, also of lists, all of one shape."""
    return finite(numbers(column, name, where), where, told)


def numbers(column: pa.ChunkedArray, name: str, where: str) -> npt.NDArray[Any]:
    """What a `column` of numbers, or of lists of them, of lists too, all of one shape, holds, [N, ...]. Raises DataError, which names it by
    `where` and `name`."""
    count, inner = len(column), 1  # `inner`: lists or values an example has at this depth
    shape = [count]
    array = pa.concat_arrays(column.chunks)
    while True:
        if array.null_count:
            place = _first_missing(array) // inner
            raise DataError(f"{where}: column {name!r} has a missing value in example {place} (from 0): fill it in, or "
                            "take that example out")  # fmt: skip
        if not _is_list(array.type):
            break
        lengths = pc.list_value_length(array)
        first = lengths[0].as_py()
        other = pc.index(pc.not_equal(lengths, first), True).as_py()
        if other >= 0:
            raise DataError(f"{where}: the lists of column {name!r} are of different lengths: {first} in example 0, "
                            f"{lengths[other].as_py()} in example {other // inner} (from 0): they must be of one "
                            "shape")  # fmt: skip
        if first == 0:
            raise DataError(f"{where}: the lists of column {name!r} are empty")
        shape.append(first)
        inner *= first
        array = array.flatten()
    if not (types.is_floating(array.type) or types.is_integer(array.type)):
        held = f"lists of {array.type}" if len(shape) > 1 else kind(column.type)
        raise DataError(f"{where}: column {name!r} holds {held}, not of numbers")
    found: npt.NDArray[Any] = array.to_numpy(zero_copy_only=False).reshape(shape)
    return found


def _of_categories(
    column: pa.ChunkedArray, name: str, known: Sequence[str], where: str, told: list[str] | None
) -> list[npt.NDArray[np.float32]]:
    """A column of 0 and 1 for each; what the training split does not have is 0 in all of them."""
    given = np.asarray([value if isinstance(value, str) else "" for value in plain(column)])
    unseen = ~np.isin(given, list(known))
    if unseen.any() and told is not None:
        told.append(f"{where}: {int(unseen.sum())} of {len(given)} examples have a {name!r} that no training example has, {str(given[unseen][0])!r} for "
                    "instance: they are of no category there")  # fmt: skip
    return [(given == value).astype(np.float32) for value in known]


def _words(column: pa.ChunkedArray, name: str, where: str) -> list[str]:
    """Lists of words, as texts with blanks between them. Raises DataError."""
    texts = []
    for place, words in enumerate(column.to_pylist()):
        if not words or any(not word or word.split() != [word] for word in words):
            raise DataError(f"{where}: example {place} (from 0) of column {name!r} is {str(words)[:60]}: a list of words has one at least, and "
                            "none is missing, empty or has a blank in it")  # fmt: skip
        texts.append(" ".join(words))
    return texts


def _first_missing(column: Any) -> int:
    return int(pc.index(pc.is_null(column), True).as_py())


def _storage(type_: pa.DataType) -> pa.DataType:
    return type_.storage_type if isinstance(type_, pa.BaseExtensionType) else type_


def _plain_type(type_: pa.DataType) -> pa.DataType:
    """Without a dictionary."""
    return type_.value_type if types.is_dictionary(type_) else type_


def _is_text(type_: pa.DataType) -> bool:
    type_ = _plain_type(type_)
    return bool(types.is_string(type_) or types.is_large_string(type_) or types.is_string_view(type_))


def _is_image(type_: pa.DataType) -> bool:
    """Encoded bytes, alone or as the hub stores an image."""
    if types.is_struct(type_):
        return bool(type_.get_field_index("bytes") >= 0 and type_.num_fields <= 2)
    return bool(types.is_binary(type_) or types.is_large_binary(type_))


def _is_list(type_: pa.DataType) -> bool:
    return bool(types.is_list(type_) or types.is_large_list(type_) or types.is_fixed_size_list(type_))
