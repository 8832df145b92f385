"""Each page of docs/extend is followed in a copy of the package: its files are written, its rows are put in, its last block is run.

A block's first line says what it is: `# FILE` a new file, `# FILE: a row of NAME` a row of that table, `# FILE: a key of CLASS` a field of
that model, `# FILE: a value of KEY` a value of that key's Literal, `# FILE: an import` an import, `# try it` what is run. YAML is a file of its name.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from manual import DOCS, ROOT, Block, blocks
from running import environment

PAGES = [path.stem for path in sorted((DOCS / "extend").glob("*.md")) if path.stem != "index"]


def put(file: Path, what: str, text: str) -> None:
    """What a page says to add to a file that is there."""
    source = file.read_text(encoding="utf-8")
    kind, _, name = what.rpartition(" of ")
    where = {
        "an import": r"^(?=(?:from|import) edgecomp)",
        "a row": rf"^{name}\b.*= \{{\n(?:    metric\.id: metric\n    for metric in \(\n)?",
        "a key": rf"^class {name}\(.*?\n(?=    \w+: )",
        "a value": rf"(?<=^    {name}: Literal\[)",
    }[kind or what]
    found = re.search(where, source, re.MULTILINE | re.DOTALL if kind == "a key" else re.MULTILINE)
    assert found is not None, f"{file.name} has no place for {what}"
    text = text.strip() if kind == "a value" else text
    file.write_text(source[: found.end()] + text + source[found.end() :], encoding="utf-8")


def follow(block: Block, copy: Path) -> str | None:
    """Does what a block says in a copy; what is to be run, if that is what it is."""
    first, _, text = block.text.partition("\n")
    told = re.fullmatch(r"# (\S+?)(?:: (.+))?", first)
    if first == "# try it":
        return text
    assert told is not None, f"{block}: its first line does not say what it is: {first}"
    file = copy / told[1]
    if told[2] is None:
        assert not file.exists(), f"{block}: {told[1]} is there already"
        file.write_text(text, encoding="utf-8")
    else:
        put(file, told[2], text)
    return None


@pytest.mark.parametrize("page", PAGES)
def test_what_the_page_shows_works(page: str, tmp_path: Path) -> None:
    for part in ("edgecomp", "targets", "benchmarks/recipes"):
        shutil.copytree(ROOT / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__"))
    shown = [block for block in blocks("python") if block.page == f"docs/extend/{page}.md"]
    for yaml in (block for block in blocks("yaml") if block.page == f"docs/extend/{page}.md"):
        (tmp_path / f"{yaml.text.split()[1]}.yaml").write_text(yaml.text, encoding="utf-8")
    (script,) = [script for block in shown if (script := follow(block, tmp_path)) is not None]
    (tmp_path / "try_it.py").write_text(script, encoding="utf-8")
    own = {"PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-W", "error", "try_it.py"]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, check=False, env=environment() | own
    )
    assert done.returncode == 0, done.stdout + done.stderr
