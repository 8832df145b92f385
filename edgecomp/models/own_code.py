"""Functions of the user's own, factories and scores: found and imported; what code they are made of; and where they failed."""

import ast
import importlib
import importlib.util
import os
import sys
import sysconfig
import traceback
import types
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from edgecomp.errors import EdgecompError, Terminated, UsageError, UserCodeError, nearest, nearest_there
from edgecomp.models.checks import said_by

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

INSTALLED = {"site-packages", "dist-packages"}


class Role(NamedTuple):
    """What a function is for, as messages say it."""

    called: str
    makes: str  # what those of Python's own do not make
    written: str


FACTORY = Role("factory", "networks", "package.module:function")
SCORE = Role("score", "scores", "package.module:function, or path/to/file.py:function")
REWRITING = Role("data.augment.rewrite", "texts", SCORE.written)
FILTER = Role("data.synthesis.filter", "choices", SCORE.written)
ANSWERING = Role("api.function", "answers", SCORE.written)


def load_function(name: str, folder: Path, role: Role = FACTORY) -> Callable[..., Any]:
    """The function behind `name`, `module:function`, from the installed environment or else from `folder`;
    role: what it is for. Raises UsageError, UserCodeError."""
    check_name(name, folder, role)
    module_name, _, function = name.partition(":")
    with importable(folder), users_code(f"{role.called} {name!r} cannot be imported"):
        try:
            module = importlib.import_module(module_name)
        except ModuleNotFoundError as error:
            if not f"{module_name}.".startswith(f"{error.name}."):
                raise  # what it imports itself
            raise UsageError(f"{role.called} {name!r} cannot be imported: {said_by(error)}; looked in the installed environment and in "
                             f"{folder}") from error  # fmt: skip
        found = _function_of(module, function, name, role)
    check_function(name, found, role)
    return found


def load_score(name: str, folder: Path) -> "OwnScore":
    """name: `package.module:function`, from the installed environment or `folder`, or `path/to/file.py:function`, from `folder`.

    Raises UsageError, UserCodeError.
    """
    return OwnScore(name, *_found(name, folder, SCORE))


def load_rewriting(name: str, folder: Path) -> "OwnRewriting":
    """name, folder: as `load_score` takes them. Raises UsageError, UserCodeError."""
    return OwnRewriting(name, *_found(name, folder, REWRITING))


def load_own(name: str, folder: Path, role: Role) -> tuple[Callable[..., Any], tuple[Path, ...]]:
    """The function, and the files that it is made of. name, folder: as `load_score` takes them; role: what it is for. Raises UsageError, UserCodeError."""
    found, files, home = _found(name, folder, role)

    def call(*given: Any) -> Any:
        with importable(home), users_code(f"{role.called} {name!r} failed"):
            return found(*given)

    return call, files


def _found(name: str, folder: Path, role: Role) -> tuple[Callable[..., Any], tuple[Path, ...], Path]:
    """The function, what it is made of, and what it may import from."""
    module_name, _, function = name.rpartition(":")
    if not module_name.endswith(".py"):
        found = load_function(name, folder, role)
        source = sys.modules[module_name].__file__
        files = files_of_module(Path(source), module_name) if source else []
        return found, tuple(files), folder
    file = (folder / module_name).resolve()
    if not file.is_file():
        raise UsageError(f"{role.called} {name!r}: no such file: {file}{nearest_there(file)}")
    own = f"_own_{file.stem}"  # not the name of a module that is installed
    spec = importlib.util.spec_from_file_location(own, file)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[own] = importlib.util.module_from_spec(spec)
    with importable(file.parent), users_code(f"{role.called} {name!r} cannot be imported"):
        spec.loader.exec_module(module)
        found = _function_of(module, function, name, role)
    return found, tuple(files_of_module(file, file.stem)), file.parent


def _function_of(module: types.ModuleType, function: str, name: str, role: Role) -> Callable[..., Any]:
    found = getattr(module, function, None)
    if callable(found):
        return found  # type: ignore[no-any-return]  # whatever is there: it is called next
    public = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
    where = name.rpartition(":")[0]
    raise UsageError(
        f"{role.called} {name!r}: {where} has no function {function!r}{nearest(function, public)}"
    )


@contextmanager
def importable(folder: Path) -> Iterator[None]:
    """What lies in `folder` can be imported, after all that is installed.

    No bytecode of it is kept: Python takes bytecode for that of a file by its size and the second of its change (PEP 552 names the risk), so
    that of a file mended within a second of its first import the fault would be executed again.
    """
    path, keeps_none = str(folder.absolute()), sys.dont_write_bytecode
    sys.path.append(path)
    sys.dont_write_bytecode = True
    try:
        yield
    finally:
        sys.dont_write_bytecode = keeps_none
        with suppress(ValueError):
            sys.path.remove(path)


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


