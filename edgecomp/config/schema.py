"""What recipes, targets and policies share: strict models, where they lie, names that are near."""

import re
import types
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar, Union, get_args, get_origin

from pydantic import AliasChoices, BaseModel, ConfigDict, ValidationError, model_validator
from pydantic.fields import FieldInfo

from edgecomp.errors import RecipeError, UsageError, nearest, nearest_there
from edgecomp.files.yaml_files import placed

FORMAT = 1
"""Version of the recipe, target and policy schemas. 1: first release."""


LONGEST_NAME, LONGEST_PATH = 200, 2_000  # characters; file systems take 255 and 4,096 bytes


class Schema(BaseModel):
    """A frozen model that refuses unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Part(Schema):
    """A part of a recipe: `null` clears what it inherits, so that a key that cannot be null has its default."""

    @model_validator(mode="before")
    @classmethod
    def _null_clears(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        may_be_null = {
            name for name, field in cls.model_fields.items() if type(None) in get_args(field.annotation)
        }
        return {
            key: value
            for key, value in given.items()
            if value is not None or key in may_be_null or key not in cls.model_fields
        }


AnySchema = TypeVar("AnySchema", bound=Schema)


def shipped(kind: str) -> Path:
    """The folder of what is shipped, by its `kind`, `targets` or `recipes`: inside the wheel, or in the
    checkout."""
    inside = Path(__file__).parents[1] / "shipped" / kind
    if inside.is_dir():
        return inside
    root = Path(__file__).parents[2]
    return {"targets": root / "targets", "recipes": root / "benchmarks" / "recipes"}[kind]


def names_in(folder: Path) -> list[str]:
    """Of the YAML files in `folder`, sorted, without their suffix."""
    return sorted(path.stem for path in folder.glob("*.yaml"))


def find(name: str, folder: Path, kind: str) -> Path:
    """The YAML file that `name` means: a path, or the name of a file in `folder`. kind: what it is of, such
    as `recipe`, for messages.

    Raises UsageError with the nearest names.
    """
    if max(map(len, name.split("/"))) > LONGEST_NAME or len(name) > LONGEST_PATH or not name.isprintable():
        raise UsageError(f"no such {kind}: {name[:60]!r} ({len(name):,} characters) can be no file's name")
    path = Path(name)
    if path.is_dir() and not (folder / f"{name}.yaml").is_file():
        raise UsageError(f"no such {kind}: {name} is a folder; name a YAML file")
    if path.suffix in (".yaml", ".yml") or path.parent != Path("."):
        if path.is_file():
            return path.resolve()
        raise UsageError(f"no such {kind}: {name} is not a file{nearest_there(path)}")
    inside = folder / f"{name}.yaml"
    if inside.is_file():
        return inside
    known = names_in(folder)
    hint = nearest(name, known)
    raise UsageError(f"no such {kind}: {name!r}{hint} Shipped: {', '.join(known)}" if hint else
                     f"no such {kind}: {name!r}; shipped: {', '.join(known)}")  # fmt: skip


def parse(model: type[AnySchema], content: Any, file: Path, bases: Sequence[Path] = ()) -> AnySchema:
    """`content` as `model`. file, bases: the YAML file that it is from, and those that this one starts from.

    Raises RecipeError with every problem at once, each with its line and column.
    """
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise RecipeError(str(file), placed(explain(error, model), [file, *bases])) from None


def explain(error: ValidationError, model: type[BaseModel]) -> list[str]:
    """One line a problem of `error`, which validating as `model` raised: the key's path, what is wrong, the
    value, and the nearest key or limit."""
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
    if item["type"] == "literal_error" and isinstance(item["input"], str):
        known = item["ctx"]["expected"]
        hint = nearest(item["input"], re.findall(r"'([^']*)'", known))
        return f"{path}: {item['input']!r} is none of {known}{hint}"
    message = item["msg"].removeprefix("Value error, ")
    message = message[:1].lower() + message[1:]
    value = item["input"]
    if isinstance(value, dict | list) or item["type"] == "json_invalid" or str(value) in message:
        return f"{path}: {message}" if path else message
    return f"{path}: {message} (got {value!r})" if path else f"{message} (got {value!r})"


def keys_of(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """The fields of a `model` by the key that a file writes: the first of those by which it is read."""
    return {
        str(field.validation_alias.choices[0])
        if isinstance(field.validation_alias, AliasChoices)
        else name: field
        for name, field in model.model_fields.items()
    }


def _keys_at(model: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    for part in location:
        field = keys_of(model).get(str(part)) or model.model_fields.get(str(part))
        nested = next(_models_in(field.annotation), None) if field else None
        if nested is None:
            continue
        model = nested
    return list(keys_of(model))


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and not get_origin(annotation) and issubclass(annotation, BaseModel):
        yield annotation
    elif get_origin(annotation) in (dict, list, tuple, Union, types.UnionType):
        for argument in get_args(annotation):
            yield from _models_in(argument)
