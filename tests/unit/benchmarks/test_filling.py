"""A table that is filled cell by cell: what is there is not made again, and what fails is no cell."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"
SCRIPT = """
import json, sys
from pathlib import Path

name, other, runs, file = sys.argv[1:]
if name == "broken":
    sys.exit("it is broken")
Path(runs).mkdir(parents=True, exist_ok=True)
(Path(runs) / "shared").open("a").write(name)
print(f"{name} is made")
Path(file).write_text(json.dumps([name, other, Path(__file__).parent.name]))
"""


@pytest.fixture
def cells(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import filling as cells

    return cells


@pytest.fixture
def script(tmp_path: Path) -> Path:
    (tmp_path / "scripts" / "table").mkdir(parents=True)
    (tmp_path / "scripts" / "table" / "cell.py").write_text(SCRIPT, encoding="utf-8")
    return tmp_path / "scripts" / "table" / "cell.py"


def asked(cells: Any, folder: Path, *names: str) -> list[Any]:
    folder.mkdir(exist_ok=True)
    return [cells.Cell(folder / f"{name}.json", [name, "x y"]) for name in names]


def test_a_cell_is_made_once_and_one_that_fails_is_not_there(
    cells: Any, script: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    written: list[int] = []
    tell: Callable[[], None] = lambda: written.append(1)
    runs, folder = tmp_path / "runs", tmp_path / "cells"
    cells.fill(script, asked(cells, folder, "one", "broken", "two"), runs, tell)
    assert (folder / "one.json").read_text(encoding="utf-8") == '["one", "x y", "table"]'
    assert {file.stem for file in folder.iterdir()} == {"one", "two"}
    assert len(written) == 2
    assert (runs / "shared").read_text(encoding="utf-8") == "onetwo"
    said = capfd.readouterr().out
    assert 'broken: exit code 1; it stays "not run"' in said
    cells.fill(script, asked(cells, folder, "one", "two"), runs, tell)
    assert len(written) == 2
    assert "one: there already" in capfd.readouterr().out


def test_two_cells_at_once_have_a_folder_each_and_a_later_one_what_was_left(
    cells: Any, tmp_path: Path
) -> None:
    with cells._slot(tmp_path) as first:
        (first / "teacher").touch()
        with cells._slot(tmp_path) as second:
            assert second != first
    with cells._slot(tmp_path) as again:
        assert again == first
        assert (again / "teacher").exists()
