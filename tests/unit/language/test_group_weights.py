"""Weights by groups: what is trained through is what is stored, and what is stored is as both formats have it."""

import numpy as np
import pytest
import torch
from torch import nn

from edgecomp.errors import UsageError
from edgecomp.language import folders, gguf_files
from edgecomp.language.weights import (
    RANGES,
    Integers,
    Rounded,
    check_group,
    integers_of,
    least_squares,
    rounded,
)

gguf = pytest.importorskip("gguf")
RANDOM = np.random.default_rng(0)


def weight(rows: int = 12, columns: int = 128) -> nn.Parameter:
    return nn.Parameter(torch.from_numpy(RANDOM.normal(size=(rows, columns)).astype(np.float32)))


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("group", [32, 64, 128])
def test_what_is_stored_is_what_was_trained_through(bits: int, group: int) -> None:
    layer = Rounded(weight(), bits, group)
    with torch.no_grad():
        layer.log_scale.add_(
            0.01 * torch.randn_like(layer.log_scale)
        )  # as training leaves it: of no fp16 value
    stored = layer.integers()
    low, high = RANGES[bits]
    assert stored.values.min() >= low
    assert stored.values.max() <= high
    assert stored.scales.dtype == np.float16
    assert stored.group == group
    assert np.array_equal(stored.dequantised(), layer().detach().numpy())
    rows = torch.tensor([[3, 0], [7, 3]])
    assert torch.equal(layer(rows), layer()[rows])


@pytest.mark.parametrize("bits", [4, 8])
def test_scales_have_no_more_error_than_those_of_the_largest_weight(bits: int) -> None:
    own = weight(64)
    grouped = own.detach().unflatten(1, (-1, 32))

    def error(scale: torch.Tensor) -> float:
        steps = (grouped / scale[..., None]).round().clamp(*RANGES[bits]) * scale[..., None]
        return float((steps - grouped).square().mean())

    plain = error((grouped.abs().amax(2) / RANGES[bits][1]).half().float())
    found = error(least_squares(own, bits, 32))
    assert found < plain if bits == 4 else found <= plain


def test_weights_and_scales_learn() -> None:
    layer = Rounded(weight(), 4, 32)
    (layer() - 1).square().sum().backward()
    assert layer.weight.grad is not None
    assert layer.log_scale.grad is not None
    cut = (layer.weight / layer.scale().repeat_interleave(32, 1)).abs() > 8
    assert cut.any()
    assert float(layer.weight.grad[cut].abs().max()) == 0
    assert float(layer.log_scale.grad.abs().min()) > 0


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("group", [32, 64])
def test_gguf_reads_the_same_weights(bits: int, group: int) -> None:
    stored = Rounded(weight(), bits, group).integers()
    kind = gguf.GGMLQuantizationType.Q4_0 if bits == 4 else gguf.GGMLQuantizationType.Q8_0
    assert np.array_equal(gguf.quants.dequantize(gguf_files.blocks(stored), kind), stored.dequantised())


def test_onnx_runtime_has_two_weights_a_byte_the_first_in_the_low_half() -> None:
    values = np.tile(np.arange(-8, 8, dtype=np.int8), (2, 2))
    packed = folders.packed(Integers(values, np.ones((2, 1), np.float16), 4))
    assert packed.shape == (2, 1, 16)
    assert packed[0, 0, :8].tolist() == [0x10, 0x32, 0x54, 0x76, 0x98, 0xBA, 0xDC, 0xFE]


def test_a_llamas_rotated_rows_take_turns() -> None:
    assert gguf_files.rotated(np.arange(8), heads=2).tolist() == [0, 2, 1, 3, 4, 6, 5, 7]


def test_embeddings_have_eight_bits_and_other_layers_as_many_as_asked_for() -> None:
    network = nn.ModuleDict(
        {"embed": nn.Embedding(9, 64), "up_proj": nn.Linear(64, 32, bias=False), "lm_head": nn.Linear(64, 9)}
    )
    found = integers_of(rounded(network, 4, 32))
    assert {name: one.bits for name, one in found.items()} == {
        "embed.weight": 8,
        "up_proj.weight": 4,
        "lm_head.weight": 8,
    }


def test_a_group_that_does_not_divide_is_told_with_those_that_do() -> None:
    network = nn.ModuleDict({"down_proj": nn.Linear(576, 8), "up_proj": nn.Linear(1536, 8)})
    with pytest.raises(
        UsageError, match="128 does not divide the 576 inputs of down_proj; of 32, 64, 128 take 32 or 64"
    ):
        check_group(network, 128)
    with pytest.raises(UsageError, match="none of them does"):
        check_group(nn.ModuleDict({"up_proj": nn.Linear(100, 8)}), 32)
