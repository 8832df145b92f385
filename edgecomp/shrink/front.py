"""The Pareto front of candidates: score against latency, of those that were trained; which one is chosen, and when the search is over."""

from collections.abc import Sequence

from edgecomp.metrics.registry import LATENCY_P50
from edgecomp.shrink.candidates import Candidate


def latency_ms(one: Candidate, target: str) -> float:
    """The median latency of a candidate on `target`, in ms. one: was measured there."""
    assert one.cost is not None
    return one.cost.figures[target][LATENCY_P50]


def front(found: Sequence[Candidate], target: str) -> list[Candidate]:
    """Of the trained among `found` those that no other beats: none is as fast on `target` and scores as much, and better in one of the two. The
    fastest comes first; of equals the earliest is on it."""
    trained = [one for one in found if one.score is not None]
    ordered = sorted(trained, key=lambda one: (latency_ms(one, target), -_score(one), one.number))
    best: list[Candidate] = []
    for one in ordered:
        if not best or _score(one) > _score(best[-1]):
            best.append(one)
    return best


def chosen(found: Sequence[Candidate], target: str) -> Candidate | None:
    """Of the trained among `found`, all of which keep the budget, the one with the best score, and of equals the fastest on `target`; None where none
    was trained."""
    best = front(found, target)
    return best[-1] if best else None


def is_exhausted(found: Sequence[Candidate], target: str, patience: int) -> bool:
    """Whether more would not help: the last `patience` of the candidates `found`, in their order, put none on the front of score and latency on
    `target`. A search that has trained none yet goes on."""
    best = front(found, target)
    if len(found) <= patience or not best:
        return False
    late = {one.name for one in found[-patience:]}
    return not any(one.name in late for one in best)


def _score(one: Candidate) -> float:
    assert one.score is not None
    return one.score
