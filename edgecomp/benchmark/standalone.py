"""Any model file on any target: nothing is known of it but its signature."""

import datetime
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from textwrap import shorten
from typing import Any

import numpy.typing as npt

from edgecomp import inputs as named
from edgecomp import machine
from edgecomp.artifacts.places import check_writable
from edgecomp.benchmark import result
from edgecomp.benchmark.given_files import check_file, is_trusted
from edgecomp.benchmark.hosts.device import at
from edgecomp.benchmark.hosts.host import Host
from edgecomp.benchmark.hosts.process import Place
from edgecomp.benchmark.inputs import generated
from edgecomp.benchmark.inputs.examples import Evaluation, read
from edgecomp.benchmark.inputs.prompts import made_up
from edgecomp.benchmark.inputs.signatures import rows_of, signature_of, unlike_first
from edgecomp.benchmark.profiling import profiled
from edgecomp.benchmark.scenarios import served
from edgecomp.benchmark.scenarios.alternated import Effort, measure
from edgecomp.benchmark.scenarios.further import (
    GENERATE,
    GIVE,
    LENGTHS,
    RUN,
    STREAMED,
    WARMUP,
    Options,
    Setting,
)
from edgecomp.benchmark.stage import described, quality
from edgecomp.benchmark.texts import LINES, Texts, texts_for
from edgecomp.benchmark.worker import answers
from edgecomp.config.target import Shapes, Target, check_cores
from edgecomp.errors import BudgetExceededError, EdgecompError, UsageError, nearest
from edgecomp.files.writing import digest_of
from edgecomp.metrics.registry import (
    ENERGY,
    FILE_SIZE,
    LATENCY_P50,
    LATENCY_P99,
    THROUGHPUT,
)
from edgecomp.progress import Stop, Track
from edgecomp.runtimes import TABLE, Port, endpoints
from edgecomp.runtimes.files import integer_weights
from edgecomp.runtimes.formats import all_parts
from edgecomp.stats.figure import Figure
from edgecomp.stats.order_statistics import samples_needed

EXAMPLES = 16
BATCH, BATCHES = 32, 8  # of offline
MOST_SHOWN = 160  # characters of a reason in a table; bench.json has all of it
ENOUGH = 2 * samples_needed(99)  # inferences a restart


def bench_model(
    model: Path,
    target: Target,
    options: Options,
    *,
    given: Path | None,
    folder: Path,
    track: Track,
    stop: Stop | None = None,
) -> dict[str, Any]:
    """Measures a `model` file on `target` as the `options` say, and writes the result into `folder`, a new
    one. given: an .npz or .parquet file of examples, or None: they are made up. track: is told how far it
    is; stop: ends it before its time, on a device.

    Returns what bench.json holds; a scenario that fails says so in it, and leaves the others. Raises
    UsageError, ModelFileError, DataError, BudgetExceededError, RuntimeUnavailableError, WorkerError.
    """
    check(model, target, options, folder, given)
    if given is not None and (options.shape or options.range):
        raise UsageError(
            "--shape and --range are of inputs that are made up, and --inputs gives real ones: leave out one or the other"
        )
    if TABLE[target.runtime].generates and (options.shape or options.range):
        raise UsageError(
            "--shape and --range are of arrays, and a language model's prompts are made up of its tokenizer's tokens: give your own with --inputs"
        )
    with at(target, stop) as host:
        return _benched(model, target, options, host, given=given, folder=folder, track=track)


