"""Several teachers: each way to weigh them against its formula as loops, and what is refused before anything is trained."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from edgecomp.config.job import load_job, on_this_machine
from edgecomp.data import soft_labels
from edgecomp.errors import DataError, RecipeError
from edgecomp.export.onnx.qdq import export_onnx
from edgecomp.models.networks.mlp import Mlp
from edgecomp.pipeline import several_teachers
from edgecomp.pipeline.fingerprints import fingerprinted
from edgecomp.pipeline.loaders import Run
from edgecomp.pipeline.stages import learning
from edgecomp.pipeline.steps import steps
from edgecomp.progress import silent
from edgecomp.tasks import task
from edgecomp.teachers.several import check_alike, confidence_weights, learned_weights, mixture

CLASSES = task("classification")
OUTPUTS = [np.random.default_rng(seed).normal(size=(6, 5)) * 3 for seed in range(3)]
LABELS = np.array([0, 1, 2, 3, 4, 0])


def softmax(logits: np.ndarray) -> np.ndarray:
    found = np.exp(logits - logits.max())
    return found / found.sum()


@pytest.mark.parametrize("by_example", [False, True])
def test_the_mixture_is_that_of_softened_probabilities(by_example: bool) -> None:
    weights = np.random.default_rng(9).dirichlet(np.ones(3), size=6).T
    weights = weights if by_example else weights[:, 0]
    found = mixture(OUTPUTS, weights, task=CLASSES, temperature=4.0)
    for row in range(6):
        expected = sum(
            (weights[k, row] if by_example else weights[k]) * softmax(OUTPUTS[k][row] / 4) for k in range(3)
        )
        np.testing.assert_allclose(softmax(found[row].astype(np.float64) / 4), expected, atol=1e-6)


def test_a_student_of_the_mixture_learns_the_weighted_sum_of_divergences() -> None:
    """You et al. 2017: the gradients of the weighted sum of KL from each teacher are those of KL from the mixture."""
    weights = np.array([0.5, 0.3, 0.2])
    student = torch.randn(6, 5, dtype=torch.float64, requires_grad=True)
    mixed = torch.from_numpy(mixture(OUTPUTS, weights, task=CLASSES, temperature=4.0)).double()
    (one,) = torch.autograd.grad(CLASSES.soft_label_loss(student, mixed, 4.0), student)
    apart = sum(
        w * CLASSES.soft_label_loss(student, torch.from_numpy(o), 4.0)
        for w, o in zip(weights, OUTPUTS, strict=True)
    )
    (other,) = torch.autograd.grad(apart, student)
    torch.testing.assert_close(one, other, atol=1e-6, rtol=0)


def test_the_order_of_teachers_is_nothing_and_one_alone_is_itself() -> None:
    weights = np.array([0.5, 0.3, 0.2])
    one = mixture(OUTPUTS, weights, task=CLASSES, temperature=2.0)
    other = mixture(OUTPUTS[::-1], weights[::-1], task=CLASSES, temperature=2.0)
    np.testing.assert_allclose(one, other, atol=1e-6)
    alone = mixture(OUTPUTS, np.array([1.0, 0, 0]), task=CLASSES, temperature=2.0) - OUTPUTS[0]
    np.testing.assert_allclose(alone - alone[:, :1], 0, atol=1e-5)


def test_labels_of_their_own_and_numbers_and_pixels_and_padding() -> None:
    weights, given = np.array([0.7, 0.3]), OUTPUTS[:2]
    yes = mixture(given, weights, task=task("multilabel"), temperature=2.0)
    expected = sum(w / (1 + np.exp(-o / 2)) for w, o in zip(weights, given, strict=True))
    np.testing.assert_allclose(1 / (1 + np.exp(-yes / 2)), expected, atol=1e-6)
    numbers = mixture(given, weights, task=task("regression"), temperature=2.0)
    np.testing.assert_allclose(numbers, 0.7 * given[0] + 0.3 * given[1], atol=1e-5)
    pixels = [one.T.reshape(1, 5, 2, 3) for one in given]
    flat = mixture(given, weights, task=CLASSES, temperature=2.0)
    np.testing.assert_allclose(
        mixture(pixels, weights, task=task("segmentation"), temperature=2.0), flat.T.reshape(1, 5, 2, 3)
    )
    tokens = [np.concatenate([one[None], np.zeros((1, 2, 5))], axis=1) for one in given]
    found = mixture(tokens, weights, task=task("token-classification"), temperature=2.0)
    assert (found[0, 6:] == 0).all()
    np.testing.assert_allclose(found[0, :6], flat)


def test_confidence_is_the_papers() -> None:
    found = confidence_weights(OUTPUTS, LABELS)
    for row, label in enumerate(LABELS):
        losses = [-np.log(softmax(one[row])[label]) for one in OUTPUTS]
        for k in range(3):
            share = np.exp(losses[k]) / sum(np.exp(loss) for loss in losses)
            assert found[k, row] == pytest.approx((1 - share) / 2, abs=1e-9)
    np.testing.assert_allclose(found.sum(axis=0), 1)


def test_no_other_weights_make_the_labels_likelier_than_those_that_are_learned() -> None:
    random = np.random.default_rng(0)
    labels = random.integers(0, 5, 400)
    good, bad = random.normal(size=(400, 5)), random.normal(size=(400, 5))
    good[np.arange(400), labels] += 2
    other = random.normal(size=(400, 5))
    other[np.arange(200), labels[:200]] += 4
    found = learned_weights([good, bad, other], labels)

    def likelihood(weights: np.ndarray) -> float:
        of_each = [
            [softmax(row)[label] for row, label in zip(one, labels, strict=True)]
            for one in (good, bad, other)
        ]
        return float(np.log(weights @ np.array(of_each)).sum())

    assert found.sum() == pytest.approx(1)
    best = likelihood(found)
    assert all(likelihood(other) <= best + 1e-6 for other in random.dirichlet(np.ones(3), size=100))
    assert found[0] > found[1]


def test_teachers_of_other_questions_are_not_mixed() -> None:
    with pytest.raises(DataError, match=r"b gives outputs of shape \[6, 4\], a \[6, 5\]"):
        check_alike({"a": OUTPUTS[0], "b": OUTPUTS[1][:, :4]})


RECIPE = """
name: several
data: { source: iris }
teacher: { network: mlp, epochs: 2 }
student: { network: mlp, arguments: { width: 8 } }
distill: { epochs: 1 }
targets: [onnxruntime-cpu]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    export_onnx(Mlp(4, 3, width=16).eval(), [torch.randn(2, 4)], tmp_path / "file.onnx")
    answers = np.random.default_rng(0).normal(size=(150, 3)).astype(np.float32)
    classes = np.array(["virginica", "setosa", "versicolor"])
    np.savez(tmp_path / "answers.npz", train=answers, classes=classes)
    (tmp_path / "several.yaml").write_text(RECIPE, encoding="utf-8")
    return tmp_path


