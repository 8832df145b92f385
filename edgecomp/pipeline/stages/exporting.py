"""From networks to files, and to what a device is sent."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from edgecomp import arms
from edgecomp.artifacts.run_folder import NOT_RUN, SHARED, RunFolder
from edgecomp.config.parts.shrink.quantize import Quantize
from edgecomp.config.target import Target
from edgecomp.errors import RuntimeUnavailableError
from edgecomp.files.array_files import read_npy, read_npz
from edgecomp.files.json_files import read_mapping
from edgecomp.files.writing import digest_of, write_json
from edgecomp.inputs import some
from edgecomp.machine import cpu_isa
from edgecomp.pipeline import loaders, model_files
from edgecomp.pipeline.loaders import Run
from edgecomp.pipeline.stages import handing_on
from edgecomp.runtimes import TABLE

if TYPE_CHECKING:
    import numpy.typing as npt
    from torch import nn

    from edgecomp.export.stage import Interface
    from edgecomp.inputs import Inputs
    from edgecomp.ptq.tools import Tool


INT8_EXITS = "exits_int8"
"""The folder, in an export, of the quantised student in parts."""
BEST = "best.json"
"""Beside a target's file of arms.BEST: which arm's it is."""


def export(run: Run, out: Path, checkpoints: Path) -> None:
    """Writes every model of `run` as ONNX and IR, and the student's own answers, into `out`; checkpoints: not
    needed."""
    from edgecomp.distill.losses.own import early_exits
    from edgecomp.export.early_exits import export_exits
    from edgecomp.export.stage import export_all
    from edgecomp.ptq.tools import Quantiser, Setting

    settings = run.job.recipe.quantize
    networks = _networks(run)
    # A rival's file has to be right on the same CPUs: the tools have half the range of weights for that.
    scheme = run.scheme
    as_asked: dict[str, Any] = {
        "calibration": settings.calibration,
        "percentile": settings.percentile,
        "float_layers": tuple(loaders.float_layers(run)),
    }
    tools = {
        arm.name: replace(
            Setting(cast("Tool", tool), scheme=scheme), **(as_asked if arm is arms.STUDENT_INT8 else {})
        )
        for arm, tool in arms.of_tools(settings).items()
    }
    with loaders.distillation_data(run) as data:
        calibration = data.calibration(run.job.recipe.distill.batch_size, settings.calibration_batches)
    export_all(
        networks=networks,
        variants={
            f"int8_but_{index}": loaders.student_int8(
                run, tuple(name for name in loaders.float_layers(run) if name != layer)
            )
            for index, layer in enumerate(loaders.float_layers(run))
            if settings.trains
        },
        student=(arms.STUDENT_INT8 if settings.trains else arms.student(settings)).name,
        post_training={arm: Quantiser(setting, calibration) for arm, setting in tools.items()},
        probes=loaders.probes(run),
        interface=loaders.interface(run),
        others=_others(run),
        fp32=None if arms.STUDENT_FP32.name in networks else run.folder / "export",
        folder=out,
        track=run.track,
    )
    heads = early_exits.kept(run.folder / arms.STUDENT_FP32.steps[-1])
    if heads and run.scheme == run.job.schemes[0]:
        export_exits(loaders.student_fp32(run), heads, loaders.interface(run), out / "exits")
    if heads and settings.trains:
        _export_int8_exits(run, out / INT8_EXITS)


def _export_int8_exits(run: Run, out: Path) -> None:
    """Writes the quantised student of `run` with its exits into `out`, in parts, and what they answer and cost."""
    from edgecomp.distill.losses.own import early_exits
    from edgecomp.distill.losses.own.exits import keep_in_integers
    from edgecomp.export.early_exits import export_int8_exits

    out.mkdir()
    student, distill = loaders.student_int8(run, tuple(loaders.float_layers(run))), run.job.recipe.distill
    with loaders.distillation_data(run) as data:
        batches = data.batches(
            distill.epochs, distill.batch_size, run.job.recipe.quantize.calibration_batches
        )
        keep_in_integers(student, run.folder / arms.STUDENT_FP32.steps[-1], data, batches, out)
    if found := early_exits.kept(out):
        export_int8_exits(student, found, loaders.interface(run), out)


def pytorch(run: Run, out: Path, checkpoints: Path) -> None:
    """Writes the trained networks of `run` as PyTorch's own files into `out`; checkpoints: not needed."""
    from edgecomp.export.stage import export_pytorch

    in_integers = arms.STUDENT_INT8.name if run.scheme in TABLE["pytorch-gpu"].schemes else None
    export_pytorch(_networks(run), loaders.interface(run), out, run.track, in_integers, _others(run))


