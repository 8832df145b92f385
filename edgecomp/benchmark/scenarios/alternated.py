"""Single stream, offline and cold start (MLPerf's terms), for several models under one runtime, alternated.

The unit of every statistic is a restart: a fresh process per model. Within a restart the models take turns in
blocks, forwards and backwards (ABBA), so that what the machine does meanwhile falls on all of them alike.
"""

import statistics
from collections import defaultdict
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from edgecomp.benchmark.hosts.host import Asked, Host
from edgecomp.benchmark.hosts.process import Place, pin
from edgecomp.benchmark.worker import answers, noise
from edgecomp.benchmark.worker.answers import Answer
from edgecomp.errors import BudgetExceededError, InferenceError, WorkerError
from edgecomp.metrics.measurements import MOST_TIMED_ERROR, Arm, Death
from edgecomp.metrics.samples import (
    COLD_START,
    CPU,
    IMPORTS_PEAK,
    LOAD,
    PEAK_MEMORY,
    WALL,
    WARMUP_WALL,
    of_scenario,
)
from edgecomp.progress import Track

BLOCKS = 8
BATCHED = ("offline", "outputs")  # phases whose memory is a batch's
REPEATED = 8  # times that an input is asked again, and that fresh ones like it are


@dataclass(frozen=True)
class Effort:
    """How much is measured: counts a restart. Where there is a limit on the time, `iterations` are as many as it has room
    for, and no fewer than eight."""

    restarts: int
    warmup: int
    iterations: int
    offline_batch: int  # 0: no batch is measured
    offline_batches: int
    most_s: float | None = None
    rows: int = 1  # examples that the file takes at once, where it is fixed


@dataclass(frozen=True)
class Model:
    """A model file (its weights beside it, where the format keeps them apart) and what is known of it.

    Only a model that is `confined` must fit into the target's memory: what it is compared with need not.
    """

    file: Path
    files: Mapping[str, tuple[int, str]]  # name → size in bytes, sha256
    parameter_bytes: int
    confined: bool = False
    inputs: Path | None = None  # a folder of examples of its own, as many as the others'


@dataclass
class Taken:
    """What has been taken of one model so far."""

    samples: dict[str, list[Any]] = field(default_factory=lambda: defaultdict(list))
    memory: list[dict[str, dict[str, int]]] = field(default_factory=list)
    blocks: list[dict[str, float | None]] = field(default_factory=list)
    energy_uj: list[float] = field(default_factory=list)  # by block of single stream, of one inference
    # By an input's place, what was told of its outputs while they were timed (edgecomp.benchmark.worker.answers).
    timed_answers: dict[int, dict[str, Any]] = field(default_factory=dict)
    repeated: list[list[int]] = field(default_factory=list)  # CPU time of each input asked again
    fresh: list[list[int]] = field(default_factory=list)  # and of new ones like it
    # Of every example, in the accuracy run; and the same one at a time, where those that are timed are others.
    outputs: dict[str, Answer] = field(default_factory=dict)
    alone: dict[str, Answer] = field(default_factory=dict)

    def audit(self, rows: int) -> dict[str, Any]:
        """Whether it is right while it is fast (after MLPerf's compliance tests 01 and 04). rows: examples of
        a query.

        outputs: of each its type and shape (for one query), what is no number in it (`broken`), and its
        timed_error: how far an input's outputs while timed are from those of the accuracy run, over the
        outputs' deviation (integer kernels round a batch otherwise), None where one is not finite;
        alone_error: the same of an accuracy run one at a time, where that was asked. timed_error: the largest
        of them. repeated_over_fresh: median CPU time of an input asked again over that of new ones.
        """
        errors = answers.timed_errors(self.outputs, self.timed_answers, rows)
        alone = answers.timed_errors(self.alone, self.timed_answers, rows)
        told = next(iter(self.timed_answers.values()))
        no_number = answers.broken_in(self.outputs)
        for one in self.timed_answers.values():
            no_number |= {name: output["broken"] for name, output in one.items() if output["broken"]}
        ratios = np.median(self.repeated, axis=1) / np.maximum(np.median(self.fresh, axis=1), 1)
        return {
            "outputs": {
                name: {
                    "dtype": output["dtype"],
                    "shape": output["shape"],
                    "broken": no_number.get(name, ""),
                    "timed_error": errors.get(name),
                    "alone_error": alone.get(name),
                }
                for name, output in told.items()
            },
            "timed_error": None if no_number else max(errors.values(), default=0.0),
            "repeated_over_fresh": float(np.median(ratios)),
        }


