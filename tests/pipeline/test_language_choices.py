"""Of several answers to a prompt, which one a language model finds likeliest: by the runtime as by the network itself, and gated."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import beta
from small_language import tokenizer, write_model

import edgecomp
from edgecomp.errors import DataError, RecipeError
from edgecomp.language import models
from edgecomp.language.texts import Row, with_choices
from edgecomp.metrics.estimates import against, estimate
from edgecomp.metrics.measurements import Arm, Measurements
from edgecomp.metrics.missing import NotMeasured

pytest.importorskip("onnxruntime_genai", reason="needs the extra `language`")

CHOICES = ["on the mat", "in a tree"]
RECIPE = """name: choosing
task: causal-lm
threads: 1
data: { source: huggingface, path: chats.jsonl, max_length: 48, test_fraction: 0.4 }
teacher: { network: "hf:model", epochs: 3, batch_size: 8, learning_rate: 5.0e-3 }
student: { network: teacher, arguments: { layers: 1 } }
distill: { epochs: 1, batch_size: 8, temperature: 1, hard_label_weight: 0.3 }
quantize: { method: none }
language: { top_k: 16, prompt_tokens: [8], new_tokens: 4, generations: 1, choices: ["on the mat", "in a tree"] }
bench: { restarts: 1, warmup: 1, iterations: 8 }
targets: [onnxruntime-genai]
policy: language
thresholds: { choice_accuracy_pct: { against: teacher, margin: 30 pt } }
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    write_model(tmp_path / "model")
    animals = {"cat": 0, "dog": 0, "bird": 1, "fox": 1}
    rows = [
        {"prompt": f"where is the {animal} {number}", "answer": CHOICES[place]}
        for number in range(20)
        for animal, place in animals.items()
    ]
    (tmp_path / "chats.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    return tmp_path / "recipe.yaml"


@pytest.mark.slow
def test_the_runtime_chooses_as_the_network_does_and_the_gate_says_so(recipe: Path) -> None:
    result = edgecomp.run(recipe, out=recipe.parent / "run", history=None)
    folder = result.folder
    bench = folder / "bench" / "onnxruntime-genai"
    with np.load(bench / "outputs.npz") as outputs:
        found = {arm: outputs[f"{arm}.right_choices"] for arm in ("teacher", "student_fp32")}
    rows = [json.loads(line) for line in (recipe.parent / "chats.jsonl").read_text().splitlines()]
    network, own = models.load(folder / "distill" / "model")
    tokens, right, gone = with_choices([Row(row["prompt"], row["answer"]) for row in rows], CHOICES, own, 48)
    assert gone == 0
    likely = []
    for one in tokens:
        with torch.no_grad():
            said = network(torch.from_numpy(one.input_ids)).log_softmax(-1)
        labels = torch.from_numpy(one.labels)
        each = said.gather(2, labels.clamp(min=0)[..., None])[..., 0]
        likely.append((each * (labels >= 0)).sum(1).numpy())
    whole = np.stack(likely, axis=1).argmax(axis=1) == right
    # The test prompts are some of all, in an order of their own.
    by_prompt = {row["prompt"]: bool(one) for row, one in zip(rows, whole, strict=True)}
    test = np.load(folder / "data" / "test.npz")
    prompts = [
        own.decode(ids[: int(count)]) for ids, count in zip(test["input_ids"], test["prompts"], strict=True)
    ]
    of_test = [by_prompt[one] for one in prompts]
    np.testing.assert_array_equal(found["student_fp32"], np.asarray(of_test, float))
    (check,) = (one for one in result.document.checks if one.name == "choice_accuracy_pct")
    assert check.estimate is not None
    assert check.estimate.estimate == pytest.approx(
        100 * (found["student_fp32"] - found["teacher"]).mean(), abs=1e-9
    )


def test_prompts_with_their_answers_as_tokens() -> None:
    own = tokenizer()
    rows = [Row("where is the cat", "in a tree"), Row("where " * 40, "on the mat")]
    tokens, right, gone = with_choices(rows, CHOICES, own, 30)
    assert (right.tolist(), gone) == ([1], 1)
    for one, choice in zip(tokens, CHOICES, strict=True):
        judged = one.labels[0][one.labels[0] >= 0]
        assert own.decode(judged) == f"{choice}<|end|>"
        assert own.decode(one.input_ids[0][: int(one.mask[0].sum())]) == f"where is the cat{choice}<|end|>"


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([Row("where", "under a roof")], "test row 0 .* has the answer 'under a roof'; answers to prompts must be one of on the mat, in a tree"),
        ([Row("", "in a tree")], "has no prompt"),
        ([Row("where " * 99, "in a tree")], "no test prompt has room for an answer within 30 tokens"),
    ],
)  # fmt: skip
def test_what_cannot_be_chosen_is_told(rows: list[Row], told: str) -> None:
    with pytest.raises(DataError, match=told):
        with_choices(rows, CHOICES, tokenizer(), 30)


@pytest.mark.parametrize("choices", ["[yes]", "[yes, yes]", "[yes, '']"])
def test_a_choice_takes_two_answers(recipe: Path, choices: str) -> None:
    with pytest.raises(RecipeError, match="two different answers at least"):
        edgecomp.plan(recipe, [f"language.choices={choices}"])


def measured(**choices: list[float] | None) -> Measurements:
    arms = {
        name: Arm(
            {}, np.zeros((0, 0), np.float32), {}, 1, {}, 1, choices=None if of is None else np.asarray(of)
        )
        for name, of in choices.items()
    }
    return Measurements("t", "openvino-genai", arms, np.zeros((2, 3), np.int64), 0, {"task": "causal-lm"})


def test_shares_are_bounded_exactly_and_held_against_each_other_prompt_by_prompt() -> None:
    of = measured(teacher=[1.0] * 60, student=[1.0] * 57 + [0.0] * 3, other=None)
    found = estimate(of, "student", "choice_accuracy_pct", 0.95)
    assert found.estimate == pytest.approx(95)
    assert found.low is not None
    assert found.low == pytest.approx(100 * beta.ppf(0.05, 57, 4))  # Clopper & Pearson
    apart = against(of, "student", "teacher", "choice_accuracy_pct", "points", 0.95)
    assert apart.estimate == pytest.approx(-5)
    assert (apart.dimension, apart.n) == ("points", 60)
    with pytest.raises(NotMeasured, match="no answers were named"):
        estimate(of, "other", "choice_accuracy_pct", 0.95)
    with pytest.raises(NotMeasured, match="by their difference"):
        against(of, "student", "teacher", "choice_accuracy_pct", "multiple", 0.95)
