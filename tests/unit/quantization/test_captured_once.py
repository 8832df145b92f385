"""A student's graph is kept from one step to the next, as long as its weights are the same file."""

from pathlib import Path

import torch
from torch import fx, nn

from edgecomp.quantization.capture import capture, captured_once


def test_it_is_captured_again_for_other_weights_and_copies_share_nothing(tmp_path: Path) -> None:
    network, captures = nn.Linear(3, 2), []

    def captured() -> fx.GraphModule:
        captures.append(network.weight.clone())
        return capture(network, [torch.zeros(2, 3)], [{0: "batch"}])

    weights = tmp_path / "student.safetensors"
    weights.write_bytes(b"one")
    first = captured_once(weights, captured)
    with torch.no_grad():
        first.get_parameter("weight").zero_()
    second = captured_once(weights, captured)
    assert len(captures) == 1
    assert torch.equal(second.get_parameter("weight"), captures[0])

    other = tmp_path / "written.new"
    other.write_bytes(b"two")
    other.replace(weights)  # as a step writes its files
    with torch.no_grad():
        network.weight.fill_(7)
    assert (captured_once(weights, captured).get_parameter("weight") == 7).all()
    assert len(captures) == 2
