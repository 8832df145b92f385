"""Tables on disk as sources, small ones and real ones."""

import gzip
import subprocess
import sys
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import datasets
import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from pyarrow import parquet

from edgecomp.data.sources import Source, Wanted, read, source_files
from edgecomp.data.sources.tables.hugging_face import choose_columns
from edgecomp.errors import DataError

Reading = Callable[..., Source]
Refusal = Callable[..., str]

TEXTS = "text,label\ngood,1\nbad,0\nfine,1\npoor,0\n"


def hub_parquet(
    path: Path, texts: list[str], labels: list[int], names: tuple[str, ...] = ("no", "yes")
) -> None:
    """As the `datasets` library writes it."""
    features = datasets.Features(
        {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=list(names))}
    )
    datasets.Dataset.from_dict({"text": texts, "label": labels}, features=features).to_parquet(str(path))


@pytest.fixture(autouse=True)
def _no_progress_bars() -> None:
    datasets.disable_progress_bars()


def test_csv_json_and_parquet_give_the_same(reading: Reading, tmp_path: Path) -> None:
    rows = '{"text": "good", "label": 1}\n{"text": "bad", "label": 0}\n'
    (tmp_path / "a.csv").write_text("text,label\ngood,1\nbad,0\n")
    (tmp_path / "b.jsonl").write_text(rows)
    (tmp_path / "c.json").write_text(f"[{rows.strip().replace(chr(10), ',')}]")
    parquet.write_table(pa.table({"text": ["good", "bad"], "label": [1, 0]}), tmp_path / "d.parquet")
    for name in ("a.csv", "b.jsonl", "c.json", "d.parquet"):
        source = reading("huggingface", path=name)
        assert list(source.splits) == ["train"]
        assert source.splits["train"].values == ["good", "bad"]
        assert source.splits["train"].labels.tolist() == [1, 0]
        assert source.classes == ("0", "1")
        assert source_files(Wanted("huggingface", name), tmp_path) == [tmp_path / name]


def test_class_names_come_with_the_file_for_all_splits(reading: Reading, tmp_path: Path) -> None:
    hub_parquet(tmp_path / "train-00000-of-00002.parquet", ["a", "b"], [0, 1])
    hub_parquet(tmp_path / "train-00001-of-00002.parquet", ["c", "d"], [1, 1])
    (tmp_path / "test.csv").write_text("label,text\n1,e\n0,f\n")
    source = reading("huggingface", path=".")
    assert source.classes == ("no", "yes")
    assert source.splits["train"].values == ["a", "b", "c", "d"]
    assert source.splits["train"].labels.tolist() == [0, 1, 1, 1]
    assert source.splits["test"].labels.tolist() == [1, 0]
    assert len(source_files(Wanted("huggingface", "."), tmp_path)) == 3


def test_splits_that_name_classes_differently_are_refused(refusal: Refusal, tmp_path: Path) -> None:
    hub_parquet(tmp_path / "train.parquet", ["a", "b"], [0, 1])
    hub_parquet(tmp_path / "test.parquet", ["a", "b"], [0, 1], ("yes", "no"))
    assert "name their classes differently (train: no, yes; test: yes, no)" in refusal(
        "huggingface", path="."
    )


def test_an_unlabelled_test_split_is_refused_and_may_be_left_out(
    reading: Reading, refusal: Refusal, tmp_path: Path
) -> None:
    hub_parquet(tmp_path / "train.parquet", ["a", "b"], [0, 1])
    hub_parquet(tmp_path / "test.parquet", ["a", "b"], [-1, -1])
    message = refusal("huggingface", path=".")
    assert "., test split: 2 of 2 examples have the label -1" in message
    assert "naming only the others in data.files" in message
    assert list(reading("huggingface", path=".", files={"train": "train.parquet"}).splits) == ["train"]


def test_labels_outside_the_names_are_refused(refusal: Refusal, tmp_path: Path) -> None:
    hub_parquet(tmp_path / "train.parquet", ["a", "b"], [0, 1])
    parquet.write_table(pa.table({"text": ["x", "y"], "label": [1, 2]}), tmp_path / "test.parquet")
    message = refusal("huggingface", path=".")
    assert (
        "test split: label 2 of example 1 (from 0) has no name: the file names 2 classes, 0 to 1" in message
    )


