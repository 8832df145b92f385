"""Scores and losses of sequences, masks, vectors and orders, against libraries and against formulas written as loops."""

import math
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import entropy
from seqeval.metrics.sequence_labeling import get_entities
from sklearn import metrics as sk
from torchmetrics.functional.segmentation import mean_iou as reference_iou

from edgecomp.errors import DataError
from edgecomp.metrics import estimates
from edgecomp.metrics.measurements import Arm, Measurements
from edgecomp.metrics.missing import NotMeasured
from edgecomp.tasks import TASKS, Labels, Outputs
from edgecomp.tasks.base import IGNORED
from edgecomp.tasks.ranking import auc, ndcg, recall
from edgecomp.tasks.segmentation import intersections_and_unions, mean_iou
from edgecomp.tasks.token_classification import entities

TAGS = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]


def measured(
    task: str, outputs: dict[str, Outputs], labels: Labels, classes: tuple[str, ...] = ()
) -> Measurements:
    arms = {
        name: Arm(
            samples={}, logits=logits, memory={}, file_size_bytes=1, file_sha256={}, parameter_bytes=None
        )
        for name, logits in outputs.items()
    }
    return Measurements(
        "t", "fake", arms, labels, offline_batch=1, facts={"task": task, "classes": list(classes)}
    )


@given(st.lists(st.sampled_from([*TAGS, "PER", "LOC"]), min_size=1, max_size=12))
@settings(max_examples=300)
def test_entities_are_seqevals(tags: list[str]) -> None:
    written = [f"I-{tag}" if tag in ("PER", "LOC") else tag for tag in tags]  # seqeval takes no bare types
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wanted = set(get_entities(written))
    assert entities(tags) == wanted


def test_entity_f1_is_micro_over_texts_and_skips_what_is_not_judged() -> None:
    labels = np.asarray([[1, 2, 0, 3, IGNORED], [0, 0, 1, IGNORED, IGNORED]])
    right = np.eye(5, dtype=np.float32)[np.where(labels == IGNORED, 1, labels)]
    worse = right.copy()
    worse[0, 1] = np.eye(5)[0]  # the first entity ends too early
    of = measured("token-classification", {"teacher": right, "student_int8": worse}, labels, tuple(TAGS))
    assert estimates.estimate(of, "teacher", "entity_f1_pct", 0.95).estimate == 100
    found = estimates.estimate(of, "student_int8", "entity_f1_pct", 0.95)
    assert found.estimate == pytest.approx(100 * 2 * 2 / (3 + 3))
    drop = estimates.against(of, "student_int8", "teacher", "entity_f1_pct", "points", 0.95)
    assert drop.estimate == pytest.approx(found.estimate - 100)
    assert estimates.estimate(of, "student_int8", "token_accuracy_pct", 0.95).estimate == pytest.approx(
        100 * 6 / 7
    )


def test_mean_iou_is_torchmetrics() -> None:
    random = np.random.default_rng(0)
    labels, answers = random.integers(0, 4, (6, 9, 7)), random.integers(0, 4, (6, 9, 7))
    parts = intersections_and_unions(answers, labels, 4)
    for place in range(6):
        wanted = reference_iou(
            torch.from_numpy(answers[place : place + 1]),
            torch.from_numpy(labels[place : place + 1]),
            num_classes=4,
            input_format="index",
        )
        assert mean_iou(parts[place]) == pytest.approx(float(wanted), abs=1e-6)
    whole = sk.jaccard_score(labels.ravel(), answers.ravel(), average="macro")
    assert mean_iou(parts.sum(axis=0)) == pytest.approx(whole)


def test_a_pixel_that_is_not_judged_is_none_of_a_class() -> None:
    labels = np.asarray([[[0, 1], [IGNORED, IGNORED]]])
    assert mean_iou(intersections_and_unions(np.asarray([[[0, 1], [0, 1]]]), labels, 2).sum(axis=0)) == 1