def _benched(
    model: Path,
    target: Target,
    options: Options,
    host: Host,
    *,
    given: Path | None,
    folder: Path,
    track: Track,
) -> dict[str, Any]:
    began = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    place, load_before = Place.of(target, options.timeout_s, host), host.load()
    place = replace(place, trusted=is_trusted(model, options.trust))
    inputs, outputs = signature_of(place, model)
    fixed = rows_of(inputs)
    shapes = generated.shapes_of(target.shapes, options.shape, options.range)
    generated.check_names(inputs, options.shape, options.range)
    rows = generated.at_once(inputs, shapes)
    texts = texts_for(model, given) if STREAMED in options.scenarios or _are_lines(given) else None
    read_in = _read(given, inputs, texts)
    made = None if read_in else _made_up(model, place, inputs, shapes, rows)
    examples = read_in.inputs if read_in else made.inputs if made else {}
    axes = {**(read_in.axes if read_in else unlike_first(inputs)), **unlike_first(outputs)}
    if (there := named.count(examples)) < rows:
        raise UsageError(f"{given} has {there} examples, and target {target.name} takes {rows} at once: give {rows} at least, or lower "
                         "its shapes.batch")  # fmt: skip
    is_single = fixed is not None or TABLE[place.runtime].generates  # texts are read one by one
    batch = (
        1 if is_single else max(1, min(BATCH, generated.MOST_BYTES // max(1, query_bytes(examples, rows))))
    )
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        named.save(examples, scratch / "inputs", axes)
        try:
            first = first_figures(model, place, scratch, options, rows, batch, track)
        except EdgecompError as error:
            raise generated.blamed(error, made, GIVE) from error
        alone_ms, limit_ms = _median_ms(first.metrics), limit_of(target, first.metrics)
        setting = Setting(
            place,
            model,
            scratch / "inputs",
            rows,
            fixed is not None,
            options,
            alone_ms,
            limit_ms,
            scratch,
            track,
            texts,
        )
        scenarios, failed, over_budget = {}, {}, []
        for scenario in options.scenarios or ((GENERATE,) if TABLE[place.runtime].generates else ()):
            try:
                scenarios[scenario], samples, more = RUN[scenario](setting)
            except EdgecompError as error:
                failed[scenario] = str(generated.blamed(error, made, GIVE))
                over_budget += [scenario] if isinstance(error, BudgetExceededError) else []
                continue
            first.metrics.update(more)
            first.samples.update({f"{scenario}.{name}": values for name, values in samples.items()})
        content: dict[str, Any] = {
            "model": endpoints.shown(model),
            "target": target.model_dump(mode="json"),
            "target_sha256": digest_of(target.model_dump(mode="json")),
            "inputs": str(given) if given else texts.facts["file"] if texts else "generated",
            "made_up": made.words if made else {},
            "input_shapes": {
                port.name: [port.dtype or str(examples[port.name].dtype), *examples[port.name].shape[1:]]
                for port in inputs
            },
            "rows": rows,
            "asked": asdict(options),
            "began": began,
            "machine": host.facts(),
            "load_before": load_before,
            "load_after": host.load(),
            **first.facts,
            "metrics": {name: result.as_json(one) for name, one in first.metrics.items()},
            "saturation": ""
            if TABLE[target.runtime].computes_elsewhere
            else integer_weights.warning(model, machine.host_isa()),
            "not_supported": first.missing,
            "scenarios": scenarios,
            "failed": failed,
            "over_budget": over_budget,  # of those that failed, by a limit of the target
        }
        content |= {"doubts": result.doubts(content), "notes": result.notes(content)}
        if options.profile:
            content["profile"] = profiled(
                place, model=model, inputs=scratch / "inputs", rows=rows, folder=scratch
            )
        result.save(folder, content, first.samples, pictures=sorted(scratch.glob("*.svg")))
    return content


def _made_up(model: Path, place: Place, inputs: Sequence[Port], shapes: Shapes, rows: int) -> generated.Made:
    if TABLE[place.runtime].generates:
        return made_up(model.parent, LENGTHS[0], EXAMPLES)
    return generated.generate(inputs, shapes, rows=rows, queries=EXAMPLES, seed=0)


def _are_lines(given: Path | None) -> bool:
    return given is not None and given.suffix == LINES


def _read(given: Path | None, inputs: Sequence[Port], texts: Texts | None) -> Evaluation | None:
    """The examples of a file, or of lines of text; None where they are made up."""
    if texts is not None and (given is None or _are_lines(given)):
        return Evaluation(texts.inputs(EXAMPLES))
    return None if given is None else read(given, inputs)


@dataclass(frozen=True)
class First:
    """What is always measured: figures, why another is not there, facts and raw samples."""

    metrics: dict[str, Figure]
    missing: dict[str, str]
    facts: dict[str, Any]
    samples: dict[str, npt.NDArray[Any]]


def first_figures(
    model: Path, place: Place, scratch: Path, options: Options, rows: int, batch: int, track: Track
) -> First:
    """Single stream, offline and cold start of `model` at `place`, of the examples in `scratch`/inputs. rows:
    examples at once; batch: queries of an offline one; options, track: as in `bench_model`. Raises
    BudgetExceededError."""
    arms, facts, deaths = measure(
        {"model": described(model, 0, confined=True)},
        place=place,
        inputs=scratch / "inputs",
        effort=Effort(options.restarts, WARMUP, ENOUGH, batch, BATCHES, most_s=options.max_time_s, rows=rows),
        scratch=scratch,
        track=track,
    )
    for death in deaths.values():
        raise BudgetExceededError(death.message, model=str(model), phase=death.phase, certain=death.certain)
    arm, noise = arms["model"], facts["noise"]["model"]
    is_remote = TABLE[place.runtime].remote
    graded, arm = quality(arm, noise, place)._asdict(), served.of_the_server(arm) if is_remote else arm
    metrics, missing = result.figures(arm, facts["offline_batch"] * rows)
    if "batch_failed" in facts:
        missing[THROUGHPUT] = f"not run: {shorten(facts['batch_failed'], MOST_SHOWN)}"
    energy = facts.pop(ENERGY)["model"]
    if is_remote:
        missing |= served.NOT_OURS
    else:
        metrics[FILE_SIZE] = result.known(float(arm.file_size_bytes), "bytes")
    if energy is None:
        missing.setdefault(ENERGY, "unavailable: no sensor here (RAPL)")
    elif not is_remote:
        metrics[ENERGY] = result.unbounded(energy, "energy", options.restarts)
    facts |= {
        "noise": noise,
        "audit": facts["audit"]["model"],
        "quality": graded,
        "memory": arm.memory,
        "file_sha256": arm.file_sha256,
    }
    outputs = {f"outputs.{name}": values for name, values in answers.packed(arm.outputs).items()}
    return First(metrics, missing, facts, dict(arm.samples) | {"outputs": arm.logits} | outputs)


def check(model: Path, target: Target, options: Options, folder: Path, given: Path | None = None) -> None:
    """Refuses before anything is started, as `bench_model` with the same `model`, `target`, `options`,
    `folder` and `given` would. Raises UsageError, ModelFileError."""
    check_file(model, target)
    check_cores(target)
    for scenario in options.scenarios:
        if scenario not in RUN:
            raise UsageError(
                f"no such scenario: {scenario!r}{nearest(scenario, RUN)}; there are {', '.join(RUN)}"
            )
    if folder.exists():
        raise UsageError(f"{folder} is there already, and results are not changed: name another with --out")
    check_writable(folder, "--out", [*all_parts(model), *filter(None, [given])])


def query_bytes(examples: named.Inputs, rows: int) -> int:
    """What one query of `rows` of the `examples` takes."""
    return sum(rows * values[:1].nbytes for values in examples.values())


def limit_of(target: Target, metrics: Mapping[str, Figure]) -> float:
    """What a served request may take at the 99th percentile, in ms: the budget of `target`, or ten times the
    median alone, of its `metrics`."""
    rows = target.budget_rows()
    if LATENCY_P99 in rows:
        return rows[LATENCY_P99].limit.value
    return 10 * _median_ms(metrics)


def _median_ms(metrics: Mapping[str, Figure]) -> float:
    found = metrics[LATENCY_P50].estimate
    assert found is not None
    return found
