"""One candidate of a search after another, until there are enough: measured, and where it keeps the budget trained."""

import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from edgecomp.errors import EdgecompError, UsageError
from edgecomp.progress import Listener
from edgecomp.shrink import candidates, front
from edgecomp.shrink.budget import Limit, broken, excesses
from edgecomp.shrink.candidates import Candidate, Cost, load_all, place_of
from edgecomp.shrink.spaces import Point, Space
from edgecomp.shrink.study import Study

WORK = (
    "work"  # of a candidate: what training goes on from after a kill; gone when it is known what became of it
)
DIED = "memory of the target"  # the constraint of a candidate that did not fit into it


class Work(Protocol):
    """What is done to a student."""

    def measured(self, student: Mapping[str, Any], folder: Path) -> Cost:
        """What a `student`, as a recipe has it, takes before it is trained; folder: its own. Raises EdgecompError where it cannot be built or measured."""

    def scored(self, student: Mapping[str, Any], folder: Path) -> float:
        """The score of a `student` on the validation split, in per cent, after a short training; folder: its own. Raises EdgecompError."""


class Trials:
    """The candidates of a search in `folder`: which is next its `study` says."""

    def __init__(
        self,
        folder: Path,
        space: Space,
        limits: Sequence[Limit],
        study: Study,
        work: Work,
        listener: Listener,
    ) -> None:
        """space, limits: what is searched, and held to; work: measures and trains; listener: told of each candidate."""
        self._folder, self._space, self._limits = folder, space, limits
        self._study, self._work, self._listener = study, work, listener

    def until(self, trials: int, patience: int, deadline: float | None) -> str:
        """Tries candidates until there are `trials` of them, the last `patience` have not helped, or the `deadline`, by time.monotonic(), has come;
        returns why it ended, in words. Raises UsageError where the cheapest point is over the budget."""
        while True:
            found = load_all(self._folder)
            self._refuse_hopeless(found)
            if len(found) >= trials:
                return f"{len(found)} candidates were tried (--trials, search.trials)"
            if front.is_exhausted(found, self._study.target, patience):
                return f"the last {patience} candidates put none on the front (search.patience)"
            if deadline is not None and time.monotonic() > deadline:
                return "the time is up (--time)"
            asked = self._study.ask()
            if asked is None:
                return f"every point was tried, {len(self._space):,} in all"
            candidate = self._became(asked.point, asked.number, f"candidate {len(found) + 1}")
            self._study.tell(asked, candidate, self._excess(candidate))

    def _refuse_hopeless(self, found: Sequence[Candidate]) -> None:
        cheapest = self._space.cheapest
        for one in found:
            if one.point == cheapest and one.became == candidates.OVER:
                raise UsageError(f"search: no point of the space keeps the budget: the cheapest, {self._space.told(cheapest)}, was measured, and is over "
                                 f"it: {one.why}; give search.space smaller values, or the target a wider budget, and name another folder with --out")  # fmt: skip

    def _excess(self, candidate: Candidate) -> dict[str, float]:
        if candidate.cost is None:
            return {}
        died = {DIED: 1.0} if candidate.cost.died else {}
        return excesses(self._limits, candidate.cost.figures) | died

    def _became(self, point: Point, number: int, called: str) -> Candidate:
        """What becomes of a `point`, or became of it in an earlier sitting."""
        if (known := candidates.load(self._folder, point)) is not None:
            return known
        told, work = self._space.told(point), place_of(self._folder, point) / WORK
        self._listener.started(called, told)
        work.mkdir(parents=True, exist_ok=True)
        cost = candidates.load_cost(self._folder, point)
        try:
            if cost is None:
                cost = self._work.measured(self._space.of(point), work)
                candidates.save_cost(self._folder, point, cost)
            made = self._trained(Candidate(number, point, cost), cost, work)
        except EdgecompError as error:
            self._listener.failed(told, "cannot be tried", str(error))
            made = Candidate(number, point, cost, why=str(error), failed=True)
        candidates.save(self._folder, made)
        shutil.rmtree(work, ignore_errors=True)
        return made

    def _trained(self, one: Candidate, cost: Cost, work: Path) -> Candidate:
        """The candidate with its score, or why it was not trained."""
        if why := cost.died or broken(self._limits, cost.figures):
            return Candidate(one.number, one.point, cost, why=why)
        began = time.monotonic()
        score = self._work.scored(self._space.of(one.point), work)
        return Candidate(one.number, one.point, cost, score, training_s=round(time.monotonic() - began, 3))
