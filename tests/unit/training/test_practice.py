"""Parts of a batch, clipping, early end, optimisers by name, and several processes."""

import math
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import trained_in_double
from safetensors.torch import load_file
from torch import nn
from trained_in_double import trained

from edgecomp.errors import EdgecompError, UsageError
from edgecomp.files import epoch_table
from edgecomp.progress import silent
from edgecomp.training.checkpoints import History
from edgecomp.training.loop import Batch, Examples, train
from edgecomp.training.optimizers import OPTIMIZERS, parameter_groups
from edgecomp.training.practice import Practice
from edgecomp.training.schedules import LEARNING_RATES

INPUTS = np.random.default_rng(0).normal(size=(64, 6)).astype(np.float32)
LABELS = (INPUTS[:, 0] > 0).astype(np.int64)


def far(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    return max((one[name].double() - other[name].double()).abs().max().item() for name in one)


def cross_entropy(logits: torch.Tensor, batch: Batch) -> torch.Tensor:
    return F.cross_entropy(logits, batch.labels)


def run(
    folder: Path,
    practice: Practice = Practice(),  # noqa: B008 - it is frozen
    *,
    epochs: int = 4,
    rate: float = 0.02,
    loss: Callable[[torch.Tensor, Batch], torch.Tensor] = cross_entropy,
    scores: tuple[float, ...] = (),
) -> tuple[nn.Module, History]:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 2))
    told = iter(scores)
    history = train(
        network,
        practice.optimiser(parameter_groups(list(network.named_parameters()), rate, 0.0)),
        examples=lambda epoch: Examples({"input": INPUTS}, LABELS, dict),
        loss=loss,
        schedule=practice.factor,
        evaluate=lambda network: {"validation_score_pct": next(told, 0.0)},
        epochs=epochs,
        batch_size=8,
        seed=0,
        practice=practice,
        checkpoint=folder / "c.safetensors",
        track=silent,
        what="test",
    )
    return network, history


def on_one_host() -> list[list[str]]:
    return [["--standalone", "--nproc-per-node", "2"]]


