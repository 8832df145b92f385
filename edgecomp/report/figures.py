"""Figures as tables print them: never a bound without its confidence."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from edgecomp.metrics.registry import METRICS
from edgecomp.metrics.units import format_value
from edgecomp.stats.figure import Figure


class Column(NamedTuple):
    """A column of figures. bounds: what its head says of them; text: prints a figure of it."""

    bounds: str
    text: Callable[[Figure | None], str]


def column(figures: Iterable[Figure | None]) -> Column:
    """The column of these figures: its head names the confidence where all have the same, and else every figure does."""
    kinds = {
        (one.confidence, one.sided): one for one in figures if one and one.is_bounded and not one.is_exact
    }
    if len(kinds) == 1:
        return Column(next(iter(kinds.values())).confidence_text, estimate_text)
    sides = {sided for _, sided in kinds}
    if len(sides) == 1:
        return Column(f"{sides.pop()}-sided bounds", lambda one: _with(one, _level))
    return Column("bounds", lambda one: _with(one, lambda figure: figure.confidence_text))


def _with(figure: Figure | None, said: Callable[[Figure], str]) -> str:
    bounded = figure is not None and figure.is_bounded and not figure.is_exact
    return f"{estimate_text(figure)} {said(figure)}" if figure and bounded else estimate_text(figure)


def _level(figure: Figure) -> str:
    return figure.confidence_text.partition(",")[0]


def estimate_text(figure: Figure | None) -> str:
    """`1.24 ms [1.20, 1.31]`, beside which the confidence is said; exact figures have no interval.

    figure: a dash for None.
    """
    if figure is None:
        return "–"
    value = format_value(figure.estimate, figure.dimension)
    return value if figure.is_exact else f"{value} {interval_text(figure)}"


def unit_text(figure: Figure | None) -> str:
    """What a figure's bounds are from: `5 restarts, 95 %, one-sided`, `exact`, or nothing."""
    if figure is None or figure.estimate is None:
        return "–"
    if figure.is_exact:
        return "exact"
    return f"{figure.n} {figure.unit}, {figure.confidence_text}"


def interval_text(figure: Figure) -> str:
    """`[1.20, 1.31]`, in the unit of the estimate unless a bound says its own.

    figure: without bounds, that is said.
    """
    if figure.low is None or figure.high is None:
        return f"[no bound from {figure.n} {figure.unit}]"
    _, _, unit = format_value(figure.estimate, figure.dimension).partition(" ")
    ends = (format_value(end, figure.dimension) for end in (figure.low, figure.high))
    return f"[{', '.join(end.removesuffix(f' {unit}') if unit else end for end in ends)}]"


def title(metric: str) -> str:
    """What tables call a metric."""
    return METRICS[metric].title