def check_name(name: str, folder: Path, role: Role = FACTORY) -> None:
    """Raises UsageError where `name` is no `module:function`, or of Python's own: eval, os.system and their
    like make no network. folder: where it would be looked for, in case a file there has a name of Python's;
    role: what the function is for."""
    module, _, function = name.partition(":")
    if not all(part.isidentifier() for part in (*module.split("."), function)):
        raise UsageError(f"{name!r:.100} is no {role.called}: write {role.written}")
    first = module.partition(".")[0]
    if _is_pythons(first):
        own = folder / f"{first}.py"
        hint = f"; {own} has a name that Python has taken: rename it" if own.is_file() else ""
        raise UsageError(f"{role.called} {name!r}: {first} is Python's own, which makes no {role.makes}: name a function in the recipe's folder, "
                         f"or in a package that is installed{hint}")  # fmt: skip


def check_function(name: str, factory: Callable[..., Any], role: Role = FACTORY) -> None:
    """Raises UsageError where `factory`, what is found under the name, is Python's own after all. role: what
    it is for."""
    module = getattr(factory, "__module__", None) or ""
    kinds = (types.FunctionType, types.BuiltinFunctionType, type)
    if isinstance(factory, kinds) and _is_pythons(module.partition(".")[0]):
        raise UsageError(
            f"{role.called} {name!r} is {module}.{factory.__name__}, Python's own, which makes no {role.makes}"
        )


def _is_pythons(module: str) -> bool:
    return module in sys.stdlib_module_names or module == "__main__"


@contextmanager
def users_code(doing: str, called: str = "") -> Iterator[None]:
    """Whatever the code of the user's own raises meanwhile, an exit too, is told as theirs: `doing` says what
    could not be done, and `called`, at the message's end, how the code was called. Raises UserCodeError.

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


@dataclass(frozen=True)
class OwnScore:
    """A function `(outputs, labels) -> [N]` of the user's own, the higher the better. files: what it is made of; folder: what it may
    import from."""

    name: str
    function: Callable[..., Any]
    files: tuple[Path, ...]
    folder: Path

    def __call__(self, outputs: Any, labels: Any, count: int) -> "npt.NDArray[np.float64]":
        """What it gives for `count` examples, [count].

        outputs: by name where there are several, else the one: [count, ...], or a list of arrays, one an example; labels: as the data
        have them. Raises UserCodeError where it raises, UsageError where it gives anything else; each says where it is.
        """
        import numpy as np

        with importable(self.folder), users_code(f"score {self.name!r} fails on {count} examples"):
            given = self.function(_copied(outputs), _copied(labels))
        try:
            found = np.asarray(given)
        except (ValueError, TypeError):  # ragged
            found = np.empty(0, object)
        place = f"your own code, {_place_of(self.function)}"
        if found.dtype.kind not in "fiub" or found.shape != (count,):
            is_numbers = found.dtype.kind in "fiub"
            what = f"numbers of shape {list(found.shape)}" if is_numbers else type(given).__name__
            raise UsageError(f"score {self.name!r} returns {what} for {count} examples, and must return one number for each, shape [{count}] "
                             f"({place})")  # fmt: skip
        numbers = found.astype(np.float64)
        if not (finite := np.isfinite(numbers)).all():
            first = int(finite.argmin())
            raise UsageError(f"score {self.name!r} returns {numbers[first]} for example {first} (from 0), and {int((~finite).sum())} of {count} "
                             f"are not finite: give every example a number ({place})")  # fmt: skip
        return numbers


@dataclass(frozen=True)
class OwnRewriting:
    """A function `(texts, view) -> texts` of the user's own: the same said otherwise, another way in each view. files, folder: as of OwnScore."""

    name: str
    function: Callable[..., Any]
    files: tuple[Path, ...]
    folder: Path

    def __call__(self, texts: Sequence[str], view: int) -> list[str]:
        """As many texts as it is given, in their order. Raises UserCodeError where it raises, UsageError where it gives anything else."""
        with (
            importable(self.folder),
            users_code(f"{REWRITING.called} {self.name!r} fails on {len(texts)} texts"),
        ):
            given = self.function(list(texts), view)
        if (
            not isinstance(given, list)
            or len(given) != len(texts)
            or not all(isinstance(one, str) for one in given)
        ):
            what = f"{len(given)} items" if isinstance(given, list) else type(given).__name__
            raise UsageError(f"{REWRITING.called} {self.name!r} returns {what} for {len(texts)} texts, and must return a list of as many texts "
                             f"(your own code, {_place_of(self.function)})")  # fmt: skip
        return given


def _copied(values: Any) -> Any:
    """What may be written to without changing what is judged."""
    if isinstance(values, dict):
        return {name: _copied(one) for name, one in values.items()}
    if isinstance(values, list):
        return [_copied(one) for one in values]
    return values.copy() if hasattr(values, "copy") else values


def _place_of(function: Callable[..., Any]) -> str:
    """`/folder/scores.py, line 12`, as far as Python knows."""
    code = getattr(function, "__code__", None)
    return f"{code.co_filename}, line {code.co_firstlineno}" if code else repr(function)
