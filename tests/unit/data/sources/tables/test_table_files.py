import gzip
import json
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from edgecomp.data.sources.tables.table_files import read_table
from edgecomp.errors import DataError

LINES = '{"text": "très bon, très", "label": "pos"}\n{"text": "un | deux", "label": "neg"}\n'


def table(path: Path, content: str | bytes) -> pa.Table:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_table(path, lambda schema: schema.names)


def refused(path: Path, content: str | bytes) -> str:
    with pytest.raises(DataError) as caught:
        table(path, content)
    assert str(caught.value).startswith(f"{path}: ")
    return str(caught.value)


def test_csv_texts_are_kept_as_they_are(tmp_path: Path) -> None:
    content = '\ufefftext,label\nNA,0\n"two\nlines, one ""cell""",1\nnull,0\n'
    assert table(tmp_path / "x.csv", content).to_pydict() == {
        "text": ["NA", 'two\nlines, one "cell"', "null"],
        "label": ["0", "1", "0"],
    }


def test_labels_of_a_csv_come_as_they_are_written(tmp_path: Path) -> None:
    read = table(tmp_path / "x.csv", "f0,label\n01.50,01\n2, 1\n3,NA\n")
    assert read.to_pydict() == {"f0": [1.5, 2, 3], "label": ["01", "1", None]}
    wide = table(tmp_path / "x.csv", "f0,label\n1,12345678901234567890\n2,12345678901234567891\n")
    assert wide.to_pydict()["label"] == ["12345678901234567890", "12345678901234567891"]


def test_an_empty_cell_of_a_csv_is_a_missing_value(tmp_path: Path) -> None:
    content = "text,label,name\na,0,x\n,NA,\nb,,y\n"
    assert table(tmp_path / "x.csv", content).to_pydict() == {
        "text": ["a", None, "b"],
        "label": [0, None, None],
        "name": ["x", None, "y"],
    }


def test_a_type_is_told_from_all_rows_of_a_csv(tmp_path: Path) -> None:
    rows = "".join(
        f"{'text ' * 20},{number}\n" for number in range(20_000)
    )  # 2 MB: more than one of Arrow's blocks
    assert table(tmp_path / "x.csv", f"text,label\n{rows}b,none\n").column("label").type == pa.string()


ROWS = [("text", "label"), ("très bon, très", "pos"), ("un | deux", "neg")]


def text_of(separator: str) -> str:
    return "\n".join(separator.join(f'"{cell}"' for cell in row) for row in ROWS) + "\n"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("x.tsv", text_of("\t").encode()),
        ("x.TSV", text_of("\t").encode()),
        ("x.csv", text_of(";").encode()),
        ("x.csv", text_of("\t").encode()),
        ("x.csv", text_of("|").encode()),
        ("x.CSV", text_of(",").encode()),
        ("x.csv", text_of(",").encode("utf-16")),
        ("x.csv", b"\xfe\xff" + text_of(",").encode("utf-16-be")),
        ("x.csv", text_of(";").encode("utf-32")),
        ("x.csv.gz", gzip.compress(text_of(",").encode(), mtime=0)),
        ("x.Tsv.GZ", gzip.compress(text_of("\t").encode("utf-16"), mtime=0)),
        ("x.ndjson", LINES.encode()),
        ("x.JSONL", LINES.encode("utf-16")),
        ("x.jsonl.gz", gzip.compress(LINES.encode(), mtime=0)),
    ],
)
def test_a_table_is_read_however_it_is_written(name: str, content: bytes, tmp_path: Path) -> None:
    header, *rows = ROWS
    expected = {key: [row[place] for row in rows] for place, key in enumerate(header)}
    assert table(tmp_path / name, content).to_pydict() == expected


def test_a_decimal_comma_is_read_where_semicolons_separate(tmp_path: Path) -> None:
    read = table(tmp_path / "x.csv", "f0;f1;f2;label\n0,5;-1;a;1,5\n;2,25;b;1,5\n")
    assert read.to_pydict() == {
        "f0": [0.5, None],
        "f1": [-1.0, 2.25],
        "f2": ["a", "b"],
        "label": ["1,5", "1,5"],
    }
    grouped = table(tmp_path / "x.csv", 'f0,label\n"1,234",a\n')
    assert grouped.to_pydict()["f0"] == ["1,234"], "which may be a thousand and some"


def test_what_unpacks_to_more_than_can_be_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgecomp.data.sources.tables.table_files._LARGEST_BLOCK", 1000)
    packed = gzip.compress(b"text,label\n" + b"a,0\n" * 1000)
    assert "unpacks to more than 1,000 bytes: unpack it" in refused(tmp_path / "x.csv.gz", packed)


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("x.csv.gz", gzip.compress(text_of(",").encode(), mtime=0)[:-9], "cannot be read, it may be damaged"),
        ("x.csv.gz", text_of(",").encode(), "cannot be read, it may be damaged: Not a gzipped file"),
        ("x.csv", text_of(",").encode("utf-16")[:-1], "is not UTF-16-LE text, at byte"),
        ("x.csv", text_of(",").encode("utf-16-le"), "UTF-16 without its byte order mark: save it as UTF-8"),
        ("x.json", b'{"a": 1}\0', "is no text"),
    ],
)
def test_what_is_no_text_is_refused(name: str, content: bytes, complaint: str, tmp_path: Path) -> None:
    assert complaint in refused(tmp_path / name, content)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("", "is an empty file"),
        ("text,label\n", "is empty: it has columns and no rows"),
        ("text,label\na,0\nb,1,2\n", "Row #3: Expected 2 columns, got 3"),
        (b"text,label\ncaf\xe9,0\n", "column 'text' is not UTF-8 text"),
    ],
)
def test_a_broken_csv_is_refused(content: str | bytes, complaint: str, tmp_path: Path) -> None:
    assert complaint in refused(tmp_path / "x.csv", content)


