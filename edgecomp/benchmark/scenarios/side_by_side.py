"""Two models side by side: a fresh process of each in every restart, and in turns, so that what the machine does falls on both.

The baseline runs twice, as two processes: what the two differ by is what this machine calls a difference where there is none
(the null control). Iterations of a process are not independent, so a restart is the statistical unit.
"""

import tempfile
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from edgecomp.benchmark.hosts.host import Asked
from edgecomp.benchmark.hosts.process import Place, pin
from edgecomp.benchmark.scenarios.alternated import REPEATED
from edgecomp.benchmark.scenarios.generation import times
from edgecomp.benchmark.worker import answers, noise
from edgecomp.benchmark.worker.answers import Answer
from edgecomp.benchmark.worker.main import DISTINCT_INPUTS
from edgecomp.errors import EdgecompError, InferenceError
from edgecomp.metrics.comparison import AGAIN, ARMS, BASELINE, CANDIDATE, Restart
from edgecomp.metrics.samples import (
    COLD_START,
    CPU,
    GENERATION_WALL,
    IMPORTS_PEAK,
    LOAD,
    PEAK_MEMORY,
    TOKEN_CPU,
    TOKEN_WALL,
    WALL,
)

Found = TypeVar("Found")

BLOCK_S = 0.008  # of one model's turn
ARM_S = 0.25  # of all its turns in a restart
FEWEST_CALLS, MOST_CALLS = 3, 200
FEWEST_ROUNDS, MOST_ROUNDS = 3, 16
WARMUP = 10
GENERATION_ROUNDS, GENERATIONS = 3, 2  # of a restart, and of a turn
ANSWERS_S = 6 * 3600.0  # for all examples
REPEATED_S = 1.0  # for asking the same inputs again, and others


class Crashed(Exception):  # noqa: N818 - what it means depends on whose it is
    """A process of `arm` died, hung or refused; `error` says how."""

    def __init__(self, arm: str, error: EdgecompError) -> None:
        super().__init__(str(error))
        self.arm, self.error = arm, error


@dataclass(frozen=True)
class Side:
    """A model file, and where it runs."""

    model: Path
    place: Place


@dataclass(frozen=True)
class Turns:
    """`rounds` of one block of `calls` there and one back, of each model."""

    rounds: int
    calls: int

    @classmethod
    def of(cls, latency_s: float) -> "Turns":
        """As many as give a steady median, of a model that takes `latency_s` seconds."""
        calls = int(np.clip(BLOCK_S / latency_s, FEWEST_CALLS, MOST_CALLS))
        rounds = int(np.clip(ARM_S / (2 * calls * latency_s), FEWEST_ROUNDS, MOST_ROUNDS))
        return cls(rounds, calls)


