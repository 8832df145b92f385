"""What is watched of a student on the validation split."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from edgecomp.distill.data import DistillationData
from edgecomp.tasks import task
from edgecomp.training.alarms import AGREEMENT, SCORE
from edgecomp.training.loop import Examples


def data(taught: "np.ndarray", of: str) -> DistillationData:
    """Of four examples, which a student that gives back its inputs answers."""
    held = Examples({"x": np.eye(4, dtype=np.float32)}, np.arange(4), lambda inputs: inputs)
    views: Any = SimpleNamespace(held_out=lambda: held, validation=SimpleNamespace(labels=np.arange(4)))
    soft_labels: Any = SimpleNamespace(validation=lambda: taught)
    none: Any = None
    return DistillationData(views, none, soft_labels, task(of, tuple("abcd")), seed=0)


@pytest.mark.parametrize(
    ("taught", "of", "agreement"),
    [
        (np.eye(4, dtype=np.float32), "classification", 100.0),
        (np.eye(4, dtype=np.float32)[[1, 0, 2, 3]], "classification", 50.0),
        (
            np.eye(3, 4, dtype=np.float32),
            "classification",
            None,
        ),  # of other examples: a student of some classes
        (np.ones((4, 8), np.float32), "embedding", None),  # of another width
    ],
)
def test_agreement_is_with_a_teacher_of_the_same_examples_and_width(
    taught: "np.ndarray", of: str, agreement: float | None
) -> None:
    found = data(taught, of).watch(nn.Identity())
    assert found.get(AGREEMENT) == agreement
    assert np.isfinite(found[SCORE])
    assert torch.is_grad_enabled()
