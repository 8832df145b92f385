"""Accuracy-aware precision: what each layer's integers cost, and the fewest layers to keep in float."""

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import torch
from torch import fx, nn

from edgecomp.artifacts import write_json
from edgecomp.distill.lessons import Lessons
from edgecomp.distill.losses import soft_label_loss
from edgecomp.progress import Track
from edgecomp.quantize.calibration import Batches, reestimate_batchnorm
from edgecomp.quantize.capture import duplicate
from edgecomp.quantize.placement import layer_names, place
from edgecomp.training import logits_of, save_weights


class Score(NamedTuple):
    """A network on the validation split: accuracy, and mean KL(teacher ‖ student) in nats."""

    accuracy_pct: float
    divergence: float


class Sensitivity(NamedTuple):
    """One layer: what the network scores with that layer alone in float, and the divergence its integers cost."""

    layer: str
    accuracy_pct: float
    divergence: float
    cost: float


Scored = Callable[[Collection[str]], Score]
"""The student with those layers in float → its score."""


class Fallback(NamedTuple):
    """`layers` left in float, with the accuracy that gives; `reached` is whether the drop is within the limit."""

    layers: list[str]
    accuracy_pct: float
    reached: bool


def sensitivities(layers: Sequence[str], scored: Scored, track: Track) -> list[Sensitivity]:
    """Every layer's cost, the costliest first: by how much the divergence falls when it alone goes to float."""
    whole = scored(())
    found = []
    for layer in track(layers, "sensitivity by layer", len(layers)):
        score = scored((layer,))
        found.append(
            Sensitivity(layer, score.accuracy_pct, score.divergence, whole.divergence - score.divergence)
        )
    return sorted(found, key=lambda one: -one.cost)


def fewest_float_layers(
    ranked: Sequence[str], scored: Scored, *, least_accuracy_pct: float, track: Track
) -> Fallback:
    """The fewest layers, taken in the order of their cost, that bring the accuracy to `least_accuracy_pct`.

    Then those that turn out not to be needed are given back. Where even all of them do not reach it, none is kept
    in float: the loss is not one of precision.
    """
    start = scored(()).accuracy_pct
    for count in track(range(1, len(ranked) + 1), "layers kept in float", len(ranked)):
        chosen = list(ranked[:count])
        reached = scored(chosen).accuracy_pct
        if reached >= least_accuracy_pct:
            break
    else:
        return Fallback([], start, reached=False)
    for layer in ranked[: len(chosen) - 1][::-1]:
        fewer = [name for name in chosen if name != layer]
        without = scored(fewer).accuracy_pct
        if without >= least_accuracy_pct:
            chosen, reached = fewer, without
    return Fallback(chosen, reached, reached=True)


def choose_precision(
    captured: fx.GraphModule,
    weights: Mapping[str, torch.Tensor],
    fp32: nn.Module,
    lessons: Lessons,
    *,
    scheme: str,
    weight_bits: int,
    named: Mapping[str, str],
    max_drop_pt: float | None,
    calibration: Batches,
    folder: Path,
    track: Track,
) -> None:
    """Writes precision.json, every layer's sensitivity and the layers left in float with the reason of each, and
    student_int8.safetensors, the student with those layers in float.

    captured: the student's graph, nothing placed in it; weights: the trained student's state. named: layers that the
    recipe leaves in float → its reason; without `max_drop_pt` none is added to them. Batch statistics are estimated
    again with every choice of layers, or those of the integers would be held against the float ones.
    """
    inputs = lessons.preprocessing.apply(lessons.validation.images)
    soft = torch.from_numpy(lessons.soft_labels.validation())

    def student(layers: Collection[str]) -> fx.GraphModule:
        built = place(duplicate(captured), scheme, {*named, *layers}, weight_bits)
        built.load_state_dict({name: weights[name] for name in built.state_dict()})
        return built

    def score(network: nn.Module) -> Score:
        logits = logits_of(network, inputs)
        divergence = soft_label_loss(torch.from_numpy(logits), soft, temperature=1.0)
        return Score(float((logits.argmax(1) == lessons.validation.labels).mean() * 100), float(divergence))

    @cache
    def scored(layers: frozenset[str]) -> Score:
        network = student(layers)
        reestimate_batchnorm(network, calibration)
        return score(network)

    layers = [layer for layer in layer_names(captured) if layer not in named]
    ranked = sensitivities(layers, lambda some: scored(frozenset(some)), track)
    reference, trained = lessons.accuracy(fp32), score(student(()))
    chosen = Fallback([], trained.accuracy_pct, reached=True)
    if max_drop_pt is not None and trained.accuracy_pct < reference - max_drop_pt:
        chosen = fewest_float_layers(
            [one.layer for one in ranked],
            lambda some: scored(frozenset(some)),
            least_accuracy_pct=reference - max_drop_pt,
            track=track,
        )
    final = student(chosen.layers)
    if chosen.layers:
        reestimate_batchnorm(final, calibration)
    costs = {one.layer: one.cost for one in ranked}
    reasons = {
        layer: f"accuracy fallback: its integers cost {costs[layer]:.2g} nats of divergence from the teacher"
        for layer in chosen.layers
    }
    save_weights(final, folder / "student_int8.safetensors")
    write_json(
        folder / "precision.json",
        {
            "examples": len(lessons.validation.labels),
            "fp32_accuracy_pct": reference,
            "int8": trained._asdict(),
            "sensitivities": [one._asdict() for one in ranked],
            "max_drop_pt": max_drop_pt,
            "accuracy_pct": score(final).accuracy_pct,
            "reached": chosen.reached,
            "float_layers": {**named, **reasons},
        },
    )
