"""What two sides gave, as any gate reads it: samples by restart, files, answers, scores, and whether both were right while timed."""

from typing import Any

import numpy as np
import numpy.typing as npt

from edgecomp.benchmark.inputs.examples import Evaluation
from edgecomp.benchmark.scenarios.side_by_side import SideBySide
from edgecomp.benchmark.stage import described, quality
from edgecomp.benchmark.worker import answers
from edgecomp.config.target import Target
from edgecomp.metrics.comparison import BASELINE, BY_OUTPUT, CANDIDATE, Comparison
from edgecomp.metrics.measurements import Arm, Measurements
from edgecomp.metrics.samples import (
    COLD_START,
    CPU,
    GENERATION_WALL,
    IMPORTS_PEAK,
    LOAD,
    PEAK_MEMORY,
    SINGLE_STREAM_CPU,
    SINGLE_STREAM_WALL,
    TOKEN_CPU,
    TOKEN_WALL,
    WALL,
)


def audit(pair: SideBySide, rows: int) -> dict[str, Any]:
    """Whether both models of the `pair` are right while they are timed: by arm the outputs that are
    `not_finite`, and how far the others are from those of the same inputs otherwise, over their deviation, at
    most (`timed_error`). rows: examples at once."""
    found: dict[str, Any] = {"not_finite": {}, "timed_error": {}}
    for arm, timed in pair.timed_answers.items():
        broken = answers.broken_in(pair.outputs.get(arm, {}))
        for outputs in timed.values():
            broken |= {name: one["broken"] for name, one in outputs.items() if one["broken"]}
        if broken:
            found["not_finite"][arm] = broken
        errors = answers.timed_errors(pair.outputs.get(arm, {}), timed, rows)
        found["timed_error"][arm] = max(errors.values(), default=0.0)
    return found


def as_measured(
    of: Comparison, pair: SideBySide, evaluation: Evaluation | None, target: Target
) -> Measurements:
    """The comparison as any gate reads it: both arms' samples by restart, their files, and their answers. of:
    what was measured; pair: whose files they are; evaluation: the examples, with what their labels are, None
    where none were given; target: both ran under."""
    arms = {}
    for arm in (BASELINE, CANDIDATE):
        file = described(pair.sides[arm].model, 0)
        arms[arm] = Arm(
            samples=_samples(of, arm),
            logits=of.logits.get(arm, np.empty((0, 0), np.float32)),
            memory={},
            file_size_bytes=sum(size for size, _ in file.files.values()),
            file_sha256={name: digest for name, (_, digest) in file.files.items()},
            parameter_bytes=None,
            scores=of.scores.get(arm),
        )
    blocks = [dict(block) for restart in of.restarts for block in restart.blocks]
    facts: dict[str, Any] = {"threads": target.threads}
    if evaluation is not None and evaluation.classes:
        facts["classes"] = evaluation.classes
    if evaluation is not None and evaluation.target_std:
        facts["target_std"] = list(evaluation.target_std)
    told = ("not_finite", "made_up", "task", "new_tokens", *BY_OUTPUT.values())
    facts |= {name: of.facts[name] for name in told if name in of.facts}
    if of.restarts:
        facts["quality"] = quality(arms[BASELINE], blocks, target)._asdict()
    return Measurements(
        target=target.name,
        runtime=target.runtime,
        arms=arms,
        labels=np.empty(0, np.int64) if of.labels is None else of.labels,
        offline_batch=1,
        facts=facts,
        student=CANDIDATE,
        slices=evaluation.slices if evaluation is not None else None,
    )


def _samples(of: Comparison, arm: str) -> dict[str, npt.NDArray[np.int64]]:
    if not of.restarts:
        return {}
    found = {
        name: of.samples(arm, clock).reshape(len(of.restarts), -1)
        for name, clock in ((SINGLE_STREAM_WALL, WALL), (SINGLE_STREAM_CPU, CPU))
    }
    generated = (
        (TOKEN_WALL, TOKEN_CPU, GENERATION_WALL) if f"{arm}.{TOKEN_WALL}" in of.restarts[0].samples else ()
    )
    found |= {name: of.samples(arm, name).reshape(len(of.restarts), -1) for name in generated}
    once = (COLD_START, LOAD, PEAK_MEMORY, IMPORTS_PEAK)
    return found | {name: of.samples(arm, name) for name in once}
