"""Networks by name: a literal table, and factories `package.module:function` of the user's own."""

import importlib
import importlib.util
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from edgecomp.errors import UsageError
from edgecomp.metrics import nearest

if TYPE_CHECKING:
    from torch import nn

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
        raise UsageError(
            f"factory {name!r}: {module_name} has no function {function!r}{nearest(function, public)}"
        )
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


def build(name: str, arguments: Mapping[str, Any], folder: Path, channels: int, classes: int) -> "nn.Module":
    """The network, for images of `channels` and logits of `classes`. Raises UsageError."""
    factory = load_factory(name, folder)
    try:
        return factory(channels=channels, classes=classes, **arguments)  # type: ignore[no-any-return]
    except TypeError as error:
        raise UsageError(f"network {name!r} cannot be built: {error}; it is called with channels={channels}, "
                         f"classes={classes} and its `arguments`") from error  # fmt: skip
