"""A runtime whose behaviour is known, so that what is measured can be held against the truth. It doubles its input.

Its model is a JSON file of `Behaviour`. In a worker it really computes, leaks, hangs and dies; in a simulation the clock is
its own (`spend`), and a thousand runs take a second.
"""

import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from itertools import chain
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edgecomp import __version__
from edgecomp.errors import FileError, InferenceError, ModelFileError
from edgecomp.files.json_files import read_json
from edgecomp.runtimes.base import Array, Options, Port, Runtime, Signature, check_options

CHUNK = 1024


@dataclass(frozen=True)
class Behaviour:
    """Latency is `latency_ns` × exp(noise) × (1 + drift × requests), and `burst_factor` times that in a burst.

    The noise is AR(1): autocorrelation `rho`, standard deviation `sigma` within a process, `between` of processes. A burst
    begins at a request with `burst_probability` and lasts `burst_length` requests on average.
    """

    latency_ns: float = 0.0
    sigma: float = 0.0
    rho: float = 0.0
    between: float = 0.0
    burst_probability: float = 0.0
    burst_length: float = 1.0
    burst_factor: float = 1.0
    drift: float = 0.0
    leak_bytes: int = 0
    load_bytes: int = 0
    repeated_factor: float = 1.0  # of the latency of an input that it has just seen
    wrong_after: int = -1
    crash_after: int = -1
    hang_after: int = -1
    sleeps: bool = False  # takes wall time and no CPU time
    seed: int = 0


class FakeSession:
    concurrent = True

    def __init__(self, behaviour: Behaviour, spend: Callable[[int], None], restart: int = 0) -> None:
        self.behaviour, self.requests, self.leaked = behaviour, 0, 0
        self._spend = spend
        self._latencies = chain.from_iterable(
            latencies(behaviour, np.random.default_rng([behaviour.seed, restart]))
        )
        self._hoard: list[bytes] = []
        self._held = b"\1" * behaviour.load_bytes
        self._last: bytes | None = None

    def signature(self) -> Signature:
        return Signature((Port("x", (None, 4), "float32"),), (Port("y", (None, 4), "float32"),))

    def run(self, batch: Mapping[str, Array]) -> dict[str, Array]:
        told = self.behaviour
        x = batch.get("x")
        if x is None or x.ndim != 2 or x.shape[1] != 4:
            raise InferenceError(
                f"the fake runtime takes x of [N, 4], not { ({k: v.shape for k, v in batch.items()}) }"
            )
        self.requests += 1
        if 0 <= told.crash_after < self.requests:
            os._exit(11)
        while 0 <= told.hang_after < self.requests:
            time.sleep(3600)
        if told.latency_ns:
            seen = told.repeated_factor != 1.0 and self._last == x.tobytes()
            self._last = x.tobytes() if told.repeated_factor != 1.0 else None
            self._spend(int(next(self._latencies) * (told.repeated_factor if seen else 1.0)))
        if told.leak_bytes:
            self._hoard.append(b"\1" * told.leak_bytes)
            self.leaked += told.leak_bytes
        return {"y": x * (3 if 0 <= told.wrong_after < self.requests else 2)}

    def close(self) -> None:
        self._hoard.clear()


def latencies(told: Behaviour, random: np.random.Generator) -> Iterator[npt.NDArray[np.float64]]:
    """Nanoseconds of one request after another in one process, a chunk at a time.

    told: how it behaves; random: differs from process to process.
    """
    level = told.latency_ns * np.exp(told.between * random.standard_normal())
    noise, bursting, done = random.standard_normal(), False, 0
    innovation = (1 - told.rho**2) ** 0.5
    while True:
        noises, bursts = np.empty(CHUNK), np.zeros(CHUNK, bool)
        for place, shock in enumerate((innovation * random.standard_normal(CHUNK)).tolist()):
            noise = told.rho * noise + shock
            noises[place] = noise
        if told.burst_probability:
            for place, chance in enumerate(random.random(CHUNK).tolist()):
                bursting = chance >= 1 / told.burst_length if bursting else chance < told.burst_probability
                bursts[place] = bursting
        factors = np.where(bursts, told.burst_factor, 1.0) * (1 + told.drift * (done + np.arange(CHUNK)))
        yield level * np.exp(told.sigma * noises) * factors
        done += CHUNK


def burn(ns: int) -> None:
    """Takes `ns` nanoseconds of this thread's CPU time."""
    end = time.thread_time_ns() + ns
    while time.thread_time_ns() < end:
        pass


class Fake:
    name = "fake"

    def load(self, model: Path, *, threads: int, device: str = "cpu", options: Options) -> FakeSession:
        check_options(self.name, options, {})
        if not model.is_file():
            raise ModelFileError(f"no such model file: {model}")
        try:
            behaviour = Behaviour(**read_json(model))
        except (FileError, TypeError) as error:
            known = ", ".join(field.name for field in fields(Behaviour))
            raise ModelFileError(f"the fake runtime cannot load {model}: {error}; it has {known}") from error
        return FakeSession(
            behaviour, (lambda ns: time.sleep(ns / 1e9)) if behaviour.sleeps else burn, restart=os.getpid()
        )

    def versions(self) -> dict[str, str]:
        return {"edgecomp": __version__}


RUNTIME: Runtime = Fake()