def test_images_of_a_parquet_file(reading: Reading, refusal: Refusal, tmp_path: Path) -> None:
    def rows(*sizes: tuple[int, int]) -> pa.Table:
        encoded = []
        for size in sizes:
            file = BytesIO()
            Image.new("RGB", size).save(file, "PNG")
            encoded.append({"bytes": file.getvalue(), "path": None})
        return pa.table({"img": encoded, "label": list(range(len(sizes)))})

    parquet.write_table(rows((4, 4), (4, 4)), tmp_path / "train.parquet")
    parquet.write_table(rows((4, 4), (5, 4)), tmp_path / "test.parquet")
    message = refusal("huggingface", path=".")
    assert "2 sizes (1 of 5×4, such as ., test split, example 1 (from 0); 1 of 4×4" in message
    assert "set data.image_size" in message
    values = reading("huggingface", path=".", image_size=8).splits["test"].values
    assert isinstance(values, np.ndarray)
    assert values.shape == (2, 3, 8, 8)


def test_lists_of_numbers_are_arrays(reading: Reading, refusal: Refusal, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"x": [1, 2.5], "y": "no"}\n{"x": [3, 4], "y": "yes"}\n')
    source = reading("huggingface", path="a.jsonl")
    assert source.classes == ("no", "yes")
    values = source.splits["train"].values
    assert isinstance(values, np.ndarray)
    assert values.tolist() == [[1, 2.5], [3, 4]]
    assert "data.image_size is for images" in refusal("huggingface", path="a.jsonl", image_size=4)


NUMBERS = "f0,f1,f2,label\n1,2.5,3,a\n4,5,6,b\n"


@pytest.mark.parametrize("name", ["a.csv", "a.parquet"])
def test_listed_columns_of_numbers_are_rows_in_the_order_of_the_list(
    reading: Reading, refusal: Refusal, tmp_path: Path, name: str
) -> None:
    (tmp_path / "a.csv").write_text(NUMBERS)
    parquet.write_table(
        pa.table({"label": ["a", "b"], "f0": [1, 4], "f1": [2.5, 5], "f2": [3, 6]}), tmp_path / "a.parquet"
    )
    source = reading("huggingface", path=name, inputs=["f2", "f0", "f1"])
    values = source.splits["train"].values
    assert isinstance(values, np.ndarray)
    assert (values.dtype, values.tolist()) == (np.float32, [[3, 1, 2.5], [6, 4, 5]])
    assert source.classes == ("a", "b")
    assert reading("huggingface", path=name, inputs=["f1"]).splits["train"].values.tolist() == [[2.5], [5]]


