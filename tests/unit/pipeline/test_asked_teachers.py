"""A run whose teacher is asked: its step, its answers in the mixture, and what makes it ask again."""

import json
from pathlib import Path

import numpy as np
import pytest

from edgecomp.config.job import load_job, on_this_machine
from edgecomp.data import soft_labels
from edgecomp.errors import DataError, RecipeError, UsageError, UserCodeError
from edgecomp.pipeline import several_teachers
from edgecomp.pipeline.fingerprints import fingerprinted
from edgecomp.pipeline.loaders import Run
from edgecomp.pipeline.stages import learning
from edgecomp.pipeline.steps import steps
from edgecomp.progress import silent
from edgecomp.teachers.several import of_who_answered

RECIPE = """
name: asked
data: { source: iris }
teacher: { network: mlp, epochs: 1 }
student: { network: mlp }
distill: { epochs: 1 }
targets: [onnxruntime-cpu]
"""
TEACHER = """
ASKED = []


def answer(prompt):
    ASKED.append(prompt)
    if "width" not in prompt:
        return "versicolor"
    width = float(prompt.split("petal width (cm)=")[1].split()[0])
    return "setosa" if width < 0.8 else "virginica" if width > 1.65 else "I am not sure" if width > 1.5 else "versicolor"


def failing(prompt):
    raise ValueError("no")
"""
PROMPT = "{% for name, value in values.items() %}{{ name }}={{ value }} {% endfor %} one of {{ classes | join(' ') }}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "asked.yaml").write_text(RECIPE, encoding="utf-8")
    (tmp_path / "my_teacher.py").write_text(TEACHER, encoding="utf-8")
    return tmp_path


def run_of(folder: Path, weight: int = 1, **api: object) -> Run:
    told = {"kind": "function", "function": "my_teacher:answer", "prompts": [PROMPT], **api}
    text = f"{RECIPE}\nteachers: {json.dumps({'weight': weight, 'others': {'remote': {'api': told, 'weight': 3}}})}\n"
    (folder / "asked.yaml").write_text(text, encoding="utf-8")
    job = on_this_machine(fingerprinted(load_job(str(folder / "asked.yaml"), ["threads=1"])))
    run = Run(job, folder / "run", silent)
    (run.folder / "data").mkdir(parents=True, exist_ok=True)
    learning.data(run, run.folder / "data", folder)
    return run


def make(run: Run) -> None:
    for step in steps(run):
        if step.stage == "teacher":
            (run.folder / step.name).mkdir(parents=True, exist_ok=True)
            step.make(run.folder / step.name, run.folder / step.name)


def test_it_teaches_beside_the_teacher_where_it_has_answered(folder: Path) -> None:
    run = run_of(folder)
    make(run)
    told = json.loads((run.folder / "teachers" / "remote" / "api.json").read_text())
    assert told["examples"] == {"train": 78, "validation": 24}
    assert 0 < told["unparsed"] < 20
    said = several_teachers.answers(run)
    missing = np.isnan(said["remote"].view(0)).any(axis=1)
    assert 0 < missing.sum() < 20
    with soft_labels.opened(run.folder / "soft_labels" / "soft_labels.h5") as stored:
        of_all = stored.view(0)
    assert np.isfinite(of_all).all()
    own = said["teacher"].view(0)

    def spread(logits: np.ndarray) -> np.ndarray:
        return np.exp(logits / 4) / np.exp(logits / 4).sum(axis=1, keepdims=True)

    np.testing.assert_allclose(spread(of_all)[missing], spread(own)[missing], atol=2e-3)
    both = 0.25 * spread(own) + 0.75 * spread(said["remote"].view(0))
    np.testing.assert_allclose(spread(of_all)[~missing], both[~missing], atol=2e-3)
    scores = json.loads((run.folder / "soft_labels" / "teachers.json").read_text())["teachers"]
    assert scores["remote"]["validation_score_pct"] > 80


