"""What the manual shows, for tests that try it: README.md, CONTRIBUTING.md and the pages of docs/."""

import importlib.util
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
WRITTEN = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md")))
"""The pages that lie in the repository; the reference is made from the code (docs/hooks/generated.py)."""


class Block(NamedTuple):
    """A fenced block: its page, its number there (from 0), its language, its text."""

    page: str
    number: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}, block {self.number}"


def read(name: str) -> str:
    """A page by its path in the repository."""
    return (ROOT / name).read_text(encoding="utf-8")


def blocks(language: str) -> list[Block]:
    """Every fenced block of a language in the written pages, without those that include a file (`--8<--`)."""
    found = []
    for file in WRITTEN:
        name = file.relative_to(ROOT).as_posix()
        fenced = re.findall(r"^```(\w*)[^\n]*\n(.*?)^```", read(name), re.DOTALL | re.MULTILINE)
        found += [Block(name, number, *one) for number, one in enumerate(fenced)]
    return [block for block in found if block.language == language and "--8<--" not in block.text]


def commands() -> list[tuple[str, list[str]]]:
    """Every command line of the manual and of the files that it shows: where it is from, and its words."""
    lines = [(str(block), line) for block in blocks("sh") for line in block.text.splitlines()]
    for file in sorted((ROOT / "examples").glob("*.y*ml")):
        lines += [
            (file.name, line.strip().removeprefix("- ").removeprefix("run: "))
            for line in file.read_text(encoding="utf-8").splitlines()
            if re.match(r"\s*(- )?(run: )?edgecomp ", line)
        ]
    return [(where, words) for where, line in lines for words in words_of(line)]


def words_of(line: str) -> Iterator[list[str]]:
    """A line's commands, each as its words; comments and `export` are none."""
    for part in shlex.split(line, comments=True) and re.split(r" && ", line):
        words = shlex.split(part.removesuffix(";"), comments=True)
        if words and words[0] != "export":
            yield words


def generated() -> ModuleType:
    """docs/hooks/generated.py, which makes the reference."""
    spec = importlib.util.spec_from_file_location("generated", DOCS / "hooks" / "generated.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


MINIMAL = {
    block.text.split()[1]: block.text
    for block in blocks("yaml")
    if block.page == "docs/how-to/own-data.md"
    and block.text.startswith("name: ")
    and "\ndata: " in block.text
}
"""Whole recipes for one's own data, by their names."""
