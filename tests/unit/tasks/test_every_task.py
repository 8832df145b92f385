"""What every task keeps, and each task's losses and scores against formulas written as loops or scikit-learn's."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sk

from edgecomp.errors import DataError
from edgecomp.metrics.registry import METRICS
from edgecomp.tasks import TASKS, Labels, Outputs, task
from edgecomp.tasks.base import IGNORED

N = 40
RANDOM = np.random.default_rng(0)
OUTPUTS: dict[str, Outputs] = {
    "classification": RANDOM.normal(size=(N, 5)).astype(np.float32),
    "probabilities": RANDOM.dirichlet(np.ones(5), N).astype(np.float32),
    "binary": RANDOM.normal(size=(N, 1)).astype(np.float32),
    "multilabel": RANDOM.normal(size=(N, 4)).astype(np.float32),
    "regression": RANDOM.normal(size=(N, 2)).astype(np.float32),
    "token-classification": RANDOM.normal(size=(N, 6, 3)).astype(np.float32),
    "segmentation": RANDOM.normal(size=(N, 3, 4, 5)).astype(np.float32),
    "embedding": RANDOM.normal(size=(N, 8)).astype(np.float32),
    "similarity": RANDOM.normal(size=(N, 8)).astype(np.float32),
    "ranking": RANDOM.normal(size=(N, 20)).astype(np.float32),
    "causal-lm": np.stack([RANDOM.normal(size=(N, 6)), RANDOM.integers(0, 2, (N, 6))], 2).astype(np.float32),
    "outputs": RANDOM.normal(size=(N, 3, 2)).astype(np.float32),
}
OUTPUTS["token-classification"][::3, 4:] = 0  # padding
LABELS: dict[str, Labels] = {
    "classification": RANDOM.integers(0, 5, N),
    "probabilities": RANDOM.integers(0, 5, N),
    "binary": RANDOM.integers(0, 2, N),
    "multilabel": RANDOM.integers(0, 2, (N, 4)),
    "regression": RANDOM.normal(size=(N, 2)).astype(np.float32),
    "token-classification": np.where(
        (OUTPUTS["token-classification"] != 0).any(axis=2), RANDOM.integers(0, 3, (N, 6)), IGNORED
    ),
    "segmentation": np.where(RANDOM.random((N, 4, 5)) < 0.1, IGNORED, RANDOM.integers(0, 3, (N, 4, 5))),
    "embedding": RANDOM.integers(0, 5, N),
    "similarity": np.stack([np.arange(N) // 2, np.arange(N) // 2 % 7], axis=1).astype(np.float32),
    "ranking": (RANDOM.random((N, 20)) < 0.2).astype(np.int64),
    "causal-lm": np.where(RANDOM.random((N, 6)) < 0.1, IGNORED, RANDOM.integers(0, 2, (N, 6))),
    "outputs": np.zeros((N, 0), np.float32),
}
LABELS["ranking"][:, 0] = 1


@pytest.mark.parametrize("name", TASKS)
def test_a_task_agrees_with_itself_and_knows_its_metrics(name: str) -> None:
    of, outputs, labels = TASKS[name], OUTPUTS[name], LABELS[name]
    assert of.name == name
    assert of.agreeing(outputs, outputs.copy()).all()
    assert not of.agreeing(outputs, -outputs).all()
    if of.width(("a", "b")) is not None and name != "ranking":
        assert of.answers(outputs).shape == labels.shape
    assert of.misfit(outputs, labels) == ""
    if of.label_axes:
        assert of.misfit(outputs, np.zeros((N, 9), np.int64)) != ""
    for metric in (of.headline, of.score):
        assert not METRICS[metric].tasks or name in METRICS[metric].tasks
    spread = of.spread(outputs)
    assert 1 < spread.kinds <= spread.possible
    assert 0 < spread.prevailing < 1


@pytest.mark.parametrize("name", TASKS)
def test_a_loss_is_least_where_it_should_be_and_has_a_gradient(name: str) -> None:
    of = TASKS[name]
    teacher = torch.from_numpy(OUTPUTS[name]).double()
    assert of.soft_label_loss(teacher, teacher, 3.0).abs() < 1e-9
    other = (teacher + torch.randn_like(teacher)).requires_grad_()
    loss = of.soft_label_loss(other, teacher, 3.0)
    assert loss > 1e-3
    assert torch.autograd.gradcheck(lambda x: of.soft_label_loss(x, teacher, 3.0), other)
    labels = torch.from_numpy(LABELS[name])
    assert torch.autograd.gradcheck(lambda x: of.hard_label_loss(x, labels), other)
    if name == "token-classification":  # a batch is as long as its longest text
        torch.testing.assert_close(
            of.soft_label_loss(other[::3, :4], teacher[::3], 3.0),
            of.soft_label_loss(other[::3], teacher[::3], 3.0),
        )
    order = torch.randperm(N)
    shuffled = of.soft_label_loss(other[order], teacher[order], 3.0)
    torch.testing.assert_close(shuffled, loss)


def test_the_bernoulli_divergence_is_the_formula() -> None:
    ours, theirs, temperature = (OUTPUTS["multilabel"].astype(np.float64), RANDOM.normal(size=(N, 4)), 2.0)
    total = 0.0
    for row, other in zip(ours, theirs, strict=True):
        for one, wanted in zip(row, other, strict=True):
            q, p = 1 / (1 + math.exp(-one / temperature)), 1 / (1 + math.exp(-wanted / temperature))
            total += p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q))
    by_hand = total / N * temperature**2
    found = task("multilabel").soft_label_loss(torch.from_numpy(ours), torch.from_numpy(theirs), temperature)
    assert float(found) == pytest.approx(by_hand, rel=1e-9)


def test_a_binary_loss_is_that_of_two_logits() -> None:
    one = torch.from_numpy(OUTPUTS["binary"]).double()
    two, labels = torch.cat([-one / 2, one / 2], dim=1), torch.from_numpy(LABELS["binary"])
    hard = task("classification").hard_label_loss(two, labels)
    torch.testing.assert_close(task("binary").hard_label_loss(one, labels), hard)
    other = one + 1
    pair = torch.cat([-other / 2, other / 2], dim=1)
    torch.testing.assert_close(
        task("binary").soft_label_loss(other, one, 2.0),
        task("classification").soft_label_loss(pair, two, 2.0),
    )


def test_scores_on_validation_are_scikit_learns() -> None:
    for name, score in (
        ("classification", lambda y, a: sk.accuracy_score(y, a)),
        ("binary", lambda y, a: sk.accuracy_score(y, a)),
        ("multilabel", lambda y, a: sk.f1_score(y, a, average="micro")),
        ("regression", lambda y, a: sk.r2_score(y, a)),
    ):
        of = TASKS[name]
        wanted = 100 * score(LABELS[name], of.answers(OUTPUTS[name]))
        assert of.validation_score(OUTPUTS[name], LABELS[name]) == pytest.approx(wanted, rel=1e-5), name


@pytest.mark.parametrize(
    ("name", "labels", "names", "error"),
    [
        (
            "regression",
            [1.5, "high"],
            None,
            r"example 1 .* is 'high', and task regression takes finite numbers",
        ),
        ("regression", [1.0, float("nan")], None, "is nan"),
        ("regression", [True, False], None, "is True"),
        ("regression", [[1, 2], [1]], None, "has 1 numbers, and example 0 has 2"),
        ("regression", [3, 3, 3], None, "in every training example"),
        ("binary", ["a", "b", "c"], None, "two classes, and the labels have 3"),
        ("multilabel", [[0, 1], [1]], None, "has 1 labels, and example 0 has 2"),
        ("multilabel", [[0, 2], [1, 0]], None, "is 2, and those of task multilabel are 0 or 1"),
        ("multilabel", [[0, 1], [0, 0]], ("a", "b"), "no training example has the label 'a'"),
        ("multilabel", [["x"], ["x", "y"]], None, "every training example has the label 'x'"),
    ],
)
def test_labels_that_do_not_fit_are_refused_with_the_example(
    name: str, labels: list[object], names: tuple[str, ...] | None, error: str
) -> None:
    with pytest.raises(DataError, match=error):
        TASKS[name].encode({"train": labels}, names, "x.csv")


def test_labels_are_read_as_they_are_written() -> None:
    encoded, names = TASKS["multilabel"].encode(
        {"train": [["b"], ["a", "b"], []], "test": [["a"]]}, None, "x"
    )
    assert names == ("a", "b")
    assert encoded["train"].tolist() == [[0, 1], [1, 1], [0, 0]]
    assert encoded["test"].tolist() == [[1, 0]]
    encoded, names = TASKS["regression"].encode({"train": [(1, 2.5), (3, 4)]}, ("height", "width"), "x")
    assert (encoded["train"].tolist(), names) == ([[1.0, 2.5], [3.0, 4.0]], ("height", "width"))
    assert TASKS["binary"].encode({"train": ["no", "yes"]}, None, "x")[1] == ("no", "yes")


@given(st.lists(st.lists(st.booleans(), min_size=3, max_size=3), min_size=2, max_size=30))
def test_agreement_of_labels_is_of_every_label(rows: list[list[bool]]) -> None:
    ours = np.asarray(rows, np.float32) - 0.5
    theirs = ours.copy()
    theirs[0, 0] *= -1
    assert TASKS["multilabel"].agreeing(theirs, ours).tolist() == [False, *[True] * (len(rows) - 1)]


def test_numbers_agree_within_a_twentieth_of_their_deviation() -> None:
    reference = np.asarray([[0.0], [1.0], [2.0], [3.0]], np.float32)
    off = reference + 0.05 * reference.std() * np.asarray([[0.9], [1.1], [-0.9], [0.0]], np.float32)
    assert TASKS["regression"].agreeing(off, reference).tolist() == [True, False, True, True]


def test_a_positive_logit_is_the_second_class_and_a_label_that_is_given() -> None:
    logits = np.asarray([[2.0], [-1.0], [0.0]], np.float32)
    assert TASKS["binary"].answers(logits).tolist() == [1, 0, 0]
    assert TASKS["multilabel"].answers(logits).tolist() == [[1], [0], [0]]
    assert TASKS["classification"].answers(np.hstack([-logits, logits])).tolist() == [1, 0, 0]
    loss = TASKS["binary"].hard_label_loss(torch.tensor([[9.0], [-9.0]]), torch.tensor([1, 0]))
    assert float(loss) < 0.001  # what is learnt is what is answered


def test_probabilities_are_learnt_and_scored_as_the_logits_they_are_made_of() -> None:
    logits, teacher = (torch.from_numpy(RANDOM.normal(size=(N, 5))) for _ in range(2))
    labels = torch.from_numpy(LABELS["classification"])
    by_logits, by_probabilities = TASKS["classification"], TASKS["probabilities"]
    ours, theirs = logits.softmax(1), teacher.softmax(1)
    for temperature in (1.0, 4.0):
        wanted = by_logits.soft_label_loss(logits, teacher, temperature)
        torch.testing.assert_close(by_probabilities.soft_label_loss(ours, theirs, temperature), wanted)
    torch.testing.assert_close(
        by_probabilities.hard_label_loss(ours, labels), by_logits.hard_label_loss(logits, labels)
    )
    assert by_probabilities.validation_score(ours.numpy(), labels.numpy()) == by_logits.validation_score(
        logits.numpy(), labels.numpy()
    )
    certain = torch.eye(5).double()[labels]  # of a 0 as well
    assert by_probabilities.soft_label_loss(certain, theirs, 1.0).isfinite()
