"""A slowdown that is really there: every inference is followed by work of its own, in the worker, on the worker's clock.

It is how `edgecomp selftest` finds out what this machine can tell apart. Nothing multiplies a figure.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from edgecomp.runtimes.base import Array, Session, Signature

TRIALS = 41
ELEMENTS = 4096  # of the work that the cost of one element is measured on


class Slowed:
    """A session whose every inference costs `share` more: as many sines as took that share of its CPU time when it was loaded."""

    def __init__(self, session: Session, feed: Mapping[str, Array], share: float) -> None:
        self.concurrent = session.concurrent
        self._session = session
        whole = np.linspace(0.0, 1.0, ELEMENTS)
        out = np.empty_like(whole)
        elements = ELEMENTS * _median_ratio(lambda: session.run(feed), lambda: np.sin(whole, out=out))
        self._work = np.linspace(0.0, 1.0, max(1, round(share * elements)))
        self._out = np.empty_like(self._work)

    def signature(self) -> Signature:
        return self._session.signature()

    def run(self, batch: Mapping[str, Array]) -> dict[str, Array]:
        outputs = self._session.run(batch)
        np.sin(self._work, out=self._out)
        return outputs

    def close(self) -> None:
        self._session.close()


def _median_ratio(work: Callable[[], Any], unit: Callable[[], Any]) -> float:
    """CPU time of `work` over that of `unit`, by turns: a clock that changes its speed meanwhile changes it for both."""
    return float(np.median([_cpu_ns(work) / max(1, _cpu_ns(unit)) for _ in range(TRIALS)]))


def _cpu_ns(work: Callable[[], Any]) -> int:
    begin = time.process_time_ns()
    work()
    return time.process_time_ns() - begin