def run_of(folder: Path, others: str, **more: str) -> Run:
    overrides = [f"+{key}={value}" for key, value in more.items()]
    job = on_this_machine(
        fingerprinted(
            load_job(str(folder / "several.yaml"), [f"+teachers.others={others}", *overrides, "threads=1"])
        )
    )
    run = Run(job, folder / "run", silent)
    (run.folder / "data").mkdir(parents=True)
    learning.data(run, run.folder / "data", folder)
    return run


def train_all(run: Run) -> None:
    for step in steps(run):
        if step.stage == "teacher":
            (run.folder / step.name).mkdir(parents=True)
            step.make(run.folder / step.name, run.folder / step.name)


KINDS = "{wide: {network: mlp, arguments: {width: 24}, epochs: 1, weight: 2}, file: {network: 'onnx:file.onnx'}, stored: {soft_labels: answers.npz}}"


def test_a_network_that_is_trained_a_file_and_stored_answers_teach_together(folder: Path) -> None:
    run = run_of(folder, KINDS)
    train_all(run)
    told = json.loads((run.folder / "soft_labels" / "teachers.json").read_text(encoding="utf-8"))
    shares = {name: one["weight"] for name, one in told["teachers"].items()}
    assert shares == pytest.approx({"teacher": 0.2, "wide": 0.4, "file": 0.2, "stored": 0.2})
    said = several_teachers.answers(run)
    with np.load(run.folder / "data" / "train.npz") as train:
        rows = train["rows"]
    answers = np.load(folder / "answers.npz")["train"]
    np.testing.assert_array_equal(said["stored"].view(0), answers[rows][:, [1, 2, 0]])
    expected = mixture(
        [one.view(0) for one in said.values()], np.array([0.2, 0.4, 0.2, 0.2]), task=CLASSES, temperature=4.0
    )
    with soft_labels.opened(run.folder / "soft_labels" / "soft_labels.h5") as stored:
        np.testing.assert_allclose(stored.view(0), expected, atol=2e-2)


