"""Does a runtime execute 4-bit weights beside 8-bit activations? One matrix product, stored in four ways.

    python benchmarks/int4_weights.py [--inputs 256] [--outputs 512] [--rows 256]

Prints, for ONNX Runtime and OpenVINO, the median time of an inference with one thread, and what it runs. A runtime that
executes 4-bit weights would be no slower with them than with 8-bit ones.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import openvino as ov
from onnx import TensorProto, helper, numpy_helper

WAYS = {
    "fp32": (None, False),
    "8-bit weights, 8-bit activations": (8, True),
    "4-bit weights, 8-bit activations": (4, True),
    "4-bit weights, fp32 activations": (4, False),
}
BLOCK = 32  # inputs that share a scale: what either runtime's 4-bit kernels take


def product(weight: np.ndarray, bits: int | None, activations: bool) -> onnx.ModelProto:
    inputs, outputs = weight.shape
    nodes, constants, x, w = [], [], "x", "w"
    if activations:
        constants += [
            numpy_helper.from_array(np.float32(0.03), "s"),
            numpy_helper.from_array(np.uint8(128), "z"),
        ]
        nodes += [
            helper.make_node("QuantizeLinear", ["x", "s", "z"], ["xq"]),
            helper.make_node("DequantizeLinear", ["xq", "s", "z"], ["xd"]),
        ]
        x = "xd"
    if bits is None:
        constants.append(numpy_helper.from_array(weight, "w"))
    else:
        high = 2 ** (bits - 1) - 1
        blocks = weight.reshape(inputs // BLOCK, BLOCK, outputs) if bits == 4 else weight[None]
        scale = (np.abs(blocks).max(1) / high).astype(np.float32)
        levels = np.rint(blocks / scale[:, None]).astype(np.int8).reshape(weight.shape)
        where = {"axis": 0, "block_size": BLOCK} if bits == 4 else {"axis": 1}
        kind = TensorProto.INT4 if bits == 4 else TensorProto.INT8
        constants += [
            helper.make_tensor("wq", kind, weight.shape, levels.flatten().tolist()),
            numpy_helper.from_array(scale if bits == 4 else scale[0], "ws"),
        ]
        zero_point = [] if bits == 4 else ["wz"]
        if zero_point:
            constants.append(numpy_helper.from_array(np.zeros(outputs, np.int8), "wz"))
        nodes.append(helper.make_node("DequantizeLinear", ["wq", "ws", *zero_point], ["wd"], **where))
        w = "wd"
    nodes.append(helper.make_node("MatMul", [x, w], ["y"], name="product"))
    ports = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["rows", size])
        for name, size in (("x", inputs), ("y", outputs))
    ]
    graph = helper.make_graph(nodes, "g", ports[:1], ports[1:], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def milliseconds(run: Callable[[], object]) -> float:
    times = []
    for _ in range(200):
        begin = time.perf_counter()
        run()
        times.append(time.perf_counter() - begin)
    return 1e3 * float(np.median(times))


def onnxruntime(path: Path, x: np.ndarray) -> tuple[float, str]:
    settings = ort.SessionOptions()
    settings.intra_op_num_threads, settings.log_severity_level = 1, 3
    settings.optimized_model_filepath = str(path.with_suffix(".optimised.onnx"))
    session = ort.InferenceSession(path, settings, providers=["CPUExecutionProvider"])
    kinds = [node.op_type for node in onnx.load(settings.optimized_model_filepath).graph.node]
    return milliseconds(lambda: session.run(None, {"x": x})), " ".join(kinds)


def openvino(path: Path, x: np.ndarray) -> tuple[float, str]:
    settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1}
    compiled = ov.Core().compile_model(path, "CPU", settings)
    request = compiled.create_infer_request()
    kinds = [
        f"{kind}({node.get_rt_info()['runtimePrecision'].astype(str)})"
        for node in compiled.get_runtime_model().get_ordered_ops()
        if (kind := node.get_rt_info()["layerType"].astype(str))
        in ("FullyConnected", "FakeQuantize", "MatMul")
    ]
    return milliseconds(lambda: request.infer({"x": x})), " ".join(kinds)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name, default in (("inputs", 256), ("outputs", 512), ("rows", 256)):
        parser.add_argument(f"--{name}", type=int, default=default)
    arguments = parser.parse_args()
    chance = np.random.default_rng(0)
    weight = chance.normal(size=(arguments.inputs, arguments.outputs)).astype(np.float32)
    x = chance.normal(size=(arguments.rows, arguments.inputs)).astype(np.float32)
    print(f"onnxruntime {ort.__version__}, openvino {ov.__version__}, one thread")
    with tempfile.TemporaryDirectory() as folder:
        for runtime in (onnxruntime, openvino):
            print(runtime.__name__)
            for way, (bits, activations) in WAYS.items():
                path = Path(folder) / f"{runtime.__name__}_{len(way)}.onnx"
                onnx.save(product(weight, bits, activations), path)
                taken, kinds = runtime(path, x)
                print(f"  {way:<34}{taken:8.3f} ms  {kinds}")


if __name__ == "__main__":
    main()
