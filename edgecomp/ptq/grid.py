"""The best that post-training quantisation does with a network: all it has to offer, judged on validation data.

A claim for quantisation-aware distillation has to hold against this, and not against a tool's defaults.
"""

import itertools
import math
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from shutil import copyfile
from typing import Literal

import numpy as np
import torch
from torch import fx, nn

from edgecomp import runtimes
from edgecomp.errors import EdgecompError
from edgecomp.export.onnx.qdq import export_onnx
from edgecomp.export.openvino import ir
from edgecomp.export.parity import answers
from edgecomp.export.stage import initializer_bytes
from edgecomp.files.writing import write_json
from edgecomp.inputs import Inputs
from edgecomp.ptq import tools as ptq
from edgecomp.ptq.ours import corrected_fp32, post_training
from edgecomp.quantization.capture import DynamicAxes
from edgecomp.quantization.folding import fold
from edgecomp.quantization.layers import rule_of
from edgecomp.runtimes.base import Options
from edgecomp.tasks import Labels, Task
from edgecomp.training.loop import network_inputs

Tool = Literal["ptq-ort", "ptq-nncf", "ptq-dynamic", "ours"]
Bias = Literal["none", "ours", "fast", "full"]

TOOLS: tuple[Tool, ...] = ("ptq-ort", "ptq-nncf", "ours")

# ONNX Runtime's `entropy` is not here: as its tool sets it up, with as many bins as levels, it gave the bytes of min-max.
CALIBRATIONS: dict[Tool, tuple[str, ...]] = {
    "ptq-ort": ("min-max", "percentile"),
    "ptq-nncf": ("min-max", "percentile", "histogram"),
    "ptq-dynamic": ("min-max",),
    "ours": ("min-max", "percentile", "mse"),
}
# NNCF's `fast` one, its default, is wrong where means depend on the position (docs/decisions/004).
BIASES: dict[Tool, tuple[Bias, ...]] = {
    "ptq-ort": ("none", "ours"),
    "ptq-nncf": ("none", "fast", "full"),
    "ptq-dynamic": ("none",),
    "ours": ("none", "ours"),
}
OPERATORS = (ptq.WEIGHTED_AND_TABLES, ptq.WEIGHTED)


@dataclass(frozen=True)
class Candidate:
    """batchnorm: statistics estimated again with everything rounded. bias: who corrects biases, we or NNCF.

    operators: those that ONNX Runtime's tool is kept to; none given: its own choice.
    """

    tool: Tool
    calibration: str
    percentile: float = 99.99
    batchnorm: bool = False
    bias: Bias = "none"
    operators: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Such as `ptq-ort percentile 99.99 + bn + bias`."""
        ranges = {"percentile": f" percentile {self.percentile:g}"}.get(
            self.calibration, f" {self.calibration}"
        )
        ranges = "" if self.tool == "ptq-dynamic" else ranges
        biases = {"none": "", "ours": " + bias", "fast": " + fast bias", "full": " + full bias"}
        kept = f" of {'+'.join(self.operators)}" if self.operators else ""
        return f"{self.tool}{ranges}{kept}{' + bn' if self.batchnorm else ''}{biases[self.bias]}"


@dataclass(frozen=True)
class Score:
    """What a candidate's file gave; None, and the reason, where there is none or it could not be executed."""

    name: str
    file: Path | None
    accuracy: float | None
    reason: str = ""


EVALUATED_AT_ONCE = 64

Made = Mapping[Candidate, Path | EdgecompError]


def grid(
    *,
    has_batchnorm: bool,
    has_attention: bool = False,
    tools: Collection[Tool] = TOOLS,
    percentile: float = 99.99,
    dynamic: Collection[tuple[str, ...]] = (),
) -> list[Candidate]:
    """Every combination of ranges, batch statistics and biases, the simplest first.

    has_batchnorm: there are batch statistics to estimate again; tools: those that are wanted; percentile: of
    the calibration of that name. has_attention: ONNX Runtime's tool is kept to weighted operators, with
    tables and without, which leaves those their four bytes a value; its own choice of operators, which loses
    points, is one more. dynamic: operators that are quantised dynamically, a candidate each.
    """
    found = [
        Candidate(tool, calibration, percentile, batchnorm, bias, operators)
        for tool in TOOLS
        if tool in tools
        for calibration, batchnorm, bias in itertools.product(
            CALIBRATIONS[tool], (False, True) if has_batchnorm else (False,), BIASES[tool]
        )
        for operators in (OPERATORS if has_attention and tool == "ptq-ort" else [()])
    ]
    if has_attention and "ptq-ort" in tools:
        found.insert(0, Candidate("ptq-ort", "min-max", percentile))
    found += [Candidate("ptq-dynamic", "min-max", percentile, operators=one) for one in dynamic]
    return sorted(found, key=lambda one: one.batchnorm + (one.bias != "none"))


