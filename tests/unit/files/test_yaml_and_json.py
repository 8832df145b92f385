"""Texts that hang, crash or blow up what reads them are refused: in a sentence, with the file, the value and the limit."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
from running import Cli

from edgecomp.config.job import load_job
from edgecomp.config.policy import load_policy
from edgecomp.config.target import load_target
from edgecomp.errors import FileError, RecipeError, UsageError
from edgecomp.files.json_files import parse_json, read_json, read_mapping
from edgecomp.files.yaml_files import read_yaml

BOMB = "\n".join(
    ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
)
DEEP = "a0: &a0 {x: [[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]}\n" + "\n".join(
    f"a{n}: &a{n} [[[[[[[[[[[[[[[[[[[[*a{n - 1}]]]]]]]]]]]]]]]]]]]]" for n in range(1, 9)
)
TEXTS = {
    "a bomb": (BOMB, "there are more than 10,000 values, with what aliases stand for"),
    "itself": ("x: &x\n  y: *x\n", "*x stands inside itself"),
    "all of itself": ("&all\nx: 1\nself: *all\n", "*all stands inside itself"),
    "brackets": (f"x: {'[' * 500}{']' * 500}\n", "nested more than 64 levels deep"),
    "open brackets": ("[" * 100_000, "nested more than 64 levels deep"),
    "braces": ("x: " + "{a: " * 2000, "nested more than 64 levels deep"),
    "aliases of depth": (DEEP, "nested more than 64 levels deep"),
    "digits": (f"x: {'9' * 5000}\n", "99999999… has 5,000 digits; the most is 40"),
    "digits of base 16": (f"x: 0x1{'9' * 5000}\n", "digits; the most is 40"),
    "digits of base 60": (f"x: {'9' * 5000}:59\n", "digits; the most is 40"),
    "no number": ("x: !!int y\n", "invalid YAML: 'y': invalid literal"),
    "no date": ("x: 2026-02-30\n", "day is out of range"),
    "a list for a key": ("? [a, b]\n: c\n", "found unhashable key"),
    "an object": ("x: !!python/object/apply:os.system [ls]\n", "could not determine a constructor"),
    "zeros": ("\0" * 1000, "not a YAML text"),
    "too much": ("a" * 2_000_000, "is larger than 1 MiB"),
}


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("read", [read_yaml, load_policy, load_target, load_job])
def test_hostile_yaml_is_refused_with_its_file_at_once(name: str, read: Any, tmp_path: Path) -> None:
    text, words = TEXTS[name]
    path = tmp_path / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    began = time.monotonic()
    with pytest.raises(RecipeError) as caught:
        read(*{read_yaml: (path,), load_job: (str(path), [])}.get(read, (str(path),)))
    assert time.monotonic() - began < 10
    assert words in str(caught.value)
    assert str(caught.value).startswith(f"{path}: ")
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1"])
def test_another_encoding_is_told(encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_bytes("name: é\n".encode(encoding))
    with pytest.raises(RecipeError, match=r"is not UTF-8 text, at byte \d+: save it as UTF-8"):
        read_yaml(path)
    path.write_bytes("name: é\n".encode("utf-8-sig"))
    assert read_yaml(path) == {"name": "é"}


def test_aliases_of_a_page_are_fine(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("a: &a {x: 1}\nb: *a\nc: [*a, {<<: *a, y: 2}]\n")
    assert read_yaml(path) == {"a": {"x": 1}, "b": {"x": 1}, "c": [{"x": 1}, {"x": 1, "y": 2}]}


# -- what a recipe starts from ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("defaults", "words"),
    [
        ("[mine, _self_]", "defaults: it starts from itself, by way of mine → mine"),
        ("[other, _self_]", "defaults: it starts from itself, by way of mine → other → mine"),
        ("7", "defaults: a number, not a list of names"),
        ("digits", "defaults: a text, not a list of names"),
        ("{a: b}", "defaults: a mapping, not a list of names"),
        ("[[]]", "defaults: holds a list, not the name of a recipe"),
        ("[null]", "defaults: holds nothing, not the name of a recipe"),
        ("[{a: [b]}]", "defaults: holds a mapping, not the name of a recipe"),
        (
            "[../r]",
            "defaults: '../r' leads elsewhere: name a recipe that lies beside this one, or is shipped",
        ),
        ("[/etc/passwd]", "defaults: '/etc/passwd' leads elsewhere"),
        (f"[{'a' * 5000}]", "leads elsewhere"),
        ("[nowhere, _self_]", "Could not load 'nowhere'"),
        ("[latin, _self_]", "latin.yaml: is not UTF-8 text, at byte 6"),
        ("[bomb, _self_]", "bomb.yaml: line"),
        ("[wide, _self_]", "defaults: it starts from more than 20 recipes, directly or not"),
    ],
)
def test_defaults_that_cannot_be_are_told(defaults: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "other.yaml").write_text("defaults: [mine, _self_]\n")
    (tmp_path / "latin.yaml").write_bytes(b"name: \xe9\n")
    (tmp_path / "bomb.yaml").write_text(BOMB)
    (tmp_path / "few.yaml").write_text("seed: 1\n")
    (tmp_path / "wide.yaml").write_text(f"defaults: [{', '.join(['few'] * 21)}]\n")
    path = tmp_path / "mine.yaml"
    path.write_text(f"defaults: {defaults}\nname: mine\n")
    with pytest.raises(RecipeError) as caught:
        load_job(str(path), [])
    assert words in str(caught.value)
    assert len(str(caught.value)) < 1500


def test_references_without_end_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    grows = "\n".join(f"  a{n}: ${{.a{n - 1}}}${{.a{n - 1}}}" for n in range(1, 40))
    path.write_text(f"defaults: [digits, _self_]\nname: mine\nx:\n  a0: aaaaaaaa\n{grows}\n")
    with pytest.raises(RecipeError, match=r"has 78 references \$\{…\}; the most is 20"):
        load_job(str(path), [])


@pytest.mark.parametrize(
    "override",
    [
        f"seed={'9' * 1500}",
        f"seed={'[' * 900}",
        f"targets=[{'a' * 1500}]",
        "name=" + "a" * 5000,
        "targets=[]",
        "seed=1e999",
    ],
)
def test_overrides_that_cannot_be_are_told(override: str) -> None:
    with pytest.raises(UsageError):
        load_job("digits", [override])


@pytest.mark.parametrize(
    ("base", "words"),
    [
        ("../x", "extends: '../x' is not the name of a profile that lies beside this one, or is shipped"),
        ("[]", "extends: [] is not the name"),
        ("7", "extends: 7 is not the name"),
        ("mine", "extends itself, by way of mine"),
        ("a" * 5000, "is not the name of a profile"),
    ],
)
def test_a_target_that_extends_what_cannot_be_is_told(base: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(f"extends: {base}\nname: mine\n")
    with pytest.raises(RecipeError) as caught:
        load_target(str(path))
    assert words in str(caught.value)


@pytest.mark.parametrize(
    "name", ["a" * 5000, "a/" * 3000, "x\0y", "\x1b[31m", "a" * 300 + ".yaml", "/" + "b" * 400]
)
def test_a_name_that_no_file_can_have_is_told(name: str) -> None:
    for load in (load_target, load_policy, lambda one: load_job(one, [])):
        with pytest.raises(UsageError, match=r"can be no file's name") as caught:
            load(name)
        assert len(str(caught.value)) < 300


def test_a_path_that_cannot_be_is_a_bad_request(cli: Cli, tmp_path: Path) -> None:
    long = "a" * 300
    for arguments in (
        ["run", "digits", "--plan", "--out", long],
        ["compare", long, long, "-t", "onnxruntime-cpu"],
        ["bench", f"{long}.onnx"],
        ["gate", long],
        ["report", "a/" * 3000],
        ["history", "--store", long],
    ):
        done = cli(*arguments, cwd=tmp_path)
        assert done.code == 2, (arguments, done.err)
        assert "Traceback" not in done.err
        assert "internal error" not in done.err


# -- JSON ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[" * 100_000, "is nested too deeply; the most is 64 levels"),
        ("[" * 500 + "]" * 500, "is nested more than 64 levels deep"),
        ('{"a": ' * 70 + "1" + "}" * 70, "is nested more than 64 levels deep"),
        ("9" * 5000, "99999999… has 5,000 digits; the most is 40"),
        ("-1e999", "is larger than the largest number"),
        ("NaN", "it holds NaN, which is no number"),
        ("[Infinity]", "it holds Infinity, which is no number"),
        ("{", "line 1 is not JSON: Expecting property name"),
        ("", "line 1 is not JSON: Expecting value"),
    ],
)
def test_hostile_json_is_refused(text: str, words: str, tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    file.write_text(text)
    with pytest.raises(FileError) as caught:
        read_json(file)
    assert words in str(caught.value)
    assert str(caught.value).startswith(f"{file}: ")


def test_what_json_holds_is_read_as_it_is(tmp_path: Path) -> None:
    content = {"a": [1, 2.5, None, True, "é"], "b": {"c": 2**127}}
    file = tmp_path / "x.json"
    file.write_text(json.dumps(content))
    assert read_json(file) == read_mapping(file, "a") == content
    assert str(parse_json("[NaN]", "x", strict=False)) == "[nan]"
    assert parse_json("[" * 64 + "]" * 64, "x")


def test_a_file_that_is_not_there_a_folder_or_too_large_is_told(tmp_path: Path) -> None:
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    (tmp_path / "list").write_text("[]")
    for name, words in (
        ("none", "cannot be read: No such file or directory"),
        (".", "cannot be read: Is a directory"),
        ("bytes", "is not UTF-8 text, at byte 0"),
        ("list", "holds list, not a mapping"),
        ("a" * 300, "cannot be read: File name too long"),
    ):
        with pytest.raises(FileError, match=words):
            read_mapping(tmp_path / name)
    with pytest.raises(FileError, match="is larger than 0 MiB"):
        read_json(tmp_path / "list", most_bytes=1)
    (tmp_path / "map").write_text('{"a": 1}')
    with pytest.raises(FileError, match="has no b: it is not what edgecomp writes there"):
        read_mapping(tmp_path / "map", "a", "b")
