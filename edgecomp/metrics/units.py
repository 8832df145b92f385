"""Units that limits are written in. A limit always carries one: `20 ms`, `200 MiB`, `3 pt` (percentage points), `5 %`, `3 x` (a multiple of
a reference's value); a bare number is refused."""

import math
import re
from dataclasses import dataclass

from edgecomp.errors import nearest

# Unit of a limit → (dimension, factor to the dimension's base unit).
UNITS: dict[str, tuple[str, float]] = {
    "us": ("time", 1e-3),
    "ms": ("time", 1.0),
    "s": ("time", 1e3),
    "B": ("bytes", 1.0),
    "kB": ("bytes", 1e3),
    "KiB": ("bytes", 2.0**10),
    "MB": ("bytes", 1e6),
    "MiB": ("bytes", 2.0**20),
    "GB": ("bytes", 1e9),
    "GiB": ("bytes", 2.0**30),
    "/s": ("rate", 1.0),
    "%": ("percent", 1.0),
    "pt": ("points", 1.0),
    "x": ("multiple", 1.0),
    "dB": ("decibel", 1.0),
    "mJ": ("energy", 1.0),
    "J": ("energy", 1e3),
    "units": ("label", 1.0),
    "nats": ("nats", 1.0),
    "score": ("score", 1.0),
}


EXAMPLES = {
    "time": "'20 ms'",
    "bytes": "'200 MiB'",
    "rate": "'1000 /s'",
    "percent": "'98.5 %'",
    "points": "'1 pt'",
    "multiple": "'3 x'",
    "decibel": "'20 dB'",
    "energy": "'5 mJ'",
    "label": "'0.5 units'",
    "nats": "'0.01 nats'",
    "score": "'0.01 score'",
}
"""By dimension, a limit as it is written."""


DIFFERENCE = "score_difference"
"""The dimension of a score less another model's, in the score's own unit."""


def units_of(dimension: str) -> list[str]:
    """The units that a limit of a dimension may have."""
    return [unit for unit, (of, _) in UNITS.items() if of == dimension]


NO_UNIT = "{!r} has no unit: write for example '20 ms', '200 MiB', '3 pt', '5 %' or '3 x'"


@dataclass(frozen=True)
class Quantity:
    """`value` in the base unit of `dimension`: ms, bytes, per second, per cent, points, mJ or a multiple."""

    value: float
    dimension: str
    text: str


def parse_quantity(text: object) -> Quantity:
    """The text, such as `20 ms`, `200MiB`, `3 pt`, `5 %`, `3 x`, `1000 /s`, as a Quantity; ValueError says
    what is wrong."""
    if isinstance(text, bool) or not isinstance(text, str):
        raise ValueError(NO_UNIT.format(text))  # noqa: TRY004 - pydantic reports a ValueError
    match = re.fullmatch(r"\s*([+-]?[0-9.]+(?:[eE][+-]?[0-9]+)?)\s*(\S*)\s*", text)
    if match is None:
        raise ValueError(f"{text!r} is not a number with a unit, such as '20 ms' or '200 MiB'")
    number, unit = match.groups()
    if not unit:
        raise ValueError(NO_UNIT.format(text))
    if unit not in UNITS:
        raise ValueError(
            f"{text!r}: unknown unit {unit!r}{nearest(unit, UNITS)}; units are {', '.join(UNITS)}"
        )
    try:
        value = float(number)
    except ValueError:
        raise ValueError(f"{text!r}: {number!r} is not a number") from None
    dimension, factor = UNITS[unit]
    if not (math.isfinite(value * factor) and (value >= 0 or dimension == "score")):
        raise ValueError(f"{text!r} is negative or not finite: no limit can be that")
    return Quantity(value * factor, dimension, f"{number} {unit}")


def format_value(value: float | None, dimension: str) -> str:
    """A figure as people read it: `1.24 ms`, `12.3 MiB`, `8,150 /s`, `98.2 %`, `3.1 x`. value: in the base
    unit of its dimension; `–` for None or what is not finite."""
    if value is None or not math.isfinite(value):
        return "–"
    if dimension == "bytes":
        if value < 2**10:
            return f"{value:.0f} B"
        if value < 2**20:
            return f"{value / 2**10:.1f} KiB"
        return f"{value / 2**20:.1f} MiB" if value < 2**30 else f"{value / 2**30:.1f} GiB"
    if dimension == "time":
        return (
            f"{value / 1e3:.2f} s"
            if value >= 1e4
            else f"{value:.3g} ms"
            if value < 100
            else f"{value:.0f} ms"
        )
    if dimension == "rate":
        return f"{value:,.0f} /s" if value >= 100 else f"{value:.3g} /s"
    if dimension == "multiple":
        return f"{value:.3g} x"
    if dimension == "ratio":
        return f"{100 * (value - 1):+.2f} %"
    if dimension == "log_ratio":
        return f"{100 * math.expm1(value):+.2f} %" if abs(value) < 0.7 else f"{math.exp(value):.3g} x"
    if dimension in ("score", DIFFERENCE):  # of whatever size
        return f"{value:{'+' if dimension == DIFFERENCE else ''}.4g} score"
    if dimension == "nats":
        return f"{value:.3g} nats"
    suffix = {"percent": " %", "points": " pt", "decibel": " dB", "energy": " mJ", "label": " units"}[
        dimension
    ]
    return f"{value:.2f}{suffix}"