def _others(run: Run) -> "dict[str, tuple[Interface, Inputs]]":
    """By arm that reads other inputs than the student of `run`, its interface and its probes."""
    if not loaders.reads_otherwise(run):
        return {}
    of = arms.TEACHER
    return {of.name: (loaders.interface(run, of), loaders.probes(run, of))}


def _networks(run: Run) -> "dict[str, nn.Module]":
    """By arm, what was trained: with the first scheme what is in float as well."""
    first = run.scheme == run.job.schemes[0]
    trained = arms.trained(run.job.recipe.quantize)
    return {arm.name: loaders.NETWORKS[arm](run) for arm in trained if first or arm.per_scheme}


def best_ptq(run: Run, out: Path, checkpoints: Path, *, target: Target, candidates: object) -> None:
    """Writes into `out` the best that post-training quantisation makes of the fp32 student of `run`, as this
    target's runtime executes it; checkpoints: beside which candidates are kept, for all targets of the scheme; candidates: all that decides
    what they are, besides what earlier steps have made."""
    from edgecomp.ptq.choosing import choose

    settings, executed = run.job.recipe.quantize, model_files.executed_by(run, target)
    if executed.why:
        (out / NOT_RUN).write_text(f"{executed.why}\n", encoding="utf-8")
    in_float = tuple(settings.float_layers)
    if settings.drops_layers and (chosen := tuple(loaders.float_layers(run))) != in_float:
        in_float, candidates = chosen, [candidates, chosen]
    with loaders.distillation_data(run) as data:
        choose(
            loaders.captured_student(run),
            data.calibration(run.job.recipe.distill.batch_size, settings.calibration_batches),
            data.views.preprocessing.apply(data.views.validation.arrays),
            data.wanted(),
            scheme=target.scheme,
            runtime_name=executed.runtime,
            options=executed.options,
            dynamic_axes=data.views.preprocessing.dynamic_axes,
            float_layers=in_float,
            bits=settings.bits,
            task=loaders.meaning(run),
            folder=out,
            candidates_folder=_kept_candidates(run, checkpoints, candidates),
            minutes=settings.ptq_minutes,
        )


def best(run: Run, out: Path, checkpoints: Path, *, target: Target) -> None:
    """Writes into `out` the file of `run` that answers better on validation data as this target's runtime executes it: that of the student trained through its
    integers, or the best that post-training quantisation makes; and best.json: which, and what both scored. checkpoints: not needed."""
    from edgecomp.ptq.choosing import Judged, best, copy_of

    executed = model_files.executed_by(run, target)
    files = {arm.name: model_files.made_file(run, arm, target) for arm in (arms.PTQ_BEST, arms.STUDENT_INT8)}
    with loaders.distillation_data(run) as data:
        judged = Judged(
            executed.runtime,
            executed.options,
            data.views.preprocessing.apply(data.views.validation.arrays),
            data.wanted(),
            loaders.meaning(run),
            tuple(loaders.float_layers(run)),
        )
        chosen, scores = best(files, judged.accuracy, judged.share)
    definition = model_files.made_file(run, arms.ARMS[chosen.name], target, "onnxruntime-cpu")
    copy_of(files[chosen.name], out, definition if definition.is_file() else None)
    stored = model_files.parameter_bytes(run, target)[chosen.name]
    write_json(
        out / BEST,
        {
            "chosen": chosen.name,
            "examples": len(judged.labels),
            "parameter_bytes": stored,
            "scores": [score.told() for score in scores],
        },
    )


def _kept_candidates(run: Run, checkpoints: Path, decided_by: object) -> Path:
    """The folder beside a step's own checkpoints that every step with the same candidates has."""
    manifest = RunFolder(run.folder).manifest()
    assert manifest is not None
    made = [manifest.steps[name].made for name in ("data", "distill")]
    return checkpoints.with_name(f"{SHARED}-{digest_of([decided_by, made, run.scheme, cpu_isa()])[:16]}")


