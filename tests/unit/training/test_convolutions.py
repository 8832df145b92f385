"""Gradients that oneDNN spoils: which networks are trained around them, and that what comes out is right."""

import os
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from edgecomp.models.networks.resnet import ResNet
from edgecomp.quantization.capture import capture
from edgecomp.training.convolutions import sound_gradients

AVX2_ONLY = Path(__file__).parents[3] / "benchmarks" / "avx2_only"


def strides_of_convolutions(network: Callable[..., Any], *inputs: torch.Tensor) -> list[list[int]]:
    """What a profiler sees: the strides that reach PyTorch's convolutions."""
    with torch.profiler.profile(record_shapes=True) as taken:
        network(*inputs)
    found = [event for event in taken.events() if event.name == "aten::convolution"]
    return [event.concrete_inputs[3] for event in found]


@pytest.mark.parametrize(
    ("network", "touched"),
    [
        (ResNet(3, 10, blocks=1), False),  # its shortcuts read 16 channels and more
        (ResNet(3, 10, blocks=3), False),
        (ResNet(1, 10, blocks=1, width=4), True),
        (nn.Conv2d(15, 32, 1, 2), True),
        (nn.Conv2d(16, 32, 1, 2), False),
        (nn.Conv2d(3, 32, 3, 2), False),
        (nn.ConvTranspose2d(64, 6, 1, 2), True),
        (nn.Linear(4, 4), False),
    ],
)
def test_only_networks_with_a_narrow_1x1_convolution_are_touched(network: nn.Module, touched: bool) -> None:
    context = sound_gradients(network)
    assert isinstance(context, torch.overrides.TorchFunctionMode) == touched


def test_narrow_strided_1x1_convolutions_lose_their_stride_and_others_keep_it() -> None:
    network = ResNet(1, 10, blocks=1, width=8)  # shortcuts from 8 and from 16 channels
    x = torch.randn(2, 1, 16, 16)
    assert strides_of_convolutions(network, x).count([2, 2]) == 4
    with sound_gradients(network):
        assert strides_of_convolutions(network, x).count([2, 2]) == 3


def test_a_captured_graph_is_reached_too() -> None:
    network = ResNet(1, 10, blocks=1, width=4)
    x = torch.randn(2, 1, 16, 16)
    graph = capture(network, [x], [{0: "batch"}])
    before = graph.code
    with sound_gradients(graph):
        assert strides_of_convolutions(graph, x).count([2, 2]) == 2
    assert graph.code == before


def test_a_network_that_calls_functions_is_reached_too() -> None:
    weight = nn.Parameter(torch.randn(8, 4, 1, 1))
    network = nn.Module()
    network.register_parameter("kernel", weight)
    with sound_gradients(network):
        assert strides_of_convolutions(lambda x: F.conv2d(x, weight, stride=2), torch.randn(2, 4, 8, 8)) == [
            [1, 1]
        ]


LAYERS: dict[str, Callable[[], nn.Module]] = {
    "plain": lambda: nn.Conv2d(6, 5, 1, 2),
    "no bias": lambda: nn.Conv2d(6, 5, 1, 2, bias=False),
    "uneven stride": lambda: nn.Conv2d(6, 5, 1, (3, 1)),
    "valid": lambda: nn.Conv2d(6, 5, 1, 2, padding="valid"),
    "padded": lambda: nn.Conv2d(6, 5, 1, 2, padding=1),
    "padded with copies": lambda: nn.Conv2d(6, 5, 1, 2, padding=1, padding_mode="replicate"),
    "grouped": lambda: nn.Conv2d(6, 4, 1, 2, groups=2),
    "depthwise": lambda: nn.Conv2d(6, 6, 1, 2, groups=6),
    "same": lambda: nn.Conv2d(6, 5, 1, 1, padding="same"),
    "3×3": lambda: nn.Conv2d(6, 5, 3, 2),
    "transposed": lambda: nn.ConvTranspose2d(6, 5, 1, 2),
    "transposed, larger": lambda: nn.ConvTranspose2d(6, 5, 1, (3, 2), output_padding=(2, 1)),
    "transposed, no bias": lambda: nn.ConvTranspose2d(6, 5, 1, 2, bias=False),
    "transposed, padded": lambda: nn.ConvTranspose2d(6, 5, 1, 2, padding=1, output_padding=1),
    "transposed, grouped": lambda: nn.ConvTranspose2d(6, 4, 1, 2, groups=2),
}


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("size", [(2, 6, 9, 8), (6, 7, 7)])
def test_it_is_the_same_convolution(name: str, size: tuple[int, ...]) -> None:
    layer, x = LAYERS[name]().double(), torch.randn(size, dtype=torch.float64).requires_grad_()
    network = nn.Sequential(nn.Conv2d(4, 4, 1), layer)  # so that the context is there, whatever the layer
    with torch.no_grad():
        upstream = torch.randn_like(layer(x))

    def gradients() -> list[torch.Tensor]:
        y = layer(x)
        return [y, *torch.autograd.grad(y, [x, *layer.parameters()], upstream)]

    plain = gradients()
    with sound_gradients(network):
        sound = gradients()
    for a, b in zip(plain, sound, strict=True):
        torch.testing.assert_close(a, b)


