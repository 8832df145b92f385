"""The bench stage for one target: the files a device would get, measured under its runtime, and recorded."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from edgecomp import machine
from edgecomp.artifacts import sha256
from edgecomp.bench.scenarios import Effort, Model, measure
from edgecomp.data.splits import Preprocessing, Split
from edgecomp.measurements import Measurements
from edgecomp.progress import Track


def bench_target(
    *,
    target: str,
    runtime: str,
    options: dict[str, Any],
    threads: int,
    models: dict[str, Path],
    parameters_file: Path,
    parity_file: Path | None,
    test: Split,
    preprocessing: Preprocessing,
    effort: Effort,
    folder: Path,
    track: Track,
) -> None:
    """Writes measurements.json, samples.npz and outputs.npz. models: arm → model file."""
    parameters = json.loads(parameters_file.read_text(encoding="utf-8"))
    parity = json.loads(parity_file.read_text(encoding="utf-8")) if parity_file else None
    inputs = folder / "inputs.npy"
    np.save(inputs, preprocessing.apply(test.images))
    load_before = os.getloadavg()[0]
    arms, facts = measure(
        {arm: _described(file, parameters[arm]) for arm, file in models.items()},
        runtime=runtime,
        options=options,
        threads=threads,
        inputs=inputs,
        effort=effort,
        scratch=folder,
        track=track,
    )
    inputs.unlink()
    Measurements(
        target=target,
        runtime=runtime,
        arms=arms,
        labels=test.labels,
        offline_batch=effort.offline_batch,
        parity=parity,
        facts=facts
        | {"machine": machine.facts(), "load_before": load_before, "load_after": os.getloadavg()[0]},
    ).save(folder)


def _described(file: Path, parameter_bytes: int) -> Model:
    """An IR's weights are the .bin beside it."""
    files = [file, file.with_suffix(".bin")] if file.suffix == ".xml" else [file]
    return Model(
        file=file,
        files={part.name: (part.stat().st_size, sha256(part)) for part in files},
        parameter_bytes=parameter_bytes,
    )
