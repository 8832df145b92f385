from pathlib import Path

import pytest

from edgecomp.data.sources.examples import Wanted
from edgecomp.data.sources.paths import split_files, visible
from edgecomp.errors import DataError

SUFFIXES = (".parquet", ".csv")


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def splits(folder: Path, files: dict[str, str] | None = None) -> dict[str, list[str]]:
    found = split_files(folder, Wanted("huggingface", str(folder), files or {}), SUFFIXES)
    return {split: [str(file.relative_to(folder)) for file in paths] for split, paths in found.items()}


def refused(folder: Path, files: dict[str, str] | None = None) -> str:
    with pytest.raises(DataError) as caught:
        splits(folder, files)
    return str(caught.value)


@pytest.mark.parametrize("validation", ["validation", "valid", "val", "dev", "validation_matched"])
def test_splits_are_known_by_how_their_names_begin(validation: str, tmp_path: Path) -> None:
    touch(
        tmp_path,
        "train.csv",
        f"{validation}.csv",
        "test_clean.parquet",
        "values.csv",
        "README.md",
        ".train.csv",
    )
    assert splits(tmp_path) == {
        "train": ["train.csv"],
        "validation": [f"{validation}.csv"],
        "test": ["test_clean.parquet"],
    }


def test_a_download_of_the_hub_has_parts_in_a_folder(tmp_path: Path) -> None:
    touch(tmp_path, ".cache/huggingface/train.csv", "README.md")
    touch(tmp_path / "data", "train-00001-of-00002.parquet", "train-00000-of-00002.parquet")
    touch(tmp_path / "data", "test-00000-of-00001-a09b74b3ef9c3b56.parquet")
    assert splits(tmp_path) == {
        "train": ["data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet"],
        "test": ["data/test-00000-of-00001-a09b74b3ef9c3b56.parquet"],
    }
    (tmp_path / "data" / "train-00000-of-00002.parquet").unlink()
    assert "the train split is in 2 parts, and here are data/train-00001-of-00002.parquet" in refused(
        tmp_path
    )


def test_several_configurations_are_refused_with_their_folders(tmp_path: Path) -> None:
    touch(tmp_path, "cola/train.csv", "sst2/train.csv", "sst2/test.csv")
    assert "splits in several folders; set data.path to one of them: cola, sst2" in refused(tmp_path)


def test_files_that_are_no_parts_are_not_put_together(tmp_path: Path) -> None:
    touch(tmp_path, "train.csv", "train_old.csv")
    message = refused(tmp_path)
    assert (
        "several files could be the train split: train.csv, train_old.csv; name one in data.files.train"
        in message
    )
    assert splits(tmp_path, {"train": "train.csv"}) == {"train": ["train.csv"]}
    assert splits(tmp_path, {"train": "train*.csv"}) == {"train": ["train.csv", "train_old.csv"]}


def test_a_single_file_is_the_train_split(tmp_path: Path) -> None:
    touch(tmp_path, "lines.csv", "README.md")
    assert splits(tmp_path) == {"train": ["lines.csv"]}
    wanted = Wanted("huggingface", "x")
    assert split_files(tmp_path / "lines.csv", wanted, SUFFIXES) == {"train": [tmp_path / "lines.csv"]}
    with pytest.raises(DataError, match=r"README\.md: is not a \.parquet or \.csv file"):
        split_files(tmp_path / "README.md", wanted, SUFFIXES)


def test_what_cannot_be_told_apart_is_refused(tmp_path: Path) -> None:
    assert "has no .parquet or .csv file" in refused(tmp_path)
    touch(tmp_path, "a.csv", "b.csv", "notes.txt", "sub/c.csv")
    assert "begins with train; name the files in data.files; there are a.csv, b.csv, sub/c.csv" in refused(
        tmp_path
    )
    assert "no such file" in refused(tmp_path, {"train": "sub"})
    assert "did you mean 'a.csv'" in refused(tmp_path, {"train": "aa.csv"})
    assert "notes.txt is not a .parquet or .csv file" in refused(tmp_path, {"train": "notes.txt"})
    assert "no such file" in refused(tmp_path, {"train": "*.parquet"})


def test_hidden_files_are_not_seen(tmp_path: Path) -> None:
    touch(tmp_path, ".git/x", "a/.b", "a/c")
    assert visible(tmp_path) == [tmp_path / "a" / "c"]