class SideBySide:
    """A baseline and a candidate on a folder of inputs; `restart` measures them once more.

    The file takes `rows` examples at once; a language model, `tokens` over 0, also generates so many in each restart. What is random is drawn from `random`: who starts first, and whose turn it is. All start
    beside each other, or `one_by_one` where it is told what a start takes. `timed_answers` are outputs while timed, by arm and
    input; `outputs` those of all inputs otherwise, by arm and name: what `answers` found, or else the first restart.
    """

    def __init__(
        self,
        baseline: Side,
        candidate: Side,
        *,
        inputs: Path,
        rows: int,
        random: np.random.Generator,
        one_by_one: bool = False,
        tokens: int = 0,
    ) -> None:
        self.sides = {BASELINE: baseline, AGAIN: baseline, CANDIDATE: candidate}
        self._inputs, self._rows, self._random = inputs, rows, random
        self._one_by_one = one_by_one
        self.tokens = tokens
        self.timed_answers: dict[str, dict[int, dict[str, Any]]] = {BASELINE: {}, CANDIDATE: {}}
        self.outputs: dict[str, dict[str, Answer]] = {}
        self._turns: Turns | None = None
        self._restarts = 0
        self.facts: dict[str, Any] = {}

    def restart(self) -> Restart:
        """Raises Crashed."""
        order = [ARMS[place] for place in self._random.permutation(len(ARMS))]
        with ExitStack() as stack:
            workers = self._start(order, stack)
            samples: dict[str, Any] = {}
            for arm, worker in workers.items():
                ready = worker.ready
                samples[f"{arm}.{COLD_START}"], samples[f"{arm}.{LOAD}"] = (
                    worker.cold_start_ns,
                    ready[LOAD],
                )
                samples[f"{arm}.{IMPORTS_PEAK}"] = ready["memory"]["imports"]["peak_bytes"]
            warm = {arm: _ask(arm, workers[arm], "single_stream", count=WARMUP)[WALL] for arm in order}
            for arm, worker in workers.items():
                _guarded(arm, pin, {arm: worker}, self.sides[arm].place, self._restarts)
            self._restarts += 1
            latency_s = max(1e-6, max(float(np.median(times)) for times in warm.values()) / 1e9)
            is_first = self._turns is None
            if self._turns is None:
                self._turns = Turns.of(latency_s)
                self.facts |= {"rounds": self._turns.rounds, "calls": self._turns.calls}
                self.facts |= {"confinement": workers[CANDIDATE].memory_limit.facts()}
                self.facts |= {
                    key: workers[CANDIDATE].ready[key] for key in ("versions", "signature", "cores")
                }
            clocks, blocks = self._take_turns(workers, self._turns)
            samples |= clocks
            if self.tokens:
                samples |= self._generate(workers)
            for arm, worker in workers.items():
                held = _ask(arm, worker, "memory")["memory"]
                samples[f"{arm}.{PEAK_MEMORY}"] = held["peak_bytes"]
            if not self.outputs:
                self.outputs = {
                    arm: self._outputs(arm, workers[arm], self._inputs, 1) for arm in self.timed_answers
                }
            if is_first:
                self.facts["repeated_over_fresh"] = self._repeated(workers[CANDIDATE], latency_s)
            return Restart({name: np.asarray(values, np.int64) for name, values in samples.items()}, blocks)

    def answers(self, inputs: Path, batch: int, judged: str | None) -> None:
        """Both models' outputs for a folder of `inputs`, into `outputs`: in batches of `batch` queries where
        the baseline takes them, else one at a time. Raises Crashed.

        However long it takes, and outside the target's memory, which is for one at a time. judged: what is
        kept of all examples, the first output where it is None.
        """
        self.outputs = {}
        for arm in (BASELINE, CANDIDATE):
            with self._one(arm, confined=False) as worker:
                try:
                    self.outputs[arm] = self._outputs(arm, worker, inputs, batch, judged)
                except Crashed as crash:
                    if arm == CANDIDATE or batch == 1 or not isinstance(crash.error, InferenceError):
                        raise
                    self.facts["batch_failed"] = f"a batch of {batch * self._rows} fails: {crash}"
                    batch = 1
                    self.outputs[arm] = self._outputs(arm, worker, inputs, batch, judged)

    def _outputs(
        self, arm: str, worker: Asked, inputs: Path, batch: int, judged: str | None = None
    ) -> dict[str, Answer]:
        with tempfile.TemporaryDirectory() as scratch:
            to = Path(scratch) / "outputs.npz"
            asked = {"inputs": str(inputs.resolve()), "to": str(to), "batch": batch, "judged": judged}
            _ask(arm, worker, "outputs", within_s=ANSWERS_S, **asked)
            return answers.load(to)

    def _repeated(self, worker: Asked, latency_s: float) -> float:
        """The candidate's time for an input that is asked again over that for one it never saw."""
        count = int(np.clip(REPEATED_S / (2 * DISTINCT_INPUTS * latency_s), 1, REPEATED))
        reply = _ask(CANDIDATE, worker, "repeated", count=count)
        again, fresh = (np.median(reply[name], axis=1) for name in ("repeated_ns", "fresh_ns"))
        return float(np.median(again / np.maximum(fresh, 1)))

    def _one(self, arm: str, confined: bool = True) -> Asked:
        """All arms within the same memory: a limit costs time as well."""
        side = self.sides[arm]
        place = side.place if confined else replace(side.place, memory_bytes=None)
        try:
            return place.host.start(place, side.model, self._inputs, self._rows)
        except EdgecompError as error:
            raise Crashed(arm, error) from error

    def _start(self, order: list[str], stack: ExitStack) -> dict[str, Asked]:
        with ThreadPoolExecutor(1 if self._one_by_one else len(order)) as pool:
            starting = {arm: pool.submit(self._one, arm) for arm in order}
        crashed = None
        workers = {}
        for arm, start in starting.items():
            error = start.exception()
            if error is None:
                workers[arm] = stack.enter_context(start.result())
            elif crashed is None or arm != CANDIDATE:
                crashed = error
        if crashed is not None:
            raise crashed
        return workers

    def _take_turns(
        self, workers: Mapping[str, Asked], turns: Turns
    ) -> tuple[dict[str, npt.NDArray[np.int64]], list[dict[str, float | None]]]:
        """`ARM.cpu_ns` and `ARM.wall_ns` [rounds, 2, calls]; each round in an order of its own, there and back."""
        shape = (turns.rounds, 2, turns.calls)
        taken = {f"{arm}.{clock}": np.empty(shape, np.int64) for arm in ARMS for clock in (CPU, WALL)}
        blocks, host = [], self.sides[BASELINE].place.host
        for turn in range(turns.rounds):
            order = [ARMS[place] for place in self._random.permutation(len(ARMS))]
            before, switches = host.noise(), 0
            for way, arms in enumerate((order, order[::-1])):
                for arm in arms:
                    reply = _ask(arm, workers[arm], "single_stream", count=turns.calls)
                    taken[f"{arm}.{CPU}"][turn, way] = reply[CPU]
                    taken[f"{arm}.{WALL}"][turn, way] = reply[WALL]
                    switches += reply["switches"]["involuntary_switches"]
                    if arm in self.timed_answers:
                        self.timed_answers[arm][reply["asked"]] = reply["answer"]
            blocks.append(noise.during(before, host.noise(), {"involuntary_switches": switches}))
        return taken, blocks

    def _generate(self, workers: Mapping[str, Asked]) -> dict[str, npt.NDArray[np.int64]]:
        """`ARM.NAME` of edgecomp.benchmark.scenarios.generation.times, [rounds, 2, generations]: in turns, as other calls."""
        shape = (GENERATION_ROUNDS, 2, GENERATIONS)
        taken = {
            f"{arm}.{name}": np.empty(shape, np.int64)
            for arm in ARMS
            for name in (TOKEN_WALL, TOKEN_CPU, GENERATION_WALL)
        }
        for turn in range(GENERATION_ROUNDS):
            order = [ARMS[place] for place in self._random.permutation(len(ARMS))]
            for way, arms in enumerate((order, order[::-1])):
                for arm in arms:
                    reply = _ask(arm, workers[arm], "generate", count=GENERATIONS, tokens=self.tokens)
                    for name, values in times(reply).items():
                        taken[f"{arm}.{name}"][turn, way] = values
        return taken


def _ask(arm: str, worker: Asked, do: str, **details: Any) -> dict[str, Any]:
    return _guarded(arm, worker.ask, do, **details)


def _guarded(arm: str, do: Callable[..., Found], *given: Any, **named: Any) -> Found:
    try:
        return do(*given, **named)
    except EdgecompError as error:
        raise Crashed(arm, error) from error
