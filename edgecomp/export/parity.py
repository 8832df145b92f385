"""Is the exported file the function that was trained? And what does the runtime execute in int8?"""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from edgecomp import runtimes
from edgecomp.errors import EdgecompError
from edgecomp.export.blocks import output_name
from edgecomp.files.array_files import read_npz
from edgecomp.files.writing import write_json
from edgecomp.inputs import Inputs, count, joined, some, trimmed
from edgecomp.outputs import beside_each_other
from edgecomp.runtimes import Inspect, Layer, Runtime, Session
from edgecomp.runtimes.base import Options
from edgecomp.tasks import SeveralOutputs, Task

Array = npt.NDArray[Any]
Pairs = Mapping[str, tuple[Array, Array]]
"""By what was asked: what was executed, and what it is held against."""

# Operators that move, convert or describe values, in either runtime's words.
MOVES = {
    "Cast", "Concat", "Concatenation", "Const", "Convert", "DequantizeLinear", "Expand", "Flatten", "Gather", "Identity",
    "Input", "Output", "QuantizeLinear", "FakeQuantize", "Reorder", "ReorderInput", "ReorderOutput", "Reshape", "Shape",
    "ShapeOf", "Slice", "Split", "Squeeze", "StridedSlice", "Transpose", "Unsqueeze", "Constant", "ConstantOfShape",
    "Broadcast", "Pad",
}  # fmt: skip
PRODUCTS = {
    "MatMul",
    "FusedMatMul",
    "Attention",
    "MultiHeadAttention",
}  # of two activations, where they have no weight

REFERENCES = "references.json"
WORST_DB = -200.0

BATCHES = (64, 8, 1)
FEWER = 512  # probes for the small batches

# Options under which a runtime executes the graph as it is written. OpenVINO's does not always give what the graph means
# (a faithful file with concatenations agreed with it on 214 of 1,024 examples), and serves where nothing else tells.
UNOPTIMISED: dict[str, Options] = {"onnxruntime-cpu": {"optimisation": "off"}}
LAST_RESORT: dict[str, Options] = {"openvino-cpu": {"low_precision": False}}


def compare_all(
    models: Mapping[str, Path],
    *,
    student: str,
    runtime_name: str,
    options: Options,
    inputs: Inputs,
    reference: Array | None,
    definitions: Mapping[str, Path],
    blocks_model: Path,
    blocks_file: Path | None,
    float_layers: Mapping[str, str],
    task: Task,
    folder: Path,
    stand_in: str = "",
    kernels_file: Path | None = None,
) -> None:
    """Writes parity.json, every arm's comparison, and reference.npy, the logits that the student was held against.

    models: arm → file; student: the arm that is judged; runtime_name, options: what executes the files;
    inputs: the probes, [N, ...] by name; blocks_file: the student's integer tensors, where it has any, and
    blocks_model the file that gives them; float_layers: the student's, layer → why it is meant to run in
    float; task: when two answers are the same; folder: of what is written.

    reference: the student's own answers; None for a student that no training has made. That, and all other
    arms, are held against the ONNX file they are, or were converted from, as it is written: definitions, arm
    → that file; an IR that has none against what it means, computed in PyTorch, where all its operators are known; what else has none, against its own. stand_in: what executes them in
    place of the target's own runtime, in words: it does not tell which layers that one would have in integers. kernels_file: the file whose layers are
    asked in the judged one's place, of a cascade, whose teacher is in float; None: the judged one's own.
    """
    found: dict[str, Any] = {}
    for arm, model in models.items():
        told: dict[str, str] = {}
        wanted = reference if arm == student else None
        if wanted is None and arm in definitions:
            plain = runtimes.adapter("onnxruntime-cpu")
            wanted = answers(plain, definitions[arm], UNOPTIMISED["onnxruntime-cpu"], inputs, BATCHES[0])
        elif wanted is None and model.suffix == ".xml":
            wanted, told = _meant(model, inputs)
        result, held_against = compare(
            model,
            runtime_name,
            options=options,
            probes={"as trained": inputs},
            references=None if wanted is None else {"as trained": wanted},
            float_layers=float_layers if arm == student else {},
            task=task,
            asks_kernels=not stand_in,
            kernels_file=kernels_file if arm == student else None,
        )
        found[arm] = result | told | ({"stand_in": stand_in} if stand_in else {})
        if arm == student:
            np.save(folder / "reference.npy", held_against)
    if blocks_file is not None and blocks_file.is_file():
        blocks = read_npz(blocks_file)
        examined = len(next(iter(blocks.values())))
        found[student]["blocks"] = compare_blocks(
            blocks_model, runtime_name, options=options, inputs=some(inputs, slice(examined)), blocks=blocks
        )
    write_json(folder / "parity.json", found)


