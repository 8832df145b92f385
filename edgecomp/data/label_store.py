"""The store of soft labels in shards: Arrow files of float16 that are read where they lie, each with its rows, its teacher and a checksum.

A shard holds a fixed range of rows of a view, so that who has written it, and in what order, changes no byte. Where classes are many, the `top` logits
of a row are kept with their classes, and of the rest the logarithm of their mass, exp summed: read back, the rest have it in equal parts.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgecomp.data import soft_labels
from edgecomp.data.soft_labels import SoftLabels, as_stored
from edgecomp.errors import DataError
from edgecomp.files.json_files import read_mapping
from edgecomp.files.scratch import replacing
from edgecomp.files.writing import sha256, write_json

FORMAT_VERSION = 1
STORE = "store.json"
ROWS = 8192  # of a shard
VALIDATION = -1  # its view

Logits = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Layout:
    """What a store holds. views, rows: of the training split; validation_rows; classes: logits a row, or `shape` after the rows multiplied; shape: of a
    row; top: how many logits are kept of each, 0 for all; teacher_sha256: who gave them."""

    views: int
    rows: int
    validation_rows: int
    shape: tuple[int, ...]
    teacher_sha256: str
    top: int = 0
    shard_rows: int = ROWS

    @property
    def width(self) -> int:
        """Numbers a row."""
        return int(np.prod(self.shape))

    def shards(self) -> Iterator["Shard"]:
        """All there are, in order: view by view, the validation split's last."""
        for view in (*range(self.views), VALIDATION):
            rows = self.validation_rows if view == VALIDATION else self.rows
            for number, start in enumerate(range(0, rows, self.shard_rows)):
                yield Shard(view, number, start, min(start + self.shard_rows, rows))


@dataclass(frozen=True)
class Shard:
    """Rows `start` to `stop` of a view; number: of the shard in it."""

    view: int
    number: int
    start: int
    stop: int

    @property
    def name(self) -> str:
        """Of its file."""
        view = "validation" if self.view == VALIDATION else f"view-{self.view:04d}"
        return f"{view}-{self.number:06d}.arrow"


def _metadata(layout: Layout, shard: Shard) -> dict[bytes, bytes]:
    told = {
        "format": FORMAT_VERSION,
        "teacher_sha256": layout.teacher_sha256,
        "rows": f"{shard.start}-{shard.stop}",
        "shape": "x".join(map(str, layout.shape)),
        "top": layout.top,
    }
    return {name.encode(): str(value).encode() for name, value in told.items()}


def write_shard(folder: Path, layout: Layout, shard: Shard, logits: Logits) -> None:
    """Writes the `shard` of a store of that `layout` into `folder`, whole or not at all. logits: [rows, ...]. Raises DataError of logits that float16 cannot
    hold, or of another shape."""
    import pyarrow as pa

    rows = shard.stop - shard.start
    if logits.shape != (rows, *layout.shape):
        raise DataError(
            f"{shard.name}: the teacher gave {list(logits.shape)} for {rows} rows, and {[rows, *layout.shape]} before: the label set has changed"
        )
    stored = as_stored(logits, shard.name).reshape(rows, -1)
    columns: dict[str, Any] = {}
    if layout.top:
        order = np.argsort(-stored.astype(np.float32), axis=1, kind="stable")
        kept, left = order[:, : layout.top], order[:, layout.top :]
        rest = np.take_along_axis(logits.reshape(rows, -1), left, axis=1)
        columns["classes"] = _lists(np.ascontiguousarray(kept).astype(np.uint32), layout.top)
        columns["logits"] = _lists(np.take_along_axis(stored, kept, axis=1), layout.top)
        columns["rest"] = pa.array(np.logaddexp.reduce(rest.astype(np.float64), axis=1).astype(np.float32))
    else:
        columns["logits"] = _lists(stored, layout.width)
    table = pa.table(columns).replace_schema_metadata(_metadata(layout, shard))
    with (
        replacing(folder / shard.name) as temporary,
        pa.OSFile(str(temporary), "wb") as file,
        pa.ipc.new_file(file, table.schema) as writer,
    ):
        writer.write_table(table, max_chunksize=rows)


def _lists(values: npt.NDArray[Any], width: int) -> Any:
    import pyarrow as pa

    return pa.FixedSizeListArray.from_arrays(pa.array(np.ascontiguousarray(values).ravel()), width)


def is_whole(folder: Path, layout: Layout, shard: Shard) -> bool:
    """Whether the `shard` is in `folder`, of that `layout` and its teacher, and can be read."""
    try:
        return _read(folder / shard.name, layout, shard) is not None
    except DataError:
        return False


def _read(file: Path, layout: Layout, shard: Shard) -> Any:
    """The shard's one batch, mapped. Raises DataError."""
    import pyarrow as pa

    try:
        with pa.memory_map(str(file)) as mapped, pa.ipc.open_file(mapped) as opened:
            metadata, batch = opened.schema.metadata or {}, opened.get_batch(0)
    except (pa.ArrowException, OSError, IndexError) as error:
        raise DataError(
            f"{file}: a shard of soft labels that cannot be read, it may be cut short: {error}; delete it, and it is made again"
        ) from error
    wanted = _metadata(layout, shard)
    for name, value in wanted.items():
        if metadata.get(name) != value:
            found = metadata.get(name, b"nothing").decode("utf-8", "replace")
            raise DataError(
                f"{file}: a shard of another store: its {name.decode()} is {found[:80]}, not {value.decode()[:80]}; delete it, and it is made again"
            )
    if batch.num_rows != shard.stop - shard.start:
        raise DataError(
            f"{file}: holds {batch.num_rows} rows, not {shard.stop - shard.start}; delete it, and it is made again"
        )
    return batch


