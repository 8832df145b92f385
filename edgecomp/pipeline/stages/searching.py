"""A candidate of a search for the student: measured before it is trained, then distilled for a little and scored on the validation split."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from edgecomp.config.parts.shrink.search import Search
from edgecomp.config.parts.teachers import Student
from edgecomp.config.schema import explain
from edgecomp.config.target import Target
from edgecomp.errors import EdgecompError, RuntimeUnavailableError, UsageError
from edgecomp.machine import gpus
from edgecomp.metrics.estimators.latency import calls_needed
from edgecomp.metrics.registry import FILE_SIZE, METRICS, PARAMETERS, THROUGHPUT
from edgecomp.models import check_arguments
from edgecomp.pipeline import loaders, practice
from edgecomp.pipeline.loaders import Run
from edgecomp.pipeline.stages import learning
from edgecomp.runtimes import TABLE
from edgecomp.runtimes.formats import all_parts, format_of, is_pytorch
from edgecomp.shrink.budget import Limit, broken, limits_of
from edgecomp.shrink.candidates import Cost, Work
from edgecomp.shrink.study import IsWeak
from edgecomp.shrink.trials import Asking, Together, Trained, Weak

if TYPE_CHECKING:
    from torch import fx

    from edgecomp.benchmark.scenarios.alternated import Effort
    from edgecomp.pipeline.stages.cluster import Cluster

SHARED = ("data", "teacher", "soft_labels")  # steps that are made once for all candidates
CHECKPOINTS = ".checkpoints"
INPUTS = 16  # examples that a candidate is asked while it is timed
ONNX = ".onnx"  # which ONNX Runtime reads, and the IR is made of
NAME = "candidate"
MOST_TIMES, QUIET = 3, "AB"  # that a candidate is measured, and grades of its times that are enough
MOST_S = 120.0  # for the calls of one candidate on one target
IN_FLOAT = "none"  # the scheme of a target that is sent the student in float


def check(run: Run) -> None:
    """Refuses what cannot be searched, before anything is made of `run`. Raises UsageError, RuntimeUnavailableError."""
    recipe = run.job.recipe
    if not (recipe.quantize.is_trained or recipe.quantize.in_float):
        raise UsageError(f"search: a candidate is measured as it is placed for training through integers, or in float, and quantize.method is "
                         f"{recipe.quantize.method}: take quantize.method=qad, or none")  # fmt: skip
    if recipe.distill.lifelong is not None:
        raise UsageError(
            "search: distill.lifelong goes on from a student that is there: take it out, or search for the first one"
        )
    for target in run.job.targets:
        if target.isa != "host":
            raise UsageError(f"search: {target.name} is an {target.isa}, whose times cannot be measured on this machine, and nothing else is called "
                             "so: name another with -t, or a profile with the device's `host`")  # fmt: skip
        if TABLE[target.runtime].generates:
            raise UsageError(
                "search: a language model's students are its teacher's layers, and are not searched for: name them, student.arguments.layers"
            )
        if is_pytorch(target.runtime) or TABLE[target.runtime].remote:
            raise UsageError(f"search: {target.name} runs {target.runtime}; candidates are measured in ONNX Runtime and OpenVINO: name such a target "
                             "with -t")  # fmt: skip
        if TABLE[target.runtime].gpu and not gpus() and target.host is None:
            raise RuntimeUnavailableError(
                f"search: {target.name} is on a GPU, and there is none here: name another target with -t"
            )


class Candidates:
    """Students of a search, measured and scored."""

    def __init__(self, run: Run, asked: Search) -> None:
        """run: of what all of them share: the data, the teacher and its soft labels; asked: how long they learn."""
        self._run, self._asked = run, asked

    def measured(self, student: Mapping[str, Any], folder: Path) -> Cost:
        """What a `student`, as a recipe has it, takes before it is trained; folder: its own. Raises UsageError, CaptureError, WorkerError."""
        return measured(self._of(student, folder), limits(self._run))

    def work(self, student: Mapping[str, Any], folder: Path) -> Work:
        """What a `student`, as a recipe has it, does for an example, counted; folder: its own. Raises UsageError, CaptureError."""
        run = self._of(student, folder)
        return _work(run, loaders.captured(run, loaders.first_student(run).eval()))

    def scored(self, student: Mapping[str, Any], folder: Path, is_weak: IsWeak | None = None) -> float:
        """The score of a `student`, as a recipe has it, in per cent; folder: its own; is_weak: asked after each epoch. Raises Weak, EdgecompError."""
        return scored(self._of(student, folder), folder / CHECKPOINTS, is_weak)

    def _of(self, student: Mapping[str, Any], folder: Path) -> Run:
        """The run of a candidate in a `folder` of its own, to which the steps that all share are linked."""
        recipe = self._run.job.recipe
        try:
            wanted = Student.model_validate(student)
        except ValidationError as error:
            raise UsageError(f"student: {'; '.join(explain(error, Student))}") from None
        check_arguments(wanted.network, wanted.arguments, Path(self._run.job.folder))
        stages = [stage.model_copy(update={"epochs": 1}) for stage in recipe.distill.stages]
        shorter = {
            "epochs": len(stages) or self._asked.epochs,
            "stages": stages,
            "loop": recipe.distill.loop.model_copy(update={"trackers": []}),
        }
        own = recipe.model_copy(
            update={"student": wanted, "distill": recipe.distill.model_copy(update=shorter)}
        )
        for made in self._run.folder.iterdir():
            if made.is_dir() and made.name in SHARED and not (folder / made.name).is_symlink():
                (folder / made.name).symlink_to(made.resolve(), target_is_directory=True)
        return replace(self._run, job=self._run.job.model_copy(update={"recipe": own}), folder=folder)


def by_cluster(run: Run, asked: Search, cluster: "Cluster") -> tuple[Together, int]:
    """What trains candidates of `run` on the machines of a `cluster`, and how many at once: none is measured there. asked: how long they learn."""
    threads = run.job.recipe.threads

    def together(students: Sequence[Asking]) -> Iterator[tuple[int, Trained]]:
        parts = [(index, dict(one.student), asked) for index, one in enumerate(students)]
        done = cluster.done(_trained, run, SHARED, parts, threads=threads)
        for (index, *_), found in run.track(done, f"candidates, by {cluster.cores} cores", len(parts)):
            yield index, found

    return together, max(1, cluster.cores // threads)


def _trained(run: Run, part: tuple[int, Mapping[str, Any], Search]) -> Trained:
    """One candidate, on a machine of a cluster."""
    _, student, asked = part
    began = monotonic()
    try:
        with TemporaryDirectory() as name:
            score = Candidates(run, asked).scored(student, Path(name))
    except EdgecompError as error:
        return Trained(None, str(error))
    return Trained(score, seconds=round(monotonic() - began, 3))


def limits(run: Run) -> list[Limit]:
    """What every candidate of `run` is held to before it is trained."""
    from edgecomp.export.stage import parameter_bytes

    return limits_of(run.job.rows, parameter_bytes(loaders.fresh_network(run, run.job.recipe.teacher)))


def measured(run: Run, limits: Sequence[Limit]) -> Cost:
    """What the untrained student of `run` takes on each of its targets, by the target's own worker: quantised and exported as a run would, with the
    ranges of a calibration. limits: what it is held to, which decides how much is measured: nothing but its sizes where those alone are too large.
    Raises UsageError, CaptureError, WorkerError."""
    from edgecomp import inputs
    from edgecomp.inputs import some

    began = monotonic()
    network = loaders.first_student(run)
    parameters = sum(one.numel() for one in network.parameters())
    grades: dict[str, str] = {}
    died = ""
    with TemporaryDirectory(prefix="edgecomp-search-") as name:
        scratch = Path(name)
        graph = loaders.captured(run, network.eval())
        work, figures = _work(run, graph), _export(run, graph, scratch)
        if not broken(limits, figures):
            inputs.save(some(loaders.probes(run), slice(INPUTS)), scratch / "inputs")
            for target in run.job.targets:
                found, grades[target.name], why = _on(run, target, scratch, limits)
                figures[target.name] |= found
                died = died or why
    return Cost(parameters, figures, died, grades, round(monotonic() - began, 3), work)


def _work(run: Run, graph: "fx.GraphModule") -> Work:
    from edgecomp.shrink.cost_model import work_of

    return work_of(graph, [values[:1] for values in loaders.example(run).values()])


def _scheme(run: Run, target: Target) -> str:
    return IN_FLOAT if run.job.recipe.quantize.in_float else target.scheme


def _export(run: Run, graph: "fx.GraphModule", scratch: Path) -> dict[str, dict[str, float]]:
    """Writes the student of that graph into `scratch`, once for each scheme that a target takes; returns its sizes by target."""
    from edgecomp.distill.student import calibrated
    from edgecomp.export.stage import export_for_timing, parameter_bytes
    from edgecomp.quantization.capture import duplicate

    quantize = run.job.recipe.quantize
    made: dict[str, fx.GraphModule] = {}
    with loaders.distillation_data(run) as data:
        for scheme in dict.fromkeys(_scheme(run, target) for target in run.job.targets):
            made[scheme] = (
                duplicate(graph)
                if scheme == IN_FLOAT
                else calibrated(graph, data, practice.qad(run.of(scheme)), quantize.float_layers)
            )
    as_ir = any(format_of(target.runtime).suffix != ONNX for target in run.job.targets)
    export_for_timing(made, loaders.interface(run), scratch, as_ir=as_ir)
    return {
        target.name: {
            FILE_SIZE: float(sum(part.stat().st_size for part in all_parts(_file(run, target, scratch)))),
            PARAMETERS: float(parameter_bytes(made[_scheme(run, target)])),
        }
        for target in run.job.targets
    }


def _file(run: Run, target: Target, scratch: Path) -> Path:
    from edgecomp.export.stage import timing_file

    return scratch / timing_file(_scheme(run, target), target.runtime)


def _on(
    run: Run, target: Target, scratch: Path, limits: Sequence[Limit]
) -> tuple[dict[str, float], str, str]:
    """What the exported student takes on one target, how far its times can be trusted, and why it did not fit into the target's memory. Where others
    keep the host busy it is measured again: the measurement that they disturbed least stands, whatever it found."""
    from edgecomp.benchmark import result
    from edgecomp.benchmark.hosts.device import at
    from edgecomp.benchmark.hosts.process import Place
    from edgecomp.benchmark.scenarios.alternated import measure
    from edgecomp.benchmark.stage import described, quality

    model, taken = described(_file(run, target, scratch), 0, confined=True), []
    with at(target) as host:
        place = Place.of(target, run.job.recipe.bench.timeout_s, host)
        for _ in range(MOST_TIMES):
            arms, facts, deaths = measure(
                {NAME: model},
                place=place,
                inputs=scratch / "inputs",
                effort=_effort(run, target, limits),
                scratch=scratch,
                track=run.track,
            )
            if deaths:
                return {}, "", deaths[NAME].message
            graded = quality(arms[NAME], facts["noise"][NAME], place)
            taken.append((graded, result.figures(arms[NAME], facts["offline_batch"] or 1)[0]))
            if graded.grade in QUIET:
                break
    graded, found = min(taken, key=lambda one: (one[0].grade, one[0].facts["wall_over_cpu"] or 0.0))
    return {name: one.estimate for name, one in found.items() if one.estimate is not None}, graded.grade, ""


def _effort(run: Run, target: Target, limits: Sequence[Limit]) -> "Effort":
    """As much as the limits of a target need: a 99th percentile takes more calls than a median, and without a limit on throughput no batch is timed."""
    from edgecomp.benchmark.scenarios.alternated import Effort

    asked, bench = run.job.recipe.search or Search(), run.job.recipe.bench
    own = {limit.metric for limit in limits if limit.target == target.name}
    return Effort(
        restarts=asked.restarts,
        warmup=bench.warmup,
        iterations=max(bench.iterations, *(calls_needed(METRICS[one]) for one in own), 1),
        offline_batch=bench.offline_batch if THROUGHPUT in own else 0,
        offline_batches=bench.offline_batches,
        most_s=MOST_S,
    )


def scored(run: Run, checkpoints: Path, is_weak: IsWeak | None = None) -> float:
    """The score on the validation split, in per cent, of the student of `run` after a short distillation, through the integers of its calibration
    where it is quantised; of several schemes the worst. checkpoints: where a training that was killed goes on from;
    is_weak: asked after each epoch whether it may end. Raises Weak where it may, EdgecompError."""
    from edgecomp.distill.student import calibrated
    from edgecomp.training.alarms import SCORE

    def judge(done: int, figures: Mapping[str, float]) -> None:
        if is_weak is not None and is_weak(done, figures[SCORE]):
            raise Weak(done, figures[SCORE])

    out = run.folder / "distill"
    out.mkdir(exist_ok=True)
    checkpoints.mkdir(exist_ok=True)
    learning.distill(run, out, checkpoints, judge)
    schemes = dict.fromkeys(_scheme(run, target) for target in run.job.targets)
    with loaders.distillation_data(run) as data:
        if set(schemes) == {IN_FLOAT}:
            return data.score(loaders.student_fp32(run))
        graph, in_float = loaders.captured_student(run), run.job.recipe.quantize.float_layers
        return min(
            data.score(calibrated(graph, data, practice.qad(run.of(scheme)), in_float))
            for scheme in schemes
            if scheme != IN_FLOAT
        )