def _meant(model: Path, inputs: Inputs) -> tuple[Array | None, dict[str, str]]:
    """What an IR means by `inputs`; None, and what is told of it, where one of its operators is not known here."""
    from edgecomp.export.openvino import meaning

    try:
        return meaning.answers(model, inputs, BATCHES[0]), {"held_against": "what its operators mean"}
    except meaning.UnknownOperatorError as error:
        return None, {"held_against": f"itself, in OpenVINO without low precision: {error}"}


def compare_references(
    models: Mapping[str, Path],
    *,
    runtime_name: str,
    options: Options,
    inputs: Inputs,
    references: Path,
    folder: Path,
    others: Mapping[str, Inputs] = MappingProxyType({}),
) -> None:
    """Writes references.json: of each network in float, the SQNR of its file's logits against its own, in decibels.

    models: arm → file; runtime_name, options: what executes the files; inputs: [N, ...] by name; others: the same of an arm that reads other inputs; references:
    the .npz file, arm → the network's answers to the first inputs; folder: of what is written. What a student
    is held against must be what was trained as well: a teacher that its export has made worse is a lower bar.
    """
    runtime, found = runtimes.adapter(runtime_name), {}
    for arm, wanted in read_npz(references, models).items():
        asked = some(others.get(arm, inputs), slice(len(wanted)))
        executed = answers(runtime, models[arm], options, asked, BATCHES[0])
        known = np.isfinite(executed).all() and np.isfinite(wanted).all()
        found[arm] = sqnr_db(executed, wanted) if known else WORST_DB
    write_json(folder / REFERENCES, found)


def compare(
    model: Path,
    runtime_name: str,
    *,
    options: Options,
    probes: Mapping[str, Inputs],
    references: Mapping[str, Array] | None,
    float_layers: Mapping[str, str],
    task: Task,
    asks_kernels: bool = True,
    kernels_file: Path | None = None,
) -> tuple[dict[str, Any], Array]:
    """Runs `model` and holds its logits [N, classes] against the `references`, the same network's own answers.

    probes: one set, or several (for example of other sequence lengths), by name; the first is the main one.
    Without references the file is held against itself, executed as it is written, without the runtime's
    optimisations. Agreement is counted over the main set; error and SQNR are the worst over batch sizes and
    sets. With the optimisations off a faithful export agrees almost everywhere: that tells a wrong export
    from integer rounding. The maximum difference is not asked for: scaling a network's input by 1 + 1e-4
    alone moved a logit by 0.09. runtime_name, options: what executes it; float_layers: layer → why it is
    meant to run in float; task: when two answers are the same; asks_kernels: whether the runtime is
    asked what it executes in integers, and of which other file, kernels_file. Returns the comparison, and the main set's
    reference. Raises EdgecompError where logits are not finite, or there is nothing to compare with.
    """
    runtime = runtimes.adapter(runtime_name)
    main = next(iter(probes))
    plain = None
    as_written = UNOPTIMISED if references else UNOPTIMISED | LAST_RESORT
    if runtime_name in as_written:
        plain = answers(runtime, model, {**options, **as_written[runtime_name]}, probes[main], BATCHES[0])
    if references is None:
        if plain is None:
            raise EdgecompError(
                f"{runtime_name} cannot execute {model.name} as it is written: nothing to compare with"
            )
        references = {main: plain}
    reference = references[main]
    pairs: dict[str, tuple[Array, Array]] = {}
    for name, wanted in references.items():
        for batch in BATCHES:
            asked = len(wanted) if batch == BATCHES[0] else min(FEWER, len(wanted))
            executed = answers(runtime, model, options, some(probes[name], slice(asked)), batch)
            if not np.isfinite(executed).all():
                raise EdgecompError(f"{model.name} gives logits that are not finite in {runtime_name}")
            pairs[f"{name}, batch {batch}"] = executed, wanted[:asked]
    result = held_against(pairs, plain, task) | {"versions": runtime.versions()}
    if isinstance(task, SeveralOutputs):
        result["outputs"] = {
            one.name: held_against(
                {name: (one.own(executed), one.own(wanted)) for name, (executed, wanted) in pairs.items()},
                None if plain is None else one.own(plain),
                one.task,
            )
            for one in task.outputs
        }
    if asks_kernels and isinstance(runtime, Inspect):
        result |= executed_precision(
            runtime.executed_layers(kernels_file or model, options=options), float_layers
        )
    return result, reference


