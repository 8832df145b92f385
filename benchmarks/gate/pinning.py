"""What it is worth to keep both models' threads on the same cores: the spread of a model's ratio to itself, with and without, by turns."""

import json
import tempfile
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from trials import target_of

from edgecomp import inputs
from edgecomp.benchmark.scenarios import side_by_side
from edgecomp.benchmark.scenarios.side_by_side import Side, SideBySide
from edgecomp.comparison.selftest import reference_model
from edgecomp.comparison.trial import place_of, signature, timed_inputs
from edgecomp.gate.paired import log_ratios
from edgecomp.metrics.comparison import Comparison

RESTARTS = 24


def run(to: Path) -> None:
    """Writes pinning.json: by number of threads, spreads in per cent of the ratio's restarts, pinned and free."""
    found = {}
    for threads in (1, 2):
        with tempfile.TemporaryDirectory() as name:
            found[str(threads)] = _spreads(threads, Path(name))
        print(threads, found[str(threads)], flush=True)
    to.parent.mkdir(parents=True, exist_ok=True)
    to.write_text(json.dumps({"restarts": RESTARTS, "spread_pct": found}, indent=1) + "\n", encoding="utf-8")


def _spreads(threads: int, scratch: Path) -> dict[str, dict[str, float]]:
    target = target_of(threads)
    side = Side(reference_model(target, scratch), place_of(target))
    timed = timed_inputs(signature("baseline", side).inputs, target, None)
    inputs.save(timed.inputs, scratch / "inputs", timed.axes)

    def pair(seed: int) -> Any:
        return SideBySide(
            side, side, inputs=scratch / "inputs", rows=timed.rows, random=np.random.default_rng(seed)
        )

    pairs = {"pinned": pair(0), "free": pair(1)}
    of = {name: Comparison() for name in pairs}
    for _ in range(RESTARTS):
        of["pinned"].restarts.append(pairs["pinned"].restart())
        with patch.object(side_by_side, "pin"):
            of["free"].restarts.append(pairs["free"].restart())
    return {
        name: {
            metric: round(100 * float(np.std(log_ratios(one, metric, RESTARTS), ddof=1)), 2)
            for metric in ("cpu_p50_ms", "latency_p50_ms")
        }
        for name, one in of.items()
    }
