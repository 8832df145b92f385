"""The hub's part, without a network: data sets that the `datasets` library makes, and a hub that is out of reach."""

import os
import subprocess
import sys
from pathlib import Path

import datasets
import numpy as np
import pytest
from PIL import Image

from edgecomp.data.sources.examples import Wanted
from edgecomp.data.sources.tables import columns
from edgecomp.data.sources.tables.hub import arrow_table, chosen, is_name
from edgecomp.data.sources.tables.hugging_face import class_names
from edgecomp.errors import DataError

LABEL = datasets.ClassLabel(names=["no", "yes"])


def test_names_of_the_hub() -> None:
    for name in ("imdb", "stanfordnlp/imdb", "a-b.c/d_e"):
        assert is_name(name)
    for path in ("./imdb", "../imdb", "/data/imdb", "~/imdb", "a/b/c", "a/", "", "my data"):
        assert not is_name(path)


def test_splits_are_known_by_their_usual_names_or_named() -> None:
    fetched = {name: name for name in ("train", "dev", "test", "unsupervised")}
    assert chosen(fetched, Wanted("huggingface", "x"), "x") == {
        "train": "train",
        "validation": "dev",
        "test": "test",
    }
    named = Wanted("huggingface", "x", {"test": "dev", "train": "train"})
    assert list(chosen(fetched, named, "x").items()) == [("train", "train"), ("test", "dev")]
    with pytest.raises(DataError, match=r"data\.files\.train: x has no split 'trian'; did you mean 'train'"):
        chosen(fetched, Wanted("huggingface", "x", {"train": "trian"}), "x")
    with pytest.raises(DataError, match=r"x has no split train; it has full: name them in data\.files"):
        chosen({"full": 1}, Wanted("huggingface", "x"), "x")


def test_a_data_set_comes_with_its_class_names(tmp_path: Path) -> None:
    features = datasets.Features(
        {
            "idx": datasets.Value("int32"),
            "matrix": datasets.Array2D((2, 2), "float32"),
            "label": LABEL,
        }
    )
    content = {"idx": [0, 1, 2], "matrix": np.arange(12).reshape(3, 2, 2), "label": [1, 0, 1]}
    dataset = datasets.Dataset.from_dict(content, features=features).select([2, 1])
    table = arrow_table(dataset, ["matrix", "label"])
    assert table.column_names == ["matrix", "label"]
    assert class_names(table.schema, "label") == ("no", "yes")
    assert columns.plain(table.column(1)) == [1, 0]
    matrices = columns.values(table.column(0), "matrix", "x", None, None)
    assert isinstance(matrices, np.ndarray)
    assert matrices.tolist() == [[[8, 9], [10, 11]], [[4, 5], [6, 7]]]


def test_images_that_are_stored_as_paths_come_as_bytes(tmp_path: Path) -> None:
    Image.new("RGB", (3, 2), (1, 2, 3)).save(tmp_path / "a.png")
    features = datasets.Features({"image": datasets.Image(), "label": LABEL})
    content = {"image": [str(tmp_path / "a.png")], "label": [0]}
    table = arrow_table(datasets.Dataset.from_dict(content, features=features), ["image", "label"])
    images = columns.values(table.column(0), "image", "x", None, None)
    assert isinstance(images, np.ndarray)
    assert images[0, :, 0, 0].tolist() == [1, 2, 3]


def test_without_a_network_one_message_says_what_to_download_and_where_to_put_it(tmp_path: Path) -> None:
    script = """
import sys
from pathlib import Path
from edgecomp.data.sources import Wanted, read, source_files
from edgecomp.errors import DataError
wanted = Wanted("huggingface", "stanfordnlp/imdb")
assert source_files(wanted, Path()) == []
try:
    read(wanted, Path())
except DataError as error:
    print(error)
"""
    environment = {
        **os.environ,
        "HF_HUB_OFFLINE": "1",
        "HF_HOME": str(tmp_path / "cache"),
        "EDGECOMP_DATA": str(tmp_path),
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env=environment,
    )
    assert done.stderr == ""
    (message,) = done.stdout.splitlines()
    assert (
        f"looked for {tmp_path / 'stanfordnlp/imdb'}, and the Hugging Face hub cannot be reached" in message
    )
    assert "hf download --repo-type dataset stanfordnlp/imdb --local-dir imdb" in message
    assert "name that folder in data.path, or put it into the folder that $EDGECOMP_DATA names" in message
    assert not list((tmp_path / "cache").rglob("*.arrow"))
