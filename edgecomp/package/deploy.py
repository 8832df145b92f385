"""What goes to the device: model, preprocessing, labels, I/O contract, and a script that needs no edgecomp."""

from pathlib import Path
from shutil import copyfile
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined

from edgecomp.data.heads import of_output
from edgecomp.data.preprocessing import BYTES, TOKENIZER, AsTheyAre, Numbers, Preprocessing, answered
from edgecomp.data.splits import Split
from edgecomp.data.tokens import decoded
from edgecomp.errors import UsageError
from edgecomp.files.writing import sha256, write_json
from edgecomp.inputs import MASK, from_bytes
from edgecomp.machine import installed
from edgecomp.outputs import ONE
from edgecomp.runtimes import TABLE, formats
from edgecomp.runtimes.formats import CONTRACT
from edgecomp.tasks import SeveralOutputs
from edgecomp.tasks import task as meaning

TAKES = {
    "image": "uint8 images [N, {}] in a .npy file",
    "array": "numbers [N, {}] in a .npy file",
    "text": "A file of texts, one a line",
    "bytes": "A file of texts, one a line",
    "tensors": "The model's inputs by name in an .npz file",
}
NEEDS = {
    "image": "numpy",
    "array": "numpy",
    "text": "numpy and tokenizers",
    "bytes": "numpy",
    "tensors": "numpy",
}
SAMPLES = 8
SCRIPT = "infer.py"
ASSIGN = "assign.py"  # which version serves a key, for an A/B test
EXITS, EXITS_SCRIPT = "exits", "early_exits.py"  # the model in parts, and what runs them
LOW = {"fp16": "float16", "bf16": "bfloat16"}  # precisions of PyTorch's runtimes, as torch calls them
SAYS = {
    "regression": "a line of numbers each",
    "multilabel": "a line of labels each",
    "token-classification": "a line of tags each, one a word",
    "segmentation": "a line of the classes' shares of pixels each; masks int64 [N, height, width] in the .npy file that is named second",
    "embedding": "a line of numbers each",
    "similarity": "a line of numbers each",
    "outputs": "a line of numbers each",
    "ranking": "a line of the first ten items each",
}
"""What the script prints, by task, where that is not a label a line."""


def write_deploy_folder(
    *,
    model: Path,
    runtime: str,
    options: dict[str, Any],
    threads: int,
    preprocessing: Preprocessing,
    validation: Split,
    answers: tuple[int, ...] | None = None,
    data: Path,
    folder: Path,
    exits: Path | None = None,
) -> None:
    """Writes one device's folder, with some validation examples to try the script on.

    model: the file that `runtime` takes, its parts beside it; options, threads: with which it is measured,
    and the script runs it; preprocessing: of its inputs, and what its outputs are called; validation: the
    split of the examples; answers: the shape of what the network says of an example, where the data do not
    tell it; data: the data stage's folder; folder: is there, and is written into; exits: a folder of the same
    model in parts, with early exits, copied beside it; None where there are none. Raises
    UsageError for a runtime without a script.
    """
    if not TABLE[runtime].scripted:
        raise UsageError(f"nothing is deployed for {runtime}, which has no script: name its target under `ungated_targets`; targets run "
                         f"{', '.join(name for name, row in TABLE.items() if row.scripted)}")  # fmt: skip
    names = [TABLE[runtime].model_file]
    copyfile(model, folder / names[0])
    for part in formats.parts_of(model):
        names.append(f"model{part.suffix}")
        copyfile(part, folder / names[-1])
    preprocessing.save(folder)
    sample = validation.first(SAMPLES).arrays
    if preprocessing.kind == "text":
        copyfile(data / TOKENIZER, folder / TOKENIZER)
        names.append(TOKENIZER)
        texts = decoded(sample["input_ids"], sample[MASK], data / TOKENIZER)
        (folder / "sample.txt").write_text("\n".join(texts) + "\n", encoding="utf-8")
    elif preprocessing.kind == "bytes":
        texts = from_bytes(sample[BYTES])
        (folder / "sample.txt").write_text("\n".join(texts) + "\n", encoding="utf-8")
    elif preprocessing.kind == "tensors":
        np.savez(folder / "sample.npz", **sample)  # type: ignore[arg-type]  # its stubs take any name for allow_pickle
    else:
        np.save(folder / "sample.npy", sample["values"])
    if exits is not None:
        _write_exits(exits, folder / EXITS)
    (folder / "labels.txt").write_text("\n".join(preprocessing.classes) + "\n", encoding="utf-8")
    named = preprocessing.columns if isinstance(preprocessing, Numbers) else ()
    columns = {"columns": list(named)} if named else {}  # a row's numbers, in this order
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
                **columns,
            }
            for (name, values), axes in zip(
                preprocessing.example().items(), preprocessing.dynamic_axes, strict=True
            )
        ],
        "outputs": _outputs(preprocessing, answers),
        "task": preprocessing.task if isinstance(preprocessing.task, str) else SeveralOutputs.name,
        "files": {name: sha256(folder / name) for name in names},
    }
    write_json(folder / CONTRACT, contract)
    copyfile(Path(__file__).with_name(ASSIGN), folder / ASSIGN)
    (folder / SCRIPT).write_text(script(runtime, options, threads, preprocessing), encoding="utf-8")


