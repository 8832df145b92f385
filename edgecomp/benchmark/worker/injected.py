"""A slowdown that is really there: every inference is followed by work of its own, in the worker, on the worker's clock.

It is how `edgecomp selftest` finds out what this machine can tell apart. Nothing multiplies a figure.
"""

import time
from collections.abc import Mapping

from edgecomp.runtimes.base import Array, Session, Signature


class Slowed:
    """A session whose every inference costs `share` more of the CPU time that this inference took.

    It is not so many operations counted out beforehand: what shares the core slows one kind of operation more than
    another. What the clock's grain paid too much is less to pay next time.
    """

    def __init__(self, session: Session, share: float) -> None:
        self.concurrent = session.concurrent
        self._session = session
        self._share = share
        self._owed_ns = 0.0

    def signature(self) -> Signature:
        return self._session.signature()

    def run(self, batch: Mapping[str, Array]) -> dict[str, Array]:
        begin = time.process_time_ns()
        outputs = self._session.run(batch)
        end = now = time.process_time_ns()
        self._owed_ns += self._share * (end - begin)
        while now - end < self._owed_ns:
            now = time.process_time_ns()
        self._owed_ns -= now - end
        return outputs

    def close(self) -> None:
        self._session.close()
