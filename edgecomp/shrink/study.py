"""Which point is tried next: Optuna's samplers, on a study in a file, so that a search goes on after a kill and several processes share one.

The sampler is made anew for every trial, seeded by the search's seed and the trial's number: what it proposes follows from the trials before
it alone, and a search that was killed proposes what it would have proposed.
"""

from collections.abc import Callable, Mapping
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgecomp.errors import UsageError
from edgecomp.files.scratch import is_dead, owner
from edgecomp.metrics.registry import LATENCY_P50
from edgecomp.shrink.candidates import Candidate
from edgecomp.shrink.spaces import Point, Space, name_of

if TYPE_CHECKING:
    import optuna

NAME = "students"
PROCESS = "process"  # of a trial: who works on it
FAR = 1e9  # over a limit: further is no longer told apart
WAIT_S = 120.0  # for another process that writes the study
THIRD = 3  # of the candidates goes on from one rung to the next, three times as long

PROPOSALS = 8  # in succession that may be put aside
FORETOLD = "foretold"  # of a trial: that it was

Foretold = Callable[[Point], Mapping[str, float]]
"""By limit, how far over it, as a share, a point is foretold to be; nothing where it is worth measuring."""
IsWeak = Callable[[int, float], bool]
"""Whether a candidate may end, of the epochs that are done and the score after them."""


class Asked:
    """A trial: the point that is to be tried, and its `number`."""

    def __init__(self, trial: "optuna.Trial", point: Point) -> None:
        self.trial, self.point, self.number = trial, point, trial.number


