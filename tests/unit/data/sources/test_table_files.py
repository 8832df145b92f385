import json
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from edgecomp.data.sources.table_files import read_table
from edgecomp.errors import DataError


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
        "label": [0, 1, 0],
    }


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
        assert read_table(tmp_path / name, lambda _: ["d", "b.c"]).to_pydict() == {"d": [3], "b.c": [2]}


def test_a_file_that_is_gone_is_refused(tmp_path: Path) -> None:
    for suffix in ("parquet", "csv", "json"):
        with pytest.raises(DataError, match="No such file"):
            read_table(tmp_path / f"gone.{suffix}", lambda schema: schema.names)