def _write_exits(exits: Path, folder: Path) -> None:
    """Copies the parts of a model with early exits, what they answer and cost, and the script that runs them, from `exits` into `folder`, which is new.

    The contract does not name them: it is of the whole model, and a folder that is encrypted leaves them out.
    """
    folder.mkdir()
    for file in sorted((*exits.glob("*.onnx"), *exits.glob("*.json"))):
        copyfile(file, folder / file.name)
    copyfile(Path(__file__).with_name(EXITS_SCRIPT), folder / EXITS_SCRIPT)


def _outputs(preprocessing: Preprocessing, answers: tuple[int, ...] | None) -> list[dict[str, Any]]:
    """What the file gives; of several outputs with what each means."""
    of = meaning(preprocessing.task, preprocessing.classes)
    if not isinstance(of, SeveralOutputs):
        return [{"name": ONE, "shape": _output_shape(preprocessing, answers), "dtype": "float32"}]
    found = []
    for one in of.outputs:
        head = of_output(one, preprocessing)
        numbers = {"target_mean": head.target_mean, "target_std": head.target_std} if head.target_std else {}
        told = {"name": one.name, "shape": [None, one.width], "dtype": "float32", "task": one.task.name}
        found.append({**told, "labels": list(one.names), **numbers})
    return found


def _output_shape(preprocessing: Preprocessing, answers: tuple[int, ...] | None) -> list[int | None] | None:
    """With None for an axis that the inputs decide."""
    shape = answered(preprocessing, preprocessing.example())
    if shape is None:
        return None if answers is None else [None, *answers]
    return [None, None, *shape[2:]] if meaning(preprocessing.task).of_each == "token" else [None, *shape[1:]]


def script(
    runtime: str, options: dict[str, Any], threads: int, preprocessing: Preprocessing, sealed: bool = False
) -> str:
    """infer.py. runtime, options, threads, preprocessing: as in `write_deploy_folder`; sealed: whether the model's files are encrypted."""
    from edgecomp.runtimes.onnxruntime_cpu import OPTIMISATION

    shape = preprocessing.shape if isinstance(preprocessing, Numbers) else ()
    environment = Environment(
        loader=PackageLoader("edgecomp.package", ""),
        autoescape=False,
        undefined=StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template("infer.py.j2").render(
        what=TAKES[preprocessing.kind].format(", ".join(map(str, shape))),
        libraries=f"{TABLE[runtime].distribution}, {NEEDS[preprocessing.kind]}"
        + (", cryptography" if sealed else ""),
        sealed=sealed,
        runtime=runtime,
        options=options,
        providers=providers_of(runtime, options),
        suffix=Path(TABLE[runtime].model_file).suffix,
        gpu=TABLE[runtime].gpu,
        level=OPTIMISATION[str(options.get("optimisation", "all"))].name,
        kind=preprocessing.kind,
        of_lines=preprocessing.kind in ("bytes", "text")
        and isinstance(preprocessing.task, str)
        and preprocessing.task != "token-classification",
        low=LOW.get(str(options.get("precision", "")), ""),
        task=preprocessing.task if isinstance(preprocessing.task, str) else SeveralOutputs.name,
        says=SAYS.get(preprocessing.task, "one label a line")
        if isinstance(preprocessing.task, str)
        else "a line of JSON each, what every output says",
        outputs=[] if isinstance(preprocessing.task, str) else sorted(preprocessing.task),
        answers=_mask_shape(preprocessing),
        standardised=bool(preprocessing.target_std),
        given=dict(zip(preprocessing.names, preprocessing.dtypes, strict=True))
        if isinstance(preprocessing, AsTheyAre)
        else {},
        shape=shape,
        by_channel=(*shape[:1], *(1 for _ in shape[1:])),
        threads=threads,
    )


def _mask_shape(preprocessing: Preprocessing) -> tuple[int, ...]:
    """Of an example's logits by pixel; nothing of another task."""
    shape = answered(preprocessing, preprocessing.example())
    return shape[1:] if shape and meaning(preprocessing.task).of_each == "pixel" else ()


def providers_of(runtime: str, options: dict[str, Any]) -> list[Any]:
    """ONNX Runtime's execution providers, and what they are told; none of them for another `runtime`. options: of the target."""
    from edgecomp.runtimes.onnxruntime_gpu import cuda_settings, tensorrt_settings

    if runtime == "onnxruntime-cuda":
        return cuda_settings(options, Path())
    if runtime == "onnxruntime-tensorrt":
        return tensorrt_settings(options, Path())
    return ["CPUExecutionProvider"] if runtime == "onnxruntime-cpu" else []
