"""Single stream, offline and cold start (MLPerf's terms), for several models under one runtime, alternated.

The unit of every statistic is a restart: a fresh process per model. Within a restart the models take turns in
blocks, forwards and backwards (ABBA), so that what the machine does meanwhile falls on all of them alike.
"""

import statistics
from collections import defaultdict
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgecomp.bench.process import Worker
from edgecomp.measurements import Arm
from edgecomp.progress import Track

BLOCKS = 8


@dataclass(frozen=True)
class Effort:
    """How much is measured: counts a restart, and how long a worker may take to answer."""

    restarts: int
    warmup: int
    iterations: int
    offline_batch: int
    offline_batches: int
    timeout_s: float


@dataclass(frozen=True)
class Model:
    """A model file (its weights beside it, where the format keeps them apart) and what is known of it."""

    file: Path
    files: Mapping[str, tuple[int, str]]  # name → size in bytes, sha256
    parameter_bytes: int


def measure(
    models: Mapping[str, Model],
    *,
    runtime: str,
    options: dict[str, Any],
    threads: int,
    inputs: Path,
    effort: Effort,
    scratch: Path,
    track: Track,
) -> tuple[dict[str, Arm], dict[str, Any]]:
    """Raw samples by model, and facts of the workers. inputs: a folder of examples, as edgecomp.inputs keeps them.

    Raises WorkerError.
    """
    samples: dict[str, dict[str, list[Any]]] = {name: defaultdict(list) for name in models}
    memory: dict[str, list[dict[str, dict[str, int]]]] = {name: [] for name in models}
    logits: dict[str, npt.NDArray[np.float32]] = {}
    facts: dict[str, Any] = {"threads": threads, "options": options, "restarts": effort.restarts}
    for restart in track(range(effort.restarts), f"measure under {runtime}", effort.restarts):
        order = list(models)[restart % len(models) :] + list(models)[: restart % len(models)]
        with ExitStack() as stack:
            workers = {}
            for name in order:
                worker = Worker(
                    runtime=runtime,
                    model=models[name].file,
                    inputs=inputs,
                    threads=threads,
                    options=options,
                    timeout_s=effort.timeout_s,
                )
                workers[name] = stack.enter_context(worker)
                samples[name]["cold_start_ns"].append(worker.cold_start_ns)
                samples[name]["load_ns"].append(worker.ready["load_ns"])
                samples[name]["warmup_wall_ns"].append(
                    worker.ask("single_stream", count=effort.warmup)["wall_ns"]
                )
            facts |= {"versions": worker.ready["versions"], "signature": worker.ready["signature"]}
            _take_turns(workers, samples, "single_stream", effort.iterations)
            for name, worker in workers.items():
                _held(worker, name, memory)
            _take_turns(workers, samples, "offline", effort.offline_batches, batch=effort.offline_batch)
            for name, worker in workers.items():
                samples[name]["imports_peak_bytes"].append(worker.ready["memory"]["imports"]["peak_bytes"])
                samples[name]["peak_memory_bytes"].append(memory[name][-1]["steady"]["peak_bytes"])
                if restart == effort.restarts - 1:
                    target = scratch / f"{name}.npy"
                    worker.ask(
                        "outputs",
                        inputs=str(inputs.resolve()),
                        to=str(target.resolve()),
                        batch=effort.offline_batch,
                    )
                    logits[name] = np.load(target, allow_pickle=False)
                    target.unlink()
    arms = {
        name: Arm(
            samples={key: np.asarray(values, np.int64) for key, values in samples[name].items()},
            logits=logits[name],
            memory=_medians(memory[name]),
            file_size_bytes=sum(size for size, _ in model.files.values()),
            file_sha256={file: digest for file, (_, digest) in model.files.items()},
            parameter_bytes=model.parameter_bytes,
        )
        for name, model in models.items()
    }
    return arms, facts


def _take_turns(
    workers: Mapping[str, Worker],
    samples: dict[str, dict[str, list[Any]]],
    scenario: str,
    count: int,
    **details: Any,
) -> None:
    """`count` samples of every model, in blocks forwards and backwards."""
    taken: dict[str, dict[str, list[int]]] = {name: defaultdict(list) for name in workers}
    blocks = min(BLOCKS, count)
    for block in range(blocks):
        size = count // blocks + (1 if block < count % blocks else 0)
        names = list(workers) if block % 2 == 0 else list(workers)[::-1]
        for name in names:
            for clock, values in workers[name].ask(scenario, count=size, **details).items():
                taken[name][clock] += values
    for name, clocks in taken.items():
        for clock, values in clocks.items():
            samples[name][f"{scenario}_{clock}"].append(values)


def _held(worker: Worker, name: str, memory: dict[str, list[dict[str, dict[str, int]]]]) -> None:
    memory[name].append(worker.ready["memory"] | {"steady": worker.ask("memory")["memory"]})


def _medians(restarts: list[dict[str, dict[str, int]]]) -> dict[str, dict[str, int]]:
    return {
        phase: {
            kind: int(statistics.median(restart[phase][kind] for restart in restarts))
            for kind in restarts[0][phase]
        }
        for phase in restarts[0]
    }