def make(
    candidates: Sequence[Candidate],
    captured: fx.GraphModule,
    batches: Sequence[ptq.Inputs],
    *,
    scheme: str,
    runtime: str,
    dynamic_axes: DynamicAxes,
    folder: Path,
    float_layers: Collection[str] = (),
    weight_bits: int = 8,
    activation_bits: int = 8,
) -> dict[Candidate, Path | EdgecompError]:
    """Every candidate's file in the folder, or why there is none; what is there already is not made again.

    captured: the fp32 network's graph; batches: calibration inputs by name, in its order, two examples at
    least; scheme: a name of SCHEMES; runtime: for OpenVINO NNCF quantises the IR, its better path; all others
    are ONNX files, which OpenVINO reads; dynamic_axes: by input; float_layers: stay in float. Fewer
    `weight_bits` or `activation_bits` than 8 are for candidates of `ours` alone: EdgecompError.
    """
    others = [one.tool for one in candidates if one.tool != "ours"]
    if others and (weight_bits, activation_bits) != (8, 8):
        raise EdgecompError(f"{others[0]} quantises to 8 bits, not to weights of {weight_bits} and activations of "
                            f"{activation_bits}: ask for the tool `ours` alone")  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    example = [tensor[:2] for tensor in network_inputs(batches[0])]

    def export(network: fx.GraphModule, to: Path) -> None:
        unfinished = to.with_name(f"unfinished-{to.name}")
        export_onnx(
            fold(network), example, unfinished, input_names=list(batches[0]), dynamic_axes=dynamic_axes
        )
        unfinished.replace(to)

    def fp32(candidate: Candidate) -> Path:
        """The network that a tool is given, as it takes it."""
        corrections = {"batchnorm": candidate.batchnorm, "bias_correction": candidate.bias == "ours"}
        base = folder / "-".join(["fp32", *(name for name, wanted in corrections.items() if wanted)])
        file = base.with_suffix(".onnx")
        if not file.exists():
            export(
                corrected_fp32(captured, batches, scheme=scheme, float_layers=float_layers, **corrections),
                file,
            )
        if suffix(candidate, runtime) == ".onnx":
            return file
        if not (base / "model.bin").exists():  # it is written last
            ir.convert(file, base)
        return base / "model.xml"

    made: dict[Candidate, Path | EdgecompError] = {}
    jobs: dict[Candidate, ptq.Job] = {}
    for candidate in candidates:
        to = folder / f"{re.sub(r'[^A-Za-z0-9.]+', '-', candidate.name)}{suffix(candidate, runtime)}"
        made[candidate] = to
        if to.exists():
            continue
        try:
            if candidate.tool == "ours":
                student = post_training(
                    captured,
                    batches,
                    scheme=scheme,
                    weight_bits=weight_bits,
                    activation_bits=activation_bits,
                    calibration=candidate.calibration,  # type: ignore[arg-type]
                    percentile=candidate.percentile,
                    batchnorm=candidate.batchnorm,
                    bias_correction=candidate.bias == "ours",
                    float_layers=float_layers,
                )
                export(student, to)
            else:
                jobs[candidate] = ptq.Job(setting_of(candidate, scheme, float_layers), fp32(candidate), to)
        except EdgecompError as error:
            made[candidate] = error
    for candidate, failed in zip(jobs, ptq.quantise_all(list(jobs.values()), batches), strict=True):
        if failed is not None:
            made[candidate] = failed
    return made


def suffix(candidate: Candidate, runtime: str) -> str:
    """That of a candidate's file for `runtime`: `.xml` where NNCF quantises or compresses the IR, else `.onnx`."""
    return ".xml" if candidate.tool in ("ptq-nncf", "ptq-dynamic") and runtime == "openvino-cpu" else ".onnx"


def setting_of(candidate: Candidate, scheme: str, float_layers: Collection[str]) -> ptq.Setting:
    """The tool's own knobs; biases that we correct are in the network it is given.

    candidate: of a tool that is not ours; scheme: a name of SCHEMES; float_layers: stay in float.
    """
    assert candidate.tool != "ours"
    return ptq.Setting(
        candidate.tool,
        candidate.calibration,
        candidate.percentile,
        tuple(float_layers),
        operators=candidate.operators,
        bias_correction="none" if candidate.bias == "ours" else candidate.bias,
        scheme=scheme,
    )


