"""Is the exported file the function that was trained? And what does the runtime execute in int8?"""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgecomp import runtimes
from edgecomp.errors import EdgecompError
from edgecomp.runtimes import Inspect, Layer
from edgecomp.runtimes.base import Options

BATCH = 64


def compare(
    model: Path,
    runtime_name: str,
    *,
    options: Options,
    inputs: npt.NDArray[np.float32],
    reference: npt.NDArray[np.float32],
) -> dict[str, Any]:
    """Runs `model` and holds its logits [N, classes] against the `reference` logits of the same inputs.

    The maximum difference is not asked for: scaling a network's input by 1 + 1e-4 alone moved a logit by 0.09.
    """
    runtime = runtimes.adapter(runtime_name)
    session = runtime.load(model, threads=1, options=options)
    try:
        parts = []
        for start in range(0, len(inputs), BATCH):
            outputs = session.run({session.signature().inputs[0].name: inputs[start : start + BATCH]})
            parts.append(next(iter(outputs.values())).copy())
    finally:
        session.close()
    executed = np.concatenate(parts)
    if not np.isfinite(executed).all():
        raise EdgecompError(f"{model.name} gives logits that are not finite in {runtime_name}")
    classes = np.bincount(reference.argmax(1), minlength=reference.shape[1])
    result: dict[str, Any] = {
        "examples": len(inputs),
        "agreeing": int((executed.argmax(1) == reference.argmax(1)).sum()),
        "mean_absolute_error": float(np.abs(executed - reference).mean()),
        "logit_deviation": float(reference.std()),
        "classes_predicted": int((classes > 0).sum()),
        "versions": runtime.versions(),
    }
    if isinstance(runtime, Inspect):
        layers = runtime.executed_layers(model, options=options)
        result["layers"] = [layer._asdict() for layer in layers if layer.macs or layer.precision == "int8"]
        result["int8_share_pct"] = int8_share_pct(layers)
    return result


def int8_share_pct(layers: list[Layer]) -> float | None:
    """Share of the weighted multiply-accumulates that run in int8; None where there are none."""
    total = sum(layer.macs for layer in layers)
    return 100 * sum(layer.macs for layer in layers if layer.precision == "int8") / total if total else None
