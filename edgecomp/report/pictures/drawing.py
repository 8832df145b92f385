"""How every picture of a report is drawn: small panels of one style, as SVG text that a page can recolour and a reader can hear."""

import io
import re
import warnings
from typing import Any, NamedTuple

import matplotlib as mpl
from markupsafe import Markup, escape
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from edgecomp.arms import ARMS
from edgecomp.text import inline, plain

COLOURS = {name: arm.colour for name, arm in ARMS.items()}
LIMIT = "#b3261e"
"""Of a limit, wherever one is drawn."""
LONGEST = 60  # characters of a text in a picture

BY_THEME = {"#000000": "ink", "#ffffff": "paper", "#e6e8eb": "grid", "#8b929c": "axis", LIMIT: "limit"}
"""A colour of STYLE → the variable that a page sets instead, by its theme; by itself a picture has the colour."""

STYLE: Any = {
    "font.family": "sans-serif",
    "font.size": 9.5,
    "svg.fonttype": "none",
    "text.parse_math": False,  # a name may hold a dollar
    "svg.hashsalt": "edgecomp",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#8b929c",
    "axes.grid": True,
    "grid.color": "#e6e8eb",
    "axes.axisbelow": True,
    "legend.frameon": False,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
}


class Key(NamedTuple):
    """An entry of a picture's legend: what `shape` (a line, a square, or one of MARKERS) in `colour` stands for."""

    label: str
    colour: str
    shape: str = "line"


class Picture(NamedTuple):
    """panels: SVG texts that stand beside each other where there is room; keys: their common legend."""

    panels: tuple[Markup, ...]
    keys: tuple[Key, ...] = ()


def subplots(count: int, *, width: float, height: float) -> tuple[Figure, list[Axes]]:
    """A figure of `count` axes in a row, each `width` by `height` inches."""
    figure = Figure(figsize=(width * count, height), layout="constrained")
    axes = figure.subplots(1, count, squeeze=False)
    return figure, list(axes[0])


def panel(*, width: float, height: float) -> tuple[Figure, Axes]:
    """A figure of one pair of axes, `width` by `height` inches: it stays readable where it is a column of its own."""
    figure, (axis,) = subplots(1, width=width, height=height)
    return figure, axis


def log_milliseconds(axis: Axes) -> None:
    """Makes the horizontal `axis` one of milliseconds, on a log scale, written as plain numbers."""
    axis.set_xscale("log")
    axis.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    plain_numbers(axis.xaxis)


def plain_numbers(axis: Any) -> None:
    """Writes the ticks of a log `axis`, x or y, as plain numbers, and none between them."""
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def shorten(text: str) -> str:
    """A name as a picture has room for it: `text` on one line, cut after LONGEST characters."""
    shown = inline(text)
    return shown if len(shown) <= LONGEST else f"{shown[: LONGEST - 1]}…"


def svg(figure: Figure, says: str = "") -> Markup:
    """A figure as SVG text; the texts in it that are too long are cut, in the figure as well.

    says: what it shows, in words and numbers, for whoever does not see it.
    """
    for artist in figure.findobj(Text):
        artist.set_text("\n".join(map(shorten, artist.get_text().split("\n"))))
    buffer = io.StringIO()
    # Names of what is defined in one picture, such as where it is cut off, must not be another's on the same page.
    with warnings.catch_warnings(), mpl.rc_context({"svg.hashsalt": f"edgecomp{plain(says)}"}):
        warnings.filterwarnings("ignore", "Glyph .* missing")  # to measure it; the reader's own fonts show it
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    return Markup(_themed(_only_ids_that_are_used(plain(text[text.index("<svg") :]))).replace(
        "<svg ", f"<svg {_told(says)}", 1
    ))  # fmt: skip


def _told(says: str) -> str:
    return f'role="img" aria-label="{escape(plain(inline(says)))}" ' if says else ""


def _themed(text: str) -> str:
    """Colours that depend on the page's theme as variables, in styles alone: a text may hold what looks like one."""

    def style(match: re.Match[str]) -> str:
        found = match[0]
        for colour, name in BY_THEME.items():
            found = found.replace(colour, f"var(--{name}, {colour})")
        return found

    return re.sub(r'(?<= style=)"[^"<>]*"', style, text)


def _only_ids_that_are_used(text: str) -> str:
    """Without the names of groups, which every picture has alike."""
    used = set(re.findall(r'(?:href="#|url\(#)([\w.-]+)', text))
    return re.sub(r' id="([\w.-]+)"', lambda match: match[0] if match[1] in used else "", text)


SHAPES = {
    "line": "M0 6H18",
    "dashes": "M0 6H4M7 6H11M14 6H18",
    "square": "M4 1H14V11H4Z",
    "ring": "M9 1A5 5 0 1 1 9 11A5 5 0 1 1 9 1Z",
    "o": "M9 2A4 4 0 1 1 9 10A4 4 0 1 1 9 2Z",
    "s": "M5 2H13V10H5Z",
    "D": "M9 1L14 6L9 11L4 6Z",
    "^": "M9 1L14 10H4Z",
    "v": "M9 11L14 2H4Z",
    "P": "M7.5 1H10.5V4.5H14V7.5H10.5V11H7.5V7.5H4V4.5H7.5Z",
    "X": "M5 2L9 5L13 2L14 4L11 6L14 8L13 10L9 7L5 10L4 8L7 6L4 4Z",
    "*": "M9 1L10.5 4.5L14 5L11.5 7.5L12 11L9 9L6 11L6.5 7.5L4 5L7.5 4.5Z",
}
"""What a legend draws: by the shape of a Key, a path of 18 by 12."""


def swatch(key: Key) -> Markup:
    """The picture of `key` in a legend, which its label stands beside."""
    colour = BY_THEME.get(key.colour)
    drawn = f"var(--{colour}, {key.colour})" if colour else key.colour
    is_line = key.shape in ("line", "dashes", "ring")
    style = f"stroke:{drawn};stroke-width:2;fill:none" if is_line else f"fill:{drawn}"
    return Markup(
        f'<svg aria-hidden="true" width="18" height="12" viewBox="0 0 18 12"><path d="{SHAPES[key.shape]}" style="{style}"/></svg>'
    )
