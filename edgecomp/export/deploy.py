"""What goes to the device: model, preprocessing, labels, I/O contract, and a script that needs no edgecomp."""

from collections.abc import Mapping
from pathlib import Path
from shutil import copyfile
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined

from edgecomp.artifacts import installed, sha256, write_json
from edgecomp.data.preprocessing import TOKENIZER, Numbers, Preprocessing
from edgecomp.data.splits import Split
from edgecomp.inputs import MASK
from edgecomp.runtimes import TABLE

TAKES = {
    "image": "uint8 images [N, {}] in a .npy file",
    "array": "numbers [N, {}] in a .npy file",
    "text": "A file of texts, one a line",
}
NEEDS = {"image": "numpy", "array": "numpy", "text": "numpy and tokenizers"}
SAMPLES = 8


def write_deploy_folder(
    *,
    model: Path,
    runtime: str,
    options: dict[str, Any],
    threads: int,
    preprocessing: Preprocessing,
    validation: Split,
    data: Path,
    folder: Path,
) -> None:
    """Writes one device's folder, with some validation examples to try the script on. data: the data stage's folder."""
    names = [TABLE[runtime].model_file]
    copyfile(model, folder / names[0])
    if model.suffix == ".xml":
        names.append("model.bin")
        copyfile(model.with_suffix(".bin"), folder / "model.bin")
    preprocessing.save(folder)
    sample = validation.first(SAMPLES).arrays
    if preprocessing.kind == "text":
        copyfile(data / TOKENIZER, folder / TOKENIZER)
        names.append(TOKENIZER)
        _write_texts(sample, data / TOKENIZER, folder / "sample.txt")
    else:
        np.save(folder / "sample.npy", sample["values"])
    (folder / "labels.txt").write_text("\n".join(preprocessing.classes) + "\n", encoding="utf-8")
    contract = {
        "format": 1,
        "runtime": runtime,
        "options": options,
        "threads": threads,
        "versions": {TABLE[runtime].distribution: installed(TABLE[runtime].distribution)},
        "inputs": [
            {
                "name": name,
                "shape": [None if axis in axes else size for axis, size in enumerate(values.shape)],
                "dtype": values.dtype.name,
                "preprocessing": "preprocessing.json",
            }
            for (name, values), axes in zip(
                preprocessing.example().items(), preprocessing.dynamic_axes, strict=True
            )
        ],
        "outputs": [{"name": "logits", "shape": [None, len(preprocessing.classes)], "dtype": "float32"}],
        "files": {name: sha256(folder / name) for name in names},
    }
    write_json(folder / "contract.json", contract)
    (folder / "infer.py").write_text(_script(runtime, options, threads, preprocessing), encoding="utf-8")


def _write_texts(sample: Mapping[str, Any], tokenizer: Path, path: Path) -> None:
    """Token ids as the texts they stand for."""
    from tokenizers import Tokenizer

    rows = [row[kept == 1].tolist() for row, kept in zip(sample["input_ids"], sample[MASK], strict=True)]
    path.write_text(
        "\n".join(Tokenizer.from_file(str(tokenizer)).decode_batch(rows)) + "\n", encoding="utf-8"
    )


def _script(runtime: str, options: dict[str, Any], threads: int, preprocessing: Preprocessing) -> str:
    shape = preprocessing.shape if isinstance(preprocessing, Numbers) else ()
    environment = Environment(
        loader=PackageLoader("edgecomp.export", ""),
        autoescape=False,
        undefined=StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template("infer.py.j2").render(
        what=TAKES[preprocessing.kind].format(", ".join(map(str, shape))),
        libraries=f"{TABLE[runtime].distribution}, {NEEDS[preprocessing.kind]}",
        runtime=runtime,
        kind=preprocessing.kind,
        shape=shape,
        by_channel=(-1, *(1 for _ in shape[1:])),
        threads=threads,
        precision=options.get("inference_precision", "f32"),
    )