def test_json_is_an_object_a_line_or_a_list(tmp_path: Path) -> None:
    rows = [{"text": "a\u2028b", "label": 1}, {"text": "ü", "more": [1.5, 2]}]
    expected = {"text": ["a\u2028b", "ü"], "label": [1, None], "more": [None, [1.5, 2.0]]}
    lines = "\n\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    assert table(tmp_path / "x.jsonl", lines).to_pydict() == expected
    assert table(tmp_path / "x.json", lines + "\r\n").to_pydict() == expected
    assert table(tmp_path / "x.json", "\n" + json.dumps(rows, indent=1)).to_pydict() == expected


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("", "is empty: it has no objects"),
        ("[]", "is empty: it has no objects"),
        ('{"a": 1}\n\n{"a": 2\n', "line 3 is not JSON: Expecting ',' delimiter, at column 8"),
        ('[{"a": 1},\n{"a" 2}]', "line 2 is not JSON: Expecting ':' delimiter, at column 6"),
        ('{"a": 1}\n[1, 2]\n', "line 2 is a list, not an object"),
        ("[1]", "item 0 (from 0) is a int, not an object"),
        ('{"a": 1}\n{"a": "one"}\n', "column 'a' has values of different kinds"),
        (b'{"a": "caf\xe9"}', "is not UTF-8 text, at byte 10"),
    ],
)
def test_broken_json_is_refused(content: str | bytes, complaint: str, tmp_path: Path) -> None:
    assert complaint in refused(tmp_path / "x.json", content)


def test_parquet_cut_short_or_damaged_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    parquet.write_table(
        pa.table({"text": [f"text {n}" for n in range(500)], "label": list(range(500))}), path
    )
    whole = path.read_bytes()
    for cut in (0, 3, 100, len(whole) // 2, len(whole) - 1):
        assert "it may be cut short or damaged" in refused(path, whole[:cut])
    assert "damaged" in refused(path, whole[:4] + bytes(1500) + whole[1504:])


def test_only_the_chosen_columns_are_read(tmp_path: Path) -> None:
    parquet.write_table(pa.table({"a": [1], "b.c": [2], "d": [3]}), tmp_path / "x.parquet")
    (tmp_path / "x.csv").write_text("a,b.c,d\n1,2,3\n")
    (tmp_path / "x.json").write_text('{"a": 1, "b.c": 2, "d": 3}')
    for name in ("x.parquet", "x.csv", "x.json"):
        label = "2" if name == "x.csv" else 2
        assert read_table(tmp_path / name, lambda _: ["d", "b.c"]).to_pydict() == {"d": [3], "b.c": [label]}


def test_a_file_that_is_gone_is_refused(tmp_path: Path) -> None:
    for suffix in ("parquet", "csv", "json"):
        with pytest.raises(DataError, match="No such file"):
            read_table(tmp_path / f"gone.{suffix}", lambda schema: schema.names)


@pytest.mark.parametrize("name", ["x.csv", "x.jsonl", "x.parquet"])
def test_a_cell_of_ten_megabytes_is_refused(name: str, tmp_path: Path) -> None:
    table = pa.table({"text": ["a", "b" * 10_000_000, "c"], "label": ["x", "y", "x"]})
    path = tmp_path / name
    if name == "x.parquet":
        parquet.write_table(table, path)
    else:
        rows = table.to_pylist()
        text = (
            "text,label\n" + "".join(f"{row['text']},{row['label']}\n" for row in rows)
            if name == "x.csv"
            else "".join(f"{json.dumps(row)}\n" for row in rows)
        )
        path.write_text(text)
    with pytest.raises(DataError) as caught:
        read_table(path, lambda schema: schema.names)
    assert (
        f"{path}: column 'text', example 1 (from 0): a text of 10,000,000 bytes; the most is 1,048,576: cut it, or look for a quotation "
        "mark that is not closed"
    ) in str(caught.value)


def test_a_packed_table_that_unpacks_without_end_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.csv.gz"
    path.write_bytes(gzip.compress(b"text,label\n" + b"a" * (300 * 2**20), compresslevel=1))
    with pytest.raises(DataError, match=r"x\.csv\.gz: unpacks to more than 268,435,456 bytes: unpack it"):
        read_table(path, lambda schema: schema.names)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[" * 100_000, "is nested too deeply"),
        ('{"a": ' * 100 + "1" + "}" * 100, "is nested more than 64 levels deep"),
    ],
)
def test_json_of_great_depth_is_refused(text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(DataError, match=words):
        read_table(tmp_path / "x.json", lambda schema: schema.names)