def finish(folder: Path, layout: Layout) -> None:
    """Writes store.json into `folder`, whose shards are all there: the `layout`, and a checksum of each. Raises DataError where one is not."""
    shards = {}
    for shard in layout.shards():
        _read(folder / shard.name, layout, shard)
        shards[shard.name] = sha256(folder / shard.name)
    told = {name: list(value) if isinstance(value, tuple) else value for name, value in vars(layout).items()}
    write_json(folder / STORE, {"format": FORMAT_VERSION, **told, "shards": shards})


class ShardedLabels:
    """The store in `folder`, as `edgecomp.data.soft_labels.SoftLabels` is read. Raises DataError where it is none."""

    def __init__(self, folder: Path) -> None:
        told = read_mapping(folder / STORE, "format", "shards")
        if told["format"] != FORMAT_VERSION:
            raise DataError(
                f"{folder / STORE} has format {told['format']!r}, and this edgecomp reads {FORMAT_VERSION}: upgrade edgecomp"
            )
        try:
            self.layout = Layout(
                **{name: told[name] for name in Layout.__dataclass_fields__} | {"shape": tuple(told["shape"])}
            )
            self._sums = dict(told["shards"])
            self._of_view = {
                view: [one for one in self.layout.shards() if one.view == view]
                for view in (*range(self.layout.views), VALIDATION)
            }
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"{folder / STORE} is no store of soft labels: {error}") from error
        self._folder = folder
        self.views = self.layout.views

    def view(self, index: int) -> Logits:
        """Of the training split, in view number `index`; after the last one they begin again."""
        return self._whole(index % self.views, self.layout.rows)

    def validation(self) -> Logits:
        """Of the validation split."""
        return self._whole(VALIDATION, self.layout.validation_rows)

    def _whole(self, view: int, rows: int) -> Logits:
        found = np.empty((rows, *self.layout.shape), np.float32)
        for shard in self._of_view[view]:
            found[shard.start : shard.stop] = self._shard(shard)
        return found

    def rows(self, index: int, start: int, stop: int) -> Logits:
        """Rows `start` to `stop` of view number `index`; no more is read than the shards that they are in."""
        parts = [
            self._shard(shard, max(0, start - shard.start), min(stop, shard.stop) - shard.start)
            for shard in self._of_view[index % self.views]
            if start < stop and shard.start < stop and shard.stop > start
        ]
        return np.concatenate(parts) if parts else np.empty((0, *self.layout.shape), np.float32)

    def _shard(self, shard: Shard, start: int = 0, stop: int | None = None) -> Logits:
        """Rows `start` to `stop` of it, counted from its own first."""
        layout = self.layout
        batch = _read(self._folder / shard.name, layout, shard)
        batch = batch.slice(start, (batch.num_rows if stop is None else stop) - start)
        rows = batch.num_rows
        logits = (
            batch.column("logits")
            .flatten()
            .to_numpy(zero_copy_only=False)
            .reshape(rows, -1)
            .astype(np.float32)
        )
        if not layout.top:
            return np.asarray(logits.reshape(rows, *layout.shape))
        classes = (
            batch.column("classes")
            .flatten()
            .to_numpy(zero_copy_only=False)
            .reshape(rows, -1)
            .astype(np.int64)
        )
        spread = batch.column("rest").to_numpy(zero_copy_only=False) - np.log(layout.width - layout.top)
        found = np.repeat(spread[:, None], layout.width, axis=1).astype(np.float32)
        np.put_along_axis(found, classes, logits, axis=1)
        return np.asarray(found.reshape(rows, *layout.shape))

    def verify(self) -> None:
        """Raises DataError where a shard is not what was written, by its checksum."""
        for name, wanted in self._sums.items():
            if sha256(self._folder / name) != wanted:
                raise DataError(
                    f"{self._folder / name} is not what was written (its sha256 differs): delete it, and it is made again"
                )


Labels = SoftLabels | ShardedLabels


@contextmanager
def opened(folder: Path) -> Iterator[Labels]:
    """The soft labels that a run's step has written into `folder`, in shards or in one HDF5 file, open for as long. Raises OSError, DataError."""
    if (folder / STORE).is_file():
        yield ShardedLabels(folder)
        return
    with soft_labels.opened(folder / "soft_labels.h5") as stored:
        yield stored


def write(
    folder: Path, layout: Layout, logits: Callable[[Shard], Logits], *, worker: int = 0, workers: int = 1
) -> Iterator[Shard]:
    """Writes the shards of a store of that `layout` into `folder` that are this worker's and are not there yet; yields each.

    logits: of a shard, [rows, ...]; worker: from 0, of so many `workers`. Raises DataError.
    """
    for number, shard in enumerate(layout.shards()):
        if number % workers == worker:
            if not is_whole(folder, layout, shard):
                write_shard(folder, layout, shard, logits(shard))
            yield shard
