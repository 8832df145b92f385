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
    except Exception as error:  # a user's module may raise anything while it is imported
        raise UsageError(
            f"factory {name!r} cannot be imported: {_said(error)}; looked in the installed environment and in {folder}"
        ) from error
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


def build(name: str, arguments: Mapping[str, Any], folder: Path, given: Mapping[str, Any]) -> "nn.Module":
    """The network, for images of `channels` and logits of `classes`. Raises UsageError."""
    from torch import nn

    factory = load_factory(name, folder)
    called = f"it is called with {', '.join(f'{k}={v}' for k, v in given.items())} and its `arguments`"
    try:
        network = factory(**given, **arguments)
    except Exception as error:  # a user's factory may raise anything
        raise UsageError(f"network {name!r} cannot be built: {_said(error)}; {called}") from error
    if not isinstance(network, nn.Module):
        raise UsageError(
            f"network {name!r}: the factory returned {type(network).__name__}, not a torch.nn.Module"
        )
    return network


def check_output(name: str, network: "nn.Module", example: Mapping[str, Any], classes: int) -> None:
    """Runs the network on zeros of `shape`, a batch of two. Raises UsageError unless logits [2, classes] come out."""
    import torch

    was_training = network.training
    try:
        with torch.no_grad():
            logits = network.eval()(*example.values())
    except Exception as error:  # a user's network may raise anything
        raise UsageError(
            f"network {name!r} cannot take a batch of shapes {[list(v.shape) for v in example.values()]}: {_said(error)}"
        ) from error
    finally:
        network.train(was_training)
    if not isinstance(logits, torch.Tensor):
        raise UsageError(f"network {name!r} returns {type(logits).__name__}, not a tensor of logits")
    if tuple(logits.shape) != (2, classes):
        raise UsageError(
            f"network {name!r} returns shape {tuple(logits.shape)} for a batch of {2}; the data has {classes} "
            f"classes, so it must be ({2}, {classes})"
        )


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"


def keep_layers(network: "nn.Module", layers: Any) -> "nn.Module":
    raise NotImplementedError


def resolve(reference: str, folder: Path) -> str:
    raise NotImplementedError
