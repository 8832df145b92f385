"""A Triton model repository: NAME/config.pbtxt, NAME/warmup/, NAME/VERSION/.

The configuration is that of triton-inference-server/common, protobuf/model_config.proto (ModelConfig), as text.
"""

import json
import struct
from collections.abc import Sequence
from pathlib import Path
from shutil import copyfile
from typing import Any

import numpy as np
import numpy.typing as npt
from jinja2 import Environment, PackageLoader, StrictUndefined

from edgecomp.data.preprocessing import FILE, TOKENIZER
from edgecomp.errors import UsageError
from edgecomp.package.serving.model import BACKENDS, LABEL, Deployed
from edgecomp.package.serving.settings import Settings
from edgecomp.runtimes import Port

CONFIG, WARMUP, SCRIPT = "config.pbtxt", "warmup", "model.py"
PYTHON = "python"

TYPES = {
    "float64": "FP64", "float32": "FP32", "float16": "FP16", "bfloat16": "BF16", "int64": "INT64", "int32": "INT32", "int16": "INT16",
    "int8": "INT8", "uint64": "UINT64", "uint32": "UINT32", "uint16": "UINT16", "uint8": "UINT8", "bool": "BOOL", "string": "STRING",
}  # fmt: skip
"""Triton's names of data types, without TYPE_."""


def ports(model: Deployed, backend: str) -> tuple[tuple[Port, ...], tuple[Port, ...]]:
    """Inputs and outputs of the `model` behind a `backend`."""
    return (model.raw_inputs(), model.raw_outputs()) if backend == PYTHON else (model.inputs, model.outputs)


def tensors(model: Deployed, backend: str) -> str:
    """The part of the configuration that callers of the `model` rest on: its inputs and outputs behind a `backend`."""
    inputs, outputs = ports(model, backend)
    first = 1 if model.batches else 0
    return "".join(
        _tensor(kind, port, first) for kind, of in (("input", inputs), ("output", outputs)) for port in of
    )


def _tensor(kind: str, port: Port, first: int) -> str:
    if port.shape is None or port.dtype not in TYPES:
        raise UsageError(
            f"{kind} {port.name!r} is of type {port.dtype} and shape {port.shape}, which no configuration of Triton's can say"
        )
    dims = [-1 if size is None else size for size in port.shape[first:]]
    told = f"name: {json.dumps(port.name)} data_type: TYPE_{TYPES[port.dtype]} dims: {dims or [1]}"
    reshape = "" if dims else " reshape: { shape: [ ] }"
    return f"{kind} {{ {told}{reshape} }}\n"


def config(name: str, model: Deployed, backend: str, settings: Settings) -> str:
    """config.pbtxt of the `model` called `name`, behind a `backend`, as the `settings` say."""
    most = settings.most if model.batches else 0
    lines = [f"# {one}" for one in settings.why]
    lines += [f"name: {json.dumps(name)}", f"backend: {json.dumps(backend)}", f"max_batch_size: {most}"]
    text = "\n".join(lines) + "\n" + tensors(model, backend)
    text += f"instance_group {{ count: {settings.instances} kind: KIND_CPU }}\n"
    if settings.batches and most:
        text += f"dynamic_batching {{ max_queue_delay_microseconds: {settings.delay_us} }}\n"
    text += "version_policy { latest { num_versions: 1 } }\n"
    text += "".join(
        f'parameters {{ key: "{key}" value: {{ string_value: "{value}" }} }}\n'
        for key, value in _parameters(model, backend, settings)
    )
    if backend == "openvino":
        text += 'default_model_filename: "model.xml"\n'
    return text + "".join(
        _warmup(model, backend, size, settings.warmup) for size in ([1, most] if most > 1 else [most])
    )


def _parameters(model: Deployed, backend: str, settings: Settings) -> list[tuple[str, Any]]:
    """Those that the backends document; the Python backend's script has them in itself."""
    if backend == "onnxruntime":
        return [("intra_op_thread_count", settings.threads), ("inter_op_thread_count", 1)]
    if backend == "openvino":
        return [("INFERENCE_NUM_THREADS", settings.threads), ("NUM_STREAMS", 1)]
    return []


