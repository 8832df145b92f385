"""What travels with a model: how an image, a row of numbers or a text becomes the network's inputs."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from edgecomp.data.heads import Head
from edgecomp.errors import DataError, nearest
from edgecomp.files.json_files import read_mapping, shaped
from edgecomp.files.writing import write_json
from edgecomp.inputs import MASK, trimmed
from edgecomp.tasks import DEFAULT, Meant, SeveralOutputs
from edgecomp.tasks import task as meaning

Array = npt.NDArray[Any]
FILE = "preprocessing.json"
TOKENIZER = "tokenizer.json"
BYTES = "bytes"  # the input of a network that reads texts so

AT_ONCE = 1024  # examples, in float64
CONSTANT = 1e-7  # deviation over the largest value, that float32 cannot tell from none


class Preprocessing(Protocol):
    """`dynamic_axes`: by input, axis → name. `given`: what a network's factory is told of the data."""

    @property
    def kind(self) -> str: ...

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of classes, labels or targets."""
        ...

    @property
    def task(self) -> Meant: ...

    @property
    def target_mean(self) -> tuple[float, ...]: ...

    @property
    def target_std(self) -> tuple[float, ...]: ...

    @property
    def width(self) -> int | None:
        """How many numbers the network answers for an example, token or pixel; None where that is its own affair."""
        ...

    def apply(self, arrays: Mapping[str, Array]) -> dict[str, Array]:
        """Stored arrays of some examples → the network's inputs, in its order."""
        ...

    def example(self, size: int = 2, longer: int = 0) -> dict[str, Array]:
        """Inputs of a legal shape for `size` ≥ 2 examples, for tracing; `longer` by that many tokens, where
        there are tokens."""
        ...

    @property
    def dynamic_axes(self) -> tuple[dict[int, str], ...]: ...

    @property
    def given(self) -> dict[str, Any]: ...

    def save(self, folder: Path) -> None:
        """Writes preprocessing.json into `folder`; `load` reads it."""
        ...


