"""ONNX → OpenVINO IR, in a fresh process and from a fixed file name: the IR's XML depends on both."""

import subprocess
import sys
import tempfile
from pathlib import Path
from shutil import copyfile

from edgecomp.errors import EdgecompError
from edgecomp.export.onnx.graphs import store_weights

# Operators that the converter calls by numbers of its own.
RENAMED = {
    "ConvTranspose": ("ConvolutionBackpropData", "GroupConvolutionBackpropData"),
    "LSTM": ("LSTMSequence",),  # and ONNX Runtime's own, which stands for one
    "GRU": ("GRUSequence",),
    "RNN": ("RNNSequence",),
}


def convert(onnx_file: Path, folder: Path) -> None:
    """Writes model.xml and model.bin into `folder`. Raises EdgecompError with the converter's own words.

    onnx_file: what they are made of.
    """
    with tempfile.TemporaryDirectory() as scratch:
        copyfile(onnx_file, Path(scratch) / "model.onnx")
        command = [sys.executable, "-m", "edgecomp.export.openvino.ir"]
        done = subprocess.run(command, cwd=scratch, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise EdgecompError(f"OpenVINO cannot convert {onnx_file.name}: {done.stderr.strip()[-400:]}")
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("model.xml", "model.bin"):
            unfinished = folder / f"unfinished-{name}"
            copyfile(Path(scratch) / name, unfinished)
            unfinished.replace(folder / name)


def _main() -> None:
    import onnx
    import openvino as ov
    from onnx import inliner

    written = onnx.load("model.onnx")
    if written.functions:
        plain = inliner.inline_local_functions(written)
        store_weights(plain)
        onnx.save(plain, "model.onnx")
    model = ov.convert_model("model.onnx")
    nodes = written.graph.node
    names = {name: node.name for node in nodes for name in node.output}
    for kind, kinds in RENAMED.items():
        theirs = [one for one in model.get_ordered_ops() if one.get_type_name() in kinds]
        ours = [node for node in nodes if node.op_type.removeprefix("DynamicQuantize") == kind]
        if len(theirs) == len(ours):
            for operation, node in zip(theirs, ours, strict=True):
                operation.set_friendly_name(f"{node.name}/product")
    for (
        output
    ) in model.outputs:  # the converter calls the last layer after the output, and a user by its own name
        output.node.input_value(0).get_node().set_friendly_name(names[output.get_any_name()])
    # Weights stay as they are: the default stores fp32 constants, scales among them, as fp16.
    ov.save_model(model, "model.xml", compress_to_fp16=False)


if __name__ == "__main__":
    _main()