def test_autocast_still_chooses_the_precision() -> None:
    for layer in (nn.Conv2d(6, 5, 1, 2), nn.ConvTranspose2d(6, 5, 1, 2)):
        with sound_gradients(layer), torch.autocast("cpu", torch.bfloat16):
            assert layer(torch.randn(2, 6, 8, 8)).dtype == torch.bfloat16


GRADIENTS = """
import sys, torch
from torch import nn
from edgecomp.training.convolutions import sound_gradients
from edgecomp.quantization.capture import capture
torch.manual_seed(0)
torch.set_num_threads(int(sys.argv[1]))
def layers():
    for channels, size, batch in ((2, 16, 8), (6, 32, 32), (7, 16, 8), (8, 128, 4), (9, 24, 3), (15, 128, 4), (16, 128, 4)):
        yield nn.Conv2d(channels, 12, 1, 2), size, batch
    yield nn.Conv2d(6, 12, 1, 3, bias=False), 24, 8
    yield nn.ConvTranspose2d(16, 6, 1, 2, output_padding=1), 64, 8
worst, count = 0.0, 0
for layer, size, batch in layers():
    for dtype, limit in ((torch.float32, 1e-4), (torch.bfloat16, 2e-2)):
        exact = type(layer)(layer.in_channels, layer.out_channels, 1, layer.stride, bias=layer.bias is not None,
                            **({"output_padding": 1} if isinstance(layer, nn.ConvTranspose2d) else {})).double()
        exact.load_state_dict({name: value.double() for name, value in layer.state_dict().items()})
        x = torch.randn(batch, layer.in_channels, size, size)
        upstream = torch.randn_like(layer(x))
        a = x.double().requires_grad_()
        wanted = torch.autograd.grad(exact(a), [a, *exact.parameters()], upstream.double())
        graph = capture(layer, [x[:2]], [{0: "batch"}])
        for network in (layer, graph):
            network.zero_grad()
            network.to(memory_format=torch.channels_last)
            b = x.contiguous(memory_format=torch.channels_last).requires_grad_()
            with sound_gradients(network), torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
                y = network(b)
            found = torch.autograd.grad(y, [b, *network.parameters()], upstream.to(y.dtype))
            for mine, right in zip(found, wanted, strict=True):
                error = float((mine - right).norm() / right.norm()) / limit
                assert error < 1, (layer, size, batch, dtype, error)
                worst, count = max(worst, error), count + 1
print(f"{count} gradients, the worst at {worst:.2f} of its limit, on {torch.backends.cpu.get_cpu_capability()}")
"""


def right_under(prefix: list[str], threads: str, **environment: str) -> None:
    """Fails where a gradient is wrong, or none comes: a crash, a hang."""
    done = subprocess.run(
        [*prefix, sys.executable, "-c", GRADIENTS, threads],
        env={**os.environ, "OMP_WAIT_POLICY": "PASSIVE", **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, (done.stdout, done.stderr[-2000:])
    assert " gradients, the worst at 0." in done.stdout


def test_gradients_are_right_on_this_cpu() -> None:
    right_under([], "2")


def test_gradients_are_right_with_the_kernels_of_avx2() -> None:
    right_under([], "1", ONEDNN_MAX_CPU_ISA="AVX2")


@pytest.mark.slow
def test_gradients_are_right_as_a_cpu_that_has_avx2_only() -> None:
    if (reason := runpy.run_path(str(AVX2_ONLY / "__main__.py"))["available"]()) is not None:
        pytest.skip(reason)
    for threads in ("1", "2"):
        right_under([sys.executable, str(AVX2_ONLY)], threads)
