"""One file on several kinds of CPU: as this machine is, with CPUID masked, under qemu-user, and in exact integers."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest
from onnx import numpy_helper
from test_integer_weights import quantised

from edgecomp.benchmark.emulation import answers_as
from edgecomp.benchmark.hosts import emulators, masked
from edgecomp.benchmark.hosts.emulators import Interpreter, this_cpu
from edgecomp.export.openvino import ir
from edgecomp.machine import ISAS, host_isa, saturates
from edgecomp.runtimes.files import integer_weights

K, OUTPUTS = 64, 16
X = np.random.default_rng(1).uniform(0.7, 1, (25, K)).astype(np.float32)
RUNTIMES = ("onnxruntime-cpu", "openvino-cpu")
MASKED = [isa for isa in masked.CPUS if isa != host_isa() and masked.why_not(isa) is None]


def weight(most: int) -> np.ndarray:
    """[K, outputs], every output's weights of one sign and near `most`: the sums of all pairs are as large as they can be."""
    random = np.random.default_rng(0)
    sizes = random.integers(most // 2, most + 1, (K, OUTPUTS))
    return (sizes * random.choice([-1, 1], OUTPUTS)).astype(np.int8)


def exact(of: np.ndarray) -> np.ndarray:
    """The arithmetic of the file in integers: what kernels give that do not saturate."""
    levels = np.clip(np.rint(X * np.float32(255)), 0, 255).astype(np.int64)
    return (levels @ of.astype(np.int64)) * 0.01 / 255


def cut_off(of: np.ndarray) -> np.ndarray:
    """The same with pairs of products added in 16 bits (PMADDUBSW)."""
    levels = np.clip(np.rint(X * np.float32(255)), 0, 255).astype(np.int64)
    pairs = (levels[:, None, :] * of.T.astype(np.int64)[None]).reshape(len(X), OUTPUTS, K // 2, 2).sum(-1)
    return np.asarray(pairs.clip(-(2**15), 2**15 - 1).sum(-1) * 0.01 / 255)


def model_of(of: np.ndarray, runtime: str, folder: Path) -> Path:
    onnx.save(quantised(of), folder / "model.onnx")
    if runtime == "onnxruntime-cpu":
        return folder / "model.onnx"
    ir.convert(folder / "model.onnx", folder / "ir")
    return folder / "ir" / "model.xml"


def answers(
    interpreter: Interpreter, model: Path, runtime: str, scratch: Path, **options: object
) -> np.ndarray:
    scratch.mkdir()
    settings = options or ({"inference_precision": "f32"} if runtime == "openvino-cpu" else {})
    found, _ = answers_as(interpreter, runtime, settings, model, {"x": {"x": X}}, 120.0, scratch)
    return found["x"]


def off(found: np.ndarray, wanted: np.ndarray) -> float:
    return float(np.abs(found - wanted).max() / np.abs(wanted).max())


def interpreter_of(isa: str) -> Interpreter:
    found, how = emulators.availability(isa)
    assert found is not None, how
    return found


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("isa", ["here", *MASKED])
def test_narrow_weights_are_exact_everywhere_and_wide_ones_where_products_are_added_in_32_bits(
    runtime: str, isa: str, tmp_path: Path
) -> None:
    interpreter = this_cpu() if isa == "here" else interpreter_of(isa)
    for most, folder in ((63, tmp_path / "narrow"), (127, tmp_path / "wide")):
        folder.mkdir()
        of = weight(most)
        found = answers(interpreter, model_of(of, runtime, folder), runtime, folder / "scratch")
        if most == 63 or not saturates(host_isa() if isa == "here" else isa):
            assert off(found, exact(of)) < 1e-5
        else:
            assert off(found, cut_off(of)) < 1e-5
            assert off(found, exact(of)) > 0.1


def depthwise(channels: int, kernel: int, stride: int, *, each: int = 1) -> onnx.ModelProto:
    """x [n, channels, 12, 12] → a convolution of one input and `each` output channels a group, all weights 127 → y, in steps of a 250th of its largest."""
    largest = 255 * 127 * kernel**2
    constants = {
        "one": np.float32(1),
        "zero": np.uint8(0),
        "w": np.full((channels * each, 1, kernel, kernel), 127, np.int8),
        "w_scale": np.ones(channels * each, np.float32),
        "w_zero": np.zeros(channels * each, np.int8),
        "step": np.float32(largest / 250),
    }
    body = f"""<ir_version: 8, opset_import: ["": 17]> depthwise (float[n, {channels}, 12, 12] x) => (float[n, {channels * each}, h, k] y) {{
        q = QuantizeLinear (x, one, zero) d = DequantizeLinear (q, one, zero) v = DequantizeLinear <axis = 0> (w, w_scale, w_zero)
        c = Conv <group = {channels}, kernel_shape = [{kernel}, {kernel}], strides = [{stride}, {stride}]> (d, v)
        e = QuantizeLinear (c, step, zero) y = DequantizeLinear (e, step, zero) }}"""
    model = onnx.parser.parse_model(body)
    model.graph.initializer.extend(
        numpy_helper.from_array(np.asarray(one), name) for name, one in constants.items()
    )
    return model


NO_VNNI = (
    [isa for isa in MASKED if saturates(isa)]
    + ["here"] * saturates(host_isa())
    + ["x86-64-avx2"] * (emulators.emulated("x86-64-avx2")[0] is not None)
)


@pytest.mark.skipif(not NO_VNNI, reason="no CPU without VNNI is here, masked or emulated")
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_depthwise_convolutions_products_are_added_one_by_one(runtime: str, tmp_path: Path) -> None:
    """So that its weights need not be narrow; with two output channels a group they are the products of any other layer."""
    isa = NO_VNNI[0]
    interpreter = this_cpu() if isa == "here" else interpreter_of(isa)
    shapes = [(3, 3, 1), (13, 3, 1), (16, 3, 2), (32, 5, 1), (100, 7, 1)]
    for *shape, each in [*((*shape, 1) for shape in shapes), (16, 3, 1, 2)]:
        folder = tmp_path / "-".join(map(str, (*shape, each)))
        folder.mkdir()
        file = folder / "model.onnx"
        onnx.save(depthwise(*shape, each=each), file)
        layers = integer_weights.read(file)
        if runtime == "openvino-cpu":
            ir.convert(file, folder / "ir")
            file = folder / "ir" / "model.xml"
            assert integer_weights.read(file)[0].largest_pair == layers[0].largest_pair
        options = {"inference_precision": "f32"} if runtime == "openvino-cpu" else {}
        x = np.full((2, shape[0], 12, 12), 255, np.float32)
        found, _ = answers_as(interpreter, runtime, options, file, {"x": {"x": x}}, 120.0, folder)
        largest = 255 * 127 * shape[1] ** 2
        is_exact = off(found["x"], np.full_like(found["x"], largest)) < 1e-5
        assert is_exact == (each == 1) == (not layers[0].can_saturate), (shape, each)


@pytest.mark.parametrize("isa", ["here", *MASKED])
def test_the_session_option_is_exact_with_wide_weights_too(isa: str, tmp_path: Path) -> None:
    of = weight(127)
    interpreter = this_cpu() if isa == "here" else interpreter_of(isa)
    model = model_of(of, "onnxruntime-cpu", tmp_path)
    found = answers(interpreter, model, "onnxruntime-cpu", tmp_path / "scratch", x64quantprecision=True)
    assert off(found, exact(of)) < 1e-5


def test_without_optimisations_a_file_is_its_exact_integers(tmp_path: Path) -> None:
    """What stands for a CPU with VNNI on one without."""
    of = weight(127)
    model = model_of(of, "onnxruntime-cpu", tmp_path)
    found = answers(this_cpu(), model, "onnxruntime-cpu", tmp_path / "scratch", optimisation="off")
    assert off(found, exact(of)) < 1e-5


@pytest.mark.slow
@pytest.mark.skipif(
    shutil.which("qemu-x86_64") is None or masked.why_not("x86-64-avx2") is not None,
    reason="needs qemu-user, a C compiler and a CPU that can make CPUID fault",
)
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_masked_and_emulated_the_answers_are_the_same(runtime: str, tmp_path: Path) -> None:
    haswell, how = emulators.emulated("x86-64-avx2")
    assert haswell is not None, how
    if host_isa() == "x86-64-avx2":
        pytest.skip("this CPU is one")
    of = weight(127)
    model = model_of(of, runtime, tmp_path)
    masked_ = answers(interpreter_of("x86-64-avx2"), model, runtime, tmp_path / "masked")
    emulated = answers(haswell, model, runtime, tmp_path / "emulated")
    np.testing.assert_array_equal(masked_, emulated)


@pytest.mark.parametrize("isa", MASKED)
def test_a_masked_cpu_is_taken_for_what_it_is_and_what_it_starts_as_well(isa: str) -> None:
    script = (
        "import subprocess, sys\nfrom edgecomp.machine import host_isa\n"
        "ask = 'from edgecomp.machine import host_isa; print(host_isa())'\n"
        "print(host_isa(), subprocess.run([sys.executable, '-c', ask], env={}, capture_output=True, text=True).stdout.strip())"
    )
    done = subprocess.run(
        [*masked.command(isa), sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [isa, isa], done.stderr


@pytest.mark.skipif(not MASKED, reason="no CPU here passes for another")
def test_a_masked_program_that_faults_ends_as_it_would() -> None:
    fault = [sys.executable, "-c", "import ctypes; ctypes.string_at(8)"]
    done = subprocess.run([*masked.command(MASKED[0]), *fault], capture_output=True, text=True, check=False)
    assert done.returncode == -11
    told = subprocess.run(
        [*masked.command(MASKED[0]), sys.executable, "-X", "faulthandler", *fault[1:]],
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == -11
    assert "Segmentation fault" in told.stderr


def test_a_cpu_that_nothing_here_executes_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(emulators, "host_isa", lambda: "x86-64-avx2")
    monkeypatch.setattr(masked, "cpu_flags", lambda: {"avx2"})
    found, how = emulators.availability("x86-64-avx512-vnni")
    assert found is None
    assert "this is x86-64-avx2, and qemu-user does not emulate x86-64-avx512-vnni" in how


def test_without_a_compiler_or_the_fault_cpuid_is_not_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(masked, "cpu_flags", lambda: {"avx2", "cpuid_fault"})
    monkeypatch.setattr(masked, "_compiler", lambda: None)
    assert "takes a C compiler" in (masked.why_not("x86-64-avx2") or "")
    monkeypatch.setattr(masked, "cpu_flags", lambda: {"avx2"})
    assert "cannot make CPUID fault" in (masked.why_not("x86-64-avx2") or "")
    assert "no avx512f" in (masked.why_not("x86-64-avx512") or "")
    assert "passes for one of armv8-a" in (masked.why_not("armv8-a") or "")


@pytest.mark.parametrize(
    ("machine", "flags", "isa"),
    [
        ("x86_64", "avx2 avx512f avx512_vnni amx_int8 avx_vnni", "x86-64-amx"),
        ("x86_64", "avx2 avx512f avx512_vnni", "x86-64-avx512-vnni"),
        ("x86_64", "avx2 avx_vnni", "x86-64-avx-vnni"),
        ("x86_64", "avx2 avx512f", "x86-64-avx512"),
        ("x86_64", "avx2", "x86-64-avx2"),
        ("x86_64", "sse4_2", "x86-64"),
        ("aarch64", "asimd", "armv8-a"),
        ("aarch64", "asimd asimddp", "armv8.2-dotprod"),
        ("aarch64", "asimd asimddp i8mm bf16", "armv8.6-i8mm"),
        ("riscv64", "", "unknown"),
    ],
)
def test_a_cpu_is_what_its_flags_say(
    monkeypatch: pytest.MonkeyPatch, machine: str, flags: str, isa: str
) -> None:
    monkeypatch.setattr("edgecomp.machine.platform.machine", lambda: machine)
    monkeypatch.setattr("edgecomp.machine.cpu_flags", lambda: frozenset(flags.split()))
    assert host_isa() == isa
    assert saturates(isa) is (isa in ("x86-64-avx512", "x86-64-avx2", "x86-64", "unknown"))


def test_every_emulated_cpu_is_one_that_a_target_may_name() -> None:
    assert set(emulators.CPUS) | set(masked.CPUS) | set(emulators.OTHER_CPUS) <= set(ISAS)
    assert os.path.realpath(sys.executable) in this_cpu().command
