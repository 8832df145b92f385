import math
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from unit.quantization.test_fake_quant import reference_lsq

from edgecomp.errors import UsageError
from edgecomp.quantization import fused
from edgecomp.quantization.fake_quant import FakeQuant, use_kernel
from edgecomp.quantization.schemes import SCHEMES

SCHEME = SCHEMES["cpu-u8"]

# Of a tensor with 3, 5 or 24 channels: one scale, one an output channel, one a column, one a channel of an image.
LAYOUTS = {
    "tensor": ((4, 24, 6, 5), (), None),
    "output channels": ((24, 3, 3, 3), (24, 1, 1, 1), 0),
    "columns": ((70, 3, 24), (24,), -1),
    "image channels": ((2, 5, 9, 7), (1, 5, 1, 1), 1),
}


@pytest.fixture
def no_library() -> Iterator[None]:
    """As in a process that has loaded none yet."""
    fused.load.cache_clear()
    yield
    fused.load.cache_clear()


def needs_compiler() -> pytest.MarkDecorator:
    missing = not any(fused.shutil.which(name) for name in fused.COMPILERS)
    return pytest.mark.skipif(missing, reason="there is no C++ compiler on the PATH")


def quantiser(layout: str, seed: int) -> tuple[FakeQuant, torch.Tensor]:
    """A fake-quant with random scales, and a tensor of which half are ties and some are clipped."""
    size, shape, axis = LAYOUTS[layout]
    random = torch.Generator().manual_seed(seed)
    quant = FakeQuant(SCHEME.activation if axis is None else SCHEME.weight, shape, axis=axis)
    quant.log_scale.data.copy_(torch.randn(shape, generator=random) - 3)
    quant.zero_point.copy_(torch.randint(-9, 9, shape, generator=random))
    scale = quant.log_scale.detach().exp()
    halves = torch.randint(-600, 600, size, generator=random) / 2 * scale
    smooth = torch.randn(size, generator=random) * 100 * scale
    return quant, torch.where(torch.rand(size, generator=random) < 0.5, halves, smooth)


def results(
    quant: FakeQuant, x: torch.Tensor, gradient: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """y, and the gradients by x and by log scale."""
    quant.log_scale.grad = None
    x = x.detach().clone().requires_grad_()
    y = quant(x)
    y.backward(gradient)
    assert x.grad is not None
    assert quant.log_scale.grad is not None
    return y.detach(), x.grad, quant.log_scale.grad


@needs_compiler()
@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(sorted(LAYOUTS)), st.integers(0, 10_000), st.sampled_from([torch.float32, torch.bfloat16])
)
def test_forward_is_that_of_torch_bit_for_bit(layout: str, seed: int, dtype: torch.dtype) -> None:
    quant, x = quantiser(layout, seed)
    x = x.to(dtype)
    tensors = [x, x.repeat_interleave(2, -2)[..., ::2, :]]  # the second has gaps in memory
    if x.ndim == 4:
        tensors.append(x.contiguous(memory_format=torch.channels_last))
    for tensor in tensors:
        use_kernel(quant, "torch")
        expected = quant(tensor)
        use_kernel(quant, "fused")
        y = quant(tensor)
        assert y.dtype == dtype
        assert y.stride() == expected.stride()
        assert torch.equal(y, expected)


@needs_compiler()
@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 7), min_size=1, max_size=4), st.booleans(), st.integers(0, 10_000))
def test_forward_is_that_of_torch_whatever_the_shape(size: list[int], by_channel: bool, seed: int) -> None:
    torch.manual_seed(seed)
    for axis in range(len(size)) if by_channel else [None]:
        shape = () if axis is None else tuple(size[axis] if i == axis else 1 for i in range(len(size)))
        quant = FakeQuant(SCHEME.weight, shape, axis=axis)
        quant.log_scale.data.copy_(torch.randn(shape) - 3)
        x = torch.randn(size) * 4
        expected = quant(x)
        use_kernel(quant, "fused")
        assert torch.equal(quant(x), expected)


@needs_compiler()
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_gradients_are_those_of_the_paper(
    layout: str, memory_format: torch.memory_format, dtype: torch.dtype
) -> None:
    quant, _ = quantiser(layout, 0)
    size, _, axis = LAYOUTS[layout]
    if memory_format == torch.channels_last and len(size) != 4:
        pytest.skip("channels_last is an order of images")
    torch.manual_seed(0)
    x = (torch.randn(size) * 90 * quant.log_scale.detach().exp()).to(dtype)
    x, upstream = x.contiguous(memory_format=memory_format), torch.randn(size).to(dtype)
    use_kernel(quant, "fused")
    _, by_x, by_log_scale = results(quant, x, upstream)
    exact_x, log_scale = x.double().requires_grad_(), quant.log_scale.detach().double().requires_grad_()
    y = reference_lsq(exact_x, log_scale, quant.zero_point, quant.grid.low, quant.grid.high)
    y.backward(upstream.double())
    assert exact_x.grad is not None
    assert log_scale.grad is not None
    elements = x[0].numel() if axis in (None, 0) else x.numel() // quant.log_scale.numel()
    torch.testing.assert_close(by_x.double(), exact_x.grad)
    factor = 1 / math.sqrt(elements * quant.grid.high)
    torch.testing.assert_close(by_log_scale.double(), log_scale.grad * factor, rtol=1e-4, atol=1e-5)


