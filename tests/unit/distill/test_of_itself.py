"""Self-distillation and noise: what the earlier self is after each step, that it survives an interruption, and what is refused."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from edgecomp.config.job import load_job
from edgecomp.config.recipe import Distill
from edgecomp.distill import losses
from edgecomp.distill.losses import of_logits
from edgecomp.distill.losses.of_outputs import noisy
from edgecomp.distill.losses.own.of_itself import Bound
from edgecomp.errors import RecipeError
from edgecomp.models.networks.resnet import ResNet
from edgecomp.progress import silent
from edgecomp.quantization.capture import capture
from edgecomp.tasks import task
from edgecomp.training.loop import Batch, Examples, train
from edgecomp.training.optimizers import adamw, parameter_groups
from edgecomp.training.schedules import one_cycle

INPUTS = torch.randn(12, 4, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(12) % 3
HARD = {"loss": "hard-labels", "weight": 0.5}
AVERAGE = {"loss": "soft-labels", "of": "average", "decay": 0.9}
SNAPSHOT = {"loss": "soft-labels", "of": "snapshot", "every": 2}


def small() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))


def learner(student: nn.Module, *terms: dict[str, Any], inputs: torch.Tensor = INPUTS) -> losses.Learner:
    asked = Distill(epochs=1, terms=list(terms)).model_dump()
    return losses.build(asked, task("classification"), lambda: student).bind(student, (inputs[:2],))


def term_of(taught: losses.Learner) -> Bound:
    return next(term for term in taught.terms if isinstance(term, Bound))


def weights_of(network: nn.Module) -> np.ndarray:
    return torch.cat([one.detach().flatten() for one in network.parameters()]).double().numpy()


BATCH = Batch((INPUTS,), LABELS, torch.zeros(12, 3))


def stepped(taught: losses.Learner, optimizer: torch.optim.Optimizer, batch: Batch = BATCH) -> float:
    optimizer.zero_grad()
    value = taught.loss(taught(*batch.inputs), batch)
    value.backward()
    optimizer.step()
    return value.item()


def test_parts_of_a_batch_are_one_step_of_the_average() -> None:
    """An average takes in what each step of the optimiser made, however many parts its batch came in."""
    whole, in_parts = (learner(small(), HARD, AVERAGE) for _ in range(2))
    for taught, parts in ((whole, 1), (in_parts, 3)):
        taught.train()
        for step in range(4):
            for number in range(parts):
                taught.loss(taught(INPUTS), replace(BATCH, begins=number == 0))
            with torch.no_grad():
                for one in taught.student.parameters():
                    one += 0.1 * (step + 1)
    averages = [weights_of(term_of(taught).earlier.module) for taught in (whole, in_parts)]
    np.testing.assert_array_equal(*averages)
    assert not np.allclose(averages[0], weights_of(whole.student))


def test_the_average_is_the_papers_after_each_step() -> None:
    student = small()
    taught = learner(student, HARD, AVERAGE)
    optimizer = torch.optim.SGD([one for one in taught.parameters() if one.requires_grad], 0.1)
    taught.train()
    by_hand = weights_of(student)
    for step in range(6):
        if step:  # Tarvainen & Valpola: α = min(1 - 1 / (step + 1), decay), step by step
            stays = min(1 - 1 / (step + 1), 0.9)
            by_hand = np.array(
                [
                    stays * old + (1 - stays) * new
                    for old, new in zip(by_hand, weights_of(student), strict=True)
                ]
            )
        stepped(taught, optimizer)
        np.testing.assert_allclose(weights_of(term_of(taught).earlier.module), by_hand, atol=1e-6)
    assert not np.allclose(by_hand, weights_of(student), atol=1e-4)


def test_it_is_nothing_where_the_student_is_its_earlier_self() -> None:
    student = small().eval()
    taught = learner(student, AVERAGE).eval()
    assert taught.loss(student(INPUTS), BATCH).item() == pytest.approx(0, abs=1e-6)
    assert all(not one.requires_grad for one in term_of(taught).earlier.parameters())


def test_a_snapshot_is_renewed_when_it_is_time_and_until_then_there_is_none() -> None:
    student = small()
    taught = learner(student, HARD, SNAPSHOT)
    optimizer = torch.optim.SGD([one for one in taught.parameters() if one.requires_grad], 0.1)
    kept = []
    for epoch in range(5):
        taught.begin(epoch)
        taught.train()
        before = weights_of(student)
        stepped(taught, optimizer)
        kept.append(
            (
                before,
                weights_of(term_of(taught).earlier.module),
                dict(taught.values)["soft-labels of its snapshot"].item(),
            )
        )
    assert kept[0][2] == kept[1][2] == 0
    np.testing.assert_array_equal(kept[2][1], kept[2][0])
    np.testing.assert_array_equal(kept[3][1], kept[2][0])
    np.testing.assert_array_equal(kept[4][1], kept[4][0])
    assert kept[3][2] > 0


def test_a_student_that_was_trained_already_has_a_snapshot_at_once() -> None:
    student = small()
    taught = learner(student, HARD, SNAPSHOT)
    taught.loss(student(INPUTS), replace(BATCH, done=1.0))
    np.testing.assert_array_equal(weights_of(term_of(taught).earlier.module), weights_of(student))


def test_its_value_is_that_of_the_loss_with_the_earlier_selfs_outputs() -> None:
    student = small()
    taught = learner(student, HARD, {**AVERAGE, "weight": 0.3, "arguments": {"temperature": 2}})
    optimizer = torch.optim.SGD([one for one in taught.parameters() if one.requires_grad], 0.1)
    taught.train()
    stepped(taught, optimizer)
    logits = taught(INPUTS)
    taught.loss(logits, BATCH)
    with torch.no_grad():
        said = term_of(taught).earlier.module.eval()(INPUTS)
    expected = 0.3 * of_logits.soft_target_kl(logits, said, LABELS, temperature=2.0)
    assert dict(taught.values)["soft-labels of its average"].item() == pytest.approx(
        expected.item(), rel=1e-5
    )


def trained(folder: Path, epochs_first: int | None) -> tuple[dict[str, torch.Tensor], list[dict[str, float]]]:
    """Four epochs, in one go or interrupted after some."""
    arrays = {"values": np.asarray(INPUTS)}
    examples = Examples(arrays, np.asarray(LABELS), lambda x: x, np.zeros((12, 3), np.float32))

    def run(stop: int | None) -> tuple[nn.Module, list[dict[str, float]]]:
        student = small()
        taught = learner(student, HARD, AVERAGE, SNAPSHOT)

        def evaluate(network: nn.Module) -> dict[str, float]:
            evaluate.count += 1  # type: ignore[attr-defined]
            if evaluate.count == (stop or 0) + 1 and stop is not None:  # type: ignore[attr-defined]
                raise KeyboardInterrupt
            return {"validation_score_pct": 0.0}

        evaluate.count = 0  # type: ignore[attr-defined]
        history = train(
            taught, adamw(parameter_groups(list(taught.named_parameters()), 1e-2, 1e-2)), examples=lambda epoch: examples,
            loss=taught.loss, watched=taught.watched, before_epoch=taught.begin, schedule=one_cycle(), evaluate=evaluate,
            epochs=4, batch_size=4, seed=0, checkpoint=folder / "c.safetensors", track=silent, what="x",
        )  # fmt: skip
        return taught, history

    if epochs_first is not None:
        with pytest.raises(KeyboardInterrupt):
            run(epochs_first)
    taught, history = run(None)
    return taught.state_dict(), history


@pytest.mark.parametrize("after", [1, 3])
def test_an_interruption_changes_no_bit(tmp_path: Path, after: int) -> None:
    (tmp_path / "whole").mkdir()
    (tmp_path / "parts").mkdir()
    whole, history = trained(tmp_path / "whole", None)
    parts, again = trained(tmp_path / "parts", after)
    assert history == again
    assert whole.keys() == parts.keys()
    assert any("earlier" in name for name in whole)
    for name, value in whole.items():
        assert torch.equal(value, parts[name]), name


def test_what_taps_the_student_does_not_hear_its_earlier_self() -> None:
    torch.manual_seed(0)
    images = torch.randn(4, 1, 8, 8)
    student, heard = ResNet(1, 3, blocks=1, width=4), []
    student.layers[0].register_forward_hook(lambda *_: heard.append(1))
    taught = learner(student, HARD, AVERAGE, inputs=images)
    taught.loss(student(images), Batch((images,), LABELS[:4], torch.zeros(4, 3)))
    assert heard == [1]


def test_a_captured_student_has_an_earlier_self_too() -> None:
    torch.manual_seed(0)
    images = torch.randn(4, 1, 8, 8)
    captured = capture(ResNet(1, 3, blocks=1, width=4), [images], [{0: "batch"}])
    taught = learner(captured, HARD, AVERAGE, inputs=images)
    taught.train()
    value = taught.loss(taught(images), Batch((images,), LABELS[:4], torch.zeros(4, 3), done=1.0))
    value.backward()
    assert torch.isfinite(value)
    assert all(
        not part.training for part in term_of(taught).earlier.modules() if isinstance(part, nn.BatchNorm2d)
    )


def test_noise_is_the_papers_and_of_a_share_of_the_examples() -> None:
    outputs = torch.full((2000, 50), 3.0)
    torch.manual_seed(0)
    found = noisy(outputs, 0.2, 0.25)
    moved = (found != outputs).any(dim=1)
    assert moved.float().mean().item() == pytest.approx(0.25, abs=0.03)
    factors = found[moved] / 3
    assert factors.mean().item() == pytest.approx(1, abs=0.01)
    assert factors.std().item() == pytest.approx(0.2, abs=0.01)
    torch.manual_seed(0)
    assert torch.equal(noisy(outputs, 0.2, 0.25), found)
    assert torch.equal(noisy(outputs, 0.0, 1.0), outputs)


def test_noise_of_a_recipe_reaches_the_teachers_outputs_alone() -> None:
    student = small().eval()
    batch = replace(BATCH, soft_labels=torch.randn(12, 3, generator=torch.Generator().manual_seed(1)))
    taught = learner(student, {"loss": "soft-labels", "noise": {"sigma": 0.5}})
    torch.manual_seed(3)
    found = taught.loss(student(INPUTS), batch).item()
    torch.manual_seed(3)
    said = noisy(batch.soft_labels, 0.5, 1.0)
    assert found == pytest.approx(of_logits.soft_target_kl(student(INPUTS), said, LABELS).item(), rel=1e-5)


@pytest.mark.parametrize(
    ("terms", "complaint"),
    [
        ("{loss: soft-labels, of: snapshot}", "until the first is taken there is nothing to learn"),
        ("{loss: hard-labels, of: average}", "hard-labels: of: average is of terms of a teacher's outputs"),
        ("{loss: hard-labels, noise: {sigma: 1}}", "hard-labels: noise is of terms of a teacher's outputs"),
        (
            "{loss: dist, of: snapshot, decay: 0.5}",
            "decay is of a term `of: average`, and this is of: snapshot",
        ),
        ("{loss: dist, every: 2}", "every is of a term `of: snapshot`"),
        ("{loss: dist, of: snapshots}", "'snapshots' is none of .*did you mean 'snapshot'"),
        ("{loss: dist, of: average, decay: 1}", "less than 1"),
    ],
)
def test_what_cannot_be_is_refused(terms: str, complaint: str) -> None:
    def asked() -> losses.Loss:
        job = load_job("digits", [f"+distill.terms=[{terms}]"])
        return losses.build(job.recipe.distill.model_dump(), task("classification"), small)

    with pytest.raises(RecipeError, match=complaint):
        asked()


def test_a_term_without_them_is_what_it_was() -> None:
    told = Distill(epochs=1, terms=[{"loss": "dist"}]).model_dump()["terms"][0]
    assert set(told) == {"loss", "weight", "arguments", "student", "teacher", "projection"}
