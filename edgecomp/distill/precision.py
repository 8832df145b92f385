"""Accuracy-aware precision: what each layer's integers cost, and the fewest layers to keep in float."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import save_file
from torch import fx, nn

from edgecomp.distill.data import DistillationData
from edgecomp.distill.student import Qad, calibrated, train_int8
from edgecomp.files.writing import write_json
from edgecomp.progress import Track
from edgecomp.quantization.calibration import reestimate_batchnorm
from edgecomp.quantization.capture import duplicate
from edgecomp.quantization.layers import layer_names
from edgecomp.quantization.placement import place
from edgecomp.training.loop import logits_of

State = Mapping[str, torch.Tensor]


class Score(NamedTuple):
    """A network on the validation split: the task's score (a classifier's accuracy), and its divergence from the teacher (mean
    KL(teacher ‖ student) in nats)."""

    accuracy_pct: float
    divergence: float


class Sensitivity(NamedTuple):
    """One layer: what the network scores with that layer alone in float, and the divergence its integers cost."""

    layer: str
    accuracy_pct: float
    divergence: float
    cost: float


def choose_precision(
    captured: fx.GraphModule,
    trained: State,
    data: DistillationData,
    qad: Qad,
    *,
    named: Mapping[str, str],
    max_drop_pt: float | None,
    folder: Path,
    checkpoints: Path,
    track: Track,
) -> None:
    """Writes precision.json, every layer's sensitivity and the layers left in float with the reason of each, and
    student_int8.safetensors, the student with those layers in float.

    captured: the fp32 student's graph, nothing placed in it; trained: the fake-quant student's state. named: layers
    that the recipe leaves in float → its reason. Where the trained student is more than `max_drop_pt` below the fp32
    one, it is trained again with the costliest layers in float: weights that have learnt to be integers do not become
    better floats by being left alone.

    data, qad: what the student learns from, and how; max_drop_pt: in points, None: no layer but the named
    goes to float; folder: of both files; checkpoints: the folder of what training goes on from; track: shows
    progress.
    """
    score = scorer(data)
    start = place(duplicate(captured), qad.scheme, named, qad.weight_bits, qad.activation_bits)
    start.load_state_dict(trained)
    first, calibration = score(start), Calibrated(captured, data, qad, tuple(named), score)
    untrained, ranked = sensitivities(calibration, track)
    students: dict[int, tuple[State, float]] = {0: (trained, first.accuracy_pct)}

    def accuracy_with(count: int) -> float:
        """Of the student trained with the `count` costliest layers in float."""
        if count not in students:
            student = calibrated(captured, data, qad, {*named, *(one.layer for one in ranked[:count])})
            train_int8(student, data, qad, checkpoint=checkpoints / f"float_{count}.safetensors", track=track)
            students[count] = (student.state_dict(), score(student).accuracy_pct)
        return students[count][1]

    reference = score(captured).accuracy_pct
    count = 0 if max_drop_pt is None else fewest(len(ranked), accuracy_with, reference - max_drop_pt)
    save_file(
        {name: tensor.contiguous() for name, tensor in students[count or 0][0].items()},
        folder / "student_int8.safetensors",
    )
    tried = {number: accuracy for number, (_, accuracy) in sorted(students.items())}
    chosen = Chosen(reference, first, untrained, ranked, max_drop_pt, tried, count)
    write_json(folder / "precision.json", chosen.told(len(data.views.validation), named))


def choose_untrained(
    captured: fx.GraphModule,
    data: DistillationData,
    qad: Qad,
    *,
    named: Mapping[str, str],
    max_drop_pt: float | None,
    folder: Path,
    track: Track,
) -> None:
    """Writes precision.json of a student that is calibrated and not trained: the fewest of its costliest layers that have to be in float for it to be
    within `max_drop_pt` points of the fp32 one, 0 where it is None; more than half of them is no answer.

    captured, data, qad, named, folder, track: as in `choose_precision`.
    """
    score = scorer(data)
    calibration = Calibrated(captured, data, qad, tuple(named), score)
    untrained, ranked = sensitivities(calibration, track)
    tried = {0: untrained.accuracy_pct}

    def accuracy_with(count: int) -> float:
        if count not in tried:
            tried[count] = calibration.scored([one.layer for one in ranked[:count]]).accuracy_pct
        return tried[count]

    reference = score(captured).accuracy_pct
    least = -math.inf if max_drop_pt is None else reference - max_drop_pt
    count = fewest(len(ranked) // 2, accuracy_with, least)
    chosen = Chosen(reference, untrained, untrained, ranked, max_drop_pt, dict(sorted(tried.items())), count)
    write_json(folder / "precision.json", chosen.told(len(data.views.validation), named))


class Chosen(NamedTuple):
    """reference: the fp32 student's score; int8: that of the one in integers; untrained: of the calibrated one; ranked: layers, the costliest first; tried: by
    how many in float, the score; count: how many are, None where no number did."""

    reference: float
    int8: Score
    untrained: Score
    ranked: list[Sensitivity]
    max_drop_pt: float | None
    tried: dict[int, float]
    needed: int | None

    def told(self, examples: int, named: Mapping[str, str]) -> dict[str, Any]:
        """As precision.json has it. examples: of the validation split; named: layers in float whatever is found → why."""
        reasons = {
            one.layer: f"accuracy fallback: untrained, its integers cost {one.cost:.2g} nats of divergence from the teacher"
            for one in self.ranked[: self.needed or 0]
        }
        return {
            "examples": examples,
            "fp32_accuracy_pct": self.reference,
            "int8": self.int8._asdict(),
            "untrained": self.untrained._asdict(),
            "sensitivities": [one._asdict() for one in self.ranked],
            "max_drop_pt": self.max_drop_pt,
            "tried": self.tried,
            "accuracy_pct": self.tried[self.needed or 0],
            "reached": self.needed is not None,
            "float_layers": {**named, **reasons},
        }


def scorer(data: DistillationData) -> Callable[[nn.Module], Score]:
    """What scores a network on the validation split of `data`, against its labels and stored soft labels."""
    held_out = data.held_out()
    soft = torch.from_numpy(data.soft_labels.validation())

    def score(network: nn.Module) -> Score:
        logits = logits_of(network, held_out)
        divergence = data.task.soft_label_loss(torch.from_numpy(logits), soft, temperature=1.0)
        return Score(data.task.validation_score(logits, data.wanted()), float(divergence))

    return score


class Calibrated:
    """A student that is calibrated and not yet trained through its integers, with more or fewer layers in float; batch statistics estimated anew each time
    unless its settings keep them."""

    def __init__(
        self,
        captured: fx.GraphModule,
        data: DistillationData,
        qad: Qad,
        named: Sequence[str],
        score: Callable[[nn.Module], Score],
    ) -> None:
        """captured: the fp32 student's graph, nothing placed in it; data, qad: what it is calibrated with, and how; named: layers that are in float
        in any case; score: of a network."""
        self._captured, self._qad, self._score = captured, qad, score
        self._named = frozenset(named)
        self._batches = data.batches(qad.first_epoch, qad.batch_size, qad.calibration_batches)
        # Biases as they are: those that make up for the rounding of a layer are wrong where that layer is in float.
        self._state = calibrated(captured, data, replace(qad, corrected=None), named).state_dict()
        self.layers = [layer for layer in layer_names(captured) if layer not in self._named]

    def scored(self, layers: Sequence[str]) -> Score:
        """With these `layers` in float too."""
        qad = self._qad
        student = place(
            duplicate(self._captured),
            qad.scheme,
            {*self._named, *layers},
            qad.weight_bits,
            qad.activation_bits,
        )
        student.load_state_dict({name: self._state[name] for name in student.state_dict()})
        if not qad.keeps_batchnorm:
            reestimate_batchnorm(student, self._batches)
        return self._score(student)


def sensitivities(student: Calibrated, track: Track) -> tuple[Score, list[Sensitivity]]:
    """What the whole `student` scores in integers, and every layer's cost, the costliest first: by how much the divergence falls when it alone goes to
    float. track: shows progress."""
    whole = student.scored(())
    found = []
    for layer in track(student.layers, "sensitivity, layers", len(student.layers)):
        alone = student.scored((layer,))
        found.append(
            Sensitivity(layer, alone.accuracy_pct, alone.divergence, whole.divergence - alone.divergence)
        )
    return whole, sorted(found, key=lambda one: -one.cost)


def fewest(most: int, accuracy_with: Callable[[int], float], least: float) -> int | None:
    """The fewest layers with which the accuracy is `least`, between 0 and `most`; None where `most` does not do.

    By doubling, then bisection: more layers in float are taken to be no worse. accuracy_with: so many layers
    in float → the accuracy, in the unit of `least`.
    """
    too_few, enough = -1, 0
    while accuracy_with(enough) < least:
        if enough == most:
            return None
        too_few, enough = enough, min(most, max(1, 2 * enough))
    while enough - too_few > 1:
        middle = (enough + too_few) // 2
        if accuracy_with(middle) < least:
            too_few = middle
        else:
            enough = middle
    return enough
