"""The best that post-training quantisation does with a network: every candidate, judged on validation data as a runtime executes it."""

import math
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from shutil import copyfile
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import fx, nn

from edgecomp import runtimes
from edgecomp.errors import EdgecompError
from edgecomp.export.openvino import ir
from edgecomp.export.parity import answers, executed_precision
from edgecomp.export.stage import initializer_bytes
from edgecomp.files.writing import write_json
from edgecomp.inputs import Inputs, some
from edgecomp.ptq.grid import TOOLS, dynamic, grid
from edgecomp.ptq.making import Costs, Limit, make
from edgecomp.quantization.capture import DynamicAxes
from edgecomp.quantization.layers import rule_of
from edgecomp.runtimes import Inspect
from edgecomp.runtimes.base import Options, Runtime
from edgecomp.tasks import Labels, Task


@dataclass(frozen=True)
class Score:
    """What a candidate's file gave; None, and the reason, where there is none or it could not be executed."""

    name: str
    file: Path | None
    accuracy: float | None
    reason: str = ""
    seconds: float = 0.0  # that it took to be executed

    def told(self) -> dict[str, Any]:
        """As it is written down."""
        return {
            "name": self.name,
            "validation_score_pct": self.accuracy,
            "reason": self.reason,
            "executed_s": round(self.seconds, 2),
        }


@dataclass(frozen=True)
class Judged:
    """What files are scored by: as a runtime executes them with its `options`, on validation data, [N, ...] by name, with its labels; task: how answers are
    scored; float_layers: stay in float."""

    runtime_name: str
    options: Options
    validation: Inputs
    labels: Labels
    task: Task
    float_layers: Collection[str]

    def accuracy(self, file: Path) -> float:
        """The validation score of the model in `file`, in per cent. Raises EdgecompError where its answers are no numbers."""
        found = sound_answers(runtimes.adapter(self.runtime_name), file, self.options, self.validation)
        return self.task.validation_score(found, self.labels)

    def share(self, file: Path) -> float | None:
        """Of the multiply-accumulates of the model in `file`, in per cent, those that are executed in integers; None where the runtime does not tell."""
        runtime = runtimes.adapter(self.runtime_name)
        if not isinstance(runtime, Inspect):
            return None
        layers = runtime.executed_layers(file, options=self.options)
        found: float | None = executed_precision(layers, dict.fromkeys(self.float_layers, ""))[
            "int8_share_pct"
        ]
        return found


EVALUATED_AT_ONCE = 64
ASKED_ALONE = 16  # of those
MOST_APART = 0.1  # mean difference over deviation: integer kernels round one example otherwise than a batch
IN_INTEGERS_PCT = 95.0  # of the weighted multiply-accumulates


def sound_answers(runtime: Runtime, file: Path, options: Options, inputs: Inputs) -> npt.NDArray[np.float32]:
    """What `runtime`, with `options`, answers to `inputs` by the model in `file`, in batches. Raises EdgecompError where they are not all numbers, or are
    others when one is asked at a time."""
    logits = answers(runtime, file, options, inputs, EVALUATED_AT_ONCE)
    if not np.isfinite(logits).all():
        raise EdgecompError(
            f"its answers are not all numbers: {np.count_nonzero(~np.isfinite(logits))} of {logits.size} are NaN or infinite"
        )
    alone = answers(runtime, file, options, some(inputs, slice(ASKED_ALONE)), 1)
    if (differs := _mean_difference(alone, logits[:ASKED_ALONE])) > MOST_APART:
        raise EdgecompError(
            f"asked one at a time it answers otherwise than in a batch, by {differs:.2g} of its answers' deviation: a fault of the runtime"
        )
    return logits


def _mean_difference(ours: npt.NDArray[Any], theirs: npt.NDArray[Any]) -> float:
    """The mean difference over the deviation of `theirs`, [N, ...] both; infinite where shapes differ."""
    if ours.shape != theirs.shape:
        return math.inf
    return float(np.abs(ours - theirs).mean() / max(float(theirs.std()), np.finfo(np.float32).tiny))