def test_examples_that_nobody_has_answered_are_told(folder: Path) -> None:
    with pytest.raises(DataError, match="have no answer of a teacher that counts"):
        make(run_of(folder, weight=0))
    outputs = [np.array([[1.0, 0.0], [np.nan, np.nan]]), np.array([[0.0, 1.0], [2.0, 0.0]])]
    filled, shares = of_who_answered(outputs, np.array([0.25, 0.75]))
    assert shares.tolist() == [[0.25, 0.0], [0.75, 1.0]]
    assert np.isfinite(filled).all()


def test_how_fast_it_is_asked_does_not_ask_again_and_another_prompt_does(folder: Path) -> None:
    def told(**api: object) -> object:
        return [
            step.settings
            for step in steps(run_of(folder, **api))
            if step.name in ("teachers/remote", "soft_labels")
        ]

    plain = told()
    assert told(concurrency=9, budget={"requests": 10}, requests_per_minute=60) == plain
    assert told(prompts=[PROMPT + "!"]) != plain


def test_what_is_wrong_is_said_before_anything_is_trained(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MY_KEY", raising=False)
    for api, said in (
        ({"prompts": ["{{ txt }}"]}, r"remote: prompts\[0\]: unknown field 'txt'"),
        (
            {"kind": "openai-chat", "function": None, "url": "nowhere", "model": "m"},
            "remote: api.url: 'nowhere' is no address",
        ),
        (
            {
                "kind": "openai-chat",
                "function": None,
                "url": "http://a.example",
                "key": "MY_KEY",
                "model": "m",
            },
            "the environment has no MY_KEY",
        ),
        ({"parse": {"names": {"x": "rose"}}}, "'rose' is no class of the data"),
    ):
        with pytest.raises(RecipeError, match=said):
            several_teachers.try_others(run_of(folder, **api))  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="has no function 'anser'; did you mean 'answer'"):
        run_of(folder, function="my_teacher:anser")
    with pytest.raises(UserCodeError, match=r"api\.function 'my_teacher:failing' failed"):
        make(run_of(folder, function="my_teacher:failing"))


@pytest.mark.parametrize(
    ("api", "said"),
    [
        ({"kind": "openai-chat"}, "write at least one"),
        ({"kind": "function"}, "needs one"),
        ({"kind": "openai-chat", "prompts": ["{{ text }}"], "samples": 3}, "the same answer so many times"),
        ({"kind": "openai-chat", "prompts": ["{{ text }}"], "key": "sk-123"}, r"api\.key"),
        (
            {"kind": "openai-chat", "prompts": ["{{ text }}"], "logprobs": True, "parse": {"rule": "json"}},
            "logprobs are of the first token",
        ),
        (
            {"kind": "openai-chat", "prompts": ["{{ text }}"], "budget": {"money": 1}},
            "money is counted by prices",
        ),
        ({"kind": "openai-chat", "prompts": ["{{ text }}"], "parse": {"rule": "regex"}}, "which needs one"),
    ],
)
def test_a_recipe_says_what_is_wrong(folder: Path, api: dict[str, object], said: str) -> None:
    text = f"{RECIPE}\nteachers: {json.dumps({'others': {'remote': {'api': api}}})}\n"
    (folder / "asked.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(RecipeError, match=said):
        load_job(str(folder / "asked.yaml"), [])


def test_it_is_asked_for_one_class_an_example(folder: Path) -> None:
    api = {"kind": "kserve-v2", "model": "m"}
    text = f"{RECIPE}\ntask: multilabel\nteachers: {json.dumps({'others': {'remote': {'api': api}}})}\n"
    (folder / "asked.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(RecipeError, match="an api: of one classifier's examples"):
        load_job(str(folder / "asked.yaml"), [])


def test_another_function_of_the_same_name_is_asked_again(folder: Path) -> None:
    # A module is imported once a process: one by a name that no other test has.
    (folder / "taught_anew.py").write_text(TEACHER, encoding="utf-8")

    def told() -> list[object]:
        run = run_of(folder, function="taught_anew:answer")
        return [step.settings for step in steps(run) if step.name in ("teachers/remote", "soft_labels")]

    before = told()
    assert told() == before
    (folder / "taught_anew.py").write_text(TEACHER + "# it has learnt\n", encoding="utf-8")
    assert all(one != other for one, other in zip(told(), before, strict=True))
