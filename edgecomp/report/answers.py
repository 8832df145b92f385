"""What changed between two models' answers (edgecomp.gate.groups), as tables that every medium can draw."""

import base64
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from markupsafe import Markup

from edgecomp.gate.document import Changes, GroupDifference
from edgecomp.stats.figure import confidence_text

TITLES = {"teacher": "the teacher", "baseline": "the baseline", "candidate": "the candidate"}


MOST_SHOWN = 50
"""Rows of a table in report.html."""


class Originals(NamedTuple):
    """What changed examples are, where a report may show it. of: example → its text, or a PNG file's bytes; said: why there are none."""

    of: Mapping[int, str | bytes]
    said: str


NONE_SHOWN = Originals({}, "")


class Shown(NamedTuple):
    """header and rows: of text; left: how many rows there are besides."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    left: int


def sentence(found: Changes) -> str:
    """How many answers changed, and which way. found: between two models."""
    changed, lost, gained = found.changed, found.lost, found.gained
    if not changed:
        return f"None of {found.examples:,} answers is another than {name_of(found.reference)}'s."
    wrong = changed - lost - gained
    return (
        f"{changed:,} of {found.examples:,} answers are others than {name_of(found.reference)}'s: "
        f"{lost:,} right ones lost, {gained:,} gained, {wrong:,} wrong both times."
    )


def tables(found: Changes, most: int, originals: Originals = NONE_SHOWN) -> list[Shown]:
    """By class, by slice, by pair of answers, and by example, each with its worst rows first.

    found: what changed; most: rows of a table; one that would be empty is left out; originals: of the examples.
    """
    reference, arm = found.reference, found.arm
    by_group = ("examples", reference, arm, f"difference [{confidence_text(found.confidence, 'one')}]")
    said = ("examples", "lost", "gained")
    cells = [
        (cell.reference, cell.answer, *(f"{getattr(cell, name):,}" for name in said))
        for cell in found.answers
    ]
    slices = bool(found.slices)
    examples = [
        (
            str(one.example),
            one.label,
            *([one.slice or ""] if slices else []),
            one.reference,
            one.answer,
            *([_original(originals.of.get(one.example, ""), one.example)] if originals.of else []),
        )
        for one in found.changes
    ]
    made = [
        _shown("By class", ("class", *by_group), [_group(row) for row in found.classes], most),
        _shown("By slice", ("slice", *by_group), [_group(row) for row in found.slices], most),
        _shown("Changed answers", (f"{reference} says", f"{arm} says", *said), cells, most),
        _shown(
            "Changed examples",
            (
                *("example", "label", *(["slice"] if slices else []), f"{reference} says", f"{arm} says"),
                *(["as it is"] if originals.of else []),
            ),
            examples,
            most,
            found.changed,
        ),
    ]
    return [one for one in made if one.rows]


def _original(it: str | bytes, example: int) -> str:
    """A text as it is, a picture as the element that shows it."""
    if isinstance(it, str):
        return it
    inside = base64.b64encode(it).decode("ascii")
    return Markup('<img class="original" alt="example {}" src="data:image/png;base64,{}">').format(
        example, inside
    )


def _shown(
    title: str, header: Sequence[str], rows: Sequence[Sequence[str]], most: int, of: int | None = None
) -> Shown:
    return Shown(title, header, rows[:most], (len(rows) if of is None else of) - len(rows[:most]))


def _group(row: GroupDifference) -> Sequence[str]:
    middle, lower, upper = row.difference_pt
    return (
        row.name,
        f"{row.examples:,}",
        f"{100 * row.reference_right / row.examples:.2f} %",
        f"{100 * row.right / row.examples:.2f} %",
        f"{middle:+.2f} pt [{lower:.2f}, {upper:.2f}]",
    )


def name_of(arm: str) -> str:
    """What sentences call an `arm`."""
    return TITLES.get(arm, arm)