def best(
    made: Mapping[str, Path | EdgecompError],
    evaluate: Callable[[Path], float],
    share: Callable[[Path], float | None] = lambda _: None,
) -> tuple[Score, list[Score]]:
    """The candidate of the highest accuracy among those that are executed in integers, of several the first, and what all of them scored, in their order;
    the one of the highest accuracy where none is executed so.

    made: candidate's name → its file, or why there is none; evaluate: the accuracy on validation data, as a runtime
    executes the file; share: of its multiply-accumulates, in per cent, that a runtime executes in integers, None where it does not tell: a file whose
    layers a runtime executes in float answers best, and is no smaller work. Raises EdgecompError where none runs.
    """
    scores = [_score(name, file, evaluate) for name, file in made.items()]
    working = [score for score in scores if score.accuracy is not None]
    if not working:
        reasons = (
            "; ".join(dict.fromkeys(f"{score.name}: {score.reason}" for score in scores)) or "there are none"
        )
        raise EdgecompError(f"no candidate of post-training quantisation can be executed: {reasons[:1000]}")
    ranked = sorted(working, key=lambda score: score.accuracy or 0.0, reverse=True)
    passed_over: dict[str, float] = {}
    for score in ranked:
        assert score.file is not None
        executed = share(score.file)
        if executed is None or executed >= IN_INTEGERS_PCT:
            break
        passed_over[score.name] = executed
    else:
        return ranked[0], scores
    return score, [
        replace(one, reason=f"passed over: {passed_over[one.name]:.3g} % of it is executed in integers")
        if one.name in passed_over
        else one
        for one in scores
    ]


def _score(name: str, file: Path | EdgecompError, evaluate: Callable[[Path], float]) -> Score:
    if isinstance(file, EdgecompError):
        return Score(name, None, None, str(file))
    began = time.monotonic()
    try:
        found = evaluate(file)
    except EdgecompError as error:
        return Score(name, file, None, str(error), time.monotonic() - began)
    took = time.monotonic() - began
    if not math.isfinite(found):  # and no `max` could tell it from the best
        return Score(name, file, None, f"its validation score is {found}", took)
    return Score(name, file, found, seconds=took)


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
    minutes: float | None = None,
) -> None:
    """Writes the best candidate as the runtime's model file, and ptq.json: its name, and what all of them scored.

    captured: the fp32 network's graph; batches: calibration inputs; validation, labels: what candidates are
    scored on; scheme: a name of SCHEMES; runtime_name, options: what executes them; dynamic_axes: by input;
    float_layers: stay in float; bits: of weights and activations; task: how answers are scored; folder: of
    what is written; candidates_folder: keeps every candidate, for other runtimes too; minutes: after which no further one is made, None:
    all are. Where the best is an ONNX file, that is kept
    beside the IR it was converted to. Raises EdgecompError where none runs.
    """
    judged = Judged(runtime_name, options, validation, labels, task, float_layers)
    kinds = {type(part) for part in captured.modules()}
    has_softmax = any(node.target is torch.ops.aten.softmax.int for node in captured.graph.nodes)
    candidates = grid(
        has_batchnorm=any(issubclass(kind, nn.modules.batchnorm._BatchNorm) for kind in kinds),
        has_attention=has_softmax,
        has_tables=any(rule_of(node) == "embedding" for node in captured.graph.nodes),
        tools=TOOLS if bits == (8, 8) else ("ours",),
        dynamic=dynamic(captured, runtime_name, scheme) if bits == (8, 8) else (),
    )
    made = make(
        candidates,
        captured,
        batches,
        scheme=scheme,
        runtime=runtime_name,
        dynamic_axes=dynamic_axes,
        folder=candidates_folder,
        float_layers=float_layers,
        weight_bits=bits[0],
        activation_bits=bits[1],
        limit=Limit(None if minutes is None else 60 * minutes),
    )

    chosen, scores = best(
        {candidate.name: file for candidate, file in made.items()}, judged.accuracy, judged.share
    )
    assert chosen.file is not None
    copy_of(chosen.file, folder)
    if chosen.file.suffix == ".onnx" and runtime_name == "openvino-cpu":
        ir.convert(folder / "model.onnx", folder)
    is_onnx = chosen.file.suffix == ".onnx"
    stored = initializer_bytes(chosen.file) if is_onnx else (folder / "model.bin").stat().st_size
    costs = Costs(candidates_folder)
    found = {
        "chosen": chosen.name,
        "examples": len(labels),
        "parameter_bytes": stored,
        "scores": [
            score.told() | {"made_s": costs.of(candidate, runtime_name)}
            for candidate, score in zip(made, scores, strict=True)
        ],
    }  # fmt: skip
    write_json(folder / "ptq.json", found)


def copy_of(file: Path, folder: Path, definition: Path | None = None) -> None:
    """Copies the model in `file`, an ONNX file or an IR, into `folder` as `model`; definition: the ONNX file that the IR is of, kept beside it."""
    parts = {
        suffix: file.with_suffix(suffix)
        for suffix in ((".onnx",) if file.suffix == ".onnx" else (".xml", ".bin"))
    }
    for suffix, part in (({} if definition is None else {".onnx": definition}) | parts).items():
        copyfile(part, folder / f"model{suffix}")