def test_listed_columns_of_several_files_are_of_the_same_names(reading: Reading, tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text(NUMBERS)
    (tmp_path / "test.csv").write_text("label,f1,f0\na,1,0.5\nb,2,0.25\n")
    source = reading("huggingface", path=".", inputs=["f0", "f1"], label="label")
    assert source.splits["test"].values.tolist() == [[0.5, 1], [0.25, 2]]


@pytest.mark.parametrize(
    ("inputs", "complaint"),
    [
        (["f0", "f9"], "has no column 'f9' (data.inputs)"),
        (["f0", "f0"], "data.inputs names twice 'f0'"),
        (["x*"], "no column matches 'x*' (data.inputs)"),
        (["f0", "f1"], "1 of 2 numbers of column 'f1' are missing, the first in example 1 (from 0)"),
        ("f0", "name another in data.inputs, or all columns of numbers as a list, data.inputs=[f0, …]"),
        (
            None,
            "name data.inputs and data.label, columns of numbers as a list (data.inputs=[f0, f1, …]); its columns",
        ),
    ],
)
def test_columns_of_numbers_that_cannot_serve_are_refused(
    refusal: Refusal, tmp_path: Path, inputs: str | list[str] | None, complaint: str
) -> None:
    (tmp_path / "a.csv").write_text("f0,f1,label,other\n1,2,a,x\n4,,b,y\n")
    label = None if inputs is None else "other"
    if inputs is None:
        (tmp_path / "a.csv").write_text("f0,f1,label\n1,2,0\n4,3,1\n")
    assert complaint in refusal("huggingface", path="a.csv", inputs=inputs, label=label)


def test_texts_among_numbers_are_categories_of_the_training_split(reading: Reading, tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text(
        "size,colour,sold,label\n1,red,true,a\n2,blue,false,b\n3,red,true,a\n"
    )
    (tmp_path / "test.csv").write_text("size,colour,sold,label\n4,green,true,a\n5,blue,false,b\n")
    source = reading("huggingface", path=".", inputs=["size", "colour", "sold"], label="label")
    assert source.columns == ("size", "colour=blue", "colour=red", "sold")
    assert source.splits["train"].values.tolist() == [[1, 0, 1, 1], [2, 1, 0, 0], [3, 0, 1, 1]]
    assert source.splits["test"].values.tolist() == [[4, 0, 0, 1], [5, 1, 0, 0]]
    assert (
        "1 of 2 examples have a 'colour' that no training example has, 'green' for instance"
        in source.notes[0]
    )


@pytest.mark.parametrize(
    ("column", "complaint"),
    [
        (["", "x"] * 40, "40 of 80 categories of column 'c' are missing, the first in example 0 (from 0)"),
        (
            [f"text {place}" for place in range(80)],
            "column 'c' has 80 different texts, and categories are 64 at most",
        ),
    ],
)
def test_texts_that_are_no_categories_are_refused(
    refusal: Refusal, tmp_path: Path, column: list[str], complaint: str
) -> None:
    rows = "\n".join(f"{place},{text},{'ab'[place % 2]}" for place, text in enumerate(column))
    (tmp_path / "a.csv").write_text(f"f,c,label\n{rows}\n")
    assert complaint in refusal("huggingface", path="a.csv", inputs=["f", "c"], label="label")


def test_a_pattern_stands_for_all_columns_but_the_labels(reading: Reading, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a1,a2,b,a9\n1,2,x,3\n4,5,y,6\n")
    source = reading("huggingface", path="a.csv", inputs=["a*"], label="b")
    assert source.columns == ("a1", "a2", "a9")
    source = reading("huggingface", path="a.csv", inputs=["a*"], label="a9")
    assert source.columns == ("a1", "a2")


def test_a_zipped_table_of_an_installed_package(
    reading: Reading, refusal: Refusal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "some_package"
    package.mkdir()
    (package / "__init__.py").write_text("raise SystemExit('it must not be imported')")
    with zipfile.ZipFile(package / "a.csv.zip", "w") as archive:
        archive.writestr("a.csv", "f,label\n1,a\n2,b\n")
    monkeypatch.syspath_prepend(tmp_path)
    source = reading("huggingface", path="package:some_package/a.csv.zip", inputs=["f"], label="label")
    assert source.splits["train"].values.tolist() == [[1], [2]]
    assert "package 'no_such' is not installed: pip install no_such" in refusal(
        "huggingface", path="package:no_such/a.csv"
    )
    assert "leads out of the package's folder" in refusal("huggingface", path="package:some_package/../x.csv")
    with zipfile.ZipFile(package / "a.csv.zip", "a") as archive:
        archive.writestr("b.csv", "f")
    assert "holds 2 files, and a table is one" in refusal(
        "huggingface", path="package:some_package/a.csv.zip", inputs=["f"]
    )


def test_a_column_that_is_not_there_names_the_nearest_and_all(refusal: Refusal, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(TEXTS)
    message = refusal("huggingface", path="a.csv", inputs="txt")
    assert f"{tmp_path / 'a.csv'}: has no column 'txt' (data.inputs); did you mean 'text'?" in message
    assert "its columns are text (text), label (int64)" in message
    assert "(data.label)" in refusal("huggingface", path="a.csv", label="class")
    assert "both name 'text'" in refusal("huggingface", path="a.csv", inputs="text", label="text")
    (tmp_path / "b.csv").write_text("text,text\na,b\n")
    assert "has 2 columns, not one column 'text'" in refusal("huggingface", path="b.csv", inputs="text")


def test_columns_that_need_not_be_named() -> None:
    def pair(
        fields: dict[str, pa.DataType], inputs: str | None = None, label: str | None = None
    ) -> tuple[str, str]:
        return choose_columns(pa.schema(list(fields.items())), inputs, label, "here")

    text, whole = pa.string(), pa.int64()
    assert pair({"text": text, "stars": whole}) == ("text", "stars")
    assert pair({"text": text, "label": text}) == ("text", "label")
    assert pair({"idx": whole, "text": text, "label": whole}) == ("text", "label")
    assert pair({"img": pa.binary(), "fine": whole, "coarse": whole}, label="fine") == ("img", "fine")
    assert pair({"a": text, "b": text}, label="a") == ("b", "a")
    assert pair({"a": text, "b": text}, inputs="a") == ("a", "b")
    several = {"a": text, "b": text, "label": whole}
    for fields in ({"a": text, "b": text}, several, {"a": text, "b": whole, "c": whole}):
        with pytest.raises(
            DataError, match=r"several columns could be meant: name data\.inputs and data\.label"
        ):
            pair(fields)
    with pytest.raises(DataError, match=r"could be meant: name data\.inputs; its columns are a \(text"):
        pair(several, label="label")
    with pytest.raises(DataError, match="no column of images, texts or lists with one of labels"):
        pair({"a": whole, "label": whole})


def test_a_column_with_class_names_is_the_label(tmp_path: Path) -> None:
    features = datasets.Features(
        {
            "text": datasets.Value("string"),
            "id": datasets.Value("int64"),
            "topic": datasets.ClassLabel(names=["a"]),
        }
    )
    assert choose_columns(features.arrow_schema, None, None, "here") == ("text", "topic")


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("text,label\na,0\n,1\n", "1 of 2 texts of column 'text' are missing, the first in example 1"),
        ("text,label\na,0\nb,\n", "1 of 2 examples have no label, the first at 1"),
        ("text,label\na,0\nb,0.5\n", "label 0.5 of example 1 (from 0) is not a whole number"),
        ("text,label\na,0\nb,0\n", "one class, '0'"),
        ("text,label\n", "is empty"),
        ("text,label\na,2020-01-01\nb,2020-01-02\n", "is a date"),
    ],
)
def test_rows_that_cannot_serve_are_refused(
    content: str, complaint: str, refusal: Refusal, tmp_path: Path
) -> None:
    (tmp_path / "a.csv").write_text(content)
    assert complaint in refusal("huggingface", path="a.csv")


def test_texts_that_are_numbers_are_refused(refusal: Refusal, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,label\n1,0\n2,1\n")
    message = refusal("huggingface", path="a.csv", inputs="text")
    assert "column 'text' holds int64, not texts, images or lists of numbers" in message


def test_an_empty_parquet_split_is_refused(refusal: Refusal, tmp_path: Path) -> None:
    hub_parquet(tmp_path / "train.parquet", ["a", "b"], [0, 1])
    hub_parquet(tmp_path / "test.parquet", [], [])
    assert "the test split is empty" in refusal("huggingface", path=".")


def test_broken_files_are_named(refusal: Refusal, tmp_path: Path) -> None:
    hub_parquet(tmp_path / "a.parquet", ["a", "b"], [0, 1])
    content = (tmp_path / "a.parquet").read_bytes()
    (tmp_path / "a.parquet").write_bytes(content[:-20])
    assert f"{tmp_path / 'a.parquet'}: cannot be read, it may be cut" in refusal(
        "huggingface", path="a.parquet"
    )
    (tmp_path / "a.jsonl").write_text('{"text": "a", "label": 0}\n{"text": "b"')
    assert "a.jsonl: line 2 is not JSON" in refusal("huggingface", path="a.jsonl")


def test_a_file_that_is_not_there_is_never_sought_on_the_hub(refusal: Refusal) -> None:
    for path in ("reviews.csv", "data/reviews.parquet", "./reviews", "a/b/c"):
        assert "no such file or folder" in refusal("huggingface", early=True, path=path)


def test_a_package_that_is_not_installed_is_named(
    refusal: Refusal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.csv").write_text(TEXTS)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert "needs the package pyarrow, which is not installed: pip install" in refusal(
        "huggingface", path="a.csv"
    )


def test_sentences_of_sst2(shared_data: Path, tmp_path: Path) -> None:
    source = read(Wanted("huggingface", str(shared_data / "sst2")), tmp_path)
    assert source.classes == ("negative", "positive")
    assert {split: len(examples.labels) for split, examples in source.splits.items()} == {
        "train": 6920,
        "validation": 872,
        "test": 1821,
    }
    test = source.splits["test"]
    assert test.values[0] == "no movement , no yuks , not much of anything"
    assert test.labels[0] == 0
    assert abs(test.labels.mean() - 0.5) < 0.01


def test_lines_of_logs_need_names_of_columns(shared_data: Path, refusal: Refusal) -> None:
    path = str(shared_data / "logs")
    assert "its columns are system (text), content (text)" in refusal("huggingface", path=path)
    source = read(Wanted("huggingface", path, inputs="content", label="system"), shared_data)
    assert (len(source.classes), len(source.splits["train"].values)) == (13, 26_000)
    assert "examples have no label" in refusal("huggingface", path=path, inputs="content", label="level")


def test_images_of_cifar10(shared_data: Path, tmp_path: Path) -> None:
    wanted = Wanted("huggingface", "test.parquet")
    source = read(wanted, shared_data / "cifar10")
    assert source.classes[:3] == ("airplane", "automobile", "bird")
    test = source.splits["train"]
    assert isinstance(test.values, np.ndarray)
    assert (test.values.dtype, test.values.shape) == (np.uint8, (10_000, 3, 32, 32))
    assert np.bincount(test.labels).tolist() == [1000] * 10
    encoded = parquet.read_table(shared_data / "cifar10" / "test.parquet").slice(123, 1).to_pylist()[0]
    expected = np.asarray(Image.open(BytesIO(encoded["img"]["bytes"])))
    np.testing.assert_array_equal(test.values[123], expected.transpose(2, 0, 1))
    assert test.labels[123] == encoded["label"]


@pytest.mark.slow
def test_all_of_cifar10_is_held_once(shared_data: Path) -> None:
    script = """
import re, sys
from pathlib import Path
from edgecomp.data.sources import Wanted, read
source = read(Wanted("huggingface", sys.argv[1]), Path())
held = sum(examples.values.nbytes for examples in source.splits.values())
assert held == 60_000 * 3 * 32 * 32, held
print(int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 1024)
"""
    command = [sys.executable, "-c", script, str(shared_data / "cifar10")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert float(done.stdout) < 600  # MiB: 176 of pixels, 55 of files, the rest libraries


def test_codes_that_begin_with_0_are_classes_of_their_own(reading: Reading, tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("text,label\na,01\nb,1\nc,2\n")
    (tmp_path / "test.csv").write_text("text,label\na,1\nb,2\n")
    source = reading("huggingface", path=".")
    assert source.classes == ("01", "1", "2")
    assert source.splits["train"].labels.tolist() == [0, 1, 2]
    assert source.splits["test"].labels.tolist() == [1, 2]


def test_codes_of_slices_are_kept_as_well(reading: Reading, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,label,shop\na,1,01\nb,0,1\n")
    slices = reading("huggingface", path="a.csv", slice="shop").splits["train"].slices
    assert slices is not None
    assert slices.tolist() == ["01", "1"]


def test_splits_in_capitals_and_packed_are_found(reading: Reading, tmp_path: Path) -> None:
    (tmp_path / "Training.CSV").write_text(TEXTS)
    (tmp_path / "Test.csv.gz").write_bytes(gzip.compress(TEXTS.encode()))
    source = reading("huggingface", path=".")
    assert list(source.splits) == ["train", "test"]
    assert source.splits["test"].values == ["good", "bad", "fine", "poor"]
    (tmp_path / "Test.csv.gz").rename(tmp_path / "test-00000-of-00001.csv.gz")
    assert list(reading("huggingface", path=".").splits) == ["train", "test"]
