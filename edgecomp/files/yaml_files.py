"""YAML: plain values, and no more of them than a page of settings has."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import yaml
from yaml.composer import ComposerError
from yaml.constructor import ConstructorError
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from edgecomp.errors import FileError, RecipeError
from edgecomp.files import limits

MOST_BYTES = limits.MIB
MOST_VALUES = 10_000
"""With what an alias stands for counted each time: an alias of aliases multiplies."""


class _Loader(yaml.SafeLoader):
    """Refuses a key that is given twice, of which YAML's own loader takes the last; depth, numbers and aliases without end; and says
    where a value cannot be one."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._values, self._depth = 0, 0
        self._of_anchor: dict[str, int | None] = {}  # values it stands for; None while it is being read

    def compose_node(self, parent: Node | None, index: Any) -> Node | None:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]  # it has no stubs for it
        name, mark, before = event.anchor, event.start_mark, self._values
        if isinstance(event, yaml.AliasEvent):
            if name in self._of_anchor and self._of_anchor[name] is None:
                raise ComposerError(None, None, f"*{name} stands inside itself", mark)
            self._values += self._of_anchor.get(name) or 0
        elif name is not None:
            self._of_anchor[name] = None
        self._values, self._depth = self._values + 1, self._depth + 1
        if self._values > MOST_VALUES:
            problem = f"there are more than {MOST_VALUES:,} values, with what aliases stand for"
            raise ComposerError(None, None, problem, mark)
        if self._depth > limits.DEEPEST:
            raise ComposerError(None, None, f"nested more than {limits.DEEPEST} levels deep", mark)
        node: Node | None = super().compose_node(parent, index)
        self._depth -= 1
        if name is not None and not isinstance(event, yaml.AliasEvent):
            self._of_anchor[name] = self._values - before
        return node

    def compose_mapping_node(self, anchor: Any) -> MappingNode:
        node: MappingNode = super().compose_mapping_node(anchor)
        first: dict[tuple[str, str], int] = {}
        for key, _ in node.value:
            if not isinstance(key, ScalarNode):
                continue
            line = first.get((key.tag, key.value))
            if line is not None:
                problem = f"key {key.value[:80]!r} stands in line {line} already: leave one out"
                raise ComposerError(None, None, problem, key.start_mark)
            first[key.tag, key.value] = key.start_mark.line + 1
        return node

    def construct_object(self, node: Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (
            ValueError,
            OverflowError,
            KeyError,
            IndexError,
            AttributeError,
        ) as error:  # 2026-02-30, !!int x, !!bool x
            raise ConstructorError(
                None, None, f"{node.value!r:.80}: {error!s:.200}", node.start_mark
            ) from error

    def construct_yaml_int(self, node: Any) -> int:
        if digits := re.search(rf"\d{{{limits.DIGITS + 1},}}", node.value.replace("_", "")):
            limits.whole_number(digits[0])
        return super().construct_yaml_int(node)


_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_yaml_int)


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in the YAML file at `path`. Raises RecipeError, with line and column, and no FileError."""
    try:
        text = limits.read_text(path, MOST_BYTES)
        with limits.told(path):
            content = yaml.load(text, _Loader)
        limits.check_depth(content, FileError)  # with what aliases stand for
    except FileError as error:
        raise RecipeError(str(path), [str(error).removeprefix(f"{path}: ")]) from error
    except yaml.MarkedYAMLError as error:
        raise RecipeError(str(path), [yaml_problem(error)]) from error
    except (
        yaml.YAMLError,
        ValueError,
        TypeError,
    ) as error:  # a key that is a list; a character that none may be
        raise RecipeError(str(path), [f"not a YAML text: {' '.join(str(error).split())[:300]}"]) from error
    if content is None:
        raise RecipeError(str(path), ["is empty"])
    if not isinstance(content, dict):
        raise RecipeError(str(path), [f"holds {type(content).__name__}, not a mapping of keys to values"])
    return content


PATH = re.compile(r"[\w-]+(\.[\w-]+)*(?=: )")
"""Of a problem, the keys that lead to what it is about."""


def placed(problems: Iterable[str], files: Sequence[Path], overrides: Sequence[str] = ()) -> list[str]:
    """The `problems` that begin with the path of a key, each with the line and column where that key stands;
    others as they are.

    files: the YAML file that was asked for, which goes without saying, and those that it starts from;
    overrides: `KEY=VALUE` of the command line, which come before all files.
    """
    given = [override.lstrip("+~").partition("=")[0] for override in overrides]
    nodes: dict[Path, Node | None] = {}
    found = []
    for problem in problems:
        match = PATH.match(problem)
        if match is None:
            found.append(problem)
            continue
        keys = match[0].split(".")
        if any(_leads_to(key.split("."), keys) for key in given):
            found.append(f"on the command line: {problem}")
            continue
        nodes = nodes or {file: _node(file) for file in files}
        ways = {file: _way(node, keys) for file, node in nodes.items()}
        file = max(ways, key=lambda one: len(ways[one]))  # the first of those that lead as far
        name = "" if file == files[0] else f"{file.name}, "
        found.append(f"{name}{_place(ways[file][-1])}: {problem}" if ways[file] else problem)
    return found


def _leads_to(one: Sequence[str], other: Sequence[str]) -> bool:
    """Whether one of two paths begins with the other."""
    return all(mine == theirs for mine, theirs in zip(one, other, strict=False))


def _node(file: Path) -> Node | None:
    """The tree of a file that has been read before; None where it can no longer be."""
    try:
        return _Loader(limits.read_text(file, MOST_BYTES)).get_single_node()
    except (OSError, FileError, yaml.YAMLError):
        return None


def _way(node: Node | None, keys: Sequence[str]) -> list[Any]:
    """Where the keys of a path stand, as far as the tree has them."""
    marks = []
    for key in keys:
        if isinstance(node, SequenceNode) and key.isdigit() and int(key) < len(node.value):
            node = node.value[int(key)]
            marks.append(node.start_mark)
        elif isinstance(node, MappingNode) and (pair := _pair(node, key)):
            marks.append(pair[0].start_mark)
            node = pair[1]
        else:
            break
    return marks


def _pair(node: MappingNode, key: str) -> tuple[Node, Node] | None:
    return next((pair for pair in node.value if pair[0].value == key), None)


def _place(mark: Any) -> str:
    return f"line {mark.line + 1}, column {mark.column + 1}"


def yaml_problem(error: yaml.MarkedYAMLError) -> str:
    """What `error` says, on one line, after the line and column where it says them."""
    mark = error.problem_mark or error.context_mark
    place = f"{_place(mark)}: " if mark else ""
    reason = "; ".join(part for part in (error.context, error.problem) if part)
    return f"{place}invalid YAML: {reason}"
