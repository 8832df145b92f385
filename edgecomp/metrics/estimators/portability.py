"""The student as another CPU executes it: the target's own under emulation, and those that its file may meet.

Each is (measured, arm_name, confidence) → Figure.
"""

import numpy as np

from edgecomp.metrics.estimators.common import of_bounds, proportion
from edgecomp.metrics.estimators.export import is_telling
from edgecomp.metrics.estimators.scores import SEED, answers
from edgecomp.metrics.measurements import Logits, Measurements
from edgecomp.metrics.missing import NotFinite, NotMeasured, Saturates, Untelling
from edgecomp.stats import intervals as stats
from edgecomp.stats.figure import Figure, exact


def emulated_agreement(measured: Measurements, arm_name: str, confidence: float) -> Figure:
    """The share of the probes that get the fake-quant student's answer, in per cent. measured: of a target
    whose CPU was emulated; arm_name: the student's; confidence: of each bound. Raises NotMeasured, NotFinite,
    Untelling."""
    _, probes, reference = _executed(measured, arm_name)
    parity = measured.arms[arm_name].parity
    if parity and not is_telling(parity):
        raise Untelling("the probes get too few answers to tell a difference")
    count = min(len(probes), len(reference))  # of a student in float fewer answers are known
    same = measured.task.agreeing(probes[:count], reference[:count])
    return proportion(int(same.sum()), len(same), confidence)


def emulated_loss(measured: Measurements, arm_name: str, confidence: float) -> Figure:
    """Accuracy lost against this machine's execution, in points. measured: of a target whose CPU was
    emulated; arm_name: the student's; confidence: of each bound. Raises NotMeasured, Impossible,
    NotFinite."""
    test, _, _ = _executed(measured, arm_name)
    count = len(test)
    here, there = answers(measured, arm_name)[:count], measured.task.answers(test)
    bounds = stats.paired_bounds(
        stats.accuracy,
        np.subtract,
        measured.labels[:count],
        here,
        there,
        max(2, test.shape[1]),
        confidence=confidence,
        seed=SEED,
    )
    return of_bounds(bounds, 100, "points", count, confidence)


def _executed(measured: Measurements, arm_name: str) -> tuple[Logits, Logits, Logits]:
    """Logits of the test examples and of the probes there, and the fake-quant student's of the probes. Raises NotMeasured, NotFinite."""
    emulated = measured.emulated
    if arm_name != measured.student or emulated is None:
        raise NotMeasured("the target's CPU is this machine's")
    if emulated.test is None or emulated.probes is None:
        raise NotMeasured(f"not run: {emulated.facts['how']}")
    if not (np.isfinite(emulated.test).all() and np.isfinite(emulated.probes).all()):
        raise NotFinite("the emulated CPU gave logits that are not finite")
    return emulated.test, emulated.probes, emulated.reference


def least_agreement(measured: Measurements, arm_name: str, confidence: float) -> Figure:
    """Agreement of this machine's answers with those of the CPU that agrees least, in per cent; exact where
    the proof is all there is. measured: of one target; arm_name: the student's; confidence: of each bound.
    Raises NotMeasured, Saturates, NotFinite."""
    portable = measured.portable
    if arm_name != measured.student or portable is None or portable.isa != "host":
        raise NotMeasured("known of the student that is judged, of a target that names no CPU")
    if portable.why:
        raise Saturates(portable.why)
    compared = [facts for facts in portable.executed.values() if facts["run"]]
    if not all(facts["finite"] for facts in compared):
        raise NotFinite("a CPU gave logits that are not finite")
    if not compared:
        return exact(100.0, "percent", confidence, "proven from its weights, executed on no other CPU")
    shares = [proportion(facts["agreeing"], facts["examples"], confidence) for facts in compared]
    return min(shares, key=lambda share: share.low or 0.0)
