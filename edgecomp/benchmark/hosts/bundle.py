"""The files that a benchmark process takes along: a device that has no edgecomp is sent these, and needs Python, numpy and the runtime besides."""

import ast
from collections.abc import Iterator
from pathlib import Path

import edgecomp
from edgecomp.runtimes import TABLE

ROOT = Path(edgecomp.__file__).parent
WORKER = "edgecomp.benchmark.worker.main"


def worker_files(runtime: str) -> list[Path]:
    """Every file of edgecomp that a worker of a runtime may import, relative to the folder that holds the package; sorted.

    runtime: a row of edgecomp.runtimes.TABLE. What is imported for type checkers only is left out.
    """
    module, _, _ = TABLE[runtime].adapter.partition(":")
    return imported_files(WORKER, f"edgecomp.runtimes.{module}")


def imported_files(*modules: str) -> list[Path]:
    """Those of edgecomp that these `modules` of its import, and those import; as `worker_files` gives them."""
    waiting, found = [*modules], set[Path]()
    while waiting:
        name = waiting.pop()
        file = _file(name)
        if file is None or file in found:
            continue
        found.add(file)
        waiting += [name.rpartition(".")[0], *_imported(file)]
    return sorted(file.relative_to(ROOT.parent) for file in found)


def _file(name: str) -> Path | None:
    """Of a module of edgecomp; None of any other, and of what is no module."""
    if name.partition(".")[0] != "edgecomp":
        return None
    place = ROOT.joinpath(*name.split(".")[1:])
    return next((file for file in (place / "__init__.py", place.with_suffix(".py")) if file.is_file()), None)


def _imported(file: Path) -> Iterator[str]:
    waiting: list[ast.AST] = [ast.parse(file.read_text(encoding="utf-8"))]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        waiting += ast.iter_child_nodes(node)
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
