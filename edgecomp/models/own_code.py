"""What code a user's factory is made of: its module, and what that imports of the same folder or package; and where it failed."""

import ast
import os
import sysconfig
import traceback
from collections.abc import Iterator
from pathlib import Path

INSTALLED = {"site-packages", "dist-packages"}


def files_of_module(file: Path, module: str) -> list[Path]:
    """`file` and all that it imports, directly or not, in functions too; of an installed package only its own modules.

    module: the name that `file` is imported under. What other distributions bring along is known by their versions.
    """
    own = module.split(".")[0]
    root = file.parents[module.count(".") + (file.name == "__init__.py")]
    installed = bool(INSTALLED & set(root.parts))
    found: set[Path] = set()
    left = [module]
    while left:
        for name, source in _on_the_way(left.pop(), root):
            if source not in found:
                found.add(source)
                left += [
                    other
                    for other in _imported(source, name)
                    if other.split(".")[0] == own or not (installed or other.split(".")[0] == "edgecomp")
                ]
    return sorted({file, *found})  # a compiled module has no source


def _on_the_way(module: str, root: Path) -> Iterator[tuple[str, Path]]:
    """Module name and file of each package that leads to a module, and its own; what lies elsewhere has none."""
    parts = module.split(".")
    for count in range(1, len(parts) + 1):
        path = root.joinpath(*parts[:count])
        for source in (path / "__init__.py", path.with_name(f"{path.name}.py")):
            if source.is_file():
                yield ".".join(parts[:count]), source


def _imported(source: Path, module: str) -> Iterator[str]:
    """The names that a file imports; of `from a import b`, a.b as well, which may be a module."""
    package = module.split(".") if source.name == "__init__.py" else module.split(".")[:-1]
    try:
        tree = ast.parse(source.read_bytes())
    except SyntaxError:  # of another Python: named somewhere, and not imported here
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = [*above, *(node.module.split(".") if node.module else [])]
            yield from (".".join([*base, alias.name]) for alias in node.names)


def users_line(error: BaseException) -> str:
    """`/folder/net.py, line 12`: the last line that an error came through of code that is neither edgecomp's nor installed; or ''."""
    others = (
        Path(__file__).parents[1],
        *map(sysconfig.get_path, ("stdlib", "platstdlib", "purelib", "platlib", "scripts")),
    )
    known = ("<", *(f"{folder}{os.sep}" for folder in others))
    frames = traceback.extract_tb(error.__traceback__)
    lines = [
        f"{frame.filename}, line {frame.lineno}" for frame in frames if not frame.filename.startswith(known)
    ]
    return lines[-1] if lines else ""
