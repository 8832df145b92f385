"""Everything a report shows, read once from a run folder."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgecomp import __version__, arms
from edgecomp.config.job import Job, is_for_cpus
from edgecomp.config.loss_terms import Schedule
from edgecomp.config.parts.language import TASK as LANGUAGE
from edgecomp.config.parts.rehearsal import QUICK
from edgecomp.config.parts.shrink.quantize import Quantize
from edgecomp.config.recipe import Distill
from edgecomp.config.schema import Schema
from edgecomp.files import epoch_table
from edgecomp.files.json_files import read_mapping, shaped
from edgecomp.gate.document import VerdictDocument
from edgecomp.metrics import layer_times
from edgecomp.metrics.layer_times import Layer, LayerTimes
from edgecomp.metrics.measurements import Health, Measurements
from edgecomp.metrics.samples import OFFLINE_WALL, SINGLE_STREAM_WALL, WARMUP_WALL
from edgecomp.metrics.units import format_value
from edgecomp.report import training_said
from edgecomp.report.training_said import Trainings
from edgecomp.stats.figure import Figure


@dataclass(frozen=True)
class Evidence:
    job: Job
    verdict: VerdictDocument
    measured: dict[str, Measurements]  # targets first, what is shown beside them after
    layer_times: dict[str, dict[str, LayerTimes]]  # target → arm; none of a run made before they were taken
    splits: "Splits | None"  # None: of a run that was made before the data step said so
    history: dict[str, Any]
    precision: dict[str, Any] | None  # what each layer's integers cost; None without qad
    portable: dict[str, dict[str, Any]]  # target → its file's weights, and its answers on other CPUs
    saturation: list[dict[str, Any]]  # by layer, on x86 without VNNI
    other_schemes: dict[str, dict[str, Any]]  # the same, of other targets' schemes than the first
    best_ptq: dict[str, Any]  # target → the candidate chosen, and what all of them scored
    picked: dict[str, Any]  # target → which arm has its best file, and what both scored
    cascades: dict[str, dict[str, Any]]  # target → its margin, and what it loses and hands on
    epochs: list[tuple[str, int, str, float]]  # training, epoch, figure, value; none of an older run
    exits: dict[str, Any] | None  # of the fp32 student, early ones that are kept
    teachers: dict[str, Any] | None  # where there are several, what each counts
    tried: list[dict[str, Any]]  # by `edgecomp quantize`, one way after another; none of another run
    manifest: dict[str, Any]

    @classmethod
    def read(cls, job: Job, folder: Path, verdict: VerdictDocument) -> "Evidence":
        """What a report on `job` shows, from its run folder. verdict: as its samples give it. Raises FileError, RunFolderError where a file is missing."""
        names = [target.name for target in (*job.targets, *job.ungated_targets)]
        gated = {target.name for target in job.targets}
        quantize = job.recipe.quantize
        by_layer = quantize.is_trained and job.recipe.task != LANGUAGE  # whose layers all have their bits

        def by_target(step: str, asks: Callable[[Quantize], bool]) -> dict[str, Any]:
            """What a step that some targets ask for wrote of each."""
            return {
                target.name: _json(folder / step / target.name / f"{step}.json")
                for target in job.targets
                if asks(quantize.of(target.scheme, target.runtime))
            }

        histories = [_json(folder / arm.steps[0] / "history.json") for arm in arms.trained(quantize)]
        return cls(
            job=job,
            verdict=verdict,
            measured={
                name: _measured(folder, name, asks=job.recipe.health is not None and name in gated)
                for name in names
            },
            layer_times={
                target.name: layer_times.load(folder / "bench" / target.name) for target in job.targets
            },
            splits=of_data(folder),
            history={name: epochs for one in histories for name, epochs in one.items()},
            portable={
                target.name: _json(folder / "portable" / target.name / "portable.json")
                for target in job.targets
                if is_for_cpus(job, target)
            },
            other_schemes={
                scheme: _json(folder / scheme / "precision" / "precision.json")
                for scheme in job.schemes[1:]
                if by_layer
            },
            saturation=_json(folder / "export" / "saturation.json")["layers"] if by_layer else [],
            precision=_json(folder / "precision" / "precision.json")
            if by_layer or quantize.drops_layers
            else None,
            best_ptq=by_target("ptq", arms.tries_ptq),
            picked=by_target("best", lambda asked: asked.picks),
            cascades=by_target("cascade", lambda asked: asked.hands_on),
            epochs=[
                (training, int(epoch), figure, float(value))
                for training, epoch, figure, value in epoch_table.rows(folder)
            ],
            exits=_if_there(folder / "distill" / "exits.json"),
            teachers=_if_there(folder / "soft_labels" / "teachers.json"),
            tried=_tried(folder),
            manifest=_current(_json(folder / "manifest.json"), names, job.schemes),
        )

    @property
    def health_elsewhere(self) -> dict[str, str]:
        """By target on a device, or of another CPU, that its health was asked here: what executed it, in words."""
        said = {}
        for target in self.job.targets:
            health = self.measured[target.name].health
            there = target.host or (target.isa if target.isa != "host" else "")
            if health is not None and health.answers and there:
                by = "" if health.facts.get("why") else f" by its {target.runtime}"
                said[target.name] = (
                    f"attacked and corrupted inputs, training examples and key samples were answered on the machine of the run{by}, "
                    f"and not on {there}"
                )
        return said

    @property
    def is_by_device(self) -> bool:
        """Whether a target's figures are of another machine than the run's."""
        return any(target.host is not None for target in self.job.targets)

    @property
    def asked_of_health(self) -> str:
        """Of how many examples the model's health was asked."""
        counts = [len(one.health.labels) for one in self.measured.values() if one.health is not None]
        return f"{max(counts, default=0):,}"

    @property
    def figures(self) -> dict[str, dict[str, dict[str, Figure]]]:
        """Target → arm → metric → figure."""
        return self.verdict.figures

    @property
    def names(self) -> dict[str, str]:
        """What each arm is called."""
        weights, activations = self.job.recipe.quantize.bits
        what = f"{weights}-bit weights" + (f", {activations}-bit activations" if activations != 8 else "")
        low = (weights, activations) != (8, 8)
        if self.job.recipe.task == LANGUAGE:  # which both runtimes execute in as many
            return {name: arm.label for name, arm in arms.ARMS.items()} | {
                arms.STUDENT_INT8.name: f"student, {what}"
            }
        return {
            name: arm.low_bits.format(what) if low and arm.low_bits else arm.label
            for name, arm in arms.ARMS.items()
        }

    @property
    def rehearsal(self) -> str:
        """What a quick run is limited to."""
        return ", ".join(f"{part}.{setting}={most}" for (part, setting), most in QUICK.items())

    @property
    def float_layers(self) -> list[dict[str, Any]]:
        """Every layer that is meant to run in float, with its reason, and what it costs by target."""
        reasons = (
            self.job.recipe.quantize.float_layers
            if self.precision is None
            else self.precision["float_layers"]
        )
        return [
            {
                "layer": layer,
                "reason": reason,
                "cost_ms": {
                    name: measured.facts["float_layer_cost_ms"][layer]
                    for name, measured in self.measured.items()
                    if layer in measured.facts.get("float_layer_cost_ms", {})
                },
            }
            for layer, reason in reasons.items()
        ]

    @property
    def saturating(self) -> list[dict[str, Any]]:
        """Layers whose sums of two products may not fit into 16 bits."""
        return [one for one in self.saturation if not -(2**15) <= one["worst"] < 2**15]

    @property
    def said_of_training(self) -> dict[str, list[str]]:
        """`alarms` that were raised, and `failures` of distillation, a sentence each."""
        trained = {self.names[arm]: epochs for arm, epochs in self.history.items() if arm in self.names}
        of = Trainings(
            self.history.get(arms.TEACHER.name, []),
            self.history.get(arms.STUDENT_FP32.name, []),
            self.splits.examples.get("validation", 0) if self.splits else 0,
            _constant(self.job.recipe.distill),
        )
        return {"alarms": training_said.alarms(trained), "failures": training_said.failures(of)}

    @property
    def compared(self) -> list[tuple[str, str, dict[str, Any]]]:
        """Target, arm, and what the arm's exported file was found to be; the student that is judged first."""
        return [
            (name, arm, data.parity)
            for name, measured in self.measured.items()
            for arm, data in sorted(measured.arms.items(), key=lambda item: item[0] != measured.student)
            if data.parity
        ]

    @property
    def by_layer(self) -> dict[str, list[Layer]]:
        """By target whose runtime tells, what each layer of the judged file takes, and its layer in the file in float."""
        found = {}
        for target, times in self.layer_times.items():
            measured = self.measured[target]
            judged, parity = times.get(measured.student), measured.arms.get(measured.student)
            if judged is not None and judged.layers:
                told = (parity.parity or {}).get("layers") if parity else None
                precisions = None if told is None else {one["name"]: one["precision"] for one in told}
                in_float = (
                    times.get(arms.STUDENT_FP32.name) if measured.student != arms.STUDENT_FP32.name else None
                )
                found[target] = layer_times.side_by_side(judged, in_float, precisions)
        return found

    @property
    def layers_said(self) -> dict[str, str]:
        """By target, what the layers of the judged file take together, and those of the student in float."""
        fp32, said = arms.STUDENT_FP32, {}
        for target, layers in self.by_layer.items():
            said[target] = layer_times.in_words(layers)
            in_float = self.layer_times[target].get(fp32.name)
            if in_float is not None and in_float.layers and self.measured[target].student != fp32.name:
                together = format_value(in_float.together_us / 1e3, "time")
                said[target] += f"; those of the {fp32.label}, {together}"
        return said

    @property
    def layer_times_told(self) -> bool:
        """Whether there is anything to say of times by layer; there is not of an older run."""
        return any(self.layer_times.values())

    @property
    def layers_not_timed(self) -> list[tuple[str, str, str]]:
        """Target, arm and why there are no times by layer."""
        return [
            (target, arm, one.not_run)
            for target, times in self.layer_times.items()
            for arm, one in times.items()
            if one.not_run
        ]

    @property
    def provenance(self) -> list[tuple[str, str]]:
        """What a reviewer asks first: which recipe, machine, versions, and when."""
        steps = self.manifest["steps"]
        machines = [measured.facts["machine"] for measured in self.measured.values()]
        versions: dict[str, str] = {}
        for record in steps.values():
            own = ("settings", "format", "cpu", "gpus", "edgecomp", *steps)
            facts = record["made_from"].items()
            versions |= {
                name: value for name, value in facts if name not in own and not name.startswith("as ")
            }
        return [
            (
                "recipe",
                f"{self.job.recipe.name}, seed {self.job.recipe.seed}, at most {self.job.recipe.threads} training threads",
            ),
            ("data", self._data()),
            ("policy", f"{self.job.policy.name}, checks sha256 {self.verdict.policy.sha256[:16]}…"),
            *((f"measured: {name}", self._conditions(name)) for name in self.measured),
            (
                "machine",
                _each(
                    machines,
                    lambda one: (
                        f"{one['cpu']}, {one['cores']} cores, {format_value(float(one['memory_bytes']), 'bytes')}"
                    ),
                ),
            ),
            (
                "instruction sets",
                _each(machines, lambda one: ", ".join(one["isa"]) or "the kernel does not say"),
            ),
            ("system", _each(machines, lambda one: f"{one['kernel']}, Python {one['python']}")),
            ("versions", ", ".join(f"{name} {value}" for name, value in sorted(versions.items()))),
            ("edgecomp", __version__),
        ]

    def _data(self) -> str:
        files = [f"{name} sha256 {digest[:16]}…" for name, digest in self.job.data_files.items()]
        shown = [*files[:4], f"{len(files) - 4} more files"] if len(files) > 5 else files
        return ", ".join([self.job.recipe.data.path or self.job.recipe.data.source, *shown])

    def _conditions(self, name: str) -> str:
        """When a target was measured, how much, and how busy the machine was."""
        measured, facts = self.measured[name], self.measured[name].facts
        if measured.not_run:
            answers = f"; its answers were {measured.stand_in}" if measured.stand_in else ""
            return f"not run: {measured.not_run}{answers}"
        if not measured.arms:
            return "; ".join(death.message for death in measured.deaths.values())
        arm = next(iter(measured.arms.values())).samples
        restarts, inferences = arm[SINGLE_STREAM_WALL].shape
        quality = facts.get("quality")
        stands = (
            f"; wall/CPU {quality['facts']['wall_over_cpu']:.2f}; grade {quality['grade']}: {quality['advice']}"
            if quality
            else ""
        )
        confined = facts.get("confinement")
        memory = (
            f"; memory {format_value(confined['limit_bytes'], 'bytes')} by {confined['how']}"
            if confined and confined["limit_bytes"]
            else ""
        )
        batches = (
            f"{arm[OFFLINE_WALL].shape[1]} batches of {measured.offline_batch}"
            if OFFLINE_WALL in arm
            else facts.get("batch_failed", "no batches")
        )
        return (
            f"{self.manifest['steps'][f'bench/{name}']['finished']}; {facts['threads']} thread(s) on cores {', '.join(map(str, facts['cores']))}, {restarts} restarts of "
            f"{inferences} inferences after {arm[WARMUP_WALL].shape[1]} of warm-up, {batches}; "
            f"load average {facts['load_before']:.2f} before, "
            f"{facts['load_after']:.2f} after{stands}{memory}"
        )


