"""`edgecomp bench` of model files: devices at the same time, this machine's targets in turn, each result kept as soon as it is there."""

import datetime
import os
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from edgecomp.api.module import Example, file_for
from edgecomp.api.results import Benched, BenchResult
from edgecomp.benchmark.given_files import check_trust, name_of
from edgecomp.benchmark.scenarios.further import Options
from edgecomp.benchmark.standalone import bench_model
from edgecomp.config.job import read_job
from edgecomp.config.target import Target, load_target
from edgecomp.errors import BudgetExceededError, EdgecompError, UsageError, WorkerError
from edgecomp.files.json_files import read_mapping
from edgecomp.files.writing import write_json
from edgecomp.history.record import of_bench, remember
from edgecomp.history.store import STORE
from edgecomp.progress import Listener, Silent, Stop, at_once
from edgecomp.report.bench_page import metrics_of, write_page
from edgecomp.runtimes import TABLE, endpoints, formats
from edgecomp.runtimes.formats import target_for

if TYPE_CHECKING:
    from torch import nn


Measured = tuple[str, Path, dict[str, Any] | EdgecompError]
"""A target's name, its result's folder, and what bench.json holds, or why there is nothing."""


def bench(
    model: "Path | str | nn.Module",
    targets: Sequence[str] = (),
    *,
    example: "Example | None" = None,
    inputs: Path | str | None = None,
    shape: Sequence[str] = (),
    range: Sequence[str] = (),
    scenarios: Sequence[str] = (),
    restarts: int = 7,
    max_time_s: float = 60.0,
    minutes: float = 10.0,
    clients: int = 4,
    rate: float | None = None,
    profile: bool = False,
    trust: Sequence[Path | str] = (),
    out: Path | str | None = None,
    history: Path | str | None = STORE,
    listener: Listener | None = None,
) -> BenchResult:
    """Measures a model on this machine, under each target.

    model: a model file, a run folder, of which what is deployed is measured, a deployed folder, the address of a model behind a server
    (`http://HOST/v2/models/NAME`, `grpc://…`), or a network, with an `example` of its inputs. targets:
    device profiles, by name or file; the file's own runtime where none is given. inputs: examples by input name (.npz, .parquet), or lines of text (.txt), instead
    of made-up ones, of which `shape` (`AXIS=N`) and `range` (`INPUT=LOW:HIGH`) say what they are. scenarios: `multi-stream`, `server`,
    `dynamic-batching`, `stream`, `sustained` or `stress`, besides single stream, offline and cold start. restarts: processes, one after another;
    six and more bound a figure at 95 %. max_time_s: for single stream and offline, together. minutes: of each of `sustained` and
    `stress`; clients: of `stress`, at most; rate: lines a second that arrive in `stream`, half of what it can where None. profile: time by layer and by stack, in a run apart. trust: .pt2 and .ts files that may run
    code. out: a new folder, of one target. history: the file that results are appended to, None for none. listener: told of
    progress.

    What one target cannot do is among the result's `errors`, and the others go on. Raises UsageError before anything is measured.
    """
    listener = listener or Silent()
    options = Options(
        scenarios,
        restarts,
        max_time_s,
        minutes,
        clients,
        profile,
        trust=tuple(map(str, trust)),
        shape=shape,
        range=range,
        rate=rate,
    )
    with TemporaryDirectory(prefix="edgecomp-bench-") as scratch:
        if not isinstance(model, Path | str):
            named = [load_target(name) for name in targets or ("onnxruntime-cpu",)]
            jobs = [
                (file_for(model, example, target, Path(scratch) / target.name), target) for target in named
            ]
            what = Path(type(model).__name__)
        else:
            what = path_of(model, Path(scratch))
            jobs = jobs_of(what, targets)
        found = list(each(what, jobs, options, _path(inputs), _path(out), _path(history), listener))
    done = in_order([one for one in found if isinstance(one, Benched)], jobs)
    errors = {name: error for one in found if isinstance(one, dict) for name, error in one.items()}
    return BenchResult(done, errors | failures(done))


def failures(done: Sequence[Benched]) -> dict[str, EdgecompError]:
    """By `TARGET, SCENARIO`, why a further scenario could not be measured. done: the results of all
    targets."""
    return {
        f"{one.target}, {scenario}": BudgetExceededError(reason)
        if scenario in one.content.get("over_budget", ())
        else WorkerError(reason)
        for one in done
        for scenario, reason in one.content["failed"].items()
    }


def in_order(done: Sequence[Benched], jobs: Sequence[tuple[Path, Target]]) -> list[Benched]:
    """What was `done` of the `jobs`, in their order: devices end when they end."""
    order = [target.name for _, target in jobs]
    return sorted(done, key=lambda one: order.index(one.target))