def parity(run: Run, out: Path, checkpoints: Path, target: Target) -> None:
    """Writes into `out` how far the student's file of `run` and the baselines', as the target's runtime
    executes them, are from what they are made of; checkpoints: not needed."""

    from edgecomp.export.parity import compare_all, compare_references

    executed = model_files.executed_by(run, target)
    if executed.why:
        (out / NOT_RUN).write_text(f"{executed.why}\n", encoding="utf-8")
    settings = run.job.recipe.quantize.of(target.scheme, target.runtime)
    exported, judged = run.made("export"), arms.judged(settings)
    student, float_layers = judged.name, {} if settings.in_float else loaders.float_layers(run)
    inputs, reference = _answered(run, settings)
    if settings.picks and _picked(run, target) is not arms.STUDENT_INT8:
        reference, float_layers = None, settings.float_layers
    if judged is arms.CASCADE:
        reference = read_npy(run.folder / arms.CASCADE.steps[0] / target.name / handing_on.REFERENCE)
    tools = {arm.name: tool for arm, tool in arms.of_tools(settings).items()}
    models = {arm: model_files.exported(run, arm, target.runtime) for arm in tools}
    models = {student: model_files.made_file(run, judged, target), **models}
    definitions = {
        arm: model_files.exported(run, arm, "onnxruntime-cpu")
        for arm, tool in tools.items()
        if tool == arms.PTQ_ORT.tool or executed.runtime == "onnxruntime-cpu"
    }
    measured = model_files.model_files(run, target) | {student: models[student]}  # it is deployed after this
    for best in (arm.name for arm in (judged, *arms.baselines(settings)) if arm.per_target):
        models[best] = measured[best]
        if (definition := measured[best].with_name("model.onnx")).is_file():
            definitions[best] = definition
    try:
        compare_all(
            models,
            student=student,
            runtime_name=executed.runtime,
            options=executed.options,
            stand_in=executed.said,
            inputs=inputs,
            reference=reference,
            definitions=definitions,
            blocks_model=model_files.exported(run, "blocks", target.runtime),
            blocks_file=exported / "blocks.npz" if settings.is_trained else None,
            float_layers=float_layers,
            task=loaders.meaning(run),
            folder=out,
            kernels_file=model_files.made_file(run, arms.student(settings), target)
            if judged is arms.CASCADE
            else None,
        )
        compare_references(
            measured,
            runtime_name=executed.runtime,
            options=executed.options,
            inputs=inputs,
            others={arm: asked for arm, (_, asked) in _others(run).items()},
            references=run.folder / "export" / "references.npz",
            folder=out,
        )
    except RuntimeUnavailableError as error:  # the bench says so as well, and the gate that it is not run
        write_json(out / "parity.json", {})
        (out / NOT_RUN).write_text(f"{error}\n", encoding="utf-8")


def _picked(run: Run, target: Target) -> arms.Arm:
    """Which arm's file the best one is for a target."""
    return arms.ARMS[read_mapping(run.folder / arms.BEST.steps[0] / target.name / BEST, "chosen")["chosen"]]


def _answered(run: Run, settings: Quantize) -> "tuple[Inputs, npt.NDArray[Any] | None]":
    """The probes, and what the student that a target is sent answers to them in PyTorch; None of one that no training has made.

    Of a student in float beside one in integers, the answers to the first probes are known.
    """
    inputs, file = loaders.probes(run), run.made("export") / "reference.npy"
    if settings.in_float and not run.job.recipe.quantize.in_float:
        student = arms.STUDENT_FP32.name
        known = read_npz(run.folder / "export" / "references.npz", [student])[student]
        return some(inputs, slice(len(known))), known
    return inputs, read_npy(file) if file.is_file() else None


def deploy(run: Run, out: Path, checkpoints: Path, target: Target) -> None:
    """Writes into `out` what of `run` goes to one device, the target; checkpoints: not needed."""
    from edgecomp.data.splits import Split
    from edgecomp.package.deploy import write_deploy_folder

    write_deploy_folder(
        model=model_files.made_file(
            run, arms.judged(run.job.recipe.quantize.of(target.scheme, target.runtime)), target
        ),
        runtime=target.runtime,
        options=target.options,
        threads=target.threads,
        preprocessing=loaders.preprocessing(run),
        validation=Split.load(run.folder / "data", "validation"),
        answers=read_npy(reference).shape[1:]
        if (reference := run.made("export") / "reference.npy").is_file()
        else None,
        data=run.folder / "data",
        folder=out,
        exits=_exits(run, target),
    )


def _exits(run: Run, target: Target) -> Path | None:
    """The folder of the quantised student of `run` in parts, where it has early exits that answer and the target's runtime takes ONNX files."""
    found = run.made("export") / INT8_EXITS
    judged = arms.judged(run.job.recipe.quantize.of(target.scheme, target.runtime))
    takes = TABLE[target.runtime].distribution == "onnxruntime" and judged is arms.STUDENT_INT8
    return found if takes and (found / "end.onnx").is_file() else None