def held_against(pairs: Pairs, plain: Array | None, task: Task) -> dict[str, Any]:
    """How far one output, or all of them, are from the reference.

    pairs: by set and batch size, what was executed and what it is held against, [N, ...] each, the main one first; plain: what the main
    one is, executed as the file is written; None where that is not known; task: when two answers are the same.
    """
    main, found = next(iter(pairs)), {name: difference(*pair, task) for name, pair in pairs.items()}
    _, reference = pairs[main]
    spread = task.spread(reference)
    result: dict[str, Any] = {
        "examples": len(reference),
        "agreeing": found[main]["agreeing"],
        "mean_absolute_error": max(one["mean_absolute_error"] for one in found.values()),
        "sqnr_db": min(one["sqnr_db"] for one in found.values()),
        "by_shape": found,
        "logit_deviation": float(reference.std()),
        "classes": spread.possible,
        "classes_predicted": spread.kinds,
        "prevailing": spread.prevailing,
    }
    if plain is not None:
        result["agreeing_unoptimised"] = difference(plain, reference, task)["agreeing"]
    return result


def compare_blocks(
    model: Path, runtime_name: str, *, options: Options, inputs: Inputs, blocks: Mapping[str, Array]
) -> dict[str, float]:
    """The SQNR in decibels of every block's output, executed from `model`, a file that gives them all.

    runtime_name, options: what executes it; inputs: of which `blocks` are, one batch; blocks: name → values.

    Where a tensor is an output of its own, a runtime cannot skip its rounding: OpenVINO does in the file that
    is deployed, adding a residual to a convolution's accumulator. What that changes is in the logits' rows.
    """
    session = runtimes.adapter(runtime_name).load(model, threads=1, options=options)
    inputs = _as_called(inputs, session)
    try:
        outputs = {name: value.copy() for name, value in session.run(inputs).items()}
    finally:
        session.close()
    if not any(output_name(name) in outputs for name in blocks):  # PyTorch's files have no names of their own
        outputs = dict(zip(map(output_name, blocks), [*outputs.values()][-len(blocks) :], strict=True))
    return {name: sqnr_db(outputs[output_name(name)], wanted) for name, wanted in blocks.items()}


