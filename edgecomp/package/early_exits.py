"""The model in parts, with early exits: an answer is taken from the first exit that is sure enough, and what lies behind it is not computed.

    python early_exits.py [INPUTS]     # a line each: the label, and which exit gave it, from 0, or `end`; needs numpy and onnxruntime

INPUTS is as infer.py takes it: images or numbers in a .npy file, texts one a line; without it, the samples of the folder above. One at a time, for
the others of a batch would have to wait for it. exits.json has the threshold that the validation split chose, and what answers cost with it.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

HERE = Path(__file__).parent


def inputs_of(given: str | None) -> "list[dict[str, Any]]":
    """What the network takes, an example each, [1, ...] by name. given: a file; None: the samples."""
    told = json.loads((HERE.parent / "preprocessing.json").read_text(encoding="utf-8"))
    if told["kind"] == "text":
        from tokenizers import Tokenizer

        file = Path(given) if given else HERE.parent / "sample.txt"
        tokenizer = Tokenizer.from_file(str(HERE.parent / "tokenizer.json"))
        tokenizer.no_padding()
        texts = tokenizer.encode_batch(file.read_text(encoding="utf-8").splitlines())
        return [
            {"input_ids": np.array([one.ids]), "attention_mask": np.array([one.attention_mask])}
            for one in texts
        ]
    if told["kind"] == "tensors":
        with np.load(given or HERE.parent / "sample.npz") as held:
            whole = {name: held[name] for name in held.files}
        count = len(next(iter(whole.values())))
        return [{name: values[place : place + 1] for name, values in whole.items()} for place in range(count)]
    values = np.load(given or HERE.parent / "sample.npy").astype(np.float32)
    mean, std = (
        np.array(told[key], np.float32).reshape(-1, *[1] * (values.ndim - 2)) for key in ("mean", "std")
    )
    if told["kind"] == "image":
        values /= np.float32(255)
    return [{"input": one[None]} for one in (values - mean) / std]


class Parts:
    """The files of this folder, one after another."""

    def __init__(self, folder: Path = HERE, threads: int = 1) -> None:
        """folder: of the files; threads: of each."""
        self.threshold = json.loads((folder / "exits.json").read_text(encoding="utf-8"))["threshold"]
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        count = len(list(folder.glob("exit_*.onnx")))
        self.names = [*(f"exit_{place}" for place in range(count)), "end"]
        self.sessions = [
            ort.InferenceSession(folder / f"{name}.onnx", options, providers=["CPUExecutionProvider"])
            for name in self.names
        ]

    def answer(self, inputs: "dict[str, Any]") -> "tuple[Any, str]":
        """The logits [1, classes] of the first exit whose largest probability reaches the threshold, and its name. inputs: of one example."""
        known = dict(inputs)
        for name, session in zip(self.names, self.sessions, strict=True):
            gives = [one.name for one in session.get_outputs()]
            said = dict(
                zip(
                    gives,
                    session.run(gives, {one.name: known[one.name] for one in session.get_inputs()}),
                    strict=True,
                )
            )
            logits = said["answer"]
            shares = np.exp(logits - logits.max())
            if name == "end" or shares.max() / shares.sum() >= self.threshold:
                return logits, name
            known["state"] = said["next_state"]
        raise AssertionError("the end always answers")


if __name__ == "__main__":
    labels = (HERE.parent / "labels.txt").read_text(encoding="utf-8").splitlines()
    parts = Parts()
    for example in inputs_of(sys.argv[1] if len(sys.argv) > 1 else None):
        logits, name = parts.answer(example)
        sys.stdout.write(f"{labels[int(logits.argmax())]}\t{name.removeprefix('exit_')}\n")