@pytest.mark.parametrize("coarse", [False, True])
def test_orders_are_scored_as_scikit_learn_does(coarse: bool) -> None:
    random = np.random.default_rng(1)
    scores = random.normal(size=(30, 40)).astype(np.float32)
    if coarse:
        scores = np.rint(scores)  # many items of one score
    relevant = (random.random((30, 40)) < 0.1).astype(np.int64)
    relevant[:, 3] = 1
    wanted = [
        sk.ndcg_score(one[None], score[None], k=10) for one, score in zip(relevant, scores, strict=True)
    ]
    np.testing.assert_allclose(ndcg(scores, relevant, 10), wanted, rtol=1e-9)
    areas = [sk.roc_auc_score(one, score) for one, score in zip(relevant, scores, strict=True)]
    np.testing.assert_allclose(auc(scores, relevant), areas, rtol=1e-9)
    if not coarse:
        first = np.argsort(-scores, axis=1)[:, :10]
        by_hand = [one[some].sum() / min(10, one.sum()) for one, some in zip(relevant, first, strict=True)]
        np.testing.assert_allclose(recall(scores, relevant, 10), by_hand)


def test_the_contrastive_loss_is_the_papers_sum() -> None:
    """Khosla et al. 2020, equation 2: outside the logarithm."""
    random = np.random.default_rng(2)
    vectors, labels = random.normal(size=(9, 4)), np.asarray([0, 0, 0, 1, 1, 2, 2, 2, 3])
    z = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    losses = []
    for i in range(9):
        positives = [p for p in range(9) if p != i and labels[p] == labels[i]]
        if positives:
            denominator = sum(math.exp(z[i] @ z[a] / 0.1) for a in range(9) if a != i)
            losses.append(
                -sum(math.log(math.exp(z[i] @ z[p] / 0.1) / denominator) for p in positives) / len(positives)
            )
    found = TASKS["embedding"].hard_label_loss(torch.from_numpy(vectors), torch.from_numpy(labels))
    assert float(found) == pytest.approx(np.mean(losses), rel=1e-9)


def test_relations_are_learnt_from_a_teacher_of_another_width() -> None:
    random = np.random.default_rng(3)
    ours, theirs = random.normal(size=(5, 4)), random.normal(size=(5, 6))
    a, b = (one / np.linalg.norm(one, axis=1, keepdims=True) for one in (ours, theirs))
    by_hand = np.mean([(a[i] @ a[j] - b[i] @ b[j]) ** 2 for i in range(5) for j in range(5)])
    of = TASKS["embedding"]
    assert float(of.soft_label_loss(torch.from_numpy(ours), torch.from_numpy(theirs), 1.0)) == pytest.approx(
        by_hand
    )
    both = measured(
        "embedding",
        {"teacher": theirs.astype(np.float32), "student_int8": ours.astype(np.float32)},
        np.asarray([0, 0, 1, 1, 1]),
    )
    assert 0 <= estimates.estimate(both, "student_int8", "recall_at_1_pct", 0.95).estimate <= 100
    assert (
        estimates.against(both, "student_int8", "teacher", "recall_at_1_pct", "points", 0.95).low is not None
    )
    with pytest.raises(NotMeasured, match="not held against"):
        estimates.estimate(both, "student_int8", "teacher_agreement_pct", 0.95)


@pytest.mark.parametrize("name", ["token-classification", "segmentation"])
def test_each_tokens_and_pixels_divergence_is_the_classifiers(name: str) -> None:
    """Mean over what is there: flattened, it is the loss of so many examples."""
    random = np.random.default_rng(4)
    shape = (4, 5, 3) if name == "token-classification" else (4, 3, 5, 2)
    ours, theirs = (torch.from_numpy(random.normal(size=shape)) for _ in range(2))
    flat = [one.flatten(0, 1) if one.ndim == 3 else one.movedim(1, 3).flatten(0, 2) for one in (ours, theirs)]
    wanted = TASKS["classification"].soft_label_loss(*flat, temperature=3.0)
    torch.testing.assert_close(TASKS[name].soft_label_loss(ours, theirs, 3.0), wanted)