def measure(
    models: Mapping[str, Model], *, place: Place, inputs: Path, effort: Effort, scratch: Path, track: Track
) -> tuple[dict[str, Arm], dict[str, Any], dict[str, Death]]:
    """Raw samples by model, facts of the workers, and the models that did not fit into the target's memory.

    models: by name; place: where they run; inputs: a folder of examples, as edgecomp.inputs keeps them, of each model that has none of its own;
    effort: how much is measured; scratch: a folder for what passes between; track: is told how far it is. A
    model that dies of its limit is left out, and the others are measured without it; where only a batch is
    too much, batches are of one, and where a batch fails none is measured (`batch_failed`, the reason).
    Raises WorkerError, and what a worker raised.
    """
    alive = dict(models)
    deaths: dict[str, Death] = {}
    more: dict[str, Any] = {}
    while alive:
        try:
            arms, facts = _measured(alive, place, inputs, effort, scratch, track)
            return arms, facts | more, deaths
        except (InferenceError, WorkerError) as error:
            if error.phase not in BATCHED or effort.offline_batch <= 1:
                raise
            more["batch_failed"] = f"a batch of {effort.offline_batch * effort.rows} fails: {error}"
            effort = replace(effort, offline_batch=0)
        except BudgetExceededError as error:
            if error.phase in BATCHED and effort.offline_batch > 1:
                effort = replace(effort, offline_batch=1)
                continue
            dead = next(name for name, model in alive.items() if str(model.file.resolve()) == error.model)
            deaths[dead] = Death(str(error), error.phase, error.certain)
            del alive[dead]
    return {}, {"threads": place.threads, "options": place.options, "restarts": effort.restarts}, deaths


def _measured(
    models: Mapping[str, Model], place: Place, inputs: Path, effort: Effort, scratch: Path, track: Track
) -> tuple[dict[str, Arm], dict[str, Any]]:
    taken = {name: Taken() for name in models}
    facts: dict[str, Any] = {"threads": place.threads, "options": place.options, "restarts": effort.restarts}
    facts["offline_batch"] = effort.offline_batch
    iterations = effort.iterations
    for restart in track(range(effort.restarts), f"measure under {place.runtime}, restarts", effort.restarts):
        order = list(models)[restart % len(models) :] + list(models)[: restart % len(models)]
        with ExitStack() as stack:
            workers: dict[str, Asked] = {}
            for name in order:
                workers[name] = stack.enter_context(
                    _started(models[name], place, models[name].inputs or inputs, effort.rows)
                )
                _warm_up(workers[name], taken[name], effort.warmup)
                if models[name].confined:
                    facts["confinement"] = workers[name].memory_limit.facts()
            facts |= {key: workers[order[-1]].ready[key] for key in ("versions", "signature", "cores")}
            if restart == 0 and effort.most_s is not None:
                iterations = affordable(effort, [one.samples[WARMUP_WALL] for one in taken.values()])
            pin(workers, place, restart)
            _take_turns(place.host, workers, taken, "single_stream", iterations)
            for name, worker in workers.items():
                _weigh(worker, taken[name])
            if effort.offline_batch:
                _take_turns(
                    place.host, workers, taken, "offline", effort.offline_batches, batch=effort.offline_batch
                )
            for name, worker in workers.items():
                if effort.offline_batch:
                    taken[name].memory[-1]["offline"] = worker.ask("memory")["memory"]
                if restart == effort.restarts - 1:
                    facts["harness_ns"] = worker.ask("harness")["harness_ns"]
                    own = models[name].inputs or inputs
                    _ask_all(worker, taken[name], own, scratch / f"{name}.npz", effort)
    facts["noise"] = {name: one.blocks for name, one in taken.items()}
    facts["energy_per_inference_mj"] = {
        name: float(np.median(one.energy_uj)) / 1e3 if one.energy_uj else None for name, one in taken.items()
    }
    facts["audit"] = {name: one.audit(effort.rows) for name, one in taken.items()}
    return {name: _arm(taken[name], model) for name, model in models.items()}, facts