def on_two_hosts() -> list[list[str]]:
    """As they are started on two machines, a launcher each, which meet at the first one's port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    shared = ["--nnodes", "2", "--nproc-per-node", "1", "--master-addr", "127.0.0.1", "--master-port", port]
    return [[*shared, "--node-rank", str(rank)] for rank in (0, 1)]


@pytest.mark.parametrize("launchers", [on_one_host, on_two_hosts])
def test_two_processes_learn_what_one_does(tmp_path: Path, launchers: Callable[[], list[list[str]]]) -> None:
    """A network without batch statistics and dropout, in float64, by the same batches: 50 steps."""
    script = Path(trained_in_double.__file__)
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "torch.distributed.run", *words, str(script), str(tmp_path)],
            env=os.environ | {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for words in launchers()
    ]
    for one in started:
        _, said = one.communicate(timeout=300)
        assert one.returncode == 0, said[-3000:]
    first, second = (load_file(tmp_path / f"rank-{rank}.safetensors") for rank in (0, 1))
    (tmp_path / "alone").mkdir()
    alone, history = trained(tmp_path / "alone", Practice())
    assert far(first, second) == 0
    assert far(alone, first) < 1e-8
    assert any(name.startswith("distilled terms.1.projections") for name in first)
    for rank in (0, 1):
        world, loss = (tmp_path / f"rank-{rank}.txt").read_text().split()
        assert world == "2"
        assert float(loss) == pytest.approx(history[-1]["loss"], abs=1e-6)
    assert len({row[1] for row in epoch_table.rows(tmp_path)}) == 2


@pytest.mark.parametrize("parts", [2, 8])
def test_a_batch_in_parts_teaches_what_it_does_at_once(tmp_path: Path, parts: int) -> None:
    whole, _ = trained(tmp_path, Practice())
    (tmp_path / "parts").mkdir()
    in_parts, _ = trained(tmp_path / "parts", Practice(accumulation=parts))
    assert 0 < far(whole, in_parts) < 1e-8


def test_a_batch_that_cannot_be_parted_equally_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"8 examples cannot be parted equally .* take a multiple of 3"):
        run(tmp_path, Practice(accumulation=3))


def test_half_precision_on_a_cpu_is_refused(tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(UsageError, match="precision: fp16 is trained on a GPU"):
        run(tmp_path, Practice(precision="fp16"))


def test_gradients_are_cut_to_the_norm_that_is_asked_for(tmp_path: Path) -> None:
    """With plain gradient descent a step is as long as its gradient times the rate."""
    practice = Practice(optimizer="sgd", schedule="constant", clip_norm=1e-3)
    network, history = run(tmp_path, practice, epochs=1, rate=0.1)
    torch.manual_seed(0)
    start = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 2))
    moved = [after - before for after, before in zip(network.parameters(), start.parameters(), strict=True)]
    length = math.sqrt(sum(one.square().sum().item() for one in moved))
    steps, momentum = 8, 1.9 / (1 - 0.9)  # Nesterov's, at most
    assert 1e-4 < length <= 0.1 * 1e-3 * steps * momentum
    assert history[0]["gradient_norm"] > 1e-2  # as it was before


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimiser_learns_and_goes_on_where_it_was(tmp_path: Path, optimizer: str) -> None:
    practice, rate = Practice(optimizer=optimizer), 0.02 if optimizer in ("adamw", "nadam") else 0.1
    whole, history = run(tmp_path, practice, rate=rate, epochs=8)
    assert history[-1]["loss"] < 0.8 * history[0]["loss"]
    (tmp_path / "part").mkdir()

    class StoppedError(Exception):
        pass

    def stops(logits: torch.Tensor, batch: Batch) -> torch.Tensor:
        if batch.done >= 0.5:
            raise StoppedError
        return cross_entropy(logits, batch)

    with pytest.raises(StoppedError):
        run(tmp_path / "part", practice, rate=rate, epochs=8, loss=stops)
    resumed, again = run(tmp_path / "part", practice, rate=rate, epochs=8)
    assert again == history
    assert far(whole.state_dict(), resumed.state_dict()) == 0


def test_muon_takes_kernels_as_matrices_and_leaves_vectors_to_adamw() -> None:
    """Step by step what torch's own two do, whatever the layout of a kernel."""
    torch.manual_seed(0)
    kernel, matrix, vector = torch.randn(4, 3, 2, 2), torch.randn(5, 4), torch.randn(4)
    ours = [nn.Parameter(one.clone()) for one in (kernel, matrix, vector)]
    ours[0].data = ours[0].data.contiguous(memory_format=torch.channels_last)
    found = OPTIMIZERS["muon"](parameter_groups([(str(one), one) for one in ours], 0.01, 0.1))
    ours[0].data = ours[0].data.clone(
        memory_format=torch.channels_last
    )  # as a network's are when it is moved
    theirs = [nn.Parameter(one) for one in (kernel.flatten(1).clone(), matrix.clone(), vector.clone())]
    muon = torch.optim.Muon(theirs[:2], lr=0.01, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    adamw = torch.optim.AdamW(theirs[2:], lr=0.01, weight_decay=0.0)
    for rate in (0.01, 0.02, 0.005):
        gradients = [torch.randn(one.shape) for one in (kernel, matrix, vector)]
        for group in (*found.param_groups, *muon.param_groups, *adamw.param_groups):
            group["lr"] = rate
        for own, other, gradient in zip(ours, theirs, gradients, strict=True):
            own.grad, other.grad = gradient, gradient.reshape(other.shape)
        for optimizer in (found, muon, adamw):
            optimizer.step()
    assert not torch.equal(ours[0], kernel)
    for own, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(own.reshape(other.shape), other, atol=1e-6, rtol=0)


def test_muon_leaves_alone_what_is_frozen() -> None:
    parameter = nn.Parameter(torch.randn(3, 2))
    OPTIMIZERS["muon"](parameter_groups([("one", parameter)], 0.1, 0.1)).step()
    assert parameter.grad is None


def test_every_schedule_starts_and_ends_where_it_says() -> None:
    ends = {name: (of(0.2)(0.0), of(0.2)(0.2), of(0.2)(1.0)) for name, of in LEARNING_RATES.items()}
    assert ends["constant"] == (1.0, 1.0, 1.0)
    assert ends["warm-up"] == pytest.approx((0.05, 1.0, 1.0))
    assert ends["one-cycle"] == pytest.approx((0.05, 1.0, 0.0))
    assert ends["cosine"][::2] == pytest.approx((1.0, 0.0))


def test_training_ends_where_the_score_no_longer_rises_with_the_best_weights(tmp_path: Path) -> None:
    scores = (50.0, 70.0, 60.0, 70.0, 65.0, 90.0)
    network, history = run(tmp_path, Practice(patience=3, schedule="constant"), epochs=6, scores=scores)
    assert [epoch["validation_score_pct"] for epoch in history] == [50.0, 70.0, 60.0, 70.0, 65.0]
    (tmp_path / "two").mkdir()
    best, _ = run(tmp_path / "two", Practice(schedule="constant"), epochs=2)
    assert far(network.state_dict(), best.state_dict()) == 0
    again, known = run(tmp_path, Practice(patience=3, schedule="constant"), epochs=6)
    assert known == history  # nothing more is learnt when it is run again
    assert far(again.state_dict(), best.state_dict()) == 0


def test_the_table_of_epochs_has_each_once(tmp_path: Path) -> None:
    practice = Practice(folder=tmp_path)
    _, history = run(tmp_path, practice, epochs=3)
    rows = epoch_table.rows(tmp_path)
    assert {row[0] for row in rows} == {"test"}
    assert [row[1] for row in rows if row[2] == "loss"] == ["1", "2", "3"]
    named = {row[2] for row in rows}
    assert named >= {"gradient_norm", "learning_rate", "memory_mib", "cpu_seconds", "seconds"}
    assert float(next(row[3] for row in rows if row[1:3] == ("2", "loss"))) == history[1]["loss"]
    (tmp_path / "c.safetensors").unlink()
    run(tmp_path, practice, epochs=2)
    assert [row[1] for row in epoch_table.rows(tmp_path) if row[2] == "loss"] == ["1", "2"]
    assert replace(practice, folder=None).folder is None


def test_a_tracker_is_told_of_each_epoch(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    run(tmp_path, Practice(folder=tmp_path, trackers=("tensorboard",)), epochs=2)
    assert list((tmp_path / "tracked" / "test").glob("events.*"))


def broken_in(epoch: int) -> Callable[[torch.Tensor, Batch], torch.Tensor]:
    def loss(logits: torch.Tensor, batch: Batch) -> torch.Tensor:
        return cross_entropy(logits, batch) * (math.nan if batch.done >= epoch / 4 else 1)

    return loss


def test_a_loss_that_is_no_number_stops_with_the_last_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(EdgecompError, match=r"the loss is nan in epoch 3, step 1: training has diverged.*checkpoint of epoch 2 is kept, .*c\.safetensors"):  # fmt: skip
        run(tmp_path, loss=broken_in(2))
    _, history = run(tmp_path, epochs=4)
    assert len(history) == 4
    assert all(math.isfinite(epoch["loss"]) for epoch in history)


def test_or_its_step_is_left_out_where_the_recipe_says_so(tmp_path: Path) -> None:
    said: list[str] = []
    before: list[float] = []

    def loss(logits: torch.Tensor, batch: Batch) -> torch.Tensor:
        before.append(batch.done)
        return cross_entropy(logits, batch) * (math.nan if len(before) == 12 else 1)

    practice = Practice(alarms={"not_finite": "warn"}, note=said.append)
    network, history = run(tmp_path, practice, loss=loss)
    assert all(one.isfinite().all() for one in network.parameters())
    assert history[1]["alarm: not_finite"] == 4
    assert "alarm: not_finite" not in history[0]
    assert math.isfinite(history[1]["loss"])
    assert [one.partition(":")[0] for one in said] == ["test"]