def executed_precision(layers: list[Layer], float_layers: Mapping[str, str]) -> dict[str, Any]:
    """What runs in int8: of the weighted layers, less those that are named float, and of all the others by operator.

    Products of two activations, an attention's own, are counted apart: no scheme asks for integers there.
    Where a layer has weights that cannot be counted, there is no share, and `uncounted` names it. layers: as
    the runtime executes them; float_layers: layer → why it is meant to run in float.
    """
    uncounted = [layer for layer in layers if layer.macs is None]
    weighted = [layer for layer in layers if layer.macs]
    named = [layer for layer in weighted if own_name(layer) in float_layers]
    rest = [layer for layer in weighted if layer not in named]
    others = [layer for layer in layers if layer.macs == 0 and layer.precision != "int8"]
    return {
        "layers": [layer._asdict() for layer in layers if layer.macs != 0 or layer.precision == "int8"],
        "int8_share_pct": None if uncounted else int8_share_pct(rest),
        "uncounted": [f"{own_name(layer)} ({layer.type})" for layer in uncounted],
        "float_layers": [
            {"name": own_name(layer), "reason": float_layers[own_name(layer)], "macs": layer.macs,
             "precision": layer.precision}
            for layer in named
        ],
        "activation_products": dict(
            Counter(layer.precision for layer in layers if layer.type in PRODUCTS and layer.macs == 0)
        ),
        "float_operators": dict(
            sorted(Counter(layer.type for layer in others if layer.type not in MOVES | PRODUCTS).items())
        ),
    }  # fmt: skip


def own_name(layer: Layer) -> str:
    """The name that a `layer` of a runtime's table was exported under."""
    return name_of_kernel(layer.name)


def name_of_kernel(name: str) -> str:
    """The name the layer was exported under: a runtime appends what it has fused, and a second use its number."""
    return name.split("/")[0].split("@")[0].removesuffix("_original")


def answers(
    runtime: Runtime, model: Path, options: Options, inputs: Inputs, batch: int
) -> npt.NDArray[np.float32]:
    """Logits [N, classes], computed `batch` examples at a time; each batch of texts is as long as its longest.
    A file with other names for its inputs gets them in order.

    runtime, options: what executes `model`, with one thread; inputs: [N, ...] by name. Raises what its `load`
    and `run` raise.
    """
    session = runtime.load(model, threads=1, options=options)
    try:
        return asked_in_batches(session, inputs, batch)
    finally:
        session.close()


def asked_in_batches(session: Session, inputs: Inputs, batch: int) -> npt.NDArray[np.float32]:
    """What a loaded model, `session`, answers to `inputs`, `batch` examples at a time, as `answers` says. Raises what its `run` raises."""
    inputs = _as_called(inputs, session)
    parts = [
        beside_each_other(session.run(trimmed(some(inputs, slice(start, start + batch))))).copy()
        for start in range(0, count(inputs), batch)
    ]
    return joined(parts, inputs, batch)


def _as_called(inputs: Inputs, session: Session) -> Inputs:
    """By the names that the file has for them, in order."""
    names = [port.name for port in session.signature().inputs]
    return inputs if set(names) == set(inputs) else dict(zip(names, inputs.values(), strict=True))


def difference(executed: Array, reference: Array, task: Task) -> dict[str, Any]:
    """How far `executed` outputs [N, width] are from the `reference`: agreeing answers, mean error, SQNR.

    task: when two answers are the same. The SQNR is in decibels.
    """
    return {
        "agreeing": int(task.agreeing(executed, reference).sum()),
        "mean_absolute_error": float(np.abs(executed.astype(np.float64) - reference).mean()),
        "sqnr_db": sqnr_db(executed, reference),
    }


def sqnr_db(executed: Array, reference: Array) -> float:
    """The power of the reference over that of the difference, in decibels; 200 where there is no difference.

    executed: of the reference's shape.
    """
    noise = float(((executed.astype(np.float64) - reference) ** 2).mean())
    power = float((reference.astype(np.float64) ** 2).mean())
    return 200.0 if noise == 0 else min(200.0, 10 * float(np.log10(max(power, 1e-300) / noise)))


def int8_share_pct(layers: list[Layer]) -> float | None:
    """Per cent of the multiply-accumulates of `layers` that run in int8; None where there are none."""
    total = sum(layer.macs or 0 for layer in layers)
    return (
        100 * sum(layer.macs or 0 for layer in layers if layer.precision == "int8") / total if total else None
    )
