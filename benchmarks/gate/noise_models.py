"""What a machine does to a model's times: models of noise, from kind to unkind, and times drawn from them.

Every time is the model's own × the process (layout, placement) × an AR(1) noise × a burst now and then × a drift, as in
edgecomp.runtimes.fake, drawn for many gates at once. Wall time is CPU time and waiting.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.signal import lfilter

Times = npt.NDArray[np.float32]

ROUNDS, CALLS = 6, 10
ARMS = 3


class Noise(NamedTuple):
    """sigma, rho: of the AR(1) within a process; between: standard deviation of processes; burst_*: as in the fake runtime; drift: over a
    restart; modes: every process runs in one of two modes that differ by so much; waiting: mean wait over CPU time."""

    sigma: float = 0.02
    rho: float = 0.0
    between: float = 0.005
    burst_probability: float = 0.0
    burst_length: float = 20.0
    burst_factor: float = 1.8
    drift: float = 0.0
    modes: float = 0.0
    heavy: bool = False
    waiting: float = 0.0


MODELS = {
    "independent": Noise(),
    "autocorrelated .5": Noise(rho=0.5, sigma=0.03),
    "autocorrelated .9": Noise(rho=0.9, sigma=0.03),
    "autocorrelated .99": Noise(rho=0.99, sigma=0.03),
    "bursts": Noise(rho=0.5, burst_probability=0.01),
    "long bursts": Noise(rho=0.9, burst_probability=0.004, burst_length=80),
    "drifting": Noise(rho=0.5, drift=0.10),
    "two modes of 2 %": Noise(rho=0.5, modes=0.02, between=0.002),
    "heavy-tailed processes": Noise(rho=0.5, between=0.006, heavy=True),
    "noisy processes of 2 %": Noise(rho=0.5, between=0.02),
    "busy neighbour": Noise(rho=0.9, sigma=0.05, between=0.01, burst_probability=0.01, waiting=0.8),
}


def draw(noise: Noise, gates: int, restarts: int, random: np.random.Generator) -> dict[str, Times]:
    """`cpu` and `wall` of gates of the same model everywhere, [gates, restarts, arms, rounds, 2, calls], in nanoseconds.

    The clock runs through a round's blocks in their order, A B C C B A, so a drift and a burst hit neighbours alike.
    """
    blocks = ROUNDS * 2 * ARMS
    shape = (gates, restarts, blocks * CALLS)
    innovation = random.standard_normal(shape, np.float32) * np.float32((1 - noise.rho**2) ** 0.5)
    levels = (
        lfilter([1.0], [1.0, -noise.rho], innovation, axis=-1).astype(np.float32) if noise.rho else innovation
    )
    log_times = noise.sigma * levels
    if noise.burst_probability:
        starts = random.random(shape, np.float32) < noise.burst_probability
        decay = 1 - 1 / noise.burst_length
        log_times += np.log(noise.burst_factor) * (lfilter([1.0], [1.0, -decay], starts, axis=-1) > 0.37)
    if noise.drift:
        log_times += noise.drift * random.standard_normal((gates, restarts, 1)) * np.linspace(0, 1, shape[-1])
    order = _order(random, gates, restarts)
    log_times = log_times.reshape(gates, restarts, ROUNDS, 2, ARMS, CALLS)
    by_arm = np.take_along_axis(log_times, order[..., None], axis=4).transpose(0, 1, 4, 2, 3, 5)
    process = (
        random.standard_t(3, (gates, restarts, ARMS)) / 3**0.5
        if noise.heavy
        else random.standard_normal((gates, restarts, ARMS))
    )
    own = noise.between * process + noise.modes * random.integers(0, 2, (gates, restarts, ARMS))
    cpu = np.exp(by_arm + own[..., None, None, None]).astype(np.float32)
    waits = (
        random.standard_exponential(cpu.shape, np.float32) * np.float32(noise.waiting)
        if noise.waiting
        else 0.0
    )
    return {"cpu": 1e6 * cpu, "wall": 1e6 * cpu * (1.0 + waits)}


def _order(random: np.random.Generator, gates: int, restarts: int) -> npt.NDArray[np.int64]:
    """Which turn of a block of three each arm has, there and back: [gates, restarts, rounds, 2, arms]."""
    there = random.permuted(np.broadcast_to(np.arange(ARMS), (gates, restarts, ROUNDS, ARMS)), axis=-1)
    return np.stack([there, ARMS - 1 - there], axis=3)
