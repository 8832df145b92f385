"""Networks by name: a literal table, and factories `package.module:function` of the user's own."""

import importlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from edgecomp.errors import UsageError
from edgecomp.metrics import nearest

TABLE = {
    "resnet": "edgecomp.models.resnet:ResNet",
}


def find_factory(name: str, folder: Path) -> str:
    """`name` as `module:function`, proved importable. Raises UsageError.

    Our own networks are taken at their word, so that a recipe is checked without importing torch.
    """
    if name in TABLE:
        return TABLE[name]
    if ":" not in name:
        raise UsageError(f"no such network: {name!r}{nearest(name, TABLE)} Known: {', '.join(TABLE)}, or a factory "
                         "'package.module:function'")  # fmt: skip
    load_factory(name, folder)
    return name


def load_factory(name: str, folder: Path) -> Callable[..., Any]:
    """The function behind `module:function`, from the installed environment or else from `folder`."""
    module_name, _, function = TABLE.get(name, name).partition(":")
    try:
        module = _import(module_name, folder)
    except ImportError as error:
        raise UsageError(f"factory {name!r} cannot be imported: {error}; looked in the installed environment "
                         f"and in {folder}") from error  # fmt: skip
    factory = getattr(module, function, None)
    if not callable(factory):
        public = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
        raise UsageError(f"factory {name!r}: {module_name} has no function {function!r}{nearest(function, public)}")
    return factory  # type: ignore[no-any-return]


def _import(name: str, folder: Path) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not (name == error.name or name.startswith(f"{error.name}.")):
            raise  # the module is there, and something it imports is not
    path = folder.joinpath(*name.split(".")).with_suffix(".py")
    if not path.is_file():
        raise ModuleNotFoundError(f"no module {name!r}", name=name)
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ModuleNotFoundError(f"{path} is not a Python module", name=name)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