def _measured(folder: Path, target: str, *, asks: bool) -> Measurements:
    """With what was asked of the model's health, where the run `asks`. folder: of the run."""
    found = Measurements.load(folder / "bench" / target)
    return replace(found, health=Health.load(folder / "health" / target)) if asks else found


def _each(things: Sequence[dict[str, Any]], said: Callable[[dict[str, Any]], str]) -> str:
    """What is said of them, once where it is the same of several."""
    return "; ".join(dict.fromkeys(map(said, things)))


def _current(manifest: dict[str, Any], targets: list[str], schemes: list[str]) -> dict[str, Any]:
    """The manifest without an older report's record, and without what targets no longer asked for have left."""

    def belongs(name: str) -> bool:
        first, _, last = name.partition("/")
        return last in targets or first in (*schemes, "teachers") if last else name != "report"

    return manifest | {"steps": {name: record for name, record in manifest["steps"].items() if belongs(name)}}


class Splits(Schema):
    """What the data step says of its splits: how many examples they have, how many of these are the same, and what should be read."""

    examples: dict[str, int]
    duplicates: dict[str, int]
    notes: list[str]
    synthetic: dict[str, int] = {}  # by class, training examples that a teacher wrote
    source: dict[str, int] = {}  # examples of the splits as they came, where their places are kept


