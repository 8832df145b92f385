"""YAML as recipes, targets and policies are read: what is given twice, or is no value, is refused with its place."""

from pathlib import Path

import pytest

from edgecomp.config.job import load_job
from edgecomp.config.policy import load_policy
from edgecomp.config.target import load_target
from edgecomp.errors import RecipeError, UsageError
from edgecomp.files.yaml_files import read_yaml


def refusal(recipe: str, *overrides: str) -> str:
    with pytest.raises(UsageError) as caught:
        load_job(recipe, list(overrides))
    return str(caught.value)


def written(folder: Path, text: str, name: str = "mine.yaml") -> str:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return str(path)


@pytest.mark.parametrize(
    "text", ["data: {views: 2}\nseed: 1\ndata: {}\n", "seed: 1\ndata:\n  {views: 2, views: 3}\n"]
)
def test_a_key_that_is_given_twice_is_refused_with_its_line(tmp_path: Path, text: str) -> None:
    key, line, first = ("data", 3, 1) if text.startswith("data") else ("views", 3, 3)
    message = refusal(written(tmp_path, text))
    assert f"line {line}, column " in message
    assert f"key '{key}' stands in line {first} already: leave one out" in message


def test_a_key_that_is_given_twice_is_refused_in_the_file_that_a_recipe_starts_from(tmp_path: Path) -> None:
    base = written(tmp_path, "defaults: [digits, _self_]\nname: a\nname: b\n", "base.yaml")
    message = refusal(written(tmp_path, "defaults: [base, _self_]\nname: mine\n"))
    assert message.startswith(f"{base}: line 3, column 1: invalid YAML: ")
    assert "key 'name' stands in line 2 already: leave one out" in message


def test_a_key_that_is_merged_and_given_is_no_duplicate(tmp_path: Path) -> None:
    path = Path(written(tmp_path, "a: {one: &one {x: 1}, two: &two {<<: *one, x: 2}}\nb: {<<: *two}\n"))
    assert read_yaml(path) == {"a": {"one": {"x": 1}, "two": {"x": 2}}, "b": {"x": 2}}


@pytest.mark.parametrize(
    ("kind", "text"),
    [("policy", "name: p\nrows: {}\nname: q\n"), ("targets", "name: t\ncores: 1\ncores: 2\n")],
)
def test_a_key_that_is_given_twice_in_a_policy_or_a_target_is_refused(
    tmp_path: Path, kind: str, text: str
) -> None:
    path = written(tmp_path, text, "twice.yaml")
    named = f"{kind}=[{path}]" if kind == "targets" else f"{kind}={path}"
    assert f"{path}: line 3, column 1: invalid YAML: key " in refusal("digits", named)


def test_a_day_that_is_none_is_refused_with_its_place(tmp_path: Path) -> None:
    text = "name: ours\nwaivers:\n  - {row: accuracy_pct, owner: ann, reason: r, expires: 2026-02-30}\n"
    message = refusal("digits", f"policy={written(tmp_path, text, 'ours.yaml')}")
    assert "line 3, column 57: invalid YAML: '2026-02-30': day is out of range for month" in message


def test_what_is_wrong_with_a_recipe_says_its_line_and_column(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text("defaults: [digits, _self_]\nstudent:\n  width: 4\n")
    recipe = tmp_path / "own.yaml"
    recipe.write_text(
        "defaults: [base, _self_]\ndistill:\n  epochs: -2\n  epoch: 3\nthresholds:\n  load_p50_ms:\n    max: 5 MiB\n"
    )
    with pytest.raises(RecipeError) as refused:
        load_job(str(recipe), ["teacher.epochs=-1"])
    assert refused.value.where == str(recipe)
    starts = [": ".join(problem.split(": ")[:2]) for problem in refused.value.problems]
    assert starts == [
        "on the command line: teacher.epochs",
        "base.yaml, line 3, column 3: student.width",
        "line 3, column 3: distill.epochs",
        "line 4, column 3: distill.epoch",
        "line 6, column 3: thresholds.load_p50_ms",
    ]


def test_what_is_wrong_with_a_target_or_a_policy_says_its_line_and_column(tmp_path: Path) -> None:
    (tmp_path / "wide.yaml").write_text("name: wide\nruntime: onnxruntime-cpu\nthreads: 0\n")
    target = tmp_path / "board.yaml"
    target.write_text("extends: wide\nname: board\nbudget:\n  latency_p99_ms: 3 mJ\n")
    with pytest.raises(RecipeError) as refused:
        load_target(str(target))
    starts = [problem.partition(": ")[0] for problem in refused.value.problems]
    assert starts == ["wide.yaml, line 3, column 1", "line 3, column 1"]
    policy = tmp_path / "strict.yaml"
    policy.write_text(
        "name: strict\nrows:\n  accuracy_pct: {min: 90 dB}\nwaivers:\n  - {row: a, owner: ' ', reason: r, expires: 2999-01-01}\n"
    )
    with pytest.raises(RecipeError) as refused:
        load_policy(str(policy))
    starts = [problem.partition(": ")[0] for problem in refused.value.problems]
    assert starts == ["line 3, column 3", "line 5, column 14"]
