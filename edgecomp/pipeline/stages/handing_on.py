"""A cascade: one file of the student and its teacher, and from which margin on the student's answers are kept."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgecomp import arms
from edgecomp.config.target import Target
from edgecomp.errors import DataError
from edgecomp.files.array_files import read_npy
from edgecomp.files.writing import write_json
from edgecomp.pipeline import loaders, model_files
from edgecomp.pipeline.loaders import Run
from edgecomp.stats import handing_on
from edgecomp.stats.intervals import Values

CONFIDENCE = 0.95
REFERENCE = "reference.npy"
AT_ONCE = 64
DRAWN = 50  # shares of the curve


def cascade(run: Run, out: Path, checkpoints: Path, *, target: Target) -> None:
    """Writes into `out` the cascade of `run` as this target's runtime takes it, what it answers to the probes in PyTorch, and cascade.json: the margin,
    what it loses and hands on of the validation split, and accuracy by the share that is handed on; checkpoints: not needed. Raises DataError where the
    validation split cannot show what was asked."""
    from edgecomp.export.onnx.cascade import join
    from edgecomp.export.openvino import ir
    from edgecomp.export.stage import initializer_bytes

    asked = run.job.recipe.quantize.cascade
    assert asked is not None
    first, then, labels = _validated(run, target)
    margins, right, next_right = margin(first), _right(first, labels), _right(then, labels)
    found = handing_on.smallest(margins, next_right & ~right, asked.most, CONFIDENCE)
    if found is None:
        raise DataError(
            f"quantize.cascade: the validation split of {len(labels)} examples cannot show that at most {asked.most_lost} are lost: it takes "
            f"{handing_on.examples_needed(asked.most, CONFIDENCE)}; raise data.validation_fraction, or most_lost"
        )
    student = arms.student(run.job.recipe.quantize)
    members = [model_files.exported(run, arm.name, "onnxruntime-cpu") for arm in (student, arms.TEACHER)]
    join(
        members[0],
        members[1],
        found.margin if np.isfinite(found.margin) else float(np.finfo(np.float32).max),
        out / "model.onnx",
    )
    if target.runtime.startswith("openvino"):
        ir.convert(out / "model.onnx", out)
    np.save(out / REFERENCE, _reference(run, found.margin))
    kept = margins >= found.margin
    write_json(
        out / "cascade.json",
        {
            **found._asdict(),
            "margin": found.margin if np.isfinite(found.margin) else None,
            "most_lost": asked.most,
            "confidence": CONFIDENCE,
            "examples": len(labels),
            "accuracy_pct": {
                "student": 100 * float(right.mean()),
                "teacher": 100 * float(next_right.mean()),
                "cascade": 100 * float(np.where(kept, right, next_right).mean()),
            },
            "curve": curve(margins, right, next_right),
            "parameter_bytes": sum(map(initializer_bytes, members)),
        },
    )


def margin(logits: npt.NDArray[Any]) -> Values:
    """How sure each answer is, [N]: by how much its largest number is over the next one; of one number its size. logits: [N, classes]."""
    values = np.asarray(logits, np.float64)
    if values.shape[1] == 1:
        return np.abs(values[:, 0])
    largest = np.sort(values, axis=1)[:, -2:]
    return np.asarray(largest[:, 1] - largest[:, 0])


def curve(
    margins: Values, right: npt.NDArray[np.bool_], next_right: npt.NDArray[np.bool_]
) -> list[list[float]]:
    """By the share that is handed on, the least sure first, the accuracy in per cent: [share, accuracy]. margins, right: of the first one's answers;
    next_right: whether the next one is right."""
    order = np.argsort(margins, kind="stable")
    gained = np.concatenate([[0], np.cumsum(next_right[order].astype(int) - right[order].astype(int))])
    places = np.unique(np.linspace(0, len(margins), DRAWN + 1).astype(int))
    return [
        [float(at / len(margins)), float(100 * (right.sum() + gained[at]) / len(margins))] for at in places
    ]


def _validated(run: Run, target: Target) -> tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[np.int64]]:
    """What student and teacher answer to the validation split, as the target's runtime executes their files, and its labels."""
    from edgecomp import runtimes
    from edgecomp.data.splits import Split
    from edgecomp.export.parity import answers

    split, executed = Split.load(run.folder / "data", "validation"), model_files.executed_by(run, target)
    inputs, runtime = loaders.preprocessing(run).apply(split.arrays), runtimes.adapter(executed.runtime)
    student = arms.student(run.job.recipe.quantize)
    found = [
        answers(
            runtime, model_files.exported(run, arm.name, executed.runtime), executed.options, inputs, AT_ONCE
        )
        for arm in (student, arms.TEACHER)
    ]
    return found[0], found[1], np.asarray(split.labels, np.int64)


def _right(logits: npt.NDArray[Any], labels: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    given = (logits[:, 0] > 0).astype(np.int64) if logits.shape[1] == 1 else logits.argmax(axis=1)
    return np.asarray(given == labels)


def _reference(run: Run, least: float) -> npt.NDArray[np.float32]:
    """What the two networks answer to the probes in PyTorch, each where it is asked. least: the margin that an answer is kept from."""
    import torch

    from edgecomp.training.loop import Examples, logits_of

    torch.set_num_threads(loaders.training_threads(run))
    probes = loaders.probes(run)
    first = read_npy(run.made("export") / "reference.npy")
    then = logits_of(
        loaders.trained_teacher(run), Examples(probes, np.zeros(len(first), np.int64), lambda given: given)
    )
    return np.where((margin(first) < least)[:, None], then, first).astype(np.float32)
