"""What is checked of every network, and how an error of somebody else's code is passed on."""

import ast
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from edgecomp.errors import UsageError


def declared(module: str, network: str) -> dict[str, bool]:
    """The arguments of one of our own classes, and whether it needs them: read, so that torch is not
    imported. module: where it is; network: the class's name, or of one that is built as another of that file is."""
    spec = find_spec(module)
    assert spec is not None
    assert spec.origin is not None
    classes = {
        node.name: node
        for node in ast.parse(Path(spec.origin).read_bytes()).body
        if isinstance(node, ast.ClassDef)
    }
    own = classes[network]
    while not any(isinstance(node, ast.FunctionDef) and node.name == "__init__" for node in own.body):
        own = next(
            classes[base.id] for base in own.bases if isinstance(base, ast.Name) and base.id in classes
        )
    (init,) = (node for node in own.body if isinstance(node, ast.FunctionDef) and node.name == "__init__")
    names = [argument.arg for argument in init.args.args[1:]]
    needed = len(names) - len(init.args.defaults)
    return {name: place < needed for place, name in enumerate(names)}


def positive(**values: int | Sequence[int]) -> None:
    """Raises UsageError unless each of the values, arguments by name, is a whole number of at least 1, or a
    list of such numbers."""
    for name, value in values.items():
        numbers = value if isinstance(value, Sequence) and not isinstance(value, str) else [value]
        if not numbers or any(isinstance(n, bool) or not isinstance(n, int) or n < 1 for n in numbers):
            raise UsageError(f"argument {name!r} is {value!r}; write whole numbers of at least 1")


def said_by(error: BaseException) -> str:
    """An error's kind and its first words, in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}".removesuffix(": ")