def test_two_of_one_kind_are_not_the_same_network(folder: Path) -> None:
    run = run_of(folder, "{one: {network: mlp, epochs: 1}, two: {network: mlp, epochs: 1}}")
    train_all(run)
    said = [one.validation() for one in several_teachers.answers(run).values()]
    assert not np.allclose(said[1], said[2], atol=0.1)


def test_all_that_is_wrong_with_others_is_said_at_once_and_before_training(folder: Path) -> None:
    random = np.random.default_rng(0)
    np.savez(folder / "short.npz", train=random.normal(size=(149, 3)))
    np.savez(folder / "wide.npz", train=random.normal(size=(150, 4)))
    np.savez(
        folder / "named.npz",
        train=random.normal(size=(150, 3)),
        classes=np.array(["setosa", "rose", "virginica"]),
    )
    torch.manual_seed(0)
    export_onnx(nn.Linear(4, 5).eval(), [torch.randn(2, 4)], folder / "five.onnx")
    run = run_of(
        folder,
        "{a: {soft_labels: short.npz}, b: {soft_labels: wide.npz}, c: {soft_labels: named.npz}, d: {network: 'onnx:five.onnx'}}",
    )
    with pytest.raises(RecipeError) as raised:
        several_teachers.try_others(run)
    said = raised.value.problems
    assert len(said) == 4
    assert "train is float64[149, 3], and the data have 150 examples" in said[0]
    assert "4 numbers an example, and the labels 3 classes: setosa" in said[1]
    assert "they differ in rose, versicolor" in said[2]
    assert said[3].startswith("d: ")
    assert "5" in said[3]


@pytest.mark.parametrize(
    ("overrides", "complaint"),
    [
        (["+teachers.others={a: {epochs: 2}}"], "a `network`, or `soft_labels`"),
        (
            ["+teachers.others={a: {network: mlpp}}"],
            "teachers.others.a.network: .*'mlpp'.*did you mean 'mlp'",
        ),
        (
            ["+teachers.others={a: {network: mlp, weight: -1}}"],
            "teachers.others.a.weight: .*greater than or equal to 0",
        ),
        (["+teachers={weight: 0, others: {a: {network: mlp, weight: 0}}}"], "the weights sum to nothing"),
        (
            ["+teachers={by: learned, others: {a: {network: mlp, weight: 2}}}"],
            "weight is said, and by: learned finds the weights",
        ),
        (["+teachers.others={_a: {network: mlp}}"], "cannot be called '_a'"),
        (["+teachers.others={teacher: {network: mlp}}"], "cannot be called 'teacher'"),
        (["+teachers.others={}"], "teachers.others: .*at least 1"),
        (
            ["+teachers={by: learned, others: {a: {network: mlp}}}", "task=multilabel"],
            "asks the labels of one classifier",
        ),
    ],
)
def test_a_recipe_says_what_is_wrong(folder: Path, overrides: list[str], complaint: str) -> None:
    with pytest.raises(RecipeError, match=complaint):
        load_job(str(folder / "several.yaml"), overrides)


def test_a_file_of_answers_that_is_not_there_names_the_nearest(folder: Path) -> None:
    job = load_job(str(folder / "several.yaml"), ["+teachers.others={a: {soft_labels: answer.npz}}"])
    with pytest.raises(
        DataError, match=r"no such file of soft_labels, 'answer.npz'.*did you mean 'answers.npz'"
    ):
        fingerprinted(job)


def test_other_weights_train_no_teacher_again(folder: Path) -> None:
    def keys(others: str, *more: str) -> dict[str, object]:
        job = load_job(str(folder / "several.yaml"), [f"+teachers.others={others}", *more])
        return {step.name: step.settings for step in steps(Run(job, folder / "run", silent))}

    one, two = keys("{a: {network: mlp}}"), keys("{a: {network: mlp, weight: 2}}")
    assert {name for name in one if one[name] != two[name]} == {"soft_labels", "report"}
    before = load_job(str(folder / "several.yaml"), [])
    assert "teachers" not in before.recipe.model_dump()
