"""The student: distilled in fp32 first, then through fake-quant, from the same stored soft labels."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import fx, nn

from edgecomp.arms import CONTROL, STUDENT_FP32, STUDENT_INT8
from edgecomp.distill.data import DistillationData
from edgecomp.distill.losses import Loss
from edgecomp.distill.stages import Stage, entering
from edgecomp.errors import CaptureError, nearest
from edgecomp.files.writing import write_json
from edgecomp.inputs import Inputs
from edgecomp.progress import Track
from edgecomp.quantization.calibration import Method, calibrate, reestimate_batchnorm
from edgecomp.quantization.capture import duplicate
from edgecomp.quantization.fake_quant import Kernel, use_kernel
from edgecomp.quantization.layers import layer_names, unruled_layers
from edgecomp.quantization.placement import fake_quants, left_in_float, place
from edgecomp.training.alarms import SCORE
from edgecomp.training.checkpoints import History
from edgecomp.training.loop import network_inputs, save_weights, train
from edgecomp.training.optimizers import parameter_groups
from edgecomp.training.practice import Practice
from edgecomp.training.schedules import cosine


def distill_fp32(
    network: nn.Module,
    data: DistillationData,
    *,
    loss: Loss,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    weight_decay: float,
    calibration_batches: int,
    practice: Practice,
    stages: Sequence[Stage] = (),
    folder: Path,
    checkpoints: Path,
    track: Track,
) -> None:
    """Writes student_fp32.safetensors, its batch statistics re-estimated, and history.json.

    network: the student, trained in place on `data` with `loss`, for `epochs` in batches of `batch_size`;
    learning_rate: the schedule's peak; weight_decay: of matrices and kernels; calibration_batches: how many
    give the batch statistics; practice: how steps are taken; stages: of the training, none for one of everything; folder: of both
    files; checkpoints: the folder of what training goes on from; track: shows progress. Raises CaptureError, EdgecompError.
    """
    if epochs == 0:
        save_weights(network, folder / "student_fp32.safetensors")
        untrained: History = [data.watch(network)]
        write_json(folder / "history.json", {STUDENT_FP32.name: untrained})
        return
    learner = loss.bind(network, example_of(data))
    history = train(
        learner,
        practice.optimiser(parameter_groups(list(learner.named_parameters()), learning_rate, weight_decay)),
        examples=data.epoch,
        loss=learner.loss,
        watched=learner.watched,
        after_epoch=learner.likeness,
        divergences=learner.divergences,
        before_epoch=entering(stages, learner),
        schedule=practice.factor,
        evaluate=data.watch,
        epochs=epochs,
        batch_size=batch_size,
        seed=data.seed,
        practice=practice,
        checkpoint=checkpoints / "fp32.safetensors",
        track=track,
        what="student, fp32",
    )
    reestimate_batchnorm(network, data.batches(epochs, batch_size, calibration_batches))
    learner.finish(data, folder)
    save_weights(network, folder / "student_fp32.safetensors")
    write_json(folder / "history.json", {STUDENT_FP32.name: history})


Corrected = Callable[[fx.GraphModule, fx.GraphModule, Sequence[Inputs]], None]
"""Takes out in place, from a calibrated student, of the fp32 one, what its rounding does to the means of its layers on batches of inputs."""


@dataclass(frozen=True)
class Qad:
    """Settings of quantisation-aware distillation.

    `first_epoch` is where the fp32 student's views ended. The scales start from `calibration`, learn, and stop
    `freeze_scales_epochs` before the end; batch statistics stop `freeze_batchnorm_epochs` before it.
    """

    scheme: str
    weight_bits: int
    activation_bits: int
    loss: Loss
    first_epoch: int
    epochs: int
    batch_size: int
    learning_rate: float
    scale_learning_rate: float
    weight_decay: float
    calibration: Method
    percentile: float
    calibration_batches: int
    freeze_scales_epochs: int
    freeze_batchnorm_epochs: int
    kernel: Kernel
    practice: Practice
    corrected: Corrected | None = (
        None  # what is done to a student whose scales are calibrated, before it is trained
    )
    without: frozenset[str] = frozenset()  # the terms that the last stage before it leaves out, by name

    @property
    def keeps_batchnorm(self) -> bool:
        """Whether batch statistics stay what they are in all epochs: those of a network that was trained elsewhere, on other examples."""
        return self.freeze_batchnorm_epochs >= self.epochs


def distill_int8(
    captured: fx.GraphModule,
    data: DistillationData,
    qad: Qad,
    *,
    float_layers: Collection[str],
    folder: Path,
    checkpoints: Path,
    track: Track,
) -> None:
    """Distils the fp32 student further, through fake-quant; writes student_int8.safetensors and history.json.

    captured: the fp32 student's graph, nothing placed in it; data, qad: what it learns from, and how;
    float_layers: stay in float; folder: of both files; checkpoints: the folder of what training goes on from;
    track: shows progress. Raises CaptureError, DataError.
    """
    check_layers(captured, float_layers)
    student = calibrated(captured, data, qad, float_layers)
    history = train_int8(student, data, qad, checkpoint=checkpoints / "int8.safetensors", track=track)
    save_weights(student, folder / "student_int8.safetensors")
    write_json(folder / "history.json", {STUDENT_INT8.name: history, "left_in_float": left_in_float(student)})


def check_layers(captured: fx.GraphModule, float_layers: Collection[str]) -> None:
    """Raises CaptureError where one of `float_layers`, which are to stay in float, is not there.

    captured: the student's graph.
    """
    known = [*layer_names(captured), *unruled_layers(captured)]
    unknown = [layer for layer in float_layers if layer not in known]
    if unknown:
        raise CaptureError(f"quantize.float_layers: the student has no layer {unknown[0]!r}"
                           f"{nearest(unknown[0], known)}; its layers are {', '.join(known)}")  # fmt: skip


def calibrated(
    captured: fx.GraphModule, data: DistillationData, qad: Qad, float_layers: Collection[str]
) -> fx.GraphModule:
    """A copy of the fp32 student with fake-quant placed and its scales where they start.

    captured: its graph, nothing placed in it; data: whose calibration split is used; qad: the scheme, bits
    and calibration; float_layers: stay in float. Raises CaptureError, DataError.
    """
    student = place(duplicate(captured), qad.scheme, float_layers, qad.weight_bits, qad.activation_bits)
    batches = data.calibration(qad.batch_size, qad.calibration_batches)
    calibrate(student, batches, qad.calibration, qad.percentile)
    if qad.corrected is not None:
        qad.corrected(student, captured, batches)
    return student


def train_int8(
    student: fx.GraphModule, data: DistillationData, qad: Qad, *, checkpoint: Path, track: Track
) -> History:
    """Trains `student` in place, through fake-quant, and returns its history.

    student: calibrated; data, qad: what it learns from, and how; checkpoint: the file that training goes on
    from; track: shows progress. Where the best weights are kept (`patience`), those that it starts from are among them: what calibration alone gives is no
    worse than training where no epoch was better. Raises UsageError where the fused kernel is asked for and cannot be compiled.
    """
    use_kernel(student, qad.kernel)
    if qad.practice.patience is None:
        return _train_further(student, data, qad, checkpoint, track, "student, int8")
    start, score = {name: value.clone() for name, value in student.state_dict().items()}, data.score(student)
    history = _train_further(student, data, qad, checkpoint, track, "student, int8")
    if score > max((epoch[SCORE] for epoch in history), default=score):
        student.load_state_dict(start)
        qad.practice.note(
            f"student, int8: no epoch was better than what it began with ({score:.2f} on validation), which is kept"
        )
    return history


def train_control(
    network: nn.Module, data: DistillationData, qad: Qad, *, folder: Path, checkpoints: Path, track: Track
) -> None:
    """The fair control: the fp32 student, trained on as the fake-quant one is, without quantisation.

    Writes student_control.safetensors and history.json. network: the fp32 student, trained in place; data,
    qad: what it learns from, and how; folder: of both files; checkpoints: the folder of what training goes on
    from; track: shows progress.
    """
    history = _train_further(
        network, data, qad, checkpoints / "control.safetensors", track, "student, control"
    )
    save_weights(network, folder / "student_control.safetensors")
    write_json(folder / "history.json", {CONTROL.name: history})


def _train_further(
    student: nn.Module, data: DistillationData, qad: Qad, checkpoint: Path, track: Track, what: str
) -> History:
    learner = qad.loss.bind(student, example_of(data))
    learner.without = qad.without
    scales = (
        [quant.log_scale for quant in fake_quants(student).values()]
        if isinstance(student, fx.GraphModule)
        else []
    )

    def freeze(epoch: int) -> None:
        learner.begin(epoch)
        if epoch >= qad.epochs - qad.freeze_scales_epochs:
            for scale in scales:
                scale.requires_grad_(False)
        if epoch >= qad.epochs - qad.freeze_batchnorm_epochs:
            for part in student.modules():
                if isinstance(part, nn.modules.batchnorm._BatchNorm):
                    part.eval()

    known = {id(scale) for scale in scales}
    others = [item for item in learner.named_parameters() if id(item[1]) not in known]
    groups = parameter_groups(others, qad.learning_rate, qad.weight_decay)
    if scales:
        groups.append({"params": scales, "lr": qad.scale_learning_rate, "weight_decay": 0.0})
    return train(
        learner,
        qad.practice.optimiser(groups),
        examples=lambda epoch: data.epoch(qad.first_epoch + epoch),
        loss=lambda logits, batch: learner.loss(
            logits, replace(batch, done=1.0)
        ),  # schedules ended with fp32
        watched=learner.watched,
        after_epoch=learner.likeness,
        schedule=cosine,
        evaluate=data.watch,
        epochs=qad.epochs,
        batch_size=qad.batch_size,
        seed=data.seed + 1,
        practice=replace(
            qad.practice, alarms={**qad.practice.alarms, "stuck_loss": "ignore"}
        ),  # it has learnt
        checkpoint=checkpoint,
        track=track,
        what=what,
        before_epoch=freeze,
    )


def example_of(data: DistillationData) -> tuple[torch.Tensor, ...]:
    """Two legal inputs of the student that learns from `data`: a tensor [2, ...] for each input."""
    return network_inputs(data.views.preprocessing.example())