def of_data(folder: Path) -> Splits | None:
    """What the data step of the run in `folder` says of its splits; None of one made before it said so.

    Raises FileError.
    """
    path = folder / "data" / "splits.json"
    if not path.is_file():
        return None
    with shaped(path, "the data step"):
        return Splits.model_validate(read_mapping(path))


def _constant(distill: Distill) -> tuple[str, ...]:
    """The names, in a history, of terms whose weights and arguments do not change."""
    if not distill.terms:
        return "soft-labels", "hard-labels"
    return tuple(
        one.loss if one.student is None else f"{one.loss} of {one.student}"
        for one in distill.terms
        if not any(isinstance(value, Schedule) for value in (one.weight, *one.arguments.values()))
    )


TRIED = "quantize.json"
"""What `edgecomp quantize` writes into a run folder."""


def _tried(folder: Path) -> list[dict[str, Any]]:
    """With `is_chosen`: of an earlier version, the last."""
    if not (folder / TRIED).is_file():
        return []
    known = _json(folder / TRIED)
    chosen = known.get("chosen") or (known["tried"][-1]["name"] if known["tried"] else None)
    return [one | {"is_chosen": one["name"] == chosen} for one in known["tried"]]


def _if_there(path: Path) -> dict[str, Any] | None:
    return _json(path) if path.is_file() else None


def _json(path: Path) -> dict[str, Any]:
    return read_mapping(path)
