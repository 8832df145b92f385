"""The bench stage for one target: the files a device would get, measured under its runtime, and recorded."""

import json
import os
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from edgecomp import inputs, machine
from edgecomp.artifacts import sha256
from edgecomp.bench.scenarios import Effort, Model, measure
from edgecomp.data.preprocessing import Preprocessing
from edgecomp.data.splits import Split
from edgecomp.measurements import Arm, Measurements
from edgecomp.progress import Track


def bench_target(
    *,
    target: str,
    runtime: str,
    options: dict[str, Any],
    threads: int,
    models: dict[str, Path],
    student: str,
    without_float_layer: dict[str, Path],
    parameters: Mapping[str, int],
    parity_file: Path | None,
    precision_file: Path | None,
    test: Split,
    preprocessing: Preprocessing,
    effort: Effort,
    folder: Path,
    track: Track,
) -> None:
    """Writes measurements.json, samples.npz and outputs.npz. models: arm → model file; `student` is judged. parameters: bytes by arm.

    without_float_layer: layer left in float → the file in which it is in integers, for the time it costs.
    """
    parity = json.loads(parity_file.read_text(encoding="utf-8")) if parity_file else {}
    asked = folder / "inputs"
    inputs.save(preprocessing.apply(test.arrays), asked)
    precision = json.loads(precision_file.read_text(encoding="utf-8")) if precision_file else None
    load_before = os.getloadavg()[0]
    settled = partial(
        measure,
        runtime=runtime,
        options=options,
        threads=threads,
        inputs=asked,
        scratch=folder,
        track=track,
    )
    arms, facts = settled(
        {arm: _described(file, parameters[arm]) for arm, file in models.items()}, effort=effort
    )
    if without_float_layer:
        compared = {
            name: _described(file, 0)
            for name, file in {student: models[student], **without_float_layer}.items()
        }
        costs, _ = settled(compared, effort=replace(effort, restarts=min(3, effort.restarts)))
        facts["float_layer_cost_ms"] = {
            layer: cost_ms(costs[student], costs[layer]) for layer in without_float_layer
        }
    if precision is not None:
        facts["validation_drop_pt"] = precision["fp32_accuracy_pct"] - precision["accuracy_pct"]
    inputs.delete(asked)
    Measurements(
        target=target,
        runtime=runtime,
        arms={arm: replace(measured, parity=parity.get(arm)) for arm, measured in arms.items()},
        student=student,
        labels=test.labels,
        offline_batch=effort.offline_batch,
        facts=facts
        | {"machine": machine.facts(), "load_before": load_before, "load_after": os.getloadavg()[0]},
    ).save(folder)


def cost_ms(with_float: Arm, without: Arm) -> float:
    """CPU time that a layer in float adds to one inference: the median over restarts of the medians' difference."""
    medians = [np.median(arm.samples["single_stream_cpu_ns"], axis=1) for arm in (with_float, without)]
    return float(np.median(medians[0] - medians[1]) / 1e6)


def _described(file: Path, parameter_bytes: int) -> Model:
    """An IR's weights are the .bin beside it."""
    files = [file, file.with_suffix(".bin")] if file.suffix == ".xml" else [file]
    return Model(
        file=file,
        files={part.name: (part.stat().st_size, sha256(part)) for part in files},
        parameter_bytes=parameter_bytes,
    )
