"""One candidate of a search after another, until there are enough."""

import shutil
import time
from collections.abc import Sequence
from pathlib import Path

from edgecomp.config.parts.search import Search
from edgecomp.errors import EdgecompError, UsageError
from edgecomp.pipeline.loaders import Run
from edgecomp.pipeline.stages import searching
from edgecomp.progress import Listener
from edgecomp.shrink import candidates, front
from edgecomp.shrink.budget import Limit, broken, excesses
from edgecomp.shrink.candidates import Candidate, Cost, load_all, place_of
from edgecomp.shrink.spaces import Point, Space
from edgecomp.shrink.study import Study

WORK, CHECKPOINTS = "work", "checkpoints"
DIED = "memory of the target"  # the constraint of a candidate that did not fit into it


class Trials:
    """The candidates of a search: which is next its `study` says, and each is measured, and where it keeps the budget trained."""

    def __init__(
        self,
        run: Run,
        folder: Path,
        space: Space,
        limits: Sequence[Limit],
        asked: Search,
        study: Study,
        listener: Listener,
    ) -> None:
        """run: of what all candidates share; folder: of the search; space, limits: what is searched, and held to; asked: how; listener: told of each."""
        self._run, self._folder, self._space, self._limits = run, folder, space, limits
        self._asked, self._study, self._listener = asked, study, listener

    def until(self, trials: int, deadline: float | None) -> str:
        """Tries candidates until there are `trials` of them, more would not help, or the `deadline`, by time.monotonic(), has come; returns why it
        ended, in words. Raises UsageError where the cheapest point is over the budget."""
        target, patience = self._run.job.targets[0].name, self._asked.patience
        while True:
            found = load_all(self._folder)
            if len(found) >= trials:
                return f"{len(found)} candidates were tried (--trials, search.trials)"
            if front.is_exhausted(found, target, patience):
                return f"the last {patience} candidates put none on the front (search.patience)"
            if deadline is not None and time.monotonic() > deadline:
                return "the time is up (--time)"
            asked = self._study.ask()
            if asked is None:
                return f"every point was tried, {len(self._space):,} in all"
            candidate = self._became(asked.point, asked.number)
            self._study.tell(asked, candidate, self._excess(candidate))
            if asked.point == self._space.cheapest and candidate.became == "over budget":
                raise UsageError(f"search: no point of the space keeps the budget: the cheapest, {self._space.told(asked.point)}, was measured and takes "
                                 f"{candidate.why}; give search.space smaller values, or the target a wider budget")  # fmt: skip

    def _excess(self, candidate: Candidate) -> dict[str, float]:
        if candidate.cost is None:
            return {}
        died = {DIED: 1.0} if candidate.cost.died else {}
        return excesses(self._limits, candidate.cost.figures) | died

    def _became(self, point: Point, number: int) -> Candidate:
        """What becomes of a `point`, or became of it in an earlier sitting."""
        if (known := candidates.load(self._folder, point)) is not None:
            return known
        folder, told = place_of(self._folder, point), self._space.told(point)
        self._listener.started(f"candidate {number}", told)
        cost = candidates.load_cost(self._folder, point)
        try:
            run = searching.of_candidate(self._run, self._space.of(point), self._asked, folder / WORK)
            if cost is None:
                cost = searching.measured(run, self._limits)
                candidates.save_cost(self._folder, point, cost)
            made = self._trained(run, folder, Candidate(number, point, cost), cost)
        except EdgecompError as error:
            self._listener.failed(told, "cannot be tried", str(error))
            made = Candidate(number, point, cost, why=str(error), failed=True)
        candidates.save(self._folder, made)
        for name in (WORK, CHECKPOINTS):
            shutil.rmtree(folder / name, ignore_errors=True)
        return made

    def _trained(self, run: Run, folder: Path, one: Candidate, cost: Cost) -> Candidate:
        """The candidate with its score, or why it was not trained."""
        if why := cost.died or broken(self._limits, cost.figures):
            return Candidate(one.number, one.point, cost, why=why)
        began = time.monotonic()
        score = searching.scored(run, folder / CHECKPOINTS)
        return Candidate(one.number, one.point, cost, score, training_s=round(time.monotonic() - began, 3))
