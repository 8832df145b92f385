"""Is the exported file the function that was trained? And what does the runtime execute in int8?"""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgecomp import runtimes
from edgecomp.errors import EdgecompError
from edgecomp.runtimes import Inspect, Layer, Runtime
from edgecomp.runtimes.base import Options

# Operators that move, convert or describe values, in either runtime's words.
MOVES = {
    "Cast", "Concat", "Concatenation", "Const", "Convert", "DequantizeLinear", "Expand", "Flatten", "Gather", "Identity",
    "Input", "Output", "QuantizeLinear", "FakeQuantize", "Reorder", "ReorderInput", "ReorderOutput", "Reshape", "Shape",
    "ShapeOf", "Slice", "Split", "Squeeze", "StridedSlice", "Transpose", "Unsqueeze", "Constant", "ConstantOfShape",
    "Broadcast", "Pad",
}  # fmt: skip

BATCHES = (64, 8, 1)
FEWER = 512  # probes for the small batches

# Options under which a runtime executes the graph as it is written, where it has such.
UNOPTIMISED: dict[str, Options] = {"onnxruntime-cpu": {"optimisation": "off"}}


def compare(
    model: Path,
    runtime_name: str,
    *,
    options: Options,
    inputs: npt.NDArray[np.float32],
    reference: npt.NDArray[np.float32],
) -> dict[str, Any]:
    """Runs `model` and holds its logits [N, classes] against the `reference` logits of the same inputs.

    Agreement is counted over all probes; error and SQNR are the worst of the batch sizes. With the runtime's graph
    optimisations off a faithful export agrees almost everywhere: that tells a wrong export from integer rounding.
    The maximum difference is not asked for: scaling a network's input by 1 + 1e-4 alone moved a logit by 0.09.
    """
    runtime = runtimes.adapter(runtime_name)
    found = []
    for batch in BATCHES:
        count = len(inputs) if batch == BATCHES[0] else min(FEWER, len(inputs))
        executed = _run(runtime, model, options, inputs[:count], batch)
        if not np.isfinite(executed).all():
            raise EdgecompError(f"{model.name} gives logits that are not finite in {runtime_name}")
        found.append(_difference(executed, reference[:count]))
    shares = np.bincount(reference.argmax(1), minlength=reference.shape[1]) / len(reference)
    spread = shares[shares > 0]
    result: dict[str, Any] = {
        "examples": len(inputs),
        "agreeing": found[0]["agreeing"],
        "mean_absolute_error": max(one["mean_absolute_error"] for one in found),
        "sqnr_db": min(one["sqnr_db"] for one in found),
        "logit_deviation": float(reference.std()),
        "classes": reference.shape[1],
        "classes_predicted": len(spread),
        "entropy": float(-(spread * np.log(spread)).sum() / np.log(reference.shape[1])),
        "versions": runtime.versions(),
    }
    if runtime_name in UNOPTIMISED:
        plain = _run(runtime, model, {**options, **UNOPTIMISED[runtime_name]}, inputs, BATCHES[0])
        result["agreeing_unoptimised"] = _difference(plain, reference)["agreeing"]
    if isinstance(runtime, Inspect):
        layers = runtime.executed_layers(model, options=options)
        result["layers"] = [layer._asdict() for layer in layers if layer.macs or layer.precision == "int8"]
        result["int8_share_pct"] = int8_share_pct(layers)
        floats = Counter(
            layer.type for layer in layers if layer.precision != "int8" and layer.type not in MOVES
        )
        result["float_operators"] = dict(sorted(floats.items()))
    return result


def _run(
    runtime: Runtime, model: Path, options: Options, inputs: npt.NDArray[np.float32], batch: int
) -> npt.NDArray[np.float32]:
    session = runtime.load(model, threads=1, options=options)
    try:
        name = session.signature().inputs[0].name
        parts = [
            next(iter(session.run({name: inputs[start : start + batch]}).values())).copy()
            for start in range(0, len(inputs), batch)
        ]
    finally:
        session.close()
    return np.concatenate(parts)


def _difference(executed: npt.NDArray[np.float32], reference: npt.NDArray[np.float32]) -> dict[str, Any]:
    """sqnr_db: the power of the reference's logits over that of the difference, in decibels; 200 where there is none."""
    error = executed.astype(np.float64) - reference
    noise = float((error**2).mean())
    power = float((reference.astype(np.float64) ** 2).mean())
    return {
        "agreeing": int((executed.argmax(1) == reference.argmax(1)).sum()),
        "mean_absolute_error": float(np.abs(error).mean()),
        "sqnr_db": 200.0 if noise == 0 else min(200.0, 10 * float(np.log10(max(power, 1e-300) / noise))),
    }


def int8_share_pct(layers: list[Layer]) -> float | None:
    """Share of the weighted multiply-accumulates that run in int8; None where there are none."""
    total = sum(layer.macs for layer in layers)
    return 100 * sum(layer.macs for layer in layers if layer.precision == "int8") / total if total else None
