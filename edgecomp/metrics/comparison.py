"""What a comparison measured and its gate reads: two models side by side, and the baseline once more beside itself.

samples.npz holds `ARM.cpu_ns` and `ARM.wall_ns`, int64 [restarts, rounds, 2, calls], in which the second axis is the way there and the
way back (ABBA) and the inputs are asked in turn, and `ARM.NAME`, int64 [restarts], for what a process has once. ARM is baseline,
again or candidate. answers.npz, where examples were given, holds what answers are judged on, as far as there is: `baseline.logits` and
`candidate.logits` [examples, ...] of the output that is judged, `labels` [examples, ...] as edgecomp.tasks has them, `slices` [examples],
`ARM.score` [examples]; and of each output K of `outputs`, their names, `outputs.K.error` [examples], the mean difference of an example's
values over the deviation of all the baseline's, `outputs.K.cosine` of these values, and `outputs.K.agrees`, whether the largest is the same.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

BASELINE, AGAIN, CANDIDATE = "baseline", "again", "candidate"
ARMS = (BASELINE, AGAIN, CANDIDATE)

BY_OUTPUT = {
    "output_error_pct": "outputs",
    "output_cosine_pct": "cosines_pct",
    "output_agreement_pct": "agreeing",
}
"""By metric of outputs, which of a comparison's facts holds it: output → per cent, or how many agree of how many."""

Array = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Restart:
    """One fresh process of every arm. samples: `ARM.NAME` → int64, [rounds, 2, calls] or []; blocks: what the machine did meanwhile."""

    samples: Mapping[str, Array]
    blocks: Sequence[Mapping[str, float | None]] = ()


@dataclass
class Comparison:
    """All restarts so far, in order, and the answers to the examples of the evaluation, where there are any."""

    restarts: list[Restart] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    logits: dict[str, npt.NDArray[np.float32]] = field(default_factory=dict)  # arm → [examples, ...]
    labels: npt.NDArray[Any] | None = None  # that these are held against
    scores: dict[str, npt.NDArray[np.float64]] = field(default_factory=dict)  # arm → [examples]
    outputs: dict[str, dict[str, npt.NDArray[Any]] | None] = field(
        default_factory=dict
    )  # by name: `error`, `cosine`, `agrees` [examples]; None of one that is not finite

    def samples(self, arm: str, name: str, restarts: int | None = None) -> Array:
        """What is called `name` of an arm, int64 [restarts, ...], of the first so many restarts, or of all.
        arm: baseline, again or candidate. Raises KeyError."""
        return np.stack([restart.samples[f"{arm}.{name}"] for restart in self.restarts[:restarts]])

    def all_samples(self) -> dict[str, Array]:
        names = self.restarts[0].samples if self.restarts else {}
        return {name: np.stack([restart.samples[name] for restart in self.restarts]) for name in names}