def examples(model: Deployed, backend: str, count: int) -> dict[str, npt.NDArray[Any]]:
    """`count` examples for the `model` behind a `backend`, its validation examples again and again; 0 is one, of a fixed number."""
    values = model.raw() if backend == PYTHON else model.prepared()
    there = len(next(iter(values.values())))
    if count == 0:
        rows = next((port.shape[0] for port in model.inputs if port.shape and port.shape[0]), 1)
        return {name: of[np.arange(rows) % there] for name, of in values.items()}
    return {name: of[np.arange(count) % there] for name, of in values.items()}


def _file(port: Port, size: int) -> str:
    return f"{''.join(one if one.isalnum() else '_' for one in port.name)}-{size}"


def _warmup(model: Deployed, backend: str, size: int, count: int) -> str:
    inputs, _ = ports(model, backend)
    values = examples(model, backend, size)
    fed = ""
    for port in inputs:
        dims = list(values[port.name].shape[1 if size else 0 :])
        fed += (f"  inputs {{ key: {json.dumps(port.name)} value: {{ data_type: TYPE_{TYPES[str(port.dtype)]} dims: {dims or [1]} "
                f'input_data_file: "{_file(port, size)}" }} }}\n')  # fmt: skip
    return f'model_warmup {{\n  name: "{size or "one"}" batch_size: {size} count: {count}\n{fed}}}\n'


def write_warmup(model: Deployed, backend: str, settings: Settings, folder: Path) -> None:
    """The examples of `config`'s warm-up, of the `model` behind a `backend` as the `settings` say, into `folder`."""
    folder.mkdir()
    most = settings.most if model.batches else 0
    inputs, _ = ports(model, backend)
    for size in [1, most] if most > 1 else [most]:
        values = examples(model, backend, size)
        for port in inputs:
            (folder / _file(port, size)).write_bytes(as_bytes(values[port.name], str(port.dtype)))


def as_bytes(values: npt.NDArray[Any], dtype: str) -> bytes:
    """`values` of the type `dtype` as requests carry them (KServe v2, binary data): texts with their length before each, four bytes."""
    if dtype != "string":
        return np.ascontiguousarray(values).tobytes()
    texts: Sequence[bytes] = [str(one).encode() for one in values.ravel()]
    return b"".join(struct.pack("<I", len(text)) + text for text in texts)


def write_version(model: Deployed, backend: str, settings: Settings, folder: Path) -> None:
    """One version of the `model` into `folder`, which is there: its files, and for the Python `backend` the script and what that reads; its threads are
    those of the `settings`."""
    for name, file in model.files.items():
        copyfile(file, folder / name)
    if backend != PYTHON:
        return
    for name in (FILE, TOKENIZER, "labels.txt"):
        if (model.folder / name).is_file():
            copyfile(model.folder / name, folder / name)
    (folder / SCRIPT).write_text(_script(model, settings), encoding="utf-8")


def _script(model: Deployed, settings: Settings) -> str:
    from edgecomp.package.deploy import providers_of
    from edgecomp.runtimes.onnxruntime_cpu import OPTIMISATION

    environment = Environment(
        loader=PackageLoader("edgecomp.package.serving", ""), autoescape=False, undefined=StrictUndefined, trim_blocks=True, keep_trailing_newline=True
    )  # fmt: skip
    shape = getattr(model.preprocessing, "shape", ())
    return environment.get_template("model.py.j2").render(
        onnx=BACKENDS[model.runtime] == "onnxruntime",
        providers=providers_of(model.runtime, dict(model.options)),
        threads=settings.threads,
        precision=model.options.get("inference_precision", "f32"),
        level=OPTIMISATION[str(model.options.get("optimisation", "all"))].name,
        spinning=bool(model.options.get("spinning", True)),
        kind=model.preprocessing.kind,
        words=model.preprocessing.task == "token-classification",
        by_channel=(*shape[:1], *(1 for _ in shape[1:])),
        raw=[port.name for port in model.raw_inputs()],
        inputs={port.name: port.dtype for port in model.inputs},
        outputs=[port.name for port in model.outputs],
        standardised=bool(model.preprocessing.target_std) and len(model.outputs) == 1,
        label=LABEL if model.labelled else "",
        batches=model.batches,
    )
