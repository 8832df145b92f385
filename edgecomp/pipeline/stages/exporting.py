"""From networks to files, and to what a device is sent."""

from pathlib import Path
from typing import TYPE_CHECKING

from edgecomp.artifacts.run_folder import NOT_RUN
from edgecomp.config.target import Target
from edgecomp.errors import RuntimeUnavailableError
from edgecomp.files.array_files import read_npy
from edgecomp.files.writing import write_json
from edgecomp.pipeline import loaders
from edgecomp.pipeline.loaders import Run

if TYPE_CHECKING:
    from torch import nn


def export(run: Run, out: Path, checkpoints: Path) -> None:
    """Every model as ONNX and IR, and the student's own answers."""
    from edgecomp.export.stage import export_all
    from edgecomp.ptq.tools import Quantiser, Setting

    settings = run.job.recipe.quantize
    networks = _networks(run)
    # A rival's file has to be right on the same CPUs: the tools have half the range of weights for that.
    scheme = loaders.scheme_of(run.job)
    tools = {
        loaders.arm_of(tool): Setting(tool, scheme=scheme)
        for tool in settings.baselines
        if tool in ("ptq-ort", "ptq-nncf")
    }
    if settings.method == "ptq-ort" or settings.method == "ptq-nncf":
        tools["student_int8"] = Setting(
            settings.method,
            settings.calibration,
            settings.percentile,
            tuple(loaders.float_layers(run)),
            scheme=scheme,
        )
    with loaders.lessons(run) as lessons:
        calibration = lessons.calibration(run.job.recipe.distill.batch_size, settings.calibration_batches)
    export_all(
        networks=networks,
        variants={
            f"int8_but_{index}": loaders.student_int8(
                run, tuple(name for name in loaders.float_layers(run) if name != layer)
            )
            for index, layer in enumerate(loaders.float_layers(run))
            if settings.method == "qad"
        },
        student=loaders.student_arm(run.job),
        post_training={arm: Quantiser(setting, calibration) for arm, setting in tools.items()},
        probes=loaders.probes(run),
        interface=loaders.interface(run),
        folder=out,
        track=run.track,
    )


def pytorch(run: Run, out: Path, checkpoints: Path) -> None:
    """The trained networks as PyTorch's own files."""
    from edgecomp.export.stage import export_pytorch

    export_pytorch(_networks(run), loaders.interface(run), out, run.track)


def _networks(run: Run) -> "dict[str, nn.Module]":
    """By arm, what was trained."""
    settings = run.job.recipe.quantize
    networks = {"teacher": loaders.trained_teacher(run), "student_fp32": loaders.student_fp32(run)}
    if "control" in settings.baselines:
        networks["control"] = loaders.student_control(run)
    if settings.method == "qad":
        networks["student_int8"] = loaders.student_int8(run, tuple(loaders.float_layers(run)))
    return networks


def best_ptq(run: Run, out: Path, checkpoints: Path, target: Target) -> None:
    """The best that post-training quantisation makes of the fp32 student, as this target's runtime executes it."""
    from edgecomp.ptq.grid import choose

    settings = run.job.recipe.quantize
    with loaders.lessons(run) as lessons:
        choose(
            loaders.captured_student(run),
            lessons.calibration(run.job.recipe.distill.batch_size, settings.calibration_batches),
            lessons.views.preprocessing.apply(lessons.views.validation.arrays),
            lessons.views.validation.labels,
            scheme=target.scheme,
            runtime_name=target.runtime,
            options=target.options,
            dynamic_axes=lessons.views.preprocessing.dynamic_axes,
            float_layers=tuple(settings.float_layers),
            bits=settings.bits,
            folder=out,
            candidates_folder=checkpoints,
        )


def parity(run: Run, out: Path, checkpoints: Path, target: Target) -> None:
    """The student's file and the baselines', as the runtime executes them, held against what they are made of."""

    from edgecomp.export.parity import compare_all, compare_references
    from edgecomp.export.stage import model_file

    exported, student = run.folder / "export", loaders.student_arm(run.job)
    reference = exported / "reference.npy"
    models = {
        arm: run.folder / model_file(arm, target.runtime) for arm in {student: None, **loaders.tools(run.job)}
    }
    definitions = {
        arm: run.folder / model_file(arm, "onnxruntime-cpu")
        for arm, tool in loaders.tools(run.job).items()
        if tool == "ptq-ort" or target.runtime == "onnxruntime-cpu"
    }
    best = run.folder / "ptq" / target.name
    if "ptq-best" in run.job.recipe.quantize.baselines:
        models["ptq_best"] = loaders.model_files(run, target)["ptq_best"]
        if (best / "model.onnx").is_file():
            definitions["ptq_best"] = best / "model.onnx"
    try:
        compare_all(
            models,
            student=student,
            runtime_name=target.runtime,
            options=target.options,
            inputs=loaders.probes(run),
            reference=read_npy(reference) if reference.is_file() else None,
            definitions=definitions,
            blocks_model=run.folder / model_file("blocks", target.runtime),
            blocks_file=exported / "blocks.npz",
            float_layers=loaders.float_layers(run),
            folder=out,
        )
        compare_references(
            loaders.model_files(run, target),
            runtime_name=target.runtime,
            options=target.options,
            inputs=loaders.probes(run),
            references=exported / "references.npz",
            folder=out,
        )
    except RuntimeUnavailableError as error:  # the bench says so as well, and the gate that it is not run
        write_json(out / "parity.json", {})
        (out / NOT_RUN).write_text(f"{error}\n", encoding="utf-8")


def deploy(run: Run, out: Path, checkpoints: Path, target: Target) -> None:
    """What goes to one device."""
    from edgecomp.data.splits import Split
    from edgecomp.export.stage import model_file
    from edgecomp.package.deploy import write_deploy_folder

    write_deploy_folder(
        model=run.folder / model_file(loaders.student_arm(run.job), target.runtime),
        runtime=target.runtime,
        options=target.options,
        threads=target.threads,
        preprocessing=loaders.preprocessing(run),
        validation=Split.load(run.folder / "data", "validation"),
        data=run.folder / "data",
        folder=out,
    )
