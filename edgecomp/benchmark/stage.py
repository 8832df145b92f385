"""The bench stage for one target: the files a device would get, measured under its runtime, and recorded."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from edgecomp import inputs
from edgecomp.artifacts.run_folder import NOT_RUN
from edgecomp.benchmark.emulation import answers_as, judged
from edgecomp.benchmark.hosts.emulators import this_cpu
from edgecomp.benchmark.hosts.host import Host
from edgecomp.benchmark.hosts.process import Place
from edgecomp.benchmark.quality import Quality, grade
from edgecomp.benchmark.scenarios import streaming
from edgecomp.benchmark.scenarios.alternated import Effort, Model, measure
from edgecomp.benchmark.texts import Texts
from edgecomp.config.target import Target
from edgecomp.data.preprocessing import Preprocessing
from edgecomp.data.splits import Split
from edgecomp.errors import (
    BudgetExceededError,
    DeviceError,
    InferenceError,
    RuntimeUnavailableError,
    WorkerError,
)
from edgecomp.files.json_files import read_json, read_mapping
from edgecomp.files.writing import sha256
from edgecomp.metrics.measurements import Arm, Death, Measurements
from edgecomp.metrics.samples import SINGLE_STREAM_CPU, STREAM_WALL
from edgecomp.progress import Track
from edgecomp.runtimes import TABLE, StandIn
from edgecomp.runtimes.formats import all_parts
from edgecomp.stats.intervals import Values
from edgecomp.tasks import Labels


def bench_target(
    *,
    target: str,
    place: Place,
    models: dict[str, Path],
    student: str,
    without_float_layer: dict[str, Path],
    parameters: Mapping[str, int],
    parity_file: Path | None,
    references_file: Path | None,
    precision_file: Path | None,
    test: Split,
    preprocessing: Preprocessing,
    own_preprocessing: Mapping[str, Preprocessing],
    effort: Effort,
    folder: Path,
    track: Track,
    gated: bool = True,
    why_not: str = "",
    score: Callable[[Mapping[str, Any], Labels], Values] | None = None,
    known_before: Mapping[str, Any] | None = None,
    texts: Texts | None = None,
) -> None:
    """Writes measurements.json, samples.npz and outputs.npz into `folder`. target: its name; place: where its
    models run; models: arm → model file; `student` is judged. parameters: bytes by arm.
    score: (outputs by name, labels) → [examples], by the user's own function. known_before: of a student that has learnt new classes, places of the
    old ones' examples and whether it was right before. texts: that the student is asked as a stream; None: it is not.

    without_float_layer: layer left in float → the file in which it is in integers, for the time it costs.
    parity_file, references_file, precision_file: what other steps found of the exported files, of the student
    as trained and of its precision; None where they did not run. test: the split that is asked, by way of
    `preprocessing`, or of an arm's `own_preprocessing`; effort: how much is measured; track: is told how far it is. A runtime that is not here,
    or a worker that dies, is recorded as the reason why nothing was measured: other targets go on; so is `why_not`, which the device could not be reached for. Of a
    gated target the runtime's stand-in gives the answers then, and nothing else.
    """
    asked = folder / "inputs"
    inputs.save(preprocessing.apply(test.arrays), asked)
    own = {arm: folder / f"inputs_{arm}" for arm in own_preprocessing}
    for arm, made in own_preprocessing.items():
        inputs.save(made.apply(test.arrays), own[arm])
    settled = partial(measure, place=place, inputs=asked, scratch=folder, track=track)
    models_described = {
        arm: replace(described(file, parameters[arm], confined=arm == student), inputs=own.get(arm))
        for arm, file in models.items()
    }
    load_before, not_run = _load(place.host), ""
    arms: dict[str, Arm] = {}
    deaths: dict[str, Death] = {}
    facts: dict[str, Any] = {}
    try:
        if why_not:
            raise DeviceError(why_not)
        arms, facts, deaths = settled(models_described, effort=effort)
        if without_float_layer and student in arms:
            facts["float_layer_cost_ms"] = _float_layers(
                settled, models[student], without_float_layer, effort
            )
        if texts is not None and student in arms:
            arms[student], told = _streamed(
                arms[student], place, models[student], asked, texts, effort, track
            )
            facts |= told
    except (RuntimeUnavailableError, WorkerError, InferenceError) as error:
        arms, not_run = {}, str(error)
        (folder / NOT_RUN).write_text(f"{error}\n", encoding="utf-8")
        stand_in = (
            TABLE[place.runtime].stand_in if gated and isinstance(error, RuntimeUnavailableError) else None
        )
        if stand_in is not None:
            arms = _answered_by(stand_in, models_described, asked, place, folder)
            facts["stand_in"] = stand_in.said
    if student in arms and not not_run:
        facts["quality"] = quality(arms[student], facts["noise"][student], place)._asdict()
    if precision_file is not None:
        precision = read_mapping(precision_file, "fp32_accuracy_pct", "accuracy_pct")
        facts["validation_drop_pt"] = precision["fp32_accuracy_pct"] - precision["accuracy_pct"]
    if known_before is not None:
        facts["known_before"] = known_before
    parity = read_mapping(parity_file) if parity_file else {}
    if references_file is not None and references_file.is_file():
        facts["as_trained_sqnr_db"] = read_json(references_file)
    for one in (asked, *own.values()):
        inputs.delete(one)
    Measurements(
        target=target,
        runtime=place.runtime,
        arms={
            arm: replace(
                measured,
                logits=judged(measured.outputs) if len(measured.outputs) > 1 else measured.logits,
                parity=parity.get(arm),
                scores=None if score is None else score(measured.outputs, test.labels),
            )
            for arm, measured in arms.items()
        },
        student=student,
        labels=test.labels,
        slices=test.slices,
        offline_batch=facts.get("offline_batch", effort.offline_batch),
        deaths=deaths,
        not_run=not_run,
        facts=facts
        | {"machine": place.host.facts(), "load_before": load_before, "load_after": _load(place.host)}
        | {"classes": list(preprocessing.classes), "task": preprocessing.task}
        | ({"target_std": list(preprocessing.target_std)} if preprocessing.target_std else {}),
    ).save(folder)


def _streamed(
    arm: Arm, place: Place, model: Path, asked: Path, texts: Texts, effort: Effort, track: Track
) -> tuple[Arm, dict[str, Any]]:
    """The student with samples of a stream, and what is told of it; or why there are none."""
    try:
        with TemporaryDirectory() as scratch:
            rates, told = streaming.fastest(
                place, model=model, inputs=asked, rows=1, texts=texts, restarts=effort.restarts, rate_per_s=None, scratch=Path(scratch), track=track,
            )  # fmt: skip
    except (BudgetExceededError, RuntimeUnavailableError, WorkerError, InferenceError) as error:
        return arm, {"stream_failed": str(error)}
    samples = {**arm.samples, STREAM_WALL: np.rint(1e9 / rates).astype(np.int64)}
    return replace(arm, samples=samples), {"stream": told}


def _load(host: Host) -> float | None:
    """None of a device that is lost meanwhile."""
    try:
        return host.load()
    except DeviceError:
        return None


def _answered_by(
    stand_in: StandIn, models: Mapping[str, Model], asked: Path, place: Place, scratch: Path
) -> dict[str, Arm]:
    """What each model answers, with no sample of time and no memory. Raises what a worker raises."""

    def logits(model: Model) -> Any:
        options, given = stand_in.options_under(place.options), inputs.load(model.inputs or asked)
        found, _ = answers_as(
            this_cpu(), stand_in.runtime, options, model.file, {"asked": given}, place.timeout_s, scratch
        )
        return found["asked"]

    return {
        name: Arm(
            samples={},
            logits=logits(model),
            memory={},
            file_size_bytes=sum(size for size, _ in model.files.values()),
            file_sha256={file: digest for file, (_, digest) in model.files.items()},
            parameter_bytes=model.parameter_bytes,
        )
        for name, model in models.items()
    }


def quality(arm: Arm, blocks: list[dict[str, float | None]], at: Place | Target) -> Quality:
    """How far the figures of time of one model, `arm`, can be trusted. blocks: of noise, as `noise.during`
    gives them; at: of what the threads and the runtime are."""
    return grade(arm.samples, blocks, threads=at.threads, waits=TABLE[at.runtime].computes_elsewhere)


def _float_layers(
    settled: Callable[..., Any], student: Path, without: Mapping[str, Path], effort: Effort
) -> dict[str, float]:
    compared = {"student": student, **without}
    costs, _, _ = settled(
        {name: described(file, 0) for name, file in compared.items()},
        effort=replace(effort, restarts=min(3, effort.restarts)),
    )
    return {layer: cost_ms(costs["student"], costs[layer]) for layer in without}


def cost_ms(with_float: Arm, without: Arm) -> float:
    """CPU time that a layer in float adds to one inference: the median over restarts of the medians'
    difference. with_float, without: the model with that layer in float, and in integers."""
    medians = [np.median(arm.samples[SINGLE_STREAM_CPU], axis=1) for arm in (with_float, without)]
    return float(np.median(medians[0] - medians[1]) / 1e6)


def described(file: Path, parameter_bytes: int, confined: bool = False) -> Model:
    """The model in `file`, with the size and sha256 of all its parts. parameter_bytes: of its weights;
    confined: whether it must fit into the target's memory."""
    return Model(
        file=file,
        files={part.name: (part.stat().st_size, sha256(part)) for part in all_parts(file)},
        parameter_bytes=parameter_bytes,
        confined=confined,
    )