class Study:
    """The trials of a search, of one process or several."""

    def __init__(
        self,
        file: Path,
        space: Space,
        *,
        sampler: str,
        seed: int,
        target: str,
        pruned_within: int | None = None,
    ) -> None:
        """file: of SQLite, made where it is not there; space: what is searched; sampler: a key of SAMPLERS; seed: of its proposals; target: whose
        median latency is to be small, for `nsga2`; pruned_within: epochs, of which weak candidates take fewer, None: all take all. Raises UsageError
        where Optuna is not installed."""
        self._space, self._sampler, self._seed, self.target = space, sampler, seed, target
        self._asked: set[int] = set()  # numbers of trials
        optuna = installed()
        from filelock import FileLock

        self._lock = FileLock(file.with_suffix(".lock"), timeout=WAIT_S)
        with self._lock:
            storage = optuna.storages.RDBStorage(
                f"sqlite:///{file.resolve()}", engine_kwargs={"connect_args": {"timeout": WAIT_S}}
            )
            directions = ["maximize", "minimize"] if sampler == "nsga2" else ["maximize"]
            self._last = pruned_within
            pruner = (
                optuna.pruners.NopPruner()
                if pruned_within is None
                else optuna.pruners.HyperbandPruner(1, pruned_within, THIRD)
            )
            self._study = optuna.create_study(
                storage=storage, study_name=NAME, directions=directions, load_if_exists=True, pruner=pruner
            )
            if not self._study.get_trials(deepcopy=False):
                for point in filter(None, (space.cheapest, space.declared)):
                    self._study.enqueue_trial(self._places(point), skip_if_exists=True)

    def ask(self, over: Foretold = lambda _: {}) -> Asked | None:
        """What is to be tried next: what a process that died was at, else what the sampler proposes; None where every point
        was tried. over: by limit how far a point is foretold to be over it: such ones are put aside, PROPOSALS at most, so that the measurement decides
        where nothing else is left."""
        from optuna.trial import TrialState

        while True:
            with self._lock:
                asked = self._left_behind() or self._new()
                if asked is None:
                    return None
                asked.trial.set_user_attr(PROCESS, owner())
                self._asked.add(asked.number)
                must = self._put_aside_before(asked.number) >= PROPOSALS
            if must or not (excess := over(asked.point)):
                return asked
            with self._lock:
                self._constrained(asked, excess)
                asked.trial.set_user_attr(FORETOLD, True)
                self._study.tell(asked.trial, state=TrialState.PRUNED)

    def tell(self, asked: Asked, candidate: Candidate, excess: dict[str, float]) -> None:
        """What became of `asked`: the `candidate`; excess: by limit how far over it that is, as a share. Over zero is not allowed, and how far tells
        the sampler where to look. What failed is kept as failed."""
        from optuna.trial import TrialState

        trial = asked.trial
        with self._lock:
            self._constrained(asked, excess)
            trial.set_user_attr("candidate", candidate.name)
            if candidate.why:
                trial.set_user_attr("why", candidate.why)
            if candidate.score is not None:
                assert candidate.cost is not None
                latency = candidate.cost.figures[self.target][LATENCY_P50]
                self._study.tell(trial, [candidate.score, latency][: len(self._study.directions)])
            else:
                self._study.tell(trial, state=TrialState.FAIL if candidate.failed else TrialState.PRUNED)

    def _constrained(self, asked: Asked, excess: Mapping[str, float]) -> None:
        known = asked.trial.storage.get_trial(
            asked.trial._trial_id
        ).constraints  # of a trial that was taken up again
        for limit, share in excess.items():
            if limit not in known:
                asked.trial.set_constraint(limit, min(share, FAR))

    def judge(self, asked: Asked) -> IsWeak | None:
        """What says of `asked` whether it is weak; None where nothing is ended early."""
        if self._last is None:
            return None

        def is_weak(done: int, score: float) -> bool:
            if done == self._last:
                return False
            with self._lock:
                known = asked.trial.storage.get_trial(asked.trial._trial_id).intermediate_values
                if done not in known:  # by an epoch that was cut before it was kept
                    asked.trial.report(score, done)
                return bool(asked.trial.should_prune())

        return is_weak

    @property
    def put_aside(self) -> int:
        """How many points were not measured because they are foretold to be over the budget."""
        return sum(FORETOLD in one.user_attrs for one in self._study.get_trials(deepcopy=False))

    def _put_aside_before(self, number: int) -> int:
        """How many in succession, right before that trial, were put aside; those that tell nothing do not count."""
        from optuna.trial import TrialState

        before = [
            one
            for one in self._study.get_trials(deepcopy=False)
            if one.number < number and one.state != TrialState.FAIL
        ]
        return len(list(takewhile(lambda one: FORETOLD in one.user_attrs, reversed(before))))

    def _new(self) -> Asked | None:
        """What the sampler proposes, or where that was tried the nearest point that was not."""
        from optuna.trial import TrialState

        asked = self._proposed()
        tried = self._tried(but=asked.number)
        if name_of(asked.point) not in tried:
            return asked
        self._study.tell(asked.trial, state=TrialState.FAIL)  # nothing is learnt of it
        other = self._space.untried(asked.point, tried, self._seed + asked.number)
        if other is None:
            return None
        self._study.enqueue_trial(self._places(other))
        return self._proposed()

    def _proposed(self) -> Asked:
        from optuna.trial import TrialState

        trials = self._study.get_trials(deepcopy=False)
        waiting = [one.number for one in trials if one.state == TrialState.WAITING]
        self._seed_for(min(waiting, default=len(trials)))
        return self._suggested(self._study.ask())

    def _left_behind(self) -> Asked | None:
        """A trial that nobody works on any more: of a process on this machine that has ended, or of an earlier search in this one."""
        import optuna
        from optuna.trial import TrialState

        for one in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            process = one.user_attrs.get(PROCESS)
            of_ours_before = process == owner() and one.number not in self._asked
            if process is None or is_dead(process) or of_ours_before:
                self._seed_for(one.number)
                return self._suggested(optuna.Trial(self._study, one._trial_id))
        return None

    def _seed_for(self, number: int) -> None:
        import optuna

        self._study.sampler = SAMPLERS[self._sampler](optuna.samplers, self._seed + number)

    def _suggested(self, trial: "optuna.Trial") -> Asked:
        """Places of values, in their order where they are numbers."""
        places = {
            key: trial.suggest_int(key, 0, len(values) - 1)
            if all(isinstance(one, int | float) for one in values)
            else trial.suggest_categorical(key, range(len(values)))
            for key, values in self._space.axes.items()
        }
        return Asked(trial, self._point(places))

    def _tried(self, but: int = -1) -> set[str]:
        """The names of all points that were tried, or are being tried, but in that trial."""
        found = (one for one in self._study.get_trials(deepcopy=False) if one.number != but)
        return {name_of(self._point(one.params)) for one in found if set(one.params) == set(self._space.axes)}

    def _places(self, point: Point) -> dict[str, int]:
        return {key: list(values).index(point[key]) for key, values in self._space.axes.items()}

    def _point(self, places: dict[str, Any]) -> Point:
        return {key: values[places[key]] for key, values in self._space.axes.items()}


def installed() -> Any:
    """Optuna, which says no more than warnings from here on. Raises UsageError where it is not installed."""
    try:
        import optuna
    except ModuleNotFoundError:
        raise UsageError(
            "a search needs Optuna, which is not installed: pip install 'edgecomp[search]'"
        ) from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


SAMPLERS: "dict[str, Callable[[Any, int], optuna.samplers.BaseSampler]]" = {
    "tpe": lambda of, seed: of.TPESampler(seed=seed, n_startup_trials=8, multivariate=False),
    "gp": lambda of, seed: of.GPSampler(seed=seed, n_startup_trials=8),
    "nsga2": lambda of, seed: of.NSGAIISampler(seed=seed, population_size=12),
}
"""By name what proposes points: makes it of Optuna's module of samplers, and a seed."""