def affordable(effort: Effort, warmups: list[list[list[int]]]) -> int:
    """As many iterations a restart as its share of the time that `effort` has leaves room for, offline
    batches included; no more than asked for.

    warmups: of each model, by restart so far, the latencies of its warm-up, ns.
    """
    assert effort.most_s is not None
    one_of_each = sum(float(np.median(restarts[-1])) for restarts in warmups) / 1e9
    room = effort.most_s / effort.restarts / max(one_of_each, 1e-9)
    offline = effort.offline_batch * effort.offline_batches
    return int(min(effort.iterations, max(8, room - offline - effort.warmup)))


def _started(model: Model, place: Place, inputs: Path, rows: int) -> Asked:
    confined = place if model.confined else replace(place, memory_bytes=None)
    return place.host.start(confined, model.file, inputs, rows)


def _warm_up(worker: Asked, taken: Taken, count: int) -> None:
    """The cold start, and the first answers after it, apart from all that are timed."""
    taken.samples[COLD_START].append(worker.cold_start_ns)
    taken.samples[LOAD].append(worker.ready[LOAD])
    taken.samples[WARMUP_WALL].append(worker.ask("single_stream", count=count)[WALL])


def _weigh(worker: Asked, taken: Taken) -> None:
    """What one example at a time has made the process hold."""
    held = worker.ask("memory")["memory"]
    cgroup = worker.memory_limit.anonymous_bytes()
    held |= {} if cgroup is None else {"cgroup_anonymous_bytes": cgroup}
    taken.memory.append(worker.ready["memory"] | {"steady": held})
    taken.samples[PEAK_MEMORY].append(held["peak_bytes"])
    taken.samples[IMPORTS_PEAK].append(worker.ready["memory"]["imports"]["peak_bytes"])


def _take_turns(
    host: Host,
    workers: Mapping[str, Asked],
    taken: Mapping[str, Taken],
    scenario: str,
    count: int,
    **details: Any,
) -> None:
    """`count` samples of every model, in blocks forwards and backwards."""
    found: dict[str, dict[str, list[int]]] = {name: defaultdict(list) for name in workers}
    blocks = min(BLOCKS, count)
    for block in range(blocks):
        size = count // blocks + (1 if block < count % blocks else 0)
        names = list(workers) if block % 2 == 0 else list(workers)[::-1]
        for name in names:
            before = host.noise()
            reply = workers[name].ask(scenario, count=size, **details)
            taken[name].blocks.append(noise.during(before, host.noise(), reply["switches"]))
            energy = taken[name].blocks[-1]["energy_uj"]
            if scenario == "single_stream" and energy is not None:
                taken[name].energy_uj.append(energy / size)
            if "answer" in reply:
                taken[name].timed_answers[reply["asked"]] = reply["answer"]
            for clock in (WALL, CPU):
                found[name][clock] += reply[clock]
    for name, clocks in found.items():
        for clock, values in clocks.items():
            taken[name].samples[of_scenario(scenario, clock)].append(values)


def _ask_all(worker: Asked, taken: Taken, inputs: Path, to: Path, effort: Effort) -> None:
    """Every example's answer, and how fast one is given again."""
    batch = effort.offline_batch or 1

    def outputs(batch: int) -> dict[str, Answer]:
        worker.ask("outputs", inputs=str(inputs.resolve()), to=str(to.resolve()), batch=batch)
        found = answers.load(to)
        to.unlink()
        return found

    taken.outputs = outputs(batch)
    errors = answers.timed_errors(taken.outputs, taken.timed_answers, effort.rows)
    if batch > 1 and max(errors.values(), default=0.0) > MOST_TIMED_ERROR:
        taken.alone = outputs(1)
    reply = worker.ask("repeated", count=REPEATED)
    taken.repeated, taken.fresh = reply["repeated_ns"], reply["fresh_ns"]


def _arm(taken: Taken, model: Model) -> Arm:
    first = next(iter(taken.outputs.values()))
    return Arm(
        samples={key: np.asarray(values, np.int64) for key, values in taken.samples.items()},
        logits=first if isinstance(first, np.ndarray) else np.empty((0, 0), np.float32),
        outputs=taken.outputs,
        memory=_medians(taken.memory),
        file_size_bytes=sum(size for size, _ in model.files.values()),
        file_sha256={file: digest for file, (_, digest) in model.files.items()},
        parameter_bytes=model.parameter_bytes,
    )


def _medians(restarts: list[dict[str, dict[str, int]]]) -> dict[str, dict[str, int]]:
    return {
        phase: {
            kind: int(statistics.median(restart[phase][kind] for restart in restarts))
            for kind in restarts[0][phase]
        }
        for phase in restarts[0]
    }