@dataclass(frozen=True)
class Numbers:
    """Images, uint8 [channels, height, width] → (x / 255 - mean) / std; arrays, float32 [features, ...] → (x - mean) / std.

    mean and std are by channel or feature, the first axis of an example. columns: what a row's numbers are, in order, where the data
    name them.
    """

    kind: Literal["image", "array"]
    shape: tuple[int, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    classes: tuple[str, ...]
    columns: tuple[str, ...] = ()
    task: Meant = DEFAULT
    target_mean: tuple[float, ...] = ()
    target_std: tuple[float, ...] = ()

    @property
    def width(self) -> int | None:
        return meaning(self.task, self.classes).width(self.classes)

    def apply(self, arrays: Mapping[str, Array]) -> dict[str, Array]:
        over = (-1, *(1 for _ in self.shape[1:]))
        mean, std = (np.asarray(values, np.float32).reshape(over) for values in (self.mean, self.std))
        values = arrays["values"].astype(np.float32)
        if self.kind == "image":
            values /= np.float32(255)
        values -= mean
        values /= std
        return {"input": values}

    def example(self, size: int = 2, longer: int = 0) -> dict[str, Array]:
        return {"input": np.zeros((size, *self.shape), np.float32)}

    @property
    def dynamic_axes(self) -> tuple[dict[int, str], ...]:
        return ({0: "batch"},)

    @property
    def given(self) -> dict[str, Any]:
        what = "channels" if self.kind == "image" else "features"
        return {what: self.shape[0]} | _classes(self)

    def save(self, folder: Path) -> None:
        dtype, scale = ("uint8", "1/255") if self.kind == "image" else ("float32", "1")
        write_json(folder / FILE, {"dtype": dtype, "scale": scale} | _told(asdict(self)))


@dataclass(frozen=True)
class Tokens:
    """A text → token ids and attention mask, int64 [length], at most max_length; the tokenizer is the file beside it."""

    vocabulary: int
    max_length: int
    classes: tuple[str, ...]
    kind: Literal["text"] = "text"
    task: Meant = DEFAULT
    target_mean: tuple[float, ...] = ()
    target_std: tuple[float, ...] = ()

    @property
    def width(self) -> int | None:
        return meaning(self.task, self.classes).width(self.classes)

    def apply(self, arrays: Mapping[str, Array]) -> dict[str, Array]:
        return trimmed({name: arrays[name].astype(np.int64) for name in ("input_ids", MASK)})

    def example(self, size: int = 2, longer: int = 0) -> dict[str, Array]:
        """The second text is shorter than the others, so that a mask is never all ones."""
        length = min(8, self.max_length) + longer
        ids = np.arange(size * length, dtype=np.int64).reshape(size, length) % self.vocabulary
        mask = np.ones((size, length), np.int64)
        mask[1, length // 2 :] = 0
        return {"input_ids": ids, MASK: mask}

    @property
    def dynamic_axes(self) -> tuple[dict[int, str], ...]:
        axes = {0: "batch", 1: "length"}
        return (axes, axes)

    @property
    def given(self) -> dict[str, Any]:
        return {"vocabulary": self.vocabulary, "max_length": self.max_length} | _classes(self)

    def save(self, folder: Path) -> None:
        write_json(folder / FILE, {"tokenizer": TOKENIZER} | _told(asdict(self)))


@dataclass(frozen=True)
class Bytes:
    """A text → its first bytes in UTF-8, int64 [max_bytes], 0 behind its end."""

    max_bytes: int
    classes: tuple[str, ...]
    kind: Literal["bytes"] = "bytes"
    task: Meant = DEFAULT
    target_mean: tuple[float, ...] = ()
    target_std: tuple[float, ...] = ()

    @property
    def width(self) -> int | None:
        return meaning(self.task, self.classes).width(self.classes)

    def apply(self, arrays: Mapping[str, Array]) -> dict[str, Array]:
        return {BYTES: arrays[BYTES].astype(np.int64)}

    def example(self, size: int = 2, longer: int = 0) -> dict[str, Array]:
        """Printable bytes, the second text half as long as the others."""
        held = 32 + np.arange(size * self.max_bytes, dtype=np.int64).reshape(size, -1) % 95
        held[1, self.max_bytes // 2 :] = 0
        return {BYTES: held}

    @property
    def dynamic_axes(self) -> tuple[dict[int, str], ...]:
        return ({0: "batch"},)

    @property
    def given(self) -> dict[str, Any]:
        return {"max_bytes": self.max_bytes} | _classes(self)

    def save(self, folder: Path) -> None:
        write_json(folder / FILE, {"encoding": "utf-8"} | _told(asdict(self)))


@dataclass(frozen=True)
class AsTheyAre:
    """A network's inputs by name, in its order, of these types and shapes; texts among them are trimmed with their mask."""

    names: tuple[str, ...]
    dtypes: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    classes: tuple[str, ...]
    kind: Literal["tensors"] = "tensors"
    task: Meant = DEFAULT
    target_mean: tuple[float, ...] = ()
    target_std: tuple[float, ...] = ()

    @property
    def width(self) -> int | None:
        return meaning(self.task, self.classes).width(self.classes)

    def apply(self, arrays: Mapping[str, Array]) -> dict[str, Array]:
        given = {
            name: arrays[name].astype(dtype) for name, dtype in zip(self.names, self.dtypes, strict=True)
        }
        return trimmed(given)

    def example(self, size: int = 2, longer: int = 0) -> dict[str, Array]:
        """Zeros, and of a mask ones, its second row half as long; of texts `longer` by so many tokens."""
        found = {}
        for name, dtype, shape, axes in zip(
            self.names, self.dtypes, self.shapes, self.dynamic_axes, strict=True
        ):
            own = (min(8, shape[0]) + longer, *shape[1:]) if 1 in axes else shape
            found[name] = np.zeros((size, *own), dtype)
            if name == MASK:
                found[name][:] = 1
                found[name][1:, own[0] // 2 :] = 0
        return found

    @property
    def dynamic_axes(self) -> tuple[dict[int, str], ...]:
        text = dict(zip(self.names, self.shapes, strict=True)).get(MASK)
        length = text if text is not None and len(text) == 1 else None
        return tuple({0: "batch", 1: "length"} if shape == length else {0: "batch"} for shape in self.shapes)

    @property
    def given(self) -> dict[str, Any]:
        return _classes(self)

    def save(self, folder: Path) -> None:
        write_json(folder / FILE, _told(asdict(self)))


def _classes(data: Preprocessing) -> dict[str, Any]:
    """How many numbers a network's factory is to answer, where the data tell; of several outputs by name."""
    of = meaning(data.task, data.classes)
    width = of.widths if isinstance(of, SeveralOutputs) else data.width
    return {} if width is None else {"classes": width}


def _told(fields: dict[str, Any]) -> dict[str, Any]:
    """Without what says nothing: a classifier of rows without names has neither columns nor targets."""
    silent = {"columns": (), "task": DEFAULT, "target_mean": (), "target_std": ()}
    return {name: value for name, value in fields.items() if name not in silent or value != silent[name]}


KINDS: dict[str, Any] = {
    "image": Numbers,
    "array": Numbers,
    "text": Tokens,
    "bytes": Bytes,
    "tensors": AsTheyAre,
}


def load(folder: Path) -> Preprocessing:
    """The preprocessing in `folder`. Raises FileError where it is not what `save` writes."""
    content = read_mapping(folder / FILE, "kind")
    with shaped(folder / FILE, "edgecomp"):
        made = KINDS[content["kind"]]
        fields = {name: content[name] for name in made.__dataclass_fields__ if name in content}
        loaded: Preprocessing = made(**{name: _as_tuple(value) for name, value in fields.items()})
    return loaded


def _as_tuple(value: Any) -> Any:
    return tuple(map(_as_tuple, value)) if isinstance(value, list) else value


def as_they_are(values: Mapping[str, Array], head: Head) -> AsTheyAre:
    """The preprocessing of inputs that need none, `values` by name, [N, ...] each; head: what the network answers."""
    names = tuple(values)
    dtypes, shapes = zip(*((one.dtype.name, one.shape[1:]) for one in values.values()), strict=True)
    return AsTheyAre(names, dtypes, shapes, head.names, **head.more)


def of_each(
    values: Mapping[str, Array], head: Head, student: Sequence[str], teacher: Sequence[str]
) -> tuple[AsTheyAre, ...]:
    """The student's preprocessing of `values` by name, and the teacher's where that is another. head: what they answer; student, teacher: the names that
    each takes, in its order, all where there is none. Raises DataError where a name is not there."""
    wanted = {"student": student or list(values), "teacher": teacher or list(values)}
    for part, names in wanted.items():
        if missing := next((name for name in names if name not in values), None):
            raise DataError(
                f"{part}.inputs: the data have no input {missing!r}{nearest(missing, values)}; they have {', '.join(values)}"
            )
    different = dict.fromkeys(tuple(names) for names in wanted.values())
    return tuple(as_they_are({name: values[name] for name in names}, head) for names in different)


def answered(data: Preprocessing, inputs: Mapping[str, Array]) -> tuple[int, ...] | None:
    """The shape of what a network for such `data` answers to `inputs`, by name, [N, ...]; None where that is its own
    affair, but for one answer an example."""
    if data.width is None:
        return None
    first = next(iter(inputs.values())).shape
    of_each = meaning(data.task).of_each
    if of_each == "token":
        return (*first[:2], data.width)
    return (first[0], data.width, *(first[2:] if of_each == "pixel" else ()))


def given(
    values: Array, head: Head, columns: tuple[str, ...], mean: Sequence[float], std: Sequence[float]
) -> Numbers:
    """The preprocessing that a recipe says, `mean` and `std` by channel or feature, or one for all. values, head, columns: as in `fitted`.
    Raises DataError where they are not as many."""
    wanted = values.shape[1]
    for name, one in (("mean", mean), ("std", std)):
        if len(one) not in (1, wanted):
            raise DataError(
                f"data.{name} has {len(one)} numbers, and the inputs have {wanted} channels or features: give as many, or one for all"
            )
    kind: Literal["image", "array"] = "image" if values.dtype == np.uint8 else "array"
    mean, std = (tuple(map(float, one)) * (wanted if len(one) == 1 else 1) for one in (mean, std))
    return Numbers(kind, values.shape[1:], mean, std, head.names, columns, **head.more)


def fitted(values: Array, head: Head, columns: tuple[str, ...] = ()) -> Numbers:
    """The preprocessing of a training split; what is constant there is only centred.

    values: uint8 images or float32 arrays, [N, channels or features, ...]; head: what its network answers;
    columns: what the features are, in order, where that is known.
    """
    kind: Literal["image", "array"] = "image" if values.dtype == np.uint8 else "array"
    axes = tuple(axis for axis in range(values.ndim) if axis != 1)
    size = 255.0 if kind == "image" else 1.0
    count = math.prod(values.shape) // values.shape[1]
    mean = values.sum(axis=axes, dtype=np.float64) / count / size
    square = np.zeros_like(mean)
    for start in range(0, len(values), AT_ONCE):
        some = values[start : start + AT_ONCE] / size
        square += np.square(some - mean.reshape(-1, *[1] * (values.ndim - 2))).sum(axis=axes)
    std = np.sqrt(square / count)
    std[std <= CONSTANT * np.abs(values).max(axis=axes) / size] = 1.0
    return Numbers(
        kind=kind,
        shape=values.shape[1:],
        mean=tuple(float(f"{value:.9g}") for value in mean),
        std=tuple(float(f"{value:.9g}") for value in std),
        classes=head.names,
        columns=columns,
        **head.more,
    )