def each(
    what: Path,
    jobs: Sequence[tuple[Path, Target]],
    options: Options,
    inputs: Path | None,
    out: Path | None,
    history: Path | None,
    listener: Listener,
) -> Iterator[Benched | dict[str, EdgecompError]]:
    """Each target's result as soon as it is kept, or by target why there is none.

    what: the model file or run folder that is named, which names the results' folders; jobs: of it, which
    file is measured under which target; options: of every one; inputs: a file of examples, None for made-up
    ones; out: a new folder, of one target, None for one below runs/bench; history: the file that results are
    appended to, None for none; listener: told of progress. Raises UsageError for several targets and one
    folder.
    """
    check_trust(options.trust, [model for model, _ in jobs])
    if out is not None and len(jobs) > 1:
        raise UsageError(f"--out {out} is one folder, and there are {len(jobs)} targets: leave it out")

    def measured(model: Path, target: Target, stop: Stop | None = None) -> Measured:
        now = datetime.datetime.now(datetime.UTC).strftime("%Y%m%dT%H%M%S")
        folder = out or Path("runs") / "bench" / f"{name_of(what)}-{target.name}" / now
        try:
            content = bench_model(
                model, target, options, given=inputs, folder=folder, track=listener.track, stop=stop
            )
        except EdgecompError as error:
            return target.name, folder, error
        return target.name, folder, content

    for name, folder, content in _each_measured(jobs, measured):
        if isinstance(content, EdgecompError):
            listener.failed(name, "not run", str(content))
            yield {name: content}
            continue
        for scenario, reason in content["failed"].items():
            listener.failed(f"{name}, {scenario}", "failed", reason)
        if options.profile and what.is_dir():
            _profile_training(what, folder, listener)
        try:
            write_page(folder)
        except OSError as error:
            listener.note(f"{folder}/bench.html was not written: {error.strerror or error}")
        if history is not None:
            remember(of_bench(content, metrics_of(content), folder), history, listener.note)
        for note in content["notes"]:
            listener.note(note)
        yield Benched(folder, content)


def _each_measured(
    jobs: Sequence[tuple[Path, Target]], measured: Callable[..., Measured]
) -> Iterator[Measured]:
    """What comes of each of the `jobs`, as soon as it is there: first of devices, all at the same time and of one in turn, then of this machine, on which nothing
    else is measured meanwhile. measured: does one."""
    away: dict[str, list[Callable[[], None]]] = {}
    found, stop = queue.SimpleQueue[Measured | list[BaseException]](), Stop()

    def put(model: Path, target: Target) -> None:
        found.put(measured(model, target, stop))

    for model, target in jobs:
        if target.host is not None:
            away.setdefault(target.host, []).append(partial(put, model, target))
    if away:
        waiting = threading.Thread(target=lambda: found.put(at_once(away, stop)), daemon=True)
        waiting.start()
        try:
            while not isinstance(one := found.get(), list):
                yield one
        finally:  # nobody may want the others any more
            stop.tell()
            waiting.join()
        for error in one:
            raise error
    for model, target in jobs:
        if target.host is None:
            yield measured(model, target)


def path_of(what: Path | str, scratch: Path) -> Path:
    """The path of `what`, a model file, a folder, or the address of a model behind a server, for which a file in `scratch` stands. Raises UsageError."""
    return endpoints.written(str(what), scratch) if endpoints.is_url(what) else Path(what)


def jobs_of(what: Path, names: Sequence[str]) -> list[tuple[Path, Target]]:
    """Which file under which target. Of a run folder, targets by name are its job's, and the files those of its targets.

    what: a model file, a run folder or a deployed one, as `path_of` has it; names: of targets, empty for those that the run deployed for, or the
    file's own runtime. Raises UsageError where there is none.
    """
    if (what / formats.CONTRACT).is_file():
        runtime = str(read_mapping(what / formats.CONTRACT, "runtime")["runtime"])
        what = formats.deployed_in(what, runtime)
        if not names and runtime in TABLE and TABLE[runtime].generates:
            names = [runtime]  # whose file's suffix is another runtime's
    if what.is_dir():
        job = read_job(what)
        known = {target.name: target for target in (*job.targets, *job.ungated_targets)}
        deployed = [target.name for target in job.targets if (what / "deploy" / target.name).is_dir()]
        if not deployed:
            raise UsageError(f"{what} has nothing deployed: name a model file, or `edgecomp run` first")
        targets = [known[name] if name in known else load_target(name) for name in names or deployed]
        return [(_deployed(what, target, deployed), target) for target in targets]
    chosen = list(names) or list(filter(None, [target_for(what)]))
    if not chosen:
        raise UsageError(f"{what}: name a target for it with --target")
    return [(what, load_target(name)) for name in chosen]


def _deployed(run: Path, target: Target, deployed: Sequence[str]) -> Path:
    """The target's own file, or that of a target which takes the same kind."""
    wanted = TABLE[target.runtime].model_file
    for name in sorted(deployed, key=lambda name: name != target.name):
        file = run / "deploy" / name / wanted
        if file.is_file():
            return file
    raise UsageError(f"{run} deploys no {wanted} for {target.name}: it has {', '.join(deployed)}")


def _profile_training(run_folder: Path, folder: Path, listener: Listener) -> None:
    """training.json, and a trace, beside the result."""
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # the profiler's chatter, read when torch is imported
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    from edgecomp.pipeline.loaders import Run
    from edgecomp.pipeline.stages import measuring

    found = measuring.profile_training(Run(read_job(run_folder), run_folder, listener.track), folder)
    write_json(folder / "training.json", found)


def _path(given: Path | str | None) -> Path | None:
    return None if given is None else Path(given)
