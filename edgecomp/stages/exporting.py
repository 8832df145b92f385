"""From networks to files, and to what a device is sent."""

from pathlib import Path
from typing import TYPE_CHECKING

from edgecomp import made
from edgecomp.artifacts import NOT_RUN, write_json
from edgecomp.errors import RuntimeUnavailableError
from edgecomp.made import Run
from edgecomp.reading.array_files import read_npy
from edgecomp.targets import Target

if TYPE_CHECKING:
    from torch import nn


def export(run: Run, out: Path, checkpoints: Path) -> None:
    """Every model as ONNX and IR, and the student's own answers."""
    from edgecomp.export.ptq import Setting
    from edgecomp.export.stage import export_all

    settings = run.job.recipe.quantize
    networks = _networks(run)
    # A rival's file has to be right on the same CPUs: the tools have half the range of weights for that.
    scheme = made.scheme_of(run.job)
    post_training = {
        made.arm_of(tool): Setting(tool, scheme=scheme)
        for tool in settings.baselines
        if tool in ("ptq-ort", "ptq-nncf")
    }
    if settings.method == "ptq-ort" or settings.method == "ptq-nncf":
        post_training["student_int8"] = Setting(
            settings.method,
            settings.calibration,
            settings.percentile,
            tuple(made.float_layers(run)),
            scheme=scheme,
        )
    with made.lessons(run) as lessons:
        calibration = lessons.calibration(run.job.recipe.distill.batch_size, settings.calibration_batches)
    export_all(
        networks=networks,
        variants={
            f"int8_but_{index}": made.student_int8(
                run, tuple(name for name in made.float_layers(run) if name != layer)
            )
            for index, layer in enumerate(made.float_layers(run))
            if settings.method == "qad"
        },
        student=made.student_arm(run.job),
        post_training=post_training,
        calibration=calibration,
        probes=made.probes(run),
        interface=made.interface(run),
        folder=out,
        track=run.track,
    )


def pytorch(run: Run, out: Path, checkpoints: Path) -> None:
    """The trained networks as PyTorch's own files."""
    from edgecomp.export.stage import export_pytorch

    export_pytorch(_networks(run), made.interface(run), out, run.track)


def _networks(run: Run) -> "dict[str, nn.Module]":
    """By arm, what was trained."""
    settings = run.job.recipe.quantize
    networks = {"teacher": made.trained_teacher(run), "student_fp32": made.student_fp32(run)}
    if "control" in settings.baselines:
        networks["control"] = made.student_control(run)
    if settings.method == "qad":
        networks["student_int8"] = made.student_int8(run, tuple(made.float_layers(run)))
    return networks


def best_ptq(run: Run, out: Path, checkpoints: Path, target: Target) -> None:
    """The best that post-training quantisation makes of the fp32 student, as this target's runtime executes it."""
    from edgecomp.export.ptq_grid import choose

    settings = run.job.recipe.quantize
    with made.lessons(run) as lessons:
        choose(
            made.captured_student(run),
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

    exported, student = run.folder / "export", made.student_arm(run.job)
    reference = exported / "reference.npy"
    models = {
        arm: run.folder / model_file(arm, target.runtime) for arm in {student: None, **made.tools(run.job)}
    }
    definitions = {
        arm: run.folder / model_file(arm, "onnxruntime-cpu")
        for arm, tool in made.tools(run.job).items()
        if tool == "ptq-ort" or target.runtime == "onnxruntime-cpu"
    }
    best = run.folder / "ptq" / target.name
    if "ptq-best" in run.job.recipe.quantize.baselines:
        models["ptq_best"] = made.model_files(run, target)["ptq_best"]
        if (best / "model.onnx").is_file():
            definitions["ptq_best"] = best / "model.onnx"
    try:
        compare_all(
            models,
            student=student,
            runtime_name=target.runtime,
            options=target.options,
            inputs=made.probes(run),
            reference=read_npy(reference) if reference.is_file() else None,
            definitions=definitions,
            blocks_model=run.folder / model_file("blocks", target.runtime),
            blocks_file=exported / "blocks.npz",
            float_layers=made.float_layers(run),
            folder=out,
        )
        compare_references(
            made.model_files(run, target),
            runtime_name=target.runtime,
            options=target.options,
            inputs=made.probes(run),
            references=exported / "references.npz",
            folder=out,
        )
    except RuntimeUnavailableError as error:  # the bench says so as well, and the gate that it is not run
        write_json(out / "parity.json", {})
        (out / NOT_RUN).write_text(f"{error}\n", encoding="utf-8")


def deploy(run: Run, out: Path, checkpoints: Path, target: Target) -> None:
    """What goes to one device."""
    from edgecomp.data.splits import Split
    from edgecomp.export.deploy import write_deploy_folder
    from edgecomp.export.stage import model_file

    write_deploy_folder(
        model=run.folder / model_file(made.student_arm(run.job), target.runtime),
        runtime=target.runtime,
        options=target.options,
        threads=target.threads,
        preprocessing=made.preprocessing(run),
        validation=Split.load(run.folder / "data", "validation"),
        data=run.folder / "data",
        folder=out,
    )
