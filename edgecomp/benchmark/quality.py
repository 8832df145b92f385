"""How far figures of time can be trusted: a grade, by what the machine did while they were measured."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from edgecomp.metrics.samples import OFFLINE_CPU, OFFLINE_WALL, SINGLE_STREAM_CPU, SINGLE_STREAM_WALL

CONTENDED = 1.15  # wall over CPU time of one thread, from which wall figures are the neighbours' as well
UNSTEADY = 0.03  # spread of CPU medians over restarts, from which small differences cannot be told
STOLEN = 0.02  # share of the time that a hypervisor, or waiting for a core, has taken


class Quality(NamedTuple):
    """grade A: all figures stand; B: they stand, with noise; C: CPU figures stand, wall figures do not; D: none says what it would be
    on a CPU that is not throttled."""

    grade: str
    advice: str
    facts: dict[str, float | None]


def grade(
    samples: Mapping[str, npt.NDArray[np.int64]],
    blocks: Sequence[Mapping[str, float | None]],
    *,
    threads: int,
    waits: bool = False,
) -> Quality:
    """How far the figures of one model can be trusted. samples: an arm's, ns [restarts, ...]; blocks: what
    `noise.during` gave; threads: of the runtime; waits: whether it waits for a device.

    With one thread wall over CPU time is contention; with more, or where the model waits for a device, it is
    not, and the kernel's own accounts stand in. That restarts differ takes no figure away: intervals over
    restarts are as wide as that.
    """
    ratio, spread = wall_over_cpu(samples), _spread(samples)
    facts: dict[str, float | None] = {"wall_over_cpu": ratio, "cpu_spread": spread}
    for name in ("stolen_share", "waiting_share", "involuntary_per_s", "throttled", "frequency_khz"):
        values = [value for block in blocks if (value := block.get(name)) is not None]
        facts[name] = float(np.mean(values)) if values else None
    stolen = max(facts["stolen_share"] or 0.0, 0.0)
    taken = max(stolen, facts["waiting_share"] or 0.0)
    alone = threads == 1 and not waits
    if facts["throttled"]:
        advice = "the CPU was throttled for heat: a limit that is kept is kept, one that is broken may be the heat's"
        return Quality("D", advice, facts)
    if (ratio > CONTENDED) if alone else (taken > CONTENDED - 1):
        shown = f"wall/CPU = {ratio:.2f}" if alone else f"{100 * taken:.0f} % of the time taken by others"
        return Quality("C", f"host contended: {shown}; CPU figures stand, wall figures do not", facts)
    if spread > UNSTEADY:
        differs = f"CPU time differs by {100 * spread:.0f} % between restarts"
        return Quality("B", f"{differs}: intervals are as wide, and more restarts narrow them", facts)
    if (alone and ratio > 1 + (CONTENDED - 1) / 3) or stolen > STOLEN:
        return Quality("B", "some noise: compare by CPU time, and small differences not at all", facts)
    return Quality("A", "quiet", facts)


def wall_over_cpu(samples: Mapping[str, npt.NDArray[np.int64]]) -> float:
    """Of single stream and offline together, the median over restarts: with one thread, over 1 by what others
    took. samples: an arm's, ns [restarts, ...]. A median of inferences would hide it, for most are over
    before the scheduler looks; and one stall is not a contended host."""
    wall, cpu = (
        sum(samples[name].reshape(len(samples[name]), -1).sum(axis=1) for name in of_clock if name in samples)
        for of_clock in ((SINGLE_STREAM_WALL, OFFLINE_WALL), (SINGLE_STREAM_CPU, OFFLINE_CPU))
    )
    return float(np.median(wall / np.maximum(cpu, 1)))


def _spread(samples: Mapping[str, npt.NDArray[np.int64]]) -> float:
    """What the restarts' medians of CPU time differ by, of their median."""
    medians = np.median(samples[SINGLE_STREAM_CPU], axis=1)
    return float((medians.max() - medians.min()) / max(float(np.median(medians)), 1.0))
