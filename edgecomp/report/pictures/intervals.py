"""A check's interval against its limit, as a small picture for the row of a table."""

import math
from typing import Literal, NamedTuple

from markupsafe import Markup, escape

from edgecomp.metrics.units import format_value
from edgecomp.stats.figure import Figure

WIDTH, HEIGHT = 150.0, 24.0
LEFT, RIGHT = 8.0, 142.0  # between which numbers are drawn; beyond them are arrows of what has no bound
FAR = 10.0  # times the least number, from which on the scale is of logarithms
ROOM = 0.12  # of the scale's length, beside the least and the greatest number


class Scale(NamedTuple):
    """Where numbers are drawn, from LEFT to RIGHT. least, greatest: its ends; log: whether steps are multiples."""

    least: float
    greatest: float
    log: bool

    def at(self, value: float) -> float:
        """The place of a number, `value`: of a greater one it is further to the right, and never further than RIGHT."""
        ends = (self.least, self.greatest)
        low, high, it = (math.log(one) for one in (*ends, value)) if self.log else (*ends, value)
        share = (it / 2 - low / 2) / (high / 2 - low / 2)  # halved: a difference may overflow
        return LEFT + (RIGHT - LEFT) * min(1.0, max(0.0, share))


def scale(numbers: list[float]) -> Scale:
    """One that shows all `numbers`, of which there is one at least: with room beside them, of logarithms where they are far apart."""
    least, greatest = min(numbers), max(numbers)
    log = least > 0 and greatest / least > FAR
    if log:
        room = (greatest / least) ** ROOM
        return Scale(least / room, min(greatest * room, 1e308), log)
    room = ROOM * (greatest - least) if greatest > least else abs(greatest) * ROOM or 1.0
    return Scale(least - room, greatest + room, log)


def interval(figure: Figure | None, limit: float, passes: Literal["below", "above"]) -> Markup:
    """The picture, as SVG: a tinted side that is good, a line for the limit, a bar for the interval and a dot for the estimate.

    figure: what was measured, None for nothing: then the limit stands alone; a bound that is missing is drawn as a dashed line that
    ends in an arrow. limit: in the figure's dimension; passes: on which side of it is good. Nothing is drawn where no number is finite.
    """
    if not math.isfinite(limit):
        return Markup("")
    estimate, low, high = (
        _finite(value)
        for value in ((figure.estimate, figure.low, figure.high) if figure else (None, None, None))
    )
    on = scale([value for value in (estimate, low, high, limit) if value is not None])
    at, middle = on.at(limit), HEIGHT / 2
    good = (0.0, at) if passes == "below" else (at, WIDTH)
    parts = [
        f'<rect class="good" x="{good[0]:.2f}" y="0" width="{good[1] - good[0]:.2f}" height="{HEIGHT:g}" style="fill:var(--good, #e3f1e9)"/>',
        f'<line class="limit" x1="{at:.2f}" x2="{at:.2f}" y1="0" y2="{HEIGHT:g}" style="stroke:var(--limit, #b3261e);stroke-width:2"/>',
    ]
    if estimate is not None:
        x = on.at(estimate)
        ends = [(low, LEFT, "low"), (high, RIGHT, "high")]
        for bound, edge, name in ends:
            parts.append(_half(x, middle, edge, None if bound is None else on.at(bound), name))
        parts.append(
            f'<circle class="estimate" cx="{x:.2f}" cy="{middle:g}" r="3.5" style="fill:var(--ink, #1c2127)"/>'
        )
    told = escape(said(figure, limit, passes))
    return Markup(
        f'<svg class="interval" role="img" aria-label="{told}" xmlns="http://www.w3.org/2000/svg" width="{WIDTH:g}" height="{HEIGHT:g}" '
        f'viewBox="0 0 {WIDTH:g} {HEIGHT:g}">{"".join(parts)}</svg>'
    )


def _half(x: float, y: float, edge: float, end: float | None, name: str) -> str:
    """One half of the bar: from the estimate at `x` to its bound at `end`, or as far as the `edge` where there is none."""
    ink = "stroke:var(--ink, #1c2127);fill:none"
    if end is not None:
        return f'<path class="{name}" d="M{x:.2f} {y:g}H{end:.2f}m0 -5v10" style="{ink};stroke-width:2.5"/>'
    out = -4 if edge == LEFT else 4
    arrow = f"m{-out} -4l{out} 4l{-out} 4"
    return f'<path class="{name} open" d="M{x:.2f} {y:g}H{edge:.2f}{arrow}" style="{ink};stroke-width:1.5;stroke-dasharray:3 2"/>'


def said(figure: Figure | None, limit: float, passes: str) -> str:
    """What the picture shows, in words. figure, limit, passes: as `interval` takes them."""
    dimension = figure.dimension if figure else None
    bound = "at most" if passes == "below" else "at least"
    if figure is None or dimension is None or figure.estimate is None:
        return f"nothing measured; the limit is {bound} {limit:g}"
    ends = [
        "no bound" if value is None else format_value(value, dimension) for value in (figure.low, figure.high)
    ]
    between = "exact" if figure.is_exact else f"interval {ends[0]} to {ends[1]}"
    return f"{format_value(figure.estimate, dimension)}, {between}, limit {bound} {format_value(limit, dimension)}"


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
