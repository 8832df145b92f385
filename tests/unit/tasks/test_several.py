"""Several outputs of one network beside each other, whatever the order they came in."""

from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import fx, nn

from edgecomp import outputs
from edgecomp.errors import UsageError
from edgecomp.models import check_output, check_outputs
from edgecomp.quantization.capture import capture
from edgecomp.tasks import SeveralOutputs, task

MEANT: dict[str, dict[str, Any]] = {
    "kind": {"task": "classification", "weight": 2.0},
    "amounts": {"task": "regression", "weight": 0.5},
    "marks": {"task": "multilabel", "weight": 1.0},
    "where": {"task": "embedding", "weight": 1.0, "width": 5},
    "rest": {"task": "outputs", "weight": 3.0, "width": 2},
}
ROWS = {  # a label of each output that has labels, by name: amounts, kind, marks, where
    "train": [
        ((1.0, 2.0), "b", (1, 0, 0), 1),
        ((3.0, 5.0), "a", (0, 1, 1), 0),
        ((0.0, 1.0), "c", (1, 0, 1), 1),
    ],
    "test": [((2.0, 2.5), "c", (0, 1, 0), 0)],
}
WIDTHS = {"amounts": 2, "kind": 3, "marks": 3, "rest": 2, "where": 5}
RANDOM = np.random.default_rng(0)


def several(meant: dict[str, dict[str, Any]] = MEANT) -> tuple[SeveralOutputs, dict[str, np.ndarray]]:
    labels, names = task(meant).encode(ROWS, None, "rows.npz")
    of = task(meant, names)
    assert isinstance(of, SeveralOutputs)
    return of, labels


def test_labels_and_places_are_each_outputs_own() -> None:
    of, labels = several()
    assert (of.widths, of.width(())) == (WIDTHS, 15)
    assert list(of.of("kind").names) == ["a", "b", "c"]
    train = labels["train"]
    assert of.of("kind").own_labels(train).tolist() == [1, 0, 2]
    assert of.of("amounts").own_labels(train).tolist() == [[1, 2], [3, 5], [0, 1]]
    assert of.of("marks").own_labels(torch.from_numpy(train)).dtype == torch.int64
    assert of.of("rest").own_labels(train).shape == (3, 0)
    answers = RANDOM.normal(size=(3, 15)).astype(np.float32)
    assert of.misfit(answers, train) == ""
    assert "are not 15 numbers" in of.misfit(answers[:, 1:], train)


def test_the_loss_is_the_weighted_sum_of_the_outputs_own() -> None:
    of, labels = several()
    ours, theirs = (torch.from_numpy(RANDOM.normal(size=(3, 15))) for _ in range(2))
    given = torch.from_numpy(labels["train"])
    for loss, one_loss in (
        (of.hard_label_loss(ours, given), lambda one, x: one.task.hard_label_loss(x, one.own_labels(given))),
        (
            of.soft_label_loss(ours, theirs, 2.0),
            lambda one, x: one.task.soft_label_loss(x, one.own(theirs), 2.0),
        ),
    ):
        by_hand = sum(MEANT[one.name]["weight"] * float(one_loss(one, one.own(ours))) for one in of.outputs)
        assert float(loss) == pytest.approx(by_hand)
    assert float(of.soft_label_loss(ours, ours, 2.0)) == pytest.approx(0, abs=1e-9)
    assert of.agreeing(ours.numpy(), ours.numpy()).all()
    assert not of.agreeing(ours.numpy(), -ours.numpy()).any()


def test_the_order_of_outputs_changes_nothing() -> None:
    of, labels = several()
    other, again = several(dict(reversed(MEANT.items())))
    assert other.outputs == of.outputs
    assert all(np.array_equal(labels[split], again[split]) for split in labels)
    by_name = {name: RANDOM.normal(size=(4, width)).astype(np.float32) for name, width in WIDTHS.items()}
    turned = dict(reversed(by_name.items()))
    laid = outputs.beside_each_other(by_name)
    assert np.array_equal(outputs.beside_each_other(turned), laid)
    of_pytorch = {"logits": laid[:, :1]} | {
        f"output_{place}": laid[:, place : place + 1] for place in range(1, 15)
    }
    assert np.array_equal(outputs.beside_each_other(of_pytorch), laid)
    tensors = {name: torch.from_numpy(values) for name, values in turned.items()}
    assert np.array_equal(outputs.as_one(tensors).numpy(), laid)
    assert all(np.array_equal(one.own(laid), by_name[one.name]) for one in of.outputs)


class Pair(NamedTuple):
    second: torch.Tensor
    first: torch.Tensor


class TwoHeads(nn.Module):
    def __init__(self, kind: str = "dict") -> None:
        super().__init__()
        self.first, self.second, self.kind = nn.Linear(3, 4), nn.Linear(3, 1), kind

    def forward(self, x: torch.Tensor) -> Any:
        first, second = self.first(x), self.second(x)
        return {
            "dict": {"second": second, "first": first},
            "named": Pair(second, first),
            "tuple": (first, second),
        }[self.kind]


@pytest.mark.parametrize("kind", ["dict", "named", "tuple"])
def test_a_captured_network_gives_a_tuple_in_the_order_of_names(kind: str) -> None:
    network, x = TwoHeads(kind).eval(), torch.randn(2, 3)
    graph = capture(network, [x], ({0: "batch"},))
    first, second = graph(x)
    torch.testing.assert_close((first, second), (network.first(x), network.second(x)))
    torch.testing.assert_close(outputs.as_one(graph(x)), outputs.as_one(network(x)))
    assert isinstance(graph, fx.GraphModule)


@pytest.mark.parametrize(
    ("kind", "widths", "said"),
    [
        ("dict", {"first": 4, "secnd": 1}, "tasks.secnd: network 'mine:make' has no such output; did you mean 'second'?"),
        ("dict", {"first": 4}, "an output 'second', and `tasks` does not say what it means"),
        ("dict", {"first": 4, "second": 2}, "output 'second' of network 'mine:make' is of shape (2, 1)"),
        ("tuple", {"first": 4, "second": 1}, "returns tuple, and `tasks` names the outputs first, second: return them by name"),
    ],
)  # fmt: skip
def test_outputs_and_tasks_that_do_not_meet_are_told(kind: str, widths: dict[str, int], said: str) -> None:
    with pytest.raises(UsageError) as told:
        check_outputs("mine:make", TwoHeads(kind), {"input": torch.zeros(2, 3)}, widths)
    assert said in str(told.value)


def test_a_network_of_several_outputs_without_tasks_is_told_of_them() -> None:
    check_outputs("mine:make", TwoHeads("named"), {"input": torch.zeros(2, 3)}, {"first": 4, "second": 1})
    with pytest.raises(UsageError, match="`tasks` in the recipe says what each output is: first, second"):
        check_output("mine:make", TwoHeads(), {"input": torch.zeros(2, 3)}, (2, 4))
