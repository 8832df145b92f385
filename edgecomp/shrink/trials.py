"""One candidate of a search after another, or some together, until there are enough: measured, and where they keep the budget trained."""

import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from edgecomp.errors import EdgecompError, UsageError
from edgecomp.progress import Listener
from edgecomp.shrink import candidates, front
from edgecomp.shrink.budget import Limit, broken, excesses
from edgecomp.shrink.candidates import Candidate, Cost, load_all, place_of
from edgecomp.shrink.cost_model import Foresight
from edgecomp.shrink.spaces import Point, Space
from edgecomp.shrink.study import Asked, IsWeak, Study

WORK = (
    "work"  # of a candidate: what training goes on from after a kill; gone when it is known what became of it
)
DIED = "memory of the target"  # the constraint of a candidate that did not fit into it


class Work(Protocol):
    """What is done to a student."""

    def measured(self, student: Mapping[str, Any], folder: Path) -> Cost:
        """What a `student`, as a recipe has it, takes before it is trained; folder: its own. Raises EdgecompError where it cannot be built or measured."""

    def work(self, student: Mapping[str, Any], folder: Path) -> candidates.Work:
        """What a `student`, as a recipe has it, does for an example, counted; folder: its own, which is there. Raises EdgecompError where it cannot be built."""

    def scored(self, student: Mapping[str, Any], folder: Path, is_weak: IsWeak | None) -> float:
        """The score of a `student` on the validation split, in per cent, after a short training; folder: its own; is_weak: asked after each epoch but the
        last whether it may end. Raises Weak where it may, EdgecompError."""


class Weak(EdgecompError):  # noqa: N818 - nothing went wrong
    """A candidate that was ended before its last epoch."""

    def __init__(self, done: int, score: float) -> None:
        """done: epochs; score: on validation after them, in per cent."""
        super().__init__(
            f"{score:.2f} after {done} epoch{'s' if done > 1 else ''}, which is weak beside the others (search.pruner)"
        )
        self.done = done


class Asking(NamedTuple):
    """A student, as a recipe has it, its own folder, and what says of it whether it may end early."""

    student: Mapping[str, Any]
    folder: Path
    is_weak: IsWeak | None = None


@dataclass(frozen=True)
class Trained:
    """What came of one of several students: the score, or why there is none; seconds: that training took; epochs: after which it was ended as weak, 0
    where it was not."""

    score: float | None
    why: str = ""
    seconds: float = 0.0
    epochs: int = 0


Together = Callable[[Sequence[Asking]], Iterator[tuple[int, Trained]]]
"""Trains and scores several students at the same time: each's place among them and what came of it, as soon as that is known."""


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
        together: Together | None = None,
        at_once: int = 1,
    ) -> None:
        """space, limits: what is searched, and held to; work: measures and trains; listener: told of each candidate; together: trains several elsewhere, in
        place of `work`; at_once: how many the study is asked for before it is told of one."""
        self._folder, self._space, self._limits = folder, space, limits
        self._study, self._work, self._listener = study, work, listener
        self._together, self._at_once = together or self._in_turn, at_once

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
            room = max(1, min(self._at_once, trials - len(found)))
            foresight = Foresight(self._limits, [one.cost for one in found if one.cost])
            batch = list(islice(iter(partial(self._study.ask, partial(self._over, foresight)), None), room))
            if not batch:
                return f"every point was tried, {len(self._space):,} in all"
            for asked, candidate in zip(batch, self._became(batch, len(found)), strict=True):
                self._study.tell(asked, candidate, self._excess(candidate))

    def _over(self, foresight: Foresight, point: Point) -> dict[str, float]:
        """By limit, how far a point is foretold to be over it; nothing where it is worth measuring, which then says so itself."""
        if not foresight or (place_of(self._folder, point) / candidates.COST).is_file():
            return {}
        self._at(point).mkdir(parents=True, exist_ok=True)
        try:
            over = foresight.over(self._work.work(self._space.of(point), self._at(point)))
        except EdgecompError:
            return {}  # of one that cannot be built: measuring tells why
        if over:
            how = "; ".join(f"{limit}, {100 * share:.0f} % over" for limit, share in over.items())
            self._listener.say(
                f"not measured: {self._space.told(point)}: foretold to be over the budget: {how}"
            )
            shutil.rmtree(place_of(self._folder, point), ignore_errors=True)
        return over

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

    def _became(self, batch: Sequence[Asked], before: int) -> list[Candidate]:
        """What becomes of the points of a `batch`, or became of them in an earlier sitting: all are measured, one by one, before any is trained. before: how
        many candidates there are."""
        made: dict[int, Candidate] = {}
        fit: list[tuple[int, Candidate]] = []
        for place, asked in enumerate(batch):
            if (known := candidates.load(self._folder, asked.point)) is not None:
                made[place] = known
                continue
            one = self._measured(asked, f"candidate {before + place + 1}")
            if one.failed or one.why:
                made[place] = self._kept(one)
            else:
                fit.append((place, one))
        students = [
            Asking(self._space.of(one.point), self._at(one.point), self._study.judge(batch[place]))
            for place, one in fit
        ]
        for index, found in self._together(students) if students else ():
            place, one = fit[index]
            if found.epochs:
                self._listener.say(f"ended: {self._space.told(one.point)}, {found.why}")
            elif found.score is None:
                self._listener.failed(self._space.told(one.point), "cannot be tried", found.why)
            made[place] = self._kept(
                replace(
                    one,
                    score=found.score,
                    why=found.why,
                    failed=found.score is None and not found.epochs,
                    training_s=found.seconds,
                    epochs=found.epochs,
                )
            )
        return [made[place] for place in range(len(batch))]

    def _measured(self, asked: Asked, called: str) -> Candidate:
        """The candidate with what it takes, and why it may not be trained, or cannot be."""
        point, told = asked.point, self._space.told(asked.point)
        self._listener.started(called, told)
        self._at(point).mkdir(parents=True, exist_ok=True)
        cost = candidates.load_cost(self._folder, point)
        try:
            if cost is None:
                cost = self._work.measured(self._space.of(point), self._at(point))
                candidates.save_cost(self._folder, point, cost)
        except EdgecompError as error:
            self._listener.failed(told, "cannot be tried", str(error))
            return Candidate(asked.number, point, cost, why=str(error), failed=True)
        return Candidate(asked.number, point, cost, why=cost.died or broken(self._limits, cost.figures))

    def _at(self, point: Point) -> Path:
        return place_of(self._folder, point) / WORK

    def _kept(self, candidate: Candidate) -> Candidate:
        candidates.save(self._folder, candidate)
        shutil.rmtree(self._at(candidate.point), ignore_errors=True)
        return candidate

    def _in_turn(self, students: Sequence[Asking]) -> Iterator[tuple[int, Trained]]:
        """As `Together`, one after another here."""
        for index, asking in enumerate(students):
            began = time.monotonic()
            try:
                score = self._work.scored(*asking)
            except Weak as weak:
                yield index, Trained(None, str(weak), round(time.monotonic() - began, 3), weak.done)
                continue
            except EdgecompError as error:
                yield index, Trained(None, str(error))
                continue
            yield index, Trained(score, seconds=round(time.monotonic() - began, 3))
