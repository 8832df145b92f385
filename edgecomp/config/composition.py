"""A recipe with those that it starts from, and the overrides, in Hydra's grammar."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edgecomp.config import renamed
from edgecomp.config.schema import shipped
from edgecomp.errors import RecipeError, UsageError
from edgecomp.files.yaml_files import read_yaml

MOST_RECIPES = 20
"""That one starts from, directly or not."""
MOST_REFERENCES = 20
"""`${other.key}`: of references to references a text can grow without end."""
LONGEST_OVERRIDE = 2_000

SELF = "_self_"


def compose(path: Path, overrides: list[str]) -> dict[str, Any]:
    """The recipe at `path` with its `defaults` and the `overrides`, KEY=VALUE each; nothing reads the
    environment. Raises RecipeError, UsageError."""
    overrides = [renamed.override(one) for one in overrides]
    content = _checked(path, overrides)
    from hydra import compose, initialize_config_dir
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    OmegaConf.clear_resolver("oc.env")
    shelf = f"hydra.searchpath=[file://{shipped('recipes')}]"  # so that `defaults: [digits]` is found from anywhere
    whole = [override for override in overrides if _names_a_folder(override, path.parent)]
    forced = [
        override if override[:1] in "+~" else f"++{override}"
        for override in overrides
        if override not in whole
    ]
    wrong = (
        ValueError,
        TypeError,
        KeyError,
        IndexError,
        AttributeError,
        AssertionError,
        RecursionError,
        OSError,
    )
    try:
        with initialize_config_dir(str(path.parent), version_base="1.3"):
            recipe = compose(path.stem, overrides=[*forced, shelf])
            OmegaConf.set_struct(recipe, False)
            for one in OverridesParser.create().parse_overrides(whole):
                recipe[one.key_or_group] = one.value()
            composed = OmegaConf.to_container(recipe, resolve=True)
    except (HydraException, OmegaConfBaseException, *wrong) as error:
        reason = " ".join(str(error).split())[:500]
        raise RecipeError(str(path), [f"cannot be composed: {reason}"]) from error
    if not isinstance(composed, dict):  # pragma: no cover - read_yaml has seen to it
        raise RecipeError(str(path), [f"holds {type(content).__name__}, not a mapping"])
    given = {override.lstrip("+").partition("=")[0] for override in overrides}
    inherited = {"description"} - content.keys() - given  # which is of the recipe that this one starts from
    named = {str(key): value for key, value in composed.items() if key not in inherited}
    return renamed.keys(named, content, warn=True)


def _names_a_folder(override: str, folder: Path) -> bool:
    """Whether a whole key is overridden that is called as a folder beside the recipe is, such as `targets`: Hydra would take it for a
    choice among that folder's files, which it may be as well."""
    key, _, value = override.lstrip("+").partition("=")
    return key.isidentifier() and (folder / key).is_dir() and not (folder / key / f"{value}.yaml").is_file()


def _checked(path: Path, overrides: list[str]) -> dict[str, Any]:
    """What the recipe's own file holds. All that Hydra will read is read here first, within limits, for it has none."""
    content = read_yaml(path)
    for override in overrides:
        if len(override) > LONGEST_OVERRIDE:
            raise UsageError(f"override {override[:60]!r}… is {len(override):,} characters long; the most is {LONGEST_OVERRIDE:,}: write it into "
                             "the recipe")  # fmt: skip
        if "=" not in override and not override.startswith("~"):
            raise UsageError(f"override {override!r} is not KEY=VALUE, such as distill.temperature=4")
    everything = [one for _, one in _with_bases(path, content, ())]
    references = sum(str(one).count("${") for one in (*everything, overrides))
    if references > MOST_REFERENCES:
        raise RecipeError(str(path), [f"has {references} references ${{…}}; the most is {MOST_REFERENCES}"])
    return content


def files_of(path: Path) -> list[Path]:
    """The file of the recipe at `path`, and those of all that it starts from. Raises RecipeError."""
    return list(dict.fromkeys(file for file, _ in _with_bases(path, read_yaml(path), ())))


def _with_bases(
    path: Path, content: dict[str, Any], way: tuple[Path, ...]
) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The files and contents of a recipe and of all those it starts from, each as often as it is named. Raises RecipeError."""
    left = MOST_RECIPES
    yield path, content
    if path in way:
        names = " → ".join(one.stem for one in (*way, path))
        raise RecipeError(str(path), [f"defaults: it starts from itself, by way of {names}"])
    for name in _bases(path, content):
        file = next(
            (
                one
                for one in (path.parent / f"{name}.yaml", shipped("recipes") / f"{name}.yaml")
                if one.is_file()
            ),
            None,
        )
        if file is None:
            continue  # Hydra says where it looked
        for one in _with_bases(file, read_yaml(file), (*way, path)):
            left -= 1
            if left < 0:
                raise RecipeError(
                    str(path), [f"defaults: it starts from more than {MOST_RECIPES} recipes, directly or not"]
                )
            yield one


def _bases(path: Path, content: dict[str, Any]) -> Iterator[str]:
    """The recipes that `defaults` names: each as NAME, or as GROUP: NAME for the key of that name."""
    defaults = content.get("defaults", [])
    if not isinstance(defaults, list):
        raise RecipeError(
            str(path), [f"defaults: {_kind(defaults)}, not a list of names, such as [digits, {SELF}]"]
        )
    for one in defaults:
        name = one
        if isinstance(one, dict) and len(one) == 1:
            ((group, option),) = one.items()
            name = f"{group}/{option}" if isinstance(option, str) else None
        if not isinstance(name, str) or not name:
            problem = f"defaults: holds {_kind(one)}, not the name of a recipe, such as digits"
            raise RecipeError(str(path), [problem])
        if ".." in name.split("/") or name.startswith("/") or len(name) > 200:
            raise RecipeError(
                str(path),
                [
                    f"defaults: {name[:100]!r} leads elsewhere: name a recipe that lies beside this one, or is shipped"
                ],
            )
        if name != SELF:
            yield name


def _kind(value: Any) -> str:
    kinds = {str: "a text", dict: "a mapping", list: "a list", int: "a number", float: "a number"}
    return "nothing" if value is None else kinds.get(type(value), f"a {type(value).__name__}")