@needs_compiler()
@pytest.mark.parametrize("layout", LAYOUTS)
def test_gradients_of_another_memory_order_are_the_same(layout: str) -> None:
    """A mean's gradient is one number seen everywhere; a transposed reader's lies the other way round."""
    quant, x = quantiser(layout, 1)
    use_kernel(quant, "fused")
    for gradient in (
        torch.ones(()).expand(x.shape),
        torch.randn(x.shape[::-1]).permute(*range(x.ndim)[::-1]),
    ):
        ours, dense = results(quant, x, gradient), results(quant, x, gradient.contiguous())
        assert all(map(torch.equal, ours, dense))


@needs_compiler()
@pytest.mark.parametrize("size", [(3, 16, 128, 64), (9000, 40)])
def test_threads_change_no_bit(size: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    shape, axis = ((), None) if len(size) == 4 else (size[1:], -1)
    quant = FakeQuant(SCHEME.activation, shape, axis=axis)
    quant.log_scale.data.fill_(-4.0)
    use_kernel(quant, "fused")
    x, gradient, threads, made = torch.randn(size), torch.randn(size), torch.get_num_threads(), []
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            made.append(results(quant, x, gradient))
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(one, other) for more in made[1:] for one, other in zip(made[0], more, strict=True))


@needs_compiler()
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_nan_comes_out_where_it_went_in(layout: str, dtype: torch.dtype) -> None:
    quant, x = quantiser(layout, 2)
    x = x.to(dtype)
    x.view(-1)[7] = math.nan
    x.view(torch.int32 if dtype == torch.float32 else torch.int16).view(-1)[40] = -1  # a NaN of all ones
    x.view(-1)[50] = math.inf
    use_kernel(quant, "fused")
    y, _, by_log_scale = results(quant, x, torch.ones_like(x))
    assert torch.isnan(y).flatten().nonzero().flatten().tolist() == [7, 40]
    assert torch.isnan(by_log_scale).any()
    x = torch.zeros_like(x)
    x.view(-1)[50] = math.inf  # clipped, but no gradient worth having
    y, _, by_log_scale = results(quant, x, torch.ones_like(x))
    assert torch.isfinite(y).all()
    assert torch.isnan(by_log_scale).any()


@needs_compiler()
def test_what_the_kernel_does_not_take_is_left_to_torch() -> None:
    quant = FakeQuant(SCHEME.weight, (3, 1), axis=0)
    use_kernel(quant, "fused")
    assert quant(torch.randn(3, 4, dtype=torch.float64)).dtype == torch.float64
    assert quant(torch.randn(1, 4)).shape == (3, 4)  # broadcast
    assert quant(torch.randn(4)).shape == (3, 4)
    assert quant(torch.randn(3, 0)).shape == (3, 0)
    with pytest.raises(RuntimeError, match="must match"):
        quant(torch.randn(2, 4))


@needs_compiler()
def test_a_network_is_switched_and_back() -> None:
    network = nn.Sequential(FakeQuant(SCHEME.activation), nn.ReLU(), FakeQuant(SCHEME.activation))
    use_kernel(network, "fused")
    assert [part.kernel for part in network if isinstance(part, FakeQuant)] == ["fused", "fused"]
    use_kernel(network, "torch")
    assert [part.kernel for part in network if isinstance(part, FakeQuant)] == ["torch", "torch"]


def test_without_a_compiler_it_says_so(
    no_library: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    quant = FakeQuant(SCHEME.activation)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(
        UsageError, match=r"C\+\+ compiler.*on the PATH; the kernel `torch` needs no compiler"
    ):
        use_kernel(quant, "fused")
    assert quant.kernel == "torch"
    use_kernel(quant, "torch")


@needs_compiler()
def test_a_compiler_that_fails_is_quoted(
    no_library: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    broken = tmp_path / "lsq.cpp"
    broken.write_text("int half = ;\n")
    monkeypatch.setattr(fused, "SOURCE", broken)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(UsageError, match=r"could not be compiled by .*: .*lsq\.cpp:1.*error"):
        fused.load()
    assert list((tmp_path / "edgecomp" / "kernels").iterdir()) == []


@needs_compiler()
def test_a_cache_that_cannot_be_written_is_named(
    no_library: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "edgecomp").write_text("a file where a folder should be")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(UsageError, match="XDG_CACHE_HOME"):
        fused.load()


@needs_compiler()
def test_two_processes_build_at_once(tmp_path: Path) -> None:
    script = (
        "import torch\nfrom edgecomp.quantization import fused\nfrom edgecomp.quantization.fake_quant import FakeQuant, use_kernel\n"
        "from edgecomp.quantization.schemes import SCHEMES\nquant = FakeQuant(SCHEMES['cpu-u8'].activation)\n"
        "use_kernel(quant, 'fused')\nassert quant(torch.ones(5)).tolist() == [1] * 5"
    )
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path)}
    both = [subprocess.Popen([sys.executable, "-c", script], env=environment) for _ in range(2)]
    assert [process.wait(120) for process in both] == [0, 0]
    (made,) = (tmp_path / "edgecomp" / "kernels").iterdir()
    assert made.suffix == ".so"
