"""A docstring says what each argument is: by the text of the code alone, for nothing is imported.

Not asked for are what is said elsewhere, once: of a method that a Protocol or a base class of edgecomp's declares, of an argument that
carries its help for the command line, of pydantic's validators and serialisers, and of a network's `forward`.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import edgecomp

PACKAGE = Path(edgecomp.__file__).parent


def public(
    body: list[ast.stmt],
) -> Iterator[tuple[ast.FunctionDef | ast.AsyncFunctionDef, ast.ClassDef | None]]:
    """The public functions among `body`, a module's statements, and the public methods of its public classes, each with its class."""
    for node in body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from ((method, node) for method, _ in public(node.body))
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_"):
            yield node, None


def arguments(function: ast.FunctionDef | ast.AsyncFunctionDef) -> list[ast.arg]:
    """All that `function` takes but itself, and what it takes no notice of (`_`)."""
    given = function.args
    found = [*given.posonlyargs, *given.args, given.vararg, *given.kwonlyargs, given.kwarg]
    return [one for one in found if one and one.arg not in ("self", "cls") and not one.arg.startswith("_")]


def names(node: ast.AST) -> set[str]:
    """Every name that stands in `node`, an attribute's as well."""
    found = {one.id for one in ast.walk(node) if isinstance(one, ast.Name)}
    return found | {one.attr for one in ast.walk(node) if isinstance(one, ast.Attribute)}


TREES = {file: ast.parse(file.read_text(encoding="utf-8")) for file in sorted(PACKAGE.rglob("*.py"))}
CLASSES = {
    node.name: node for tree in TREES.values() for node in ast.walk(tree) if isinstance(node, ast.ClassDef)
}


def helps(node: ast.AST) -> bool:
    """Whether `node`, an annotation, holds a text for the command line's help."""
    return "Annotated" in names(node) and any(
        isinstance(one, ast.keyword) and one.arg == "help" for one in ast.walk(node)
    )


WITH_HELP = {
    target.id
    for tree in TREES.values()
    for node in tree.body
    if isinstance(node, ast.Assign) and helps(node.value)
    for target in node.targets
    if isinstance(target, ast.Name)
}
"""What an argument of several commands is annotated with."""


def bases(owner: ast.ClassDef) -> set[str]:
    """The names of all that `owner` descends from, as far as edgecomp defines it."""
    own = {name for base in owner.bases for name in names(base)}
    return own.union(*(bases(CLASSES[name]) for name in own if name in CLASSES and name != owner.name))


def declares(owner: ast.ClassDef, method: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Whether `owner` has a method of the name of `method` that takes all that it takes."""
    taken = {one.arg for one in arguments(method)}
    return any(
        one.name == method.name and taken <= {of.arg for of in arguments(one)}
        for one, _ in public(owner.body)
    )


def meets(owner: ast.ClassDef, protocol: ast.ClassDef) -> bool:
    """Whether `owner` has every method of `protocol` that takes anything."""
    own = {one.name for one, _ in public(owner.body)}
    return {one.name for one, _ in public(protocol.body) if arguments(one)} <= own


def is_said_elsewhere(method: ast.FunctionDef | ast.AsyncFunctionDef, owner: ast.ClassDef | None) -> bool:
    """Whether the arguments of `method`, of the class `owner`, are described where it is declared, or are another library's."""
    if any(
        re.search("(validator|serializer)$", name) for one in method.decorator_list for name in names(one)
    ):
        return True
    if owner is None or "Protocol" in bases(owner):
        return False
    above = bases(owner)
    if method.name == "forward" and "Module" in above:
        return True
    of_protocols = {name for name, one in CLASSES.items() if "Protocol" in bases(one) and meets(owner, one)}
    return any(declares(CLASSES[name], method) for name in (above | of_protocols) & CLASSES.keys())


def has_help(argument: ast.arg) -> bool:
    """Whether `argument` is of a command, which says what it is by its help, or is that command's own context."""
    if argument.annotation is None:
        return False
    said = names(argument.annotation)
    return helps(argument.annotation) or bool(said & WITH_HELP) or {"typer", "Context"} <= said


def room_of(file: Path) -> str:
    """The room of a file: its folder in the package, or the file itself."""
    return file.relative_to(PACKAGE).parts[0].removesuffix(".py")


def unnamed(room: str) -> list[str]:
    """The arguments in a room that its docstrings do not name, as FILE:LINE FUNCTION(ARGUMENT)."""
    found = []
    for file, tree in TREES.items():
        if room_of(file) != room:
            continue
        for function, owner in public(tree.body):
            if is_said_elsewhere(function, owner):
                continue
            said = ast.get_docstring(function) or ""
            place = f"{file.relative_to(PACKAGE)}:{function.lineno} {function.name}"
            found += [
                f"{place}({one.arg})"
                for one in arguments(function)
                if not has_help(one) and not re.search(rf"\b{one.arg}\b", said)
            ]
    return found


@pytest.mark.parametrize("room", sorted({room_of(file) for file in TREES}))
def test_docstrings_name_every_argument(room: str) -> None:
    assert not unnamed(room), "\n".join(unnamed(room))