def _dynamic(captured: fx.GraphModule, runtime: str, scheme: str) -> tuple[tuple[str, ...], ...]:
    """What is quantised dynamically, a candidate each: of a network whose weights are all in products, for convolutions would stay in float.
    OpenVINO does it with VNNI alone, of linear layers alone, and its tables are among them."""
    rules = {rule_of(node) for node in captured.graph.nodes}
    if runtime == "onnxruntime-cpu" and "convolution" not in rules and rules & {"linear", "recurrent"}:
        return OPERATORS if "embedding" in rules else OPERATORS[1:]
    if (
        runtime == "openvino-cpu"
        and not rules & {"convolution", "recurrent"}
        and "linear" in rules
        and scheme != "cpu-u8-narrow"
    ):
        return ((),)
    return ()


def best(made: Made, evaluate: Callable[[Path], float]) -> tuple[Score, list[Score]]:
    """The candidate of the highest accuracy, of several the first, and what all of them scored, in their order.

    made: candidate → its file, or why there is none; evaluate: the accuracy on validation data, as a runtime
    executes the file. Raises EdgecompError where none runs.
    """
    scores = [_score(candidate, file, evaluate) for candidate, file in made.items()]
    working = [score for score in scores if score.accuracy is not None]
    if not working:
        reasons = (
            "; ".join(dict.fromkeys(f"{score.name}: {score.reason}" for score in scores)) or "there are none"
        )
        raise EdgecompError(f"no candidate of post-training quantisation can be executed: {reasons[:1000]}")
    return max(working, key=lambda score: score.accuracy or 0.0), scores


def _score(candidate: Candidate, file: Path | EdgecompError, evaluate: Callable[[Path], float]) -> Score:
    if isinstance(file, EdgecompError):
        return Score(candidate.name, None, None, str(file))
    try:
        found = evaluate(file)
    except EdgecompError as error:
        return Score(candidate.name, file, None, str(error))
    if not math.isfinite(found):  # and no `max` could tell it from the best
        return Score(candidate.name, file, None, f"its validation score is {found}")
    return Score(candidate.name, file, found)


def choose(
    captured: fx.GraphModule,
    batches: Sequence[Inputs],
    validation: Inputs,
    labels: Labels,
    *,
    scheme: str,
    runtime_name: str,
    options: Options,
    dynamic_axes: DynamicAxes,
    float_layers: Collection[str],
    bits: tuple[int, int],
    task: Task,
    folder: Path,
    candidates_folder: Path,
) -> None:
    """Writes the best candidate as the runtime's model file, and ptq.json: its name, and what all of them scored.

    captured: the fp32 network's graph; batches: calibration inputs; validation, labels: what candidates are
    scored on; scheme: a name of SCHEMES; runtime_name, options: what executes them; dynamic_axes: by input;
    float_layers: stay in float; bits: of weights and activations; task: how answers are scored; folder: of
    what is written; candidates_folder: keeps every candidate. Where the best is an ONNX file, that is kept
    beside the IR it was converted to. Raises EdgecompError where none runs.
    """
    runtime = runtimes.adapter(runtime_name)

    def accuracy(file: Path) -> float:
        logits = answers(runtime, file, options, validation, EVALUATED_AT_ONCE)
        if not np.isfinite(logits).all():
            raise EdgecompError(
                f"its answers are not all numbers: {np.count_nonzero(~np.isfinite(logits))} of {logits.size} are NaN or infinite"
            )
        return task.validation_score(logits, labels)

    kinds = {type(part) for part in captured.modules()}
    has_softmax = any(node.target is torch.ops.aten.softmax.int for node in captured.graph.nodes)
    candidates = grid(
        has_batchnorm=any(issubclass(kind, nn.modules.batchnorm._BatchNorm) for kind in kinds),
        has_attention=has_softmax,
        tools=TOOLS if bits == (8, 8) else ("ours",),
        dynamic=_dynamic(captured, runtime_name, scheme) if bits == (8, 8) else (),
    )
    made = make(
        candidates,
        captured,
        batches,
        scheme=scheme,
        runtime=runtime_name,
        dynamic_axes=dynamic_axes,
        folder=candidates_folder / "candidates",
        float_layers=float_layers,
        weight_bits=bits[0],
        activation_bits=bits[1],
    )
    chosen, scores = best(made, accuracy)
    assert chosen.file is not None
    if chosen.file.suffix == ".onnx":
        copyfile(chosen.file, folder / "model.onnx")
        if runtime_name == "openvino-cpu":
            ir.convert(folder / "model.onnx", folder)
        stored = initializer_bytes(chosen.file)
    else:
        for suffix_ in (".xml", ".bin"):
            copyfile(chosen.file.with_suffix(suffix_), folder / f"model{suffix_}")
        stored = (folder / "model.bin").stat().st_size
    write_json(
        folder / "ptq.json",
        {
            "chosen": chosen.name,
            "examples": len(labels),
            "parameter_bytes": stored,
            "scores": [
                {"name": score.name, "validation_score_pct": score.accuracy, "reason": score.reason}
                for score in scores
            ],
        },
    )
