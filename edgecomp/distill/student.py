"""The student: distilled in fp32 first, then through fake-quant, from the same stored soft labels."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from edgecomp.artifacts import write_json
from edgecomp.data import soft_labels
from edgecomp.data.augment import shifted
from edgecomp.data.splits import Preprocessing, Split
from edgecomp.distill.losses import distillation_loss
from edgecomp.progress import Track
from edgecomp.quantize.calibration import calibrate, reestimate_batchnorm
from edgecomp.quantize.capture import capture
from edgecomp.quantize.placement import fake_quants, left_in_float, place
from edgecomp.training import (
    Batch,
    History,
    accuracy_pct,
    cosine,
    one_cycle,
    parameter_groups,
    save_weights,
    train,
)


def distill_student(
    network: nn.Module,
    *,
    train_split: Split,
    validation: Split,
    preprocessing: Preprocessing,
    soft_label_file: Path,
    shift: int,
    temperature: float,
    hard_label_weight: float,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    weight_decay: float,
    scheme: str,
    quantize_epochs: int,
    quantize_learning_rate: float,
    scale_learning_rate: float,
    calibration_batches: int,
    freeze_batchnorm_epochs: int,
    seed: int,
    folder: Path,
    checkpoints: Path,
    track: Track,
) -> None:
    """Writes student_fp32.safetensors, student_int8.safetensors (with its scales) and history.json."""
    held_out = preprocessing.apply(validation.images)

    with soft_labels.opened(soft_label_file) as stored:

        def view(index: int) -> npt.NDArray[np.float32]:
            """The very view of the images that the teacher labelled."""
            moved = shifted(train_split.images, pixels=shift, seed=seed, view=index % stored.views)
            return preprocessing.apply(moved)

        def loss(logits: torch.Tensor, batch: Batch) -> torch.Tensor:
            assert batch.soft_labels is not None
            return distillation_loss(
                logits,
                batch.soft_labels,
                batch.labels,
                temperature=temperature,
                hard_label_weight=hard_label_weight,
            )

        def accuracy(network: nn.Module) -> float:
            return accuracy_pct(network, held_out, validation.labels)

        fp32: History = train(
            network,
            torch.optim.AdamW(
                parameter_groups(list(network.named_parameters()), learning_rate, weight_decay)
            ),
            examples=lambda epoch: (view(epoch), train_split.labels, stored.view(epoch)),
            loss=loss,
            schedule=one_cycle(),
            evaluate=accuracy,
            epochs=epochs,
            batch_size=batch_size,
            seed=seed,
            checkpoint=checkpoints / "fp32.pt",
            track=track,
            what="student, fp32",
        )
        calibration = _batches(view(epochs), batch_size, calibration_batches)
        reestimate_batchnorm(network, calibration)
        save_weights(network, folder / "student_fp32.safetensors")

        example = torch.from_numpy(calibration[0][:2].copy())
        student = place(capture(network, [example], [{0: "batch"}]), scheme)
        calibrate(student, calibration)

        def freeze(epoch: int) -> None:
            if epoch >= quantize_epochs - freeze_batchnorm_epochs:
                for part in student.modules():
                    if isinstance(part, nn.BatchNorm2d):
                        part.eval()

        int8: History = train(
            student,
            torch.optim.AdamW(
                _quantised_groups(student, quantize_learning_rate, scale_learning_rate, weight_decay)
            ),
            examples=lambda epoch: (view(epochs + epoch), train_split.labels, stored.view(epochs + epoch)),
            loss=loss,
            schedule=cosine,
            evaluate=accuracy,
            epochs=quantize_epochs,
            batch_size=batch_size,
            seed=seed + 1,
            checkpoint=checkpoints / "int8.pt",
            track=track,
            what="student, int8",
            before_epoch=freeze,
        )
    save_weights(student, folder / "student_int8.safetensors")
    write_json(
        folder / "history.json",
        {"student_fp32": fp32, "student_int8": int8, "left_in_float": left_in_float(student)},
    )


def _quantised_groups(
    student: nn.Module, learning_rate: float, scale_learning_rate: float, weight_decay: float
) -> list[dict[str, object]]:
    scales = [quant.log_scale for quant in fake_quants(student).values()]
    known = {id(scale) for scale in scales}
    others = [
        (name, parameter) for name, parameter in student.named_parameters() if id(parameter) not in known
    ]
    return [
        *parameter_groups(others, learning_rate, weight_decay),
        {"params": scales, "lr": scale_learning_rate, "weight_decay": 0.0},
    ]


def _batches(inputs: npt.NDArray[np.float32], size: int, count: int) -> list[npt.NDArray[np.float32]]:
    """Up to `count` whole batches; the split's order is by index, and stratified splits are mixed."""
    return [inputs[start : start + size] for start in range(0, min(len(inputs), size * count), size)]
