import math
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from running import Opened
from torch import nn

from edgecomp.distill.losses.soft_and_hard_labels import distillation_loss, soft_label_loss
from edgecomp.errors import EdgecompError, FileError
from edgecomp.progress import silent
from edgecomp.training.loop import Batch, Examples, load_weights, train
from edgecomp.training.optimizers import parameter_groups
from edgecomp.training.schedules import cosine, one_cycle


def test_the_soft_label_loss_is_hintons() -> None:
    torch.manual_seed(0)
    student, teacher, temperature = torch.randn(7, 5), torch.randn(7, 5), 3.0
    p = F.softmax(teacher / temperature, 1)
    q = F.softmax(student / temperature, 1)
    by_hand = temperature**2 * (p * (p / q).log()).sum(1).mean()
    torch.testing.assert_close(soft_label_loss(student, teacher, temperature), by_hand)


def test_the_loss_is_zero_for_the_teachers_own_logits_and_mixes_with_hard_labels() -> None:
    logits, labels = torch.randn(4, 3), torch.tensor([0, 1, 2, 0])
    assert soft_label_loss(logits, logits, 4.0).abs() < 1e-6
    mixed = distillation_loss(logits, logits, labels, temperature=4.0, hard_label_weight=0.25)
    torch.testing.assert_close(mixed, 0.25 * F.cross_entropy(logits, labels))
    assert distillation_loss(logits, logits, labels, temperature=4.0, hard_label_weight=0.0).abs() < 1e-6


def test_schedules_start_low_peak_at_one_and_end_at_zero() -> None:
    factor = one_cycle(0.2)
    assert factor(0.0) == pytest.approx(0.05)
    assert factor(0.2) == pytest.approx(1.0)
    assert factor(1.0) == pytest.approx(0.0)
    assert (cosine(0.0), cosine(1.0)) == (1.0, pytest.approx(0.0))


def test_vectors_are_not_decayed() -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    decayed, free = parameter_groups(list(network.named_parameters()), 0.1, 0.5)
    assert [p.ndim for p in decayed["params"]] == [4]  # type: ignore[attr-defined]
    assert [p.ndim for p in free["params"]] == [1, 1, 1]  # type: ignore[attr-defined]
    assert (decayed["weight_decay"], free["weight_decay"]) == (0.5, 0.0)


INPUTS = np.random.default_rng(0).normal(size=(40, 6)).astype(np.float32)
LABELS = (INPUTS[:, 0] > 0).astype(np.int64)


class InterruptedHereError(Exception):
    pass


def run(
    checkpoint: Path, epochs: int = 4, stop_in: int | None = None, rate: float = 0.05
) -> tuple[nn.Module, list]:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 2))

    def before_epoch(epoch: int) -> None:
        if epoch == stop_in:
            raise InterruptedHereError

    history = train(
        network,
        torch.optim.AdamW(network.parameters(), lr=rate),
        examples=lambda epoch: Examples({"input": INPUTS}, LABELS, dict),
        loss=lambda logits, batch: F.cross_entropy(logits, batch.labels),
        schedule=cosine,
        evaluate=lambda network: {"validation_score_pct": 0.0},
        epochs=epochs,
        batch_size=8,
        seed=0,
        checkpoint=checkpoint,
        track=silent,
        what="test",
        before_epoch=before_epoch,
    )
    return network, history


@pytest.mark.parametrize("stop_in", [0, 1, 3])
def test_a_resumed_training_equals_the_undisturbed_one_bit_for_bit(tmp_path: Path, stop_in: int) -> None:
    whole, history = run(tmp_path / "whole.pt")
    with pytest.raises(InterruptedHereError):
        run(tmp_path / "part.pt", stop_in=stop_in)
    resumed, resumed_history = run(tmp_path / "part.pt")
    assert resumed_history == history
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name


@pytest.mark.parametrize("fused", [False, True])
def test_a_resumed_convolution_equals_the_undisturbed_one(tmp_path: Path, fused: bool) -> None:
    """Its weights are laid out channels last, and so are the optimiser's averages of them."""
    images = np.random.default_rng(0).normal(size=(32, 3, 8, 8)).astype(np.float32)

    def run(epochs: int, checkpoint: Path) -> nn.Module:
        torch.manual_seed(0)
        network = nn.Sequential(nn.Conv2d(3, 5, 3), nn.Conv2d(5, 4, 1), nn.Flatten(), nn.Linear(144, 2))
        train(
            network,
            torch.optim.AdamW(network.parameters(), lr=0.01, fused=fused),
            examples=lambda epoch: Examples({"input": images}, LABELS[:32] % 2, dict),
            loss=lambda logits, batch: F.cross_entropy(logits, batch.labels),
            schedule=lambda done: 1.0,
            evaluate=lambda network: {"validation_score_pct": 0.0},
            epochs=epochs,
            batch_size=8,
            seed=0,
            checkpoint=checkpoint,
            track=silent,
            what="test",
        )
        return network

    whole = run(4, tmp_path / "whole")
    run(2, tmp_path / "part")
    resumed = run(4, tmp_path / "part")
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name


def test_a_checkpoint_is_no_pickle_and_a_damaged_one_is_told(tmp_path: Path) -> None:
    run(tmp_path / "part", epochs=1)
    whole = (tmp_path / "part").read_bytes()
    assert whole[8:10] == b'{"'  # safetensors
    torch.save({"network": Opened(tmp_path / "ran")}, tmp_path / "pickle")
    (tmp_path / "short").write_bytes(whole[:-100])
    for name in ("pickle", "short"):
        with pytest.raises(EdgecompError, match=f"{name}: training cannot go on from it: delete it"):
            run(tmp_path / name)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "header",
    [
        '{"x": {"dtype": "F32", "shape": [1099511627776], "data_offsets": [0, 4398046511104]}}',
        '{"x": {"dtype": "F32", "shape": [1099511627776], "data_offsets": [0, 4]}}',
        "[" * 10_000,
        "",
    ],
)
def test_weights_that_say_they_are_larger_than_their_file_are_refused(tmp_path: Path, header: str) -> None:
    file = tmp_path / "x.safetensors"
    for size in (len(header), 2**62):
        file.write_bytes(size.to_bytes(8, "little") + header.encode() + bytes(4))
        with pytest.raises(FileError, match=r"x\.safetensors: is no safetensors file, or cut short"):
            load_weights(file)


def test_training_learns(tmp_path: Path) -> None:
    _, history = run(tmp_path / "c.pt", epochs=8)
    assert history[-1]["loss"] < 0.6 * history[0]["loss"]


def test_a_diverged_training_says_where(tmp_path: Path) -> None:
    def loss(logits: torch.Tensor, batch: Batch) -> torch.Tensor:
        return logits.sum() * math.nan

    with pytest.raises(EdgecompError, match="test: the loss is nan in epoch 1, step 1"):
        train(
            nn.Linear(6, 2),
            torch.optim.AdamW([nn.Parameter(torch.zeros(1))]),
            examples=lambda epoch: Examples({"input": INPUTS}, LABELS, dict),
            loss=loss,
            schedule=cosine,
            evaluate=lambda network: {"validation_score_pct": 0.0},
            epochs=1,
            batch_size=8,
            seed=0,
            checkpoint=tmp_path / "c.pt",
            track=silent,
            what="test",
        )
