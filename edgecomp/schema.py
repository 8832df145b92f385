"""What recipes, targets and policies share: strict models, YAML with line and column, names that are near."""

import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError
from yaml.composer import ComposerError
from yaml.constructor import ConstructorError

from edgecomp.errors import RecipeError, UsageError
from edgecomp.metrics import nearest

FORMAT = 1
"""Version of the recipe, target and policy schemas. 1: first release."""


class Schema(BaseModel):
    """A frozen model that refuses unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


AnySchema = TypeVar("AnySchema", bound=Schema)


def shipped(kind: str) -> Path:
    """The folder of shipped `targets` or `recipes`: inside the wheel, or in the checkout."""
    inside = Path(__file__).parent / "shipped" / kind
    if inside.is_dir():
        return inside
    root = Path(__file__).parent.parent
    return {"targets": root / "targets", "recipes": root / "benchmarks" / "recipes"}[kind]


def names_in(folder: Path) -> list[str]:
    return sorted(path.stem for path in folder.glob("*.yaml"))


def find(name: str, folder: Path, kind: str) -> Path:
    """The YAML file that `name` means: a path, or the name of a file in `folder`.

    Raises UsageError with the nearest names.
    """
    path = Path(name)
    if path.is_dir() and not (folder / f"{name}.yaml").is_file():
        raise UsageError(f"no such {kind}: {name} is a folder; name a YAML file")
    if path.suffix in (".yaml", ".yml") or path.parent != Path("."):
        if path.is_file():
            return path.resolve()
        raise UsageError(f"no such {kind}: {name} is not a file")
    inside = folder / f"{name}.yaml"
    if inside.is_file():
        return inside
    known = names_in(folder)
    hint = nearest(name, known)
    raise UsageError(f"no such {kind}: {name!r}{hint} Shipped: {', '.join(known)}" if hint else
                     f"no such {kind}: {name!r}; shipped: {', '.join(known)}")  # fmt: skip


class _Loader(yaml.SafeLoader):
    """Refuses a key that is given twice, of which YAML's own loader takes the last, and says where a value cannot be one."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node: yaml.MappingNode = super().compose_mapping_node(anchor)
        first: dict[tuple[str, str], int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            line = first.get((key.tag, key.value))
            if line is not None:
                problem = f"key {key.value!r} stands in line {line} already: leave one out"
                raise ComposerError(None, None, problem, key.start_mark)
            first[key.tag, key.value] = key.start_mark.line + 1
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except ValueError as error:  # 2026-02-30
            raise ConstructorError(None, None, f"{node.value!r}: {error}", node.start_mark) from error


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file. Raises RecipeError with line and column where it cannot be read."""
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except yaml.MarkedYAMLError as error:
        raise RecipeError(str(path), [yaml_problem(error)]) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RecipeError(str(path), [f"not a YAML text: {error}"]) from error
    except OSError as error:
        raise RecipeError(str(path), [f"cannot be read: {error.strerror}"]) from error
    if content is None:
        raise RecipeError(str(path), ["is empty"])
    if not isinstance(content, dict):
        raise RecipeError(str(path), [f"holds {type(content).__name__}, not a mapping of keys to values"])
    return content


def yaml_problem(error: yaml.MarkedYAMLError) -> str:
    mark = error.problem_mark or error.context_mark
    place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
    reason = "; ".join(part for part in (error.context, error.problem) if part)
    return f"{place}invalid YAML: {reason}"


def parse(model: type[AnySchema], content: Any, where: str) -> AnySchema:
    """`content` as `model`. Raises RecipeError with every problem at once."""
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise RecipeError(where, explain(error, model)) from None


def explain(error: ValidationError, model: type[BaseModel]) -> list[str]:
    """One line a problem: the key's path, what is wrong, the value, and the nearest key or limit."""
    return [_explain_one(item, model) for item in error.errors(include_url=False)]


def _explain_one(item: Any, model: type[BaseModel]) -> str:
    location = item["loc"]
    path = ".".join(str(part) for part in location)
    if item["type"] == "extra_forbidden":
        siblings = _keys_at(model, location[:-1])
        hint = nearest(str(location[-1]), siblings) or f"; known here: {', '.join(siblings)}"
        return f"{path}: unknown key{hint}"
    if item["type"] == "missing":
        return f"{path}: missing"
    message = item["msg"].removeprefix("Value error, ")
    message = message[:1].lower() + message[1:]
    value = item["input"]
    if isinstance(value, dict | list) or item["type"] == "json_invalid" or str(value) in message:
        return f"{path}: {message}" if path else message
    return f"{path}: {message} (got {value!r})" if path else f"{message} (got {value!r})"


def _keys_at(model: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    for part in location:
        field = model.model_fields.get(str(part))
        nested = next(_models_in(field.annotation), None) if field else None
        if nested is None:
            continue
        model = nested
    return list(model.model_fields)


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and not get_origin(annotation) and issubclass(annotation, BaseModel):
        yield annotation
    elif get_origin(annotation) in (dict, list, tuple, Union, types.UnionType):
        for argument in get_args(annotation):
            yield from _models_in(argument)
