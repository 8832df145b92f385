"""The store of soft labels in shards: the same bytes whoever writes them, what was lost made again, and no more read than is asked for."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgecomp.data import label_store
from edgecomp.data.label_store import Layout, Shard, ShardedLabels
from edgecomp.errors import DataError

LAYOUT = Layout(views=2, rows=25, validation_rows=7, shape=(5,), teacher_sha256="abc", shard_rows=8)
VALUES = np.random.default_rng(0).normal(size=(3, 25, 5)).astype(np.float32) * 4


def logits(shard: Shard) -> np.ndarray:
    return VALUES[shard.view][shard.start : shard.stop]  # view -1 is the last


def stored(folder: Path, layout: Layout = LAYOUT, workers: int = 1) -> ShardedLabels:
    folder.mkdir(exist_ok=True)
    for worker in reversed(range(workers)):
        list(label_store.write(folder, layout, logits, worker=worker, workers=workers))
    label_store.finish(folder, layout)
    return ShardedLabels(folder)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    store = stored(tmp_path / "s")
    assert store.views == 2
    np.testing.assert_array_equal(store.view(3), VALUES[1].astype(np.float16).astype(np.float32))
    np.testing.assert_array_equal(store.validation(), VALUES[2][:7].astype(np.float16).astype(np.float32))
    store.verify()


@given(start=st.integers(0, 30), count=st.integers(0, 30))
def test_any_rows_are_read_alone(tmp_path_factory: pytest.TempPathFactory, start: int, count: int) -> None:
    folder = tmp_path_factory.getbasetemp() / "rows"
    store = ShardedLabels(folder) if (folder / "store.json").exists() else stored(folder)
    np.testing.assert_array_equal(store.rows(1, start, start + count), store.view(1)[start : start + count])


def test_any_number_of_workers_writes_the_same_bytes(tmp_path: Path) -> None:
    stored(tmp_path / "1")
    for workers in (2, 4):
        stored(tmp_path / str(workers), workers=workers)
        for file in (tmp_path / "1").iterdir():
            assert (tmp_path / str(workers) / file.name).read_bytes() == file.read_bytes()


def test_what_was_cut_or_lost_is_made_again_and_what_is_whole_is_not(tmp_path: Path) -> None:
    stored(tmp_path)
    whole = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    names = sorted(name for name in whole if name.endswith(".arrow"))
    (tmp_path / names[0]).write_bytes(whole[names[0]][:-20])
    (tmp_path / names[1]).unlink()
    (tmp_path / names[2]).write_bytes(b"")
    asked = []
    for _ in label_store.write(tmp_path, LAYOUT, lambda shard: (asked.append(shard.name), logits(shard))[1]):
        pass
    assert sorted(asked) == names[:3]
    label_store.finish(tmp_path, LAYOUT)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == whole


def test_a_shard_of_another_teacher_or_of_other_rows_is_told(tmp_path: Path) -> None:
    store = stored(tmp_path)
    other = replace(LAYOUT, teacher_sha256="def")
    shard = next(LAYOUT.shards())
    assert not label_store.is_whole(tmp_path, other, shard)
    label_store.write_shard(tmp_path, other, shard, logits(shard))
    with pytest.raises(DataError, match="a shard of another store: its teacher_sha256 is def, not abc"):
        store.view(0)
    with pytest.raises(DataError, match="its sha256 differs"):
        store.verify()
    (tmp_path / shard.name).write_bytes(b"ARROW1 and no more")
    with pytest.raises(DataError, match="cannot be read, it may be cut short"):
        store.view(0)
    with pytest.raises(DataError, match="the label set has changed"):
        label_store.write_shard(tmp_path, LAYOUT, shard, np.zeros((8, 6), np.float32))
    with pytest.raises(DataError, match="not finite"):
        label_store.write_shard(tmp_path, LAYOUT, shard, np.full((8, 5), np.nan, np.float32))


def test_of_many_classes_the_top_is_kept_with_the_mass_of_the_rest(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    values = random.normal(size=(40, 300)).astype(np.float32) * 3
    layout = Layout(1, 40, 4, (300,), "abc", top=10, shard_rows=16)
    list(label_store.write(tmp_path, layout, lambda shard: values[shard.start : shard.stop]))
    label_store.finish(tmp_path, layout)
    found = ShardedLabels(tmp_path).view(0)

    def softmax(logits: np.ndarray) -> np.ndarray:
        shares = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
        return shares / shares.sum(axis=1, keepdims=True)

    wanted, given = softmax(values), softmax(found)
    top = np.argsort(-values, axis=1)[:, :10]
    np.testing.assert_allclose(
        np.take_along_axis(given, top, 1), np.take_along_axis(wanted, top, 1), atol=2e-3
    )
    np.testing.assert_allclose(given.sum(axis=1) - np.take_along_axis(given, top, 1).sum(axis=1),
                               1 - np.take_along_axis(wanted, top, 1).sum(axis=1), atol=2e-3)  # fmt: skip
    assert (found.argmax(axis=1) == values.argmax(axis=1)).mean() > 0.95  # but for ties of float16


def test_outputs_of_any_shape_are_kept(tmp_path: Path) -> None:
    values = np.random.default_rng(2).normal(size=(6, 3, 4)).astype(np.float32)
    layout = Layout(1, 6, 2, (3, 4), "abc")
    list(label_store.write(tmp_path, layout, lambda shard: values[shard.start : shard.stop]))
    label_store.finish(tmp_path, layout)
    assert ShardedLabels(tmp_path).view(0).shape == (6, 3, 4)


def test_a_store_that_is_none_is_told(tmp_path: Path) -> None:
    (tmp_path / "store.json").write_text('{"format": 9, "shards": {}}')
    with pytest.raises(DataError, match="has format 9"):
        ShardedLabels(tmp_path)
    (tmp_path / "store.json").write_text('{"format": 1, "shards": {}}')
    with pytest.raises(DataError, match="is no store of soft labels"):
        ShardedLabels(tmp_path)
