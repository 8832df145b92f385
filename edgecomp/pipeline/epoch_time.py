"""How long an epoch of training through integers takes on this machine, found by a few steps of it."""

import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice, pairwise
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import NamedTuple

from edgecomp.pipeline import loaders, practice
from edgecomp.pipeline.loaders import Run
from edgecomp.progress import Item

WARM, TIMED = 2, 8  # steps


class EpochTime(NamedTuple):
    """Seconds of an epoch's training, and of one evaluation on the validation split; layers: that may go to float, each of which is
    evaluated once after training."""

    training_s: float
    evaluation_s: float
    layers: int

    @property
    def seconds(self) -> float:
        """Of an epoch, which ends with an evaluation."""
        return self.training_s + self.evaluation_s

    @property
    def afterwards_s(self) -> float:
        """Of finding what the integers of each layer cost."""
        return self.evaluation_s * (self.layers + 3)


def measure(run: Run) -> EpochTime:
    """The time of an epoch of `run`, whose fp32 student is made already. Raises CaptureError, DataError."""
    from edgecomp.distill.student import calibrated, train_int8
    from edgecomp.quantization.layers import layer_names

    clock = _Clock()
    with loaders.distillation_data(run) as data, TemporaryDirectory(prefix="edgecomp-time-") as scratch:
        qad, captured = practice.qad(run), loaders.captured_student(run)
        unfrozen = 1 + max(
            qad.freeze_scales_epochs, 0 if qad.keeps_batchnorm else qad.freeze_batchnorm_epochs
        )
        untold = replace(qad.practice, folder=None, trackers=())
        qad = replace(qad, epochs=unfrozen, practice=untold)
        student = calibrated(captured, data, qad, tuple(loaders.named_float_layers(run)))
        train_int8(student, data, qad, checkpoint=Path(scratch) / "none", track=clock.some)
        began = time.perf_counter()
        data.score(student)
        return EpochTime(
            clock.steps // unfrozen * clock.step_s, time.perf_counter() - began, len(layer_names(captured))
        )


class _Clock:
    """A Track that ends after a few steps, and knows how long one took, of how many."""

    steps, step_s = 0, 0.0

    def some(self, items: Iterable[Item], what: str, total: int) -> Iterator[Item]:
        times = [time.perf_counter()]
        for item in islice(items, WARM + TIMED):
            yield item
            times.append(time.perf_counter())
        took = [after - before for before, after in pairwise(times)]
        self.steps, self.step_s = total, median(took[WARM:] or took)
