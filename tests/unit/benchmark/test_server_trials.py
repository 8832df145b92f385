"""Whether a rate is held, of a server of which everything is known: 1 ms a request, one after another."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgecomp.benchmark.scenarios import server

ALONE_NS = 1_000_000


class Queue:
    """Answers each request in its turn."""

    def ask(self, command: str, *, arrivals: str, **_: Any) -> dict[str, Any]:
        assert command == "serve"
        free, latency = 0, []
        for due in np.load(arrivals).tolist():
            free = max(free, due) + ALONE_NS
            latency.append(free - due)
        return {"latency_ns": latency, "batches": [1] * len(latency)}


@pytest.mark.parametrize(
    ("rate", "limit_ms", "holds"),
    [(300, 20, True), (950, 2, False), (300, 10_000, True), (2000, 10_000, False)],
)
def test_more_than_it_can_answer_is_not_held_however_long_the_limit(
    rate: float, limit_ms: float, holds: bool, tmp_path: Path
) -> None:
    worker: Any = Queue()
    trial = server._tried(worker, rate, np.random.default_rng(0), limit_ms, 1, 0.0, ALONE_NS, tmp_path)
    assert trial.holds is holds
    assert trial.keeps_up is (rate < 1000)