def test_fidelity_is_the_share_of_the_teachers_variance() -> None:
    random = np.random.default_rng(5)
    theirs = random.normal(size=(200, 3)).astype(np.float32)
    ours = (theirs + random.normal(0, 0.1, (200, 3))).astype(np.float32)
    of = measured("outputs", {"teacher": theirs, "student_int8": ours}, np.zeros((200, 0), np.float32))
    found = estimates.estimate(of, "student_int8", "fidelity_pct", 0.95)
    wanted = 100 * sk.r2_score(theirs, ours, multioutput="variance_weighted")
    assert found.estimate == pytest.approx(wanted, rel=1e-5)
    assert found.low is not None
    assert found.low < found.estimate < 100
    assert estimates.estimate(of, "teacher", "fidelity_pct", 0.95).estimate == 100
    assert TASKS["outputs"].validation_score(ours, theirs) == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize(
    "metric", ["entity_f1_pct", "mean_iou_pct", "recall_at_1_pct", "ndcg_at_10_pct", "fidelity_pct"]
)
def test_what_two_models_share_is_no_difference(metric: str) -> None:
    """A model held against itself: no difference, with bounds on either side of it."""
    random = np.random.default_rng(6)
    task, outputs, labels = {
        "entity_f1_pct": ("token-classification", random.normal(size=(40, 6, 5)), random.integers(0, 5, (40, 6))),
        "mean_iou_pct": ("segmentation", random.normal(size=(40, 3, 4, 4)), random.integers(0, 3, (40, 4, 4))),
        "recall_at_1_pct": ("embedding", random.normal(size=(40, 4)), random.integers(0, 4, 40)),
        "ndcg_at_10_pct": ("ranking", random.normal(size=(40, 20)), np.eye(20, dtype=np.int64)[random.integers(0, 20, 40)]),
        "fidelity_pct": ("outputs", random.normal(size=(40, 4)), np.zeros((40, 0))),
    }[metric]  # fmt: skip
    logits = outputs.astype(np.float32)
    of = measured(task, {"teacher": logits, "student_int8": logits}, labels, tuple(TAGS))
    found = estimates.against(of, "student_int8", "teacher", metric, "points", 0.95)
    assert found.estimate == 0
    assert found.low is not None
    assert found.high is not None
    assert -100 < found.low < 0 < found.high < 100


@pytest.mark.parametrize(
    ("name", "labels", "error"),
    [
        ("segmentation", [[[0, 1]], [[0, 1], [1, 0]]], "different sizes"),
        ("segmentation", [[0, 1], [1, 0]], "masks of whole numbers"),
        ("segmentation", [[[0, -3]], [[0, 1]]], "holds -3"),
        ("segmentation", [[[0, 2]], [[0, 2]]], "no training mask has class"),
        ("segmentation", [[[0, 0]], [[255, 0]]], "have one class"),
        ("token-classification", [["O", "B-X"], []], "a tag for each word"),
        ("token-classification", [["O", 1]], "a tag for each word"),
        ("token-classification", ["O O", "O"], "nothing to tell apart"),
        ("ranking", [[0, 1] + [0] * 10, [0] * 12], "have no relevant item, the first at 1"),
        ("ranking", [[0, 1], [1, 0]], "there are 2 items"),
        ("ranking", [[0, 2] * 6, [1, 0] * 6], "those of task ranking are 0 or 1"),
    ],
)
def test_labels_that_do_not_fit_are_refused(name: str, labels: list[object], error: str) -> None:
    with pytest.raises(DataError, match=error):
        TASKS[name].encode({"train": labels}, None, "x.npz")


def test_tags_are_numbered_with_outside_first() -> None:
    encoded, names = TASKS["token-classification"].encode(
        {"train": [["B-X", "O"], ["O"]], "test": ["O B-X O"]}, None, "x"
    )
    assert names == ("O", "B-X")
    assert encoded["train"].tolist() == [[1, 0], [0, IGNORED]]
    assert encoded["test"].tolist() == [[0, 1, 0]]
    with pytest.raises(DataError, match="train split has no word of tag 'B-Y'"):
        TASKS["token-classification"].encode({"train": [["B-X", "O"]], "test": [["B-Y"]]}, None, "x")


def test_nothing_is_read_of_labels_where_none_are_learnt() -> None:
    encoded, names = TASKS["outputs"].encode({"train": ["wrong", None], "test": [float("nan")]}, ("a",), "x")
    assert {split: labels.shape for split, labels in encoded.items()} == {"train": (2, 0), "test": (1, 0)}
    assert names == ()


