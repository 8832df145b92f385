"""TPE beside random search, on one table of candidates that were all measured and trained: what each would have found, many times over."""

import json
import math
import random
import statistics
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from edgecomp.metrics.registry import LATENCY_P50
from edgecomp.progress import Silent
from edgecomp.shrink.budget import Limit
from edgecomp.shrink.candidates import TRAINED, Candidate, Cost, Work, load_all
from edgecomp.shrink.front import chosen
from edgecomp.shrink.spaces import Space
from edgecomp.shrink.study import IsWeak, Study
from edgecomp.shrink.trials import Trials

SHARE = 0.5  # of the points that a search may try
AT = 0.5  # the budget: the latency that so many of the points keep


class Recorded:
    """What the table says of a student, in place of measuring and training it."""

    def __init__(self, table: Mapping[str, Candidate], space: Space) -> None:
        self._table = {json.dumps(space.of(one.point), sort_keys=True): one for one in table.values()}

    def measured(self, student: Mapping[str, Any], folder: Path) -> Cost:
        cost = self._table[json.dumps(student, sort_keys=True)].cost
        assert cost is not None
        return cost

    def work(self, student: Mapping[str, Any], folder: Path) -> Work:
        return self.measured(student, folder).work

    def scored(self, student: Mapping[str, Any], folder: Path, is_weak: IsWeak | None = None) -> float:
        score = self._table[json.dumps(student, sort_keys=True)].score
        assert score is not None
        return score


def replayed(points: Path, scratch: Path, times: int) -> dict[str, Any]:
    """The best score within the budget that TPE and random search find, by replay, and the best that there is. points: the folder of a search that
    tried every point; scratch: where studies lie for a moment."""
    found = load_all(points)
    table = {one.name: one for one in found if one.became == TRAINED}
    target = json.loads((points / "front.json").read_text(encoding="utf-8"))["target"]
    space = space_of(points)
    latencies = sorted(one.cost.figures[target][LATENCY_P50] for one in table.values() if one.cost)
    most = latencies[int(AT * (len(latencies) - 1))]
    limit = Limit(target, LATENCY_P50, "max", most, f"≤ {most:.3g} ms")
    count = max(2, round(SHARE * len(table)))
    scratch.mkdir(parents=True, exist_ok=True)
    keeps = [
        one for one in table.values() if one.cost and limit.excess(one.cost.figures[target][LATENCY_P50]) <= 0
    ]
    return {
        "points": len(table),
        "tried": count,
        "limit_ms": most,
        "best": max(one.score for one in keeps if one.score is not None),
        "tpe": _summary([by_tpe(table, space, limit, count, seed, scratch) for seed in range(times)]),
        "random": _summary([by_chance(table, limit, count, seed) for seed in range(times)]),
    }


def space_of(points: Path) -> Space:
    """Of the search in that folder; only its axes matter to a replay."""
    axes = json.loads((points / "search.json").read_text(encoding="utf-8"))["space"]
    return Space({}, axes)


def by_tpe(
    table: Mapping[str, Candidate], space: Space, limit: Limit, count: int, seed: int, scratch: Path
) -> float:
    with TemporaryDirectory(dir=scratch) as name:
        folder = Path(name)
        study = Study(folder / "study.db", space, sampler="tpe", seed=seed, target=limit.target)
        Trials(folder, space, [limit], study, Recorded(table, space), Silent()).until(count, 10**6, None)
        best = chosen(load_all(folder), limit.target)
    return 0.0 if best is None or best.score is None else best.score


def by_chance(table: Mapping[str, Candidate], limit: Limit, count: int, seed: int) -> float:
    """So many points drawn without any two the same."""
    drawn = random.Random(seed).sample(sorted(table), len(table))[:count]
    scores = [
        one.score
        for one in (table[name] for name in drawn)
        if one.cost
        and one.score is not None
        and limit.excess(one.cost.figures[limit.target][LATENCY_P50]) <= 0
    ]
    return max(scores, default=0.0)


def _summary(scores: list[float]) -> dict[str, float]:
    ordered, last = sorted(scores), len(scores) - 1
    return {
        "mean": statistics.fmean(scores),
        "low": ordered[math.floor(0.025 * last)],
        "high": ordered[math.ceil(0.975 * last)],
    }
