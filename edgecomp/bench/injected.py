"""A slowdown that is really there: every inference is followed by work of its own, in the worker, on the worker's clock.

It is how `edgecomp selftest` finds out what this machine can tell apart. Nothing multiplies a figure.
"""

import time
from collections.abc import Mapping
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
        inference = _median_ns(lambda: session.run(feed))
        whole = np.linspace(0.0, 1.0, ELEMENTS)
        out = np.empty_like(whole)
        per_element = _median_ns(lambda: np.sin(whole, out=out)) / ELEMENTS
        self._work = np.linspace(0.0, 1.0, max(1, round(share * inference / per_element)))
        self._out = np.empty_like(self._work)

    def signature(self) -> Signature:
        return self._session.signature()

    def run(self, batch: Mapping[str, Array]) -> dict[str, Array]:
        outputs = self._session.run(batch)
        np.sin(self._work, out=self._out)
        return outputs

    def close(self) -> None:
        self._session.close()


def _median_ns(work: Any) -> float:
    times = []
    for _ in range(TRIALS):
        begin = time.process_time_ns()
        work()
        times.append(time.process_time_ns() - begin)
    return float(np.median(times))
