"""Examples that are the same stay in one split where splits are drawn, and are counted where they are given."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgecomp.config.job import load_job
from edgecomp.data import duplicates, preprocessing
from edgecomp.data.sources import Examples, Source
from edgecomp.data.splits import SPLITS, Split, write_splits
from edgecomp.pipeline.loaders import Run
from edgecomp.pipeline.stages import learning
from edgecomp.progress import silent

WHOLE = {
    "test_fraction": 0.25,
    "validation_fraction": 0.15,
    "calibration_fraction": 0.05,
    "limit": None,
    "tokenizer": None,
}


def rows(numbers: Any, labels: Any) -> Examples:
    return Examples(np.stack([numbers, np.ones(len(numbers))], axis=1).astype(np.float32), np.asarray(labels))


def written(
    source: Source, folder: Path, **settings: Any
) -> tuple[dict[str, set[float]], dict[str, Any], list[str]]:
    """The numbers in each split, what was counted, and what was said."""
    notes = write_splits(source, **WHOLE | settings, seed=0, folder=folder)
    found = {name: set(Split.load(folder, name).arrays["values"][:, 0].tolist()) for name in SPLITS}
    content = json.loads((folder / "splits.json").read_text(encoding="utf-8"))
    assert content["notes"] == notes
    assert content["examples"] == {name: len(Split.load(folder, name)) for name in SPLITS}
    return found, content["duplicates"], notes


def test_the_same_content_is_the_same_example_in_all_splits() -> None:
    texts = {"train": Examples(["a", "b", "a"], np.zeros(3)), "test": Examples(["c", "b"], np.zeros(2))}
    same = duplicates.identities(texts)
    assert [same["train"].tolist(), same["test"].tolist()] == [[0, 1, 0], [2, 1]]
    images = np.arange(3 * 12, dtype=np.uint8).reshape(3, 3, 2, 2)[[0, 1, 1, 2]]
    assert duplicates.identities({"train": Examples(images, np.zeros(4))})["train"].tolist() == [0, 1, 1, 2]


@pytest.mark.parametrize("limit", [None, 300])
def test_rows_that_repeat_are_kept_in_one_split(limit: int | None, tmp_path: Path) -> None:
    numbers = np.random.default_rng(0).permutation(np.repeat(np.arange(150), 8))
    source = Source({"train": rows(numbers, numbers % 2)}, ("a", "b"))
    splits, counted, notes = written(source, tmp_path, limit=limit)
    assert sum(len(one) for one in splits.values()) == len(set.union(*splits.values()))
    if limit is None:
        sizes = [len(Split.load(tmp_path, name)) for name in SPLITS]
        assert sum(sizes) == 1200
        np.testing.assert_allclose(sizes[1:], [60, 180, 300], atol=16)  # within one of each class's
        for name in SPLITS:
            assert abs(Split.load(tmp_path, name).labels.mean() - 0.5) < 0.15
    assert counted == {
        "repeated": 1050,
        "validation_in_training": 0,
        "test_in_training": 0,
        "test_in_validation": 0,
        "contradicting": 0,
    }
    assert notes == [
        "1,050 of 1,200 training examples are duplicates of another; duplicates were kept in one split"
    ]


def test_one_example_that_fills_half_of_a_class_leaves_the_splits_their_sizes(tmp_path: Path) -> None:
    numbers = np.concatenate([np.zeros(300), np.arange(300), np.arange(1000, 1600)])
    source = Source({"train": rows(numbers, numbers >= 1000)}, ("a", "b"))
    splits, _, _ = written(source, tmp_path)
    assert [len(Split.load(tmp_path, name)) for name in ("test", "validation")] == [300, 180]
    assert 0 in splits["train"]


def test_what_a_users_own_splits_share_is_counted_and_told(tmp_path: Path) -> None:
    source = Source(
        {
            "train": rows(np.arange(100), np.arange(100) % 2),
            "validation": rows([0, 1, 200, 201], [0, 1, 0, 1]),
            "test": rows([1, 2, 3, 200, 300, 301], [1, 0, 0, 0, 0, 1]),
        },
        ("a", "b"),
    )
    splits, counted, notes = written(source, tmp_path)
    assert splits["test"] == {1, 2, 3, 200, 300, 301}, "taken as they are"
    assert counted == {
        "repeated": 0,
        "validation_in_training": 2,
        "test_in_training": 3,
        "test_in_validation": 2,
        "contradicting": 2,
    }
    beginnings = [
        "2 of 4 validation examples are duplicates of training examples",
        "3 of 6 test examples are duplicates of training examples: figures on them say how well they are remembered",
        "2 of 6 test examples are duplicates of validation examples",
        "2 examples are duplicates that differ in their label",
    ]
    assert len(notes) == 4
    for note, begins in zip(notes, beginnings, strict=True):
        assert note.startswith(begins)


def test_a_class_of_which_few_differ_is_in_the_splits_that_need_it(tmp_path: Path) -> None:
    numbers = np.concatenate([np.repeat([0, 1, 2], 10), np.arange(100, 160)])
    splits, _, _ = written(Source({"train": rows(numbers, numbers >= 100)}, ("a", "b")), tmp_path)
    for name in ("train", "validation", "test"):
        assert splits[name] & {0, 1, 2}


def test_what_a_source_says_is_told_first(tmp_path: Path) -> None:
    source = Source({"train": rows(np.arange(100), np.arange(100) % 2)}, ("a", "b"), ("f", "g"), ("said",))
    assert written(source, tmp_path)[2] == ["said"]
    assert preprocessing.load(tmp_path).columns == ("f", "g")  # type: ignore[attr-defined]


def test_what_is_found_is_said_when_the_data_are_read(tmp_path: Path) -> None:
    lines = [f"{number},{1_700_000_000 + number / 8:.3f},{'ab'[number % 2]}" for number in range(60)]
    (tmp_path / "d.csv").write_text("\n".join(["size,time,label", *lines, *lines[:5]]), encoding="utf-8")
    (tmp_path / "mine.yaml").write_text(
        "defaults: [digits, _self_]\nname: mine\n"
        "data: { source: huggingface, path: d.csv, inputs: [time, size], label: label, image_size: null, shift: 0 }\n"
        "teacher: { network: mlp, arguments: null }\nstudent: { network: mlp, arguments: null }\n",
        encoding="utf-8",
    )
    heard: list[str] = []
    learning.data(
        Run(load_job(str(tmp_path / "mine.yaml"), []), tmp_path, silent, heard.append), tmp_path, tmp_path
    )
    assert len(heard) == 2
    assert "column 'time': float32, which networks compute in, changes" in heard[0]
    assert heard[1].startswith("data: 5 of 65 training examples are duplicates of another")
    assert preprocessing.load(tmp_path).columns == ("time", "size")  # type: ignore[attr-defined]
