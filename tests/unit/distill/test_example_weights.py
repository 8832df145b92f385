"""What each example counts: by its class as the paper's formula says, by the terms of its text, and in each loss."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from edgecomp.config.job import load_job
from edgecomp.config.loss_terms import Balance
from edgecomp.config.recipe import Distill
from edgecomp.data.splits import Split
from edgecomp.distill import losses
from edgecomp.distill.example_weights import (
    effective_number,
    example_weights,
    holds,
    inverse_frequency,
    token_weights,
)
from edgecomp.distill.losses import of_logits
from edgecomp.distill.losses.named import NAMED, weighs_examples
from edgecomp.errors import DataError, RecipeError
from edgecomp.models.networks.transformer import Transformer
from edgecomp.tasks import task
from edgecomp.training.loop import Batch, Examples

COUNTS = np.array([500, 40, 3])
LABELS = np.repeat(np.arange(3), COUNTS)
NOWHERE = Path("nowhere")


def split(labels: np.ndarray = LABELS, **arrays: np.ndarray) -> Split:
    return Split(arrays or {"values": np.zeros((len(labels), 2), np.float32)}, labels)


def weights(by: str, beta: float = 0.99) -> np.ndarray:
    found = example_weights(split(), balance={"by": by, "beta": beta}, keywords={}, tokenizer=NOWHERE)
    assert found is not None
    return found


def test_the_effective_number_is_the_papers() -> None:
    found = weights("effective-number")
    by_hand = []
    for label in LABELS:
        effective = sum(0.99**power for power in range(COUNTS[label]))  # (1 - βⁿ) / (1 - β), as a sum
        by_hand.append(1 / effective)
    np.testing.assert_allclose(found, np.array(by_hand) / np.mean(by_hand), rtol=1e-5)


def test_inverse_frequency_gives_every_class_the_same_share() -> None:
    found = weights("inverse")
    shares = [found[label == LABELS].sum() for label in range(3)]
    np.testing.assert_allclose(shares, len(LABELS) / 3, rtol=1e-5)


def test_the_effective_number_lies_between_none_and_inverse() -> None:
    np.testing.assert_allclose(effective_number(COUNTS, 0.0), 1)
    near = effective_number(COUNTS, 1 - 1e-9) / inverse_frequency(COUNTS, 0)
    np.testing.assert_allclose(near, near[0], rtol=1e-4)
    assert np.mean(weights("effective-number")) == pytest.approx(1, rel=1e-5)


def test_the_order_of_examples_is_nothing() -> None:
    order = np.random.default_rng(0).permutation(len(LABELS))
    balance = {"by": "inverse", "beta": 0.5}
    found = example_weights(split(LABELS[order]), balance=balance, keywords={}, tokenizer=NOWHERE)
    np.testing.assert_allclose(found, weights("inverse")[order])


def test_without_balance_and_terms_all_count_the_same() -> None:
    assert example_weights(split(), balance=None, keywords={}, tokenizer=NOWHERE) is None


def test_terms_are_whole_words_and_may_be_several() -> None:
    ids = np.array([[5, 6, 7, 0], [6, 5, 7, 0], [7, 5, 6, 0], [1, 1, 1, 1]])
    assert holds(ids, [5, 6]).tolist() == [True, False, True, False]
    assert not holds(ids, [5, 6, 7, 8, 9]).any()
    assert not holds(ids, []).any()


@pytest.fixture
def tokenizer(tmp_path: Path) -> Path:
    from tokenizers import Tokenizer, models, pre_tokenizers

    known = {word: place for place, word in enumerate(["[UNK]", "disk", "error", "read", "fine", "all"])}
    made = Tokenizer(models.WordLevel(known, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.enable_padding(length=4)
    made.save(str(tmp_path / "tokenizer.json"))
    return tmp_path / "tokenizer.json"


TEXTS = np.array(
    [[3, 2, 0, 0], [1, 2, 0, 0], [4, 5, 0, 0], [5, 4, 0, 0]]
)  # read error, disk error, fine all, all fine


def test_a_text_with_a_term_counts_more_and_of_several_the_most(tokenizer: Path) -> None:
    texts = split(np.array([0, 1, 0, 1]), input_ids=TEXTS)
    found = example_weights(texts, balance=None, keywords={"error": 2, "disk error": 5}, tokenizer=tokenizer)
    np.testing.assert_allclose(found, np.array([2, 5, 1, 1]) / (9 / 4))


def test_every_token_of_a_term_counts_more_where_attention_is_compared(tokenizer: Path) -> None:
    texts = split(np.array([0, 1, 0, 1]), input_ids=TEXTS)
    found = token_weights(texts, {"error": 2, "disk error": 5}, tokenizer)
    assert found is not None
    assert found.dtype == np.float32
    assert found.tolist() == [[1, 2, 1, 1], [5, 5, 1, 1], [1, 1, 1, 1], [1, 1, 1, 1]]
    assert token_weights(texts, {}, tokenizer) is None
    assert token_weights(split(), {"error": 2}, tokenizer) is None
    less = token_weights(texts, {"fine": 0.5, "read error disk all fine": 9}, tokenizer)  # longer than a text
    assert less is not None
    assert less[2].tolist() == [0.5, 1, 1, 1]
    examples = Examples(
        {"input_ids": TEXTS, "attention_mask": (TEXTS > 0).astype(np.int64)},
        np.zeros(4, np.int64),
        lambda given: {name: values[:, :2] for name, values in given.items()},  # cut to the longest
        token_weights=found,
    )
    batch = examples.chosen(np.array([3, 1])).batch(np.array([1, 0]))
    assert batch.token_weights is not None
    assert batch.token_weights.tolist() == [[5, 5], [1, 1]]


def test_keywords_are_heard_by_attention_and_balance_is_not() -> None:
    maps = {"loss": "token-relations", "student": "layers.0.value", "teacher": "layers.0.value"}
    asked = Distill(epochs=1, terms=[maps], keywords={"error": 2})
    network = Transformer(20, 8, 3, layers=1, width=12, heads=2)
    assert losses.build(asked.model_dump(), task("classification"), lambda: network).terms
    with pytest.raises(RecipeError, match="balance: no term counts examples one by one"):
        losses.build(
            asked.model_copy(update={"balance": Balance(by="inverse")}).model_dump(),
            task("classification"),
            lambda: network,
        )


def test_a_term_that_no_text_has_is_named(tokenizer: Path) -> None:
    texts = split(np.array([0, 1, 0, 1]), input_ids=TEXTS)
    with pytest.raises(DataError, match="no training text has 'error disk', 'all all'"):
        example_weights(
            texts, balance=None, keywords={"error disk": 2, "all all": 2, "error": 2}, tokenizer=tokenizer
        )
    few = example_weights(texts, balance=None, keywords={"all all": 2}, tokenizer=tokenizer, all_there=False)
    np.testing.assert_array_equal(few, 1)
    with pytest.raises(DataError, match="looked for in texts, and these are none"):
        example_weights(split(), balance=None, keywords={"error": 2}, tokenizer=tokenizer)


WEIGHED: dict[str, Callable[..., torch.Tensor]] = {
    "soft-target-kl": of_logits.soft_target_kl,
    **{name: function for name, function in NAMED.items() if weighs_examples(name)},
}


def of(name: str) -> Callable[..., torch.Tensor]:
    function = WEIGHED[name]
    return (
        partial(function, task=task("classification")) if name in ("soft-labels", "hard-labels") else function
    )


@pytest.mark.parametrize("name", sorted(WEIGHED))
def test_a_weighed_loss_is_the_mean_of_each_examples_times_its_weight(name: str) -> None:
    random = torch.Generator().manual_seed(0)
    student, teacher = (torch.randn(6, 4, dtype=torch.float64, generator=random) for _ in range(2))
    labels, own = torch.tensor([0, 1, 2, 3, 0, 1]), torch.rand(6, dtype=torch.float64, generator=random)
    function = of(name)
    by_hand = 0.0
    for place in range(6):
        one = slice(place, place + 1)
        by_hand += own[place].item() * function(student[one], teacher[one], labels[one]).item() / 6
    assert function(student, teacher, labels, weights=own).item() == pytest.approx(by_hand, abs=1e-6)
    student.requires_grad_()
    assert torch.autograd.gradcheck(lambda s: function(s, teacher, labels, weights=own), [student])
    order = torch.tensor([5, 3, 1, 0, 2, 4])
    other = function(student[order], teacher[order], labels[order], weights=own[order])
    assert other.item() == pytest.approx(by_hand, abs=1e-6)
    plain = function(student, teacher, labels).item()
    assert function(student, teacher, labels, weights=torch.ones_like(own)).item() == pytest.approx(plain)


@pytest.mark.parametrize("terms", [[], [{"loss": "dkd"}, {"loss": "dist"}]])
def test_a_batchs_weights_reach_the_terms_that_take_them(terms: list[dict[str, str]]) -> None:
    inputs, labels = torch.randn(6, 4), torch.tensor([0, 1, 2, 3, 0, 1])
    asked = Distill(epochs=1, terms=terms, balance={"by": "inverse"}).model_dump()
    learner = losses.build(asked, task("classification"), torch.nn.Identity).bind(
        torch.nn.Identity(), [inputs]
    )
    batch = Batch((inputs,), labels, soft_labels=torch.randn(6, 4))
    none = learner.loss(inputs, replace(batch, weights=torch.zeros(6)))
    kept = dict(learner.watched())
    assert none.item() == pytest.approx(kept.get("loss: dist", torch.zeros(())).item())
    assert learner.loss(inputs, batch) > none


def test_examples_keep_their_weights_in_any_order() -> None:
    examples = Examples(
        {"values": np.arange(4, dtype=np.float32)[:, None]}, np.arange(4), lambda x: x,
        np.zeros((4, 2), np.float32), np.array([1, 2, 3, 4], np.float32),
    )  # fmt: skip
    assert examples.batch(np.array([2, 0])).weights.tolist() == [3, 1]


def test_terms_that_cannot_weigh_and_other_tasks_are_refused() -> None:
    asked = Distill(epochs=1, terms=[{"loss": "dist"}], balance={"by": "inverse"}).model_dump()
    with pytest.raises(
        RecipeError, match="balance: no term counts examples one by one; those that do are soft-labels"
    ):
        losses.build(asked, task("classification"), torch.nn.Identity)
    with pytest.raises(
        RecipeError, match=r"distill.balance and distill.keywords: of one classifier's examples"
    ):
        load_job("multilabel", ["+distill.balance={by: inverse}", "+distill.keywords={error: 2}"])
    with pytest.raises(RecipeError, match=r"data\.fewest: of one classifier's examples"):
        load_job("multilabel", ["+data.fewest=20"])
    with pytest.raises(RecipeError, match=r"inverted.*is none of"):
        load_job("digits", ["+distill.balance={by: inverted}"])


def test_a_recipe_without_them_is_what_it_was() -> None:
    told = load_job("digits", []).recipe.model_dump()
    assert not {"balance", "keywords"} & set(told["distill"])
    assert "fewest" not in told["data"]
