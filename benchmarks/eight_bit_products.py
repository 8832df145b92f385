"""One product with weights in 8 bits by groups under ONNX Runtime, four ways: what edgecomp.language.folders writes, and why.

    python benchmarks/eight_bit_products.py [--inputs 576] [--outputs 49152] [--group 64]

Prints of each way its median time over fp32's, of calls that take turns, and its largest error over the largest answer.
"""

import argparse
import time

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper

from edgecomp.language.folders import DOMAIN, NOT_ROUNDED, ZERO

CALLS = 15


def model(nodes: list[onnx.NodeProto], weights: dict[str, np.ndarray], outputs: int) -> bytes:
    given = [
        helper.make_tensor_value_info(name, 1, [1, size]) for name, size in (("x", None), ("y", outputs))
    ]
    stored = [numpy_helper.from_array(np.ascontiguousarray(values), name) for name, values in weights.items()]
    graph = helper.make_graph(nodes, "product", given[:1], given[1:], stored)
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid(DOMAIN, 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10).SerializeToString()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--inputs", type=int, default=576)
    parser.add_argument("--outputs", type=int, default=49_152)
    parser.add_argument("--group", type=int, default=64)
    asked = parser.parse_args()
    random, shape = np.random.default_rng(0), (asked.outputs, asked.inputs)
    integers = random.integers(-127, 128, shape).astype(np.int8)
    scales = random.uniform(0.001, 0.01, (asked.outputs, asked.inputs // asked.group)).astype(np.float32)
    floats = (integers.reshape(asked.outputs, -1, asked.group) * scales[:, :, None]).reshape(shape)
    x = random.normal(size=(1, asked.inputs)).astype(np.float32)
    product = helper.make_node("MatMul", ["x", "w"], ["y"])
    dequantised = helper.make_node("DequantizeLinear", ["i", "s"], ["w"], axis=0, block_size=asked.group)
    split = model([dequantised, product], {"i": integers.T, "s": scales.T}, asked.outputs)

    def by_kernel(level: int) -> bytes:
        node = helper.make_node("MatMulNBits", ["x", "i", "s"], ["y"], domain=DOMAIN, K=asked.inputs, N=asked.outputs, bits=8,
                                block_size=asked.group, accuracy_level=level)  # fmt: skip
        raised = (integers.astype(np.int16) + ZERO[8]).astype(np.uint8).reshape(*scales.shape, asked.group)
        return model([node], {"i": raised, "s": scales}, asked.outputs)

    ways: dict[str, tuple[bytes, dict[str, str]]] = {
        "fp32": (model([product], {"w": floats.T}, asked.outputs), {}),
        "DequantizeLinear, made once": (split, {NOT_ROUNDED: "1"}),
        "DequantizeLinear, as it comes": (split, {}),
        "MatMulNBits, activations in float": (by_kernel(1), {}),
        "MatMulNBits, activations rounded": (by_kernel(4), {}),
    }
    sessions, times = {}, {name: [] for name in ways}
    for name, (content, entries) in ways.items():
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        for key, value in entries.items():
            options.add_session_config_entry(key, value)
        sessions[name] = onnxruntime.InferenceSession(content, options, ["CPUExecutionProvider"])
    for _ in range(CALLS):
        for name, session in sessions.items():
            begin = time.perf_counter()
            session.run(None, {"x": x})
            times[name].append(time.perf_counter() - begin)
    wanted, base = x @ floats.T, np.median(times["fp32"])
    for name, session in sessions.items():
        error = np.abs(session.run(None, {"x": x})[0] - wanted).max() / np.abs(wanted).max()
        print(f"{name:35s} {np.median(times[name]) / base:6.2f} x fp32   error {error:.1e}")


if __name__ == "__main__":
    main()