def test_of_rows_of_probabilities_the_likeliest_decides_and_each_of_them() -> None:
    """A recogniser's distribution at each place of a line: most numbers are nothing, and an error over all of them is small whatever is read."""
    random = np.random.default_rng(0)
    theirs = random.dirichlet(np.full(50, 0.02), (40, 6)).astype(np.float32)
    ours = theirs.copy()
    ours[3, 2] = np.roll(ours[3, 2], 1)  # one place of one line is read otherwise
    ours[7] = 0.9 * ours[7] + 0.1 / 50  # less sure of the same
    task = TASKS["outputs"]
    assert list(np.flatnonzero(~task.agreeing(ours, theirs))) == [3]
    found = estimates.estimate(
        measured("outputs", {"teacher": theirs, "student_int8": ours}, np.zeros((40, 0))),
        "student_int8",
        "top_agreement_pct",
        0.95,
    )
    assert found.estimate == pytest.approx(100 * 39 / 40)
    assert task.spread(theirs) == (40, 40, 1 / 40)  # no two lines are read alike
    blank = np.zeros((40, 30, 50), np.float32)
    blank[..., 0] = 1
    blank[range(40), range(0, 30, 30), 0] = 0
    blank[range(40), 0, range(1, 41)] = 1  # one sign a line, and else the blank
    assert task.spread(blank).prevailing == 1 / 40
    assert task.spread(theirs[:, 0]).possible == 50  # of one row an example the classes
    nothing = np.where(np.arange(6)[None, :, None] < 4, theirs, 0)  # padding
    assert list(np.flatnonzero(~task.agreeing(np.where(nothing == 0, 0, ours), nothing))) == [3]
    assert not task.agreeing(np.full_like(blank, np.nan), blank).any()
    assert task.agreeing(theirs, theirs.astype(np.float16)).all()
    hidden = random.normal(size=(40, 6, 50)).astype(np.float32)
    with pytest.raises(NotMeasured, match="no largest that is an answer"):
        estimates.estimate(
            measured("outputs", {"teacher": hidden, "student_int8": hidden}, np.zeros((40, 0))),
            "student_int8",
            "top_agreement_pct",
            0.95,
        )


def test_maps_of_nothing_and_one_differ_as_a_whole_where_no_number_of_theirs_takes_more_than_two_values() -> (
    None
):
    random = np.random.default_rng(0)
    maps = (random.random((60, 1, 8, 8)) < 0.3).astype(np.float32)
    spread = TASKS["outputs"].spread(maps)
    assert spread.kinds == spread.possible == 16
    assert spread.prevailing < 0.1
    same = np.repeat(maps[:1], 60, axis=0)
    assert TASKS["outputs"].spread(same)[::2] == (1, 1.0)
    mostly = np.concatenate([same[:48], maps[:12]])
    assert TASKS["outputs"].spread(mostly).prevailing == pytest.approx(49 / 60)


def test_rows_of_probabilities_are_learnt_by_their_divergence() -> None:
    random = np.random.default_rng(0)
    theirs, ours = (torch.from_numpy(random.dirichlet(np.ones(7), (5, 3))) for _ in range(2))
    by_hand = np.mean(
        [entropy(p, q) for p, q in zip(theirs.reshape(-1, 7), ours.reshape(-1, 7), strict=True)]
    )
    task = TASKS["outputs"]
    assert float(task.soft_label_loss(ours, theirs, 2.0)) == pytest.approx(float(by_hand), rel=1e-9)
    assert float(task.soft_label_loss(theirs, theirs, 1.0)) == pytest.approx(0, abs=1e-12)
    sure = torch.zeros(2, 4, dtype=torch.float64, requires_grad=True)
    loss = task.soft_label_loss(sure.softmax(-1).pow(40), torch.eye(4, dtype=torch.float64)[:2], 1.0)
    loss.backward()
    assert torch.isfinite(sure.grad).all()  # type: ignore[arg-type]  # it has one now
    numbers = torch.from_numpy(random.normal(size=(5, 3, 7)))
    assert float(task.soft_label_loss(numbers + 1, numbers, 1.0)) == pytest.approx(
        1 / float(((numbers - numbers.mean(0)) ** 2).mean())
    )
