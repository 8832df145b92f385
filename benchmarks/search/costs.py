"""How well the cost model foretells students that it has not seen: points drawn from a space, all measured as a search does."""

import random
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgecomp.api.run import prepared
from edgecomp.api.shrink.search import prepare, space_asked
from edgecomp.config.parts.shrink.search import Search
from edgecomp.machine import cpu_model, host_isa
from edgecomp.pipeline.loaders import Run
from edgecomp.pipeline.stages import searching
from edgecomp.progress import Listener
from edgecomp.shrink.candidates import Cost, load_cost, save_cost
from edgecomp.shrink.cost_model import fitted
from edgecomp.shrink.spaces import Point

METRICS = ("cpu_p50_ms", "latency_p50_ms", "peak_memory_bytes")


def measured(
    recipe: str, overrides: Sequence[str], place: Path, count: int, seed: int, listener: Listener
) -> list[tuple[Point, Cost]]:
    """So many points of the space of a `recipe`, drawn by `seed`, and what each takes; what was measured before is kept in `place`."""
    job, folder, every = prepared(recipe, overrides, place / "run", False, listener)
    prepare(job, folder, every, listener)
    run, asked = Run(job, folder.path, listener.track, listener.note), job.recipe.search or Search()
    space = space_asked(job, asked)
    points = [*space.points()]
    random.Random(seed).shuffle(points)
    work, found = searching.Candidates(run, asked), []
    for number, point in enumerate(points[:count]):
        if (cost := load_cost(place, point)) is None:
            listener.started(f"{number + 1} of {count}", space.told(point))
            (place / "work" / str(number)).mkdir(parents=True, exist_ok=True)
            cost = work.measured(space.of(point), place / "work" / str(number))
            save_cost(place, point, cost)
        found.append((point, cost))
    return found


def judged(found: Sequence[tuple[Point, Cost]], learnt: int) -> dict[str, Any]:
    """The errors on all `found` but the first so many, `learnt`, of a model of those, by target and figure."""
    own, unseen = [one for _, one in found[:learnt]], [one for _, one in found[learnt:]]
    told: dict[str, Any] = {
        "learnt": len(own),
        "unseen": len(unseen),
        "isa": host_isa(),
        "cpu": cpu_model(),
        "errors": {},
    }
    for target in own[0].figures:
        for metric in METRICS:
            model = fitted([one.work for one in own], [one.figures[target][metric] for one in own])
            assert model is not None
            errors = [100 * (model.foretold(one.work) / one.figures[target][metric] - 1) for one in unseen]
            sizes = sorted(map(abs, errors))
            figures = [one.figures[target][metric] for one in unseen]
            told["errors"][f"{target}/{metric}"] = {
                "median_pct": statistics.median(sizes),
                "nine_in_ten_pct": sizes[-1 - len(sizes) // 10],
                "lowest_pct": min(errors),
                "highest_pct": max(errors),
                "left_one_out_median_pct": 100 * model.error,
                "figures": [min(figures), max(figures)],
            }
    return told
