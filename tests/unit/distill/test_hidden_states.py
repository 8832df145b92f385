import pytest
import torch
from torch import nn

from edgecomp.distill.losses import Learner, Loss
from edgecomp.distill.losses.hidden_states import HiddenStates, Hint, tap
from edgecomp.errors import CaptureError
from edgecomp.models.networks.resnet import ResNet
from edgecomp.quantization.calibration import calibrate
from edgecomp.quantization.capture import capture
from edgecomp.quantization.placement import place
from edgecomp.training.loop import Batch

INPUTS = torch.randn(4, 1, 16, 16)
BATCH = Batch((INPUTS,), torch.zeros(4, dtype=torch.int64))


def learner(ours: nn.Module, theirs: nn.Module, *hints: Hint) -> Learner:
    return Loss((HiddenStates(hints, theirs),)).bind(ours, (INPUTS[:2],))


def student() -> nn.Module:
    torch.manual_seed(0)
    return ResNet(1, 10, blocks=1, width=4).eval()


def teacher() -> nn.Module:
    torch.manual_seed(1)
    return ResNet(1, 10, blocks=1, width=8).eval()


def test_a_captured_graph_and_its_network_have_the_same_hidden_states() -> None:
    network = student()
    graph = capture(network, [INPUTS[:2]], [{0: "batch"}])
    eager, captured = tap(network, "layers.1"), tap(graph, "layers.1")
    network(INPUTS), graph(INPUTS)
    torch.testing.assert_close(eager(), captured())


def test_a_hint_draws_the_fake_quant_student_to_the_teacher_and_leaves_the_teacher_alone() -> None:
    graph = place(capture(student(), [INPUTS[:2]], [{0: "batch"}]), "cpu-u8")
    calibrate(graph, [{"input": INPUTS.numpy()}])
    their = teacher()
    before = {name: value.clone() for name, value in their.state_dict().items()}
    hinted = learner(graph, their, Hint("layers.1", "layers.1", 2.0))
    assert [tuple(p.shape) for p in hinted.terms.parameters()] == [(16, 8, 1, 1), (16,)]
    optimizer = torch.optim.Adam(hinted.parameters(), lr=1e-2)
    losses = []
    for _ in range(15):
        optimizer.zero_grad()
        loss = hinted.loss(hinted(INPUTS), BATCH)
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.5 * losses[0]
    assert all(torch.equal(before[name], value) for name, value in their.state_dict().items())
    assert not any("teacher" in name for name in hinted.state_dict())


def test_a_hint_is_worth_its_weight() -> None:
    losses = []
    for weight in (1.0, 3.0):
        torch.manual_seed(2)
        hinted = learner(student(), teacher(), Hint("layers.0", "layers.0", weight))
        losses.append(float(hinted.loss(hinted(INPUTS), BATCH).detach()))
    assert losses[1] == pytest.approx(3 * losses[0])


@pytest.mark.parametrize(
    "ours", [student(), capture(student(), [INPUTS[:2]], [{0: "batch"}])], ids=["eager", "graph"]
)
def test_an_unknown_module_is_named_with_those_there_are(ours: nn.Module) -> None:
    with pytest.raises(CaptureError, match=r"no module 'layers.9'.*layers\.1"):
        tap(ours, "layers.9")


def test_hidden_states_of_different_resolution_are_refused_with_their_shapes() -> None:
    with pytest.raises(CaptureError, match=r"\[2, 4, 16, 16\].*\[2, 32, 4, 4\]"):
        learner(student(), teacher(), Hint("layers.0", "layers.2", 1.0))
