"""What goes to the device: model, preprocessing, labels, I/O contract, and a script that needs no edgecomp."""

from importlib.metadata import version
from pathlib import Path
from shutil import copyfile
from typing import Any

import numpy as np

from edgecomp.artifacts import sha256, write_json
from edgecomp.data.splits import Preprocessing, Split
from edgecomp.runtimes import DISTRIBUTION, MODEL_FILE

ONNXRUNTIME = '''\
"""uint8 images [N, {channels}, {height}, {width}] in a .npy file → one label a line. Needs onnxruntime and numpy."""
import json, sys
from pathlib import Path
import numpy as np, onnxruntime as ort
here = Path(__file__).parent
p = json.loads((here / "preprocessing.json").read_text())
images = np.load(sys.argv[1] if len(sys.argv) > 1 else here / "sample.npy")
(images.dtype == np.uint8 and images.shape[1:] == {shape}) or sys.exit("wanted: uint8 images [N, *{shape}], 0 to 255")
mean, std = (np.array(p[k], np.float32)[:, None, None] for k in ("mean", "std"))
options = ort.SessionOptions()
options.intra_op_num_threads = {threads}
session = ort.InferenceSession(here / "model.onnx", options, providers=["CPUExecutionProvider"])
logits = session.run(None, {{"input": (images.astype(np.float32) / np.float32(255) - mean) / std}})[0]
print(*(p["classes"][i] for i in logits.argmax(1)), sep="\\n")
'''

OPENVINO = '''\
"""uint8 images [N, {channels}, {height}, {width}] in a .npy file → one label a line. Needs openvino and numpy."""
import json, sys
from pathlib import Path
import numpy as np, openvino as ov
here = Path(__file__).parent
p = json.loads((here / "preprocessing.json").read_text())
images = np.load(sys.argv[1] if len(sys.argv) > 1 else here / "sample.npy")
(images.dtype == np.uint8 and images.shape[1:] == {shape}) or sys.exit("wanted: uint8 images [N, *{shape}], 0 to 255")
mean, std = (np.array(p[k], np.float32)[:, None, None] for k in ("mean", "std"))
settings = {{"INFERENCE_PRECISION_HINT": "{precision}", "INFERENCE_NUM_THREADS": {threads}}}
model = ov.Core().compile_model(here / "model.xml", "CPU", settings)
logits = model((images.astype(np.float32) / np.float32(255) - mean) / std)[0]
print(*(p["classes"][i] for i in logits.argmax(1)), sep="\\n")
'''

SCRIPTS = {"onnxruntime-cpu": ONNXRUNTIME, "openvino-cpu": OPENVINO}


def write_deploy_folder(
    *,
    model: Path,
    runtime: str,
    options: dict[str, Any],
    threads: int,
    preprocessing: Preprocessing,
    validation: Split,
    folder: Path,
) -> None:
    """Writes one device's folder; `sample.npy` holds eight validation images to try the script on."""
    names = [MODEL_FILE[runtime]]
    copyfile(model, folder / names[0])
    if model.suffix == ".xml":
        names.append("model.bin")
        copyfile(model.with_suffix(".bin"), folder / "model.bin")
    preprocessing.save(folder / "preprocessing.json")
    (folder / "labels.txt").write_text("\n".join(preprocessing.classes) + "\n", encoding="utf-8")
    np.save(folder / "sample.npy", validation.images[:8])
    shape = [None, preprocessing.channels, preprocessing.height, preprocessing.width]
    contract = {
        "format": 1,
        "runtime": runtime,
        "options": options,
        "threads": threads,
        "versions": {DISTRIBUTION[runtime]: version(DISTRIBUTION[runtime])},
        "inputs": [
            {"name": "input", "shape": shape, "dtype": "float32", "preprocessing": "preprocessing.json"}
        ],
        "outputs": [{"name": "logits", "shape": [None, len(preprocessing.classes)], "dtype": "float32"}],
        "files": {name: sha256(folder / name) for name in names},
    }
    write_json(folder / "contract.json", contract)
    script = SCRIPTS[runtime].format(
        channels=preprocessing.channels,
        height=preprocessing.height,
        width=preprocessing.width,
        shape=(preprocessing.channels, preprocessing.height, preprocessing.width),
        threads=threads,
        precision=options.get("inference_precision", "f32"),
    )
    (folder / "infer.py").write_text(script, encoding="utf-8")
