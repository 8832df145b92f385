"""What answering costs each client: ε, by an accountant, and the noise that keeps it."""

from dataclasses import dataclass
from functools import cache
from math import sqrt
from typing import Any

from edgecomp.errors import RuntimeUnavailableError, UsageError

REPLACED, ADDED = "one client replaced by another", "one client added or removed"
SENSITIVITY = {REPLACED: sqrt(2), ADDED: 1.0}
"""How far a client can move the counts of one example, as a vector: a vote from one class to another, or a vote more."""

ORDERS = [1 + 10 ** (step / 50 - 2) for step in range(301)]
"""Of Rényi divergences, 1.01 to 10,001: of so many the best one counts."""

MOST_EPSILON = 100.0  # above it there is nothing that a promise would be worth


@dataclass(frozen=True)
class Privacy:
    """epsilon, delta: kept for `REPLACED`; queries: examples that are answered; sigma: the noise on each count, in votes; added_epsilon: for `ADDED`."""

    epsilon: float
    delta: float
    queries: int
    sigma: float
    added_epsilon: float

    def told(self) -> dict[str, Any]:
        """For a file, with what the numbers mean."""
        return {
            "mechanism": "Gaussian NoisyMax (Papernot et al. 2018, arXiv:1802.08908)",
            "unit": "a client, with all that it has",
            "adjacency": REPLACED,
            "epsilon": self.epsilon,
            "delta": self.delta,
            "epsilon_where_one_is_added_or_removed": self.added_epsilon,
            "queries": self.queries,
            "sigma_votes": self.sigma,
            "accountant": "opacus.accountants.RDPAccountant (Mironov 2017, arXiv:1702.07476)",
        }


def calibrated(epsilon: float, delta: float, queries: int) -> Privacy:
    """The least noise that keeps `epsilon` at `delta` over so many `queries`, where one client is replaced. Raises UsageError of numbers that promise
    nothing, RuntimeUnavailableError without the accountant."""
    if not 0 < epsilon <= MOST_EPSILON:
        raise UsageError(f"--epsilon {epsilon:g}: over 0, and at most {MOST_EPSILON:g}; 1 to 8 is usual")
    if not 0 < delta < 1:
        raise UsageError(
            f"--delta {delta:g}: a probability over 0, well below one over the number of clients; 1e-5 is usual"
        )
    if queries < 1:
        raise UsageError("there is no example to be answered")
    low, high = 0.0, 1.0
    while spent(high, queries, delta) > epsilon:
        low, high = high, 2 * high
    while high - low > 1e-4 * high:
        middle = (low + high) / 2
        low, high = (low, middle) if spent(middle, queries, delta) <= epsilon else (middle, high)
    return Privacy(
        spent(high, queries, delta), delta, queries, high, spent(high, queries, delta, SENSITIVITY[ADDED])
    )


@cache
def spent(sigma: float, queries: int, delta: float, sensitivity: float = SENSITIVITY[REPLACED]) -> float:
    """ε at `delta` of `queries` counts, each under noise of `sigma` votes, of which one client moves each by `sensitivity` at most."""
    try:
        from opacus.accountants import RDPAccountant
    except ImportError as error:
        raise RuntimeUnavailableError(
            f"--epsilon takes an accountant, which cannot be imported ({error}): pip install 'edgecomp[privacy]'"
        ) from error
    accountant = RDPAccountant()
    accountant.history = [(sigma / sensitivity, 1.0, queries)]  # noise, share of the clients, steps
    return float(accountant.get_epsilon(delta, alphas=ORDERS))


def kept_when_unanimous(clients: int, classes: int, sigma: float) -> float:
    """The probability that noise of `sigma` votes leaves the class that all `clients` chose the first of so many `classes`."""
    from scipy.integrate import quad
    from scipy.stats import norm

    def density(noise: float) -> float:
        return float(norm.pdf(noise) * norm.cdf(clients / sigma + noise) ** (classes - 1))

    return float(quad(density, -10, 10)[0])
