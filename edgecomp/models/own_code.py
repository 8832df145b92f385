"""What code a user's factory is made of: its module, and what that imports of the same folder or package; and where it failed."""

import ast
import os
import sys
import sysconfig
import traceback
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from edgecomp.errors import EdgecompError, Terminated, UsageError, UserCodeError
from edgecomp.models.checks import said_by

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


def check_factory(name: str, folder: Path) -> None:
    """Raises UsageError where `module:function` is not one, or of Python's own: eval, os.system and their like make no network."""
    module, _, function = name.partition(":")
    if not all(part.isidentifier() for part in (*module.split("."), function)):
        raise UsageError(f"{name!r:.100} is no factory: write package.module:function")
    first = module.partition(".")[0]
    if _is_pythons(first):
        own = folder / f"{first}.py"
        hint = f"; {own} has a name that Python has taken: rename it" if own.is_file() else ""
        raise UsageError(f"factory {name!r}: {first} is Python's own, which makes no networks: name a function in the recipe's folder, or in "
                         f"a package that is installed{hint}")  # fmt: skip


def check_function(name: str, factory: Callable[..., Any]) -> None:
    """Raises UsageError where what is found under the name is Python's own after all."""
    module = getattr(factory, "__module__", None) or ""
    kinds = (types.FunctionType, types.BuiltinFunctionType, type)
    if isinstance(factory, kinds) and _is_pythons(module.partition(".")[0]):
        raise UsageError(
            f"factory {name!r} is {module}.{factory.__name__}, Python's own, which makes no networks"
        )


def _is_pythons(module: str) -> bool:
    return module in sys.stdlib_module_names or module == "__main__"


@contextmanager
def users_code(doing: str, called: str = "") -> Iterator[None]:
    """Whatever the code of the user's own raises meanwhile, an exit too, is told as theirs. Raises UserCodeError.

    Errors of edgecomp's pass, and so does what ends this process.
    """
    try:
        yield
    except (EdgecompError, KeyboardInterrupt, Terminated):
        raise
    except BaseException as error:
        place = users_line(error) or _last_line(error)
        raise UserCodeError(f"{doing}: {said_by(error)} (your own code, {place}){called}") from error


def users_line(error: BaseException) -> str:
    """`/folder/net.py, line 12`: the last line that an error came through of code that is neither edgecomp's nor installed; or ''."""
    if isinstance(error, SyntaxError) and error.filename and not error.filename.startswith(_known()):
        return f"{error.filename}, line {error.lineno}"
    frames = traceback.extract_tb(error.__traceback__)
    lines = [
        f"{frame.filename}, line {frame.lineno}"
        for frame in frames
        if not frame.filename.startswith(_known())
    ]
    return lines[-1] if lines else ""


def _known() -> tuple[str, ...]:
    """How the names of files begin that are not the user's."""
    paths = map(sysconfig.get_path, ("stdlib", "platstdlib", "purelib", "platlib", "scripts"))
    return "<", *(f"{folder}{os.sep}" for folder in (Path(__file__).parents[1], *paths))


def _last_line(error: BaseException) -> str:
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{frame.filename}, line {frame.lineno}"
