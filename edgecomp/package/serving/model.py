"""A deployed folder as a server sees it: its model's files, inputs and outputs, and some requests to warm up with."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgecomp.data import preprocessing as prepared
from edgecomp.data.preprocessing import BYTES, TOKENIZER, Bytes, Preprocessing
from edgecomp.errors import UsageError, nearest_there
from edgecomp.files.array_files import read_npy, read_npz
from edgecomp.files.json_files import read_mapping
from edgecomp.files.writing import sha256
from edgecomp.inputs import MASK, as_bytes
from edgecomp.runtimes import TABLE, Port, adapter, formats
from edgecomp.runtimes.formats import CONTRACT

BACKENDS = {"onnxruntime-cpu": "onnxruntime", "openvino-cpu": "openvino"}
"""Triton's backend for a runtime's file."""

RAW = {
    "image": ("image", "uint8"),
    "array": ("values", "float32"),
    "text": ("text", "string"),
    "bytes": ("text", "string"),
}
"""By kind of preprocessing, what the Python backend's input is called, and its type."""

TEXTS = ("text", "bytes")  # kinds of texts, which are read as tokens and as bytes

LABEL = "label"
Arrays = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Deployed:
    """files: of the model, by the name they have for every server; inputs, outputs: as its runtime tells them; task: of its outputs."""

    folder: Path
    runtime: str
    threads: int
    options: Mapping[str, Any]
    files: dict[str, Path]
    digests: dict[str, str]
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    preprocessing: Preprocessing

    @property
    def name(self) -> str:
        """What it is called where no name is given: the run's."""
        folder = self.folder.resolve()
        return folder.parent.parent.name if folder.parent.name == "deploy" else folder.name

    @property
    def batches(self) -> bool:
        """Whether every input and output has a first axis that takes any number of examples."""
        return all(port.shape and port.shape[0] is None for port in (*self.inputs, *self.outputs))

    def prepared(self) -> Arrays:
        """Validation examples as the network takes them, [N, ...] by input."""
        return self.preprocessing.apply(self._stored())

    def raw(self) -> Arrays:
        """The same as the Python backend takes them; texts as an array of `str`, [N, 1]."""
        kind = self.preprocessing.kind
        if kind in TEXTS:
            texts = (self.folder / "sample.txt").read_text(encoding="utf-8").splitlines()
            return {RAW[kind][0]: np.asarray(texts, dtype=str).reshape(-1, 1)}
        if kind == "tensors":
            return self.prepared()
        name, dtype = RAW[kind]
        return {name: self._stored()["values"].astype(dtype)}

    def raw_inputs(self) -> tuple[Port, ...]:
        """Of the Python backend."""
        kind = self.preprocessing.kind
        if kind == "tensors":
            return self.inputs
        shape = (None, 1) if kind in TEXTS else (None, *getattr(self.preprocessing, "shape", ()))
        return (Port(RAW[kind][0], shape, RAW[kind][1]),)

    def raw_outputs(self) -> tuple[Port, ...]:
        """Of the Python backend: the network's, and of a classifier the label."""
        label = (Port(LABEL, (None, 1), "string"),) if self.labelled else ()
        return (*self.outputs, *label)

    @property
    def labelled(self) -> bool:
        return self.preprocessing.task == "classification" and len(self.outputs) == 1

    def _stored(self) -> Arrays:
        kind = self.preprocessing.kind
        if kind == "tensors":
            return read_npz(self.folder / "sample.npz")
        if kind in TEXTS:
            texts = (self.folder / "sample.txt").read_text(encoding="utf-8").splitlines()
            if isinstance(self.preprocessing, Bytes):
                return {BYTES: as_bytes(texts, self.preprocessing.max_bytes)}
            return tokens(texts, self.folder)
        return {"values": read_npy(self.folder / "sample.npy")}


def tokens(texts: list[str], folder: Path) -> Arrays:
    """Token ids and mask of `texts`, by the tokenizer in `folder`."""
    from tokenizers import Tokenizer

    found = Tokenizer.from_file(str(folder / TOKENIZER)).encode_batch(texts)
    return {
        "input_ids": np.asarray([one.ids for one in found]),
        MASK: np.asarray([one.attention_mask for one in found]),
    }


def deployed(folder: Path) -> Deployed:
    """What is deployed in `folder`; its model is loaded once, to ask for its inputs and outputs.

    Raises UsageError where it is no such folder, is encrypted, is not what its contract names, or has a runtime that no server here takes.
    """
    if not (folder / CONTRACT).is_file():
        raise UsageError(
            f"{folder} has no {CONTRACT}: name a folder that a run deployed, such as runs/NAME/deploy/TARGET{nearest_there(folder)}"
        )
    contract = read_mapping(folder / CONTRACT, "runtime", "options", "threads", "files")
    runtime = str(contract["runtime"])
    if runtime not in BACKENDS:
        raise UsageError(
            f"{folder} is for {runtime}; folders for servers are made of what is deployed for {', '.join(BACKENDS)}"
        )
    if "encryption" in contract:
        raise UsageError(
            f"{folder} is encrypted, and servers read a plain model: name the folder that it was made from"
        )
    for name, digest in contract["files"].items():
        if name != Path(name).name or not (folder / name).is_file() or sha256(folder / name) != digest:
            raise UsageError(f"{folder / name} is not the file that {CONTRACT} names (missing, elsewhere, or its sha256 differs): copy the folder again")  # fmt: skip
    model = folder / TABLE[runtime].model_file
    files = {one.name: one for one in (model, *formats.parts_of(model))}
    session = adapter(runtime).load(model, threads=1, options=contract["options"])
    signature = session.signature()
    session.close()
    return Deployed(
        folder, runtime, int(contract["threads"]), contract["options"], files, contract["files"],
        signature.inputs, signature.outputs, prepared.load(folder),
    )  # fmt: skip
