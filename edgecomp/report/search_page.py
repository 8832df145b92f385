"""A page for a search: the front of what was tried, every candidate, and what the search took. Derived, and can be written again."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import matplotlib as mpl

from edgecomp.metrics.registry import FILE_SIZE, LATENCY_P50, METRICS, PEAK
from edgecomp.metrics.units import format_value
from edgecomp.report.page.tables import Cell, Table, table
from edgecomp.report.pictures.drawing import LIMIT, STYLE, Key, Picture, log_milliseconds, panel, svg
from edgecomp.report.stage import environment

FILE = "search.html"
SHOWN = (LATENCY_P50, PEAK, FILE_SIZE)
TRIED, FRONT, INK = "#767c85", "#d9541e", "#000000"


class Tried(NamedTuple):
    """A candidate. name: its point, in words; became: what became of it, and why where it was not trained; score: on the validation split, per cent,
    None where it was not trained; figures: by metric, of the target that the front is of, in base units."""

    name: str
    became: str
    why: str
    score: float | None
    figures: Mapping[str, float]
    is_on_front: bool
    is_chosen: bool


def write_page(
    folder: Path,
    *,
    recipe: str,
    target: str,
    tried: Sequence[Tried],
    limits: Mapping[str, float],
    notes: Sequence[str],
    command: str,
) -> Path:
    """Writes search.html, one file, into `folder`, and returns it. recipe: its name; target: that the front is of; tried: every candidate, in the order in
    which they were asked for; limits: by metric, what a candidate may take there at most, in base units; notes: of the search, a sentence
    each; command: what is run next, empty where nothing was chosen."""
    page = (
        environment()
        .get_template("search.html.j2")
        .render(
            recipe=recipe,
            target=target,
            chosen=next((one for one in tried if one.is_chosen), None),
            picture=picture(target, tried, limits.get(LATENCY_P50)),
            candidates=_candidates(tried, limits),
            notes=notes,
            command=command,
        )
    )
    file = folder / FILE
    file.write_text(page, encoding="utf-8")
    return file


def picture(target: str, tried: Sequence[Tried], most_ms: float | None) -> Picture | None:
    """Score against latency on `target`, with the front of the `tried`; None where none was trained. most_ms: the budget's limit of it."""
    trained = [one for one in tried if one.score is not None and LATENCY_P50 in one.figures]
    if not trained:
        return None
    untrained = [one for one in tried if one.score is None and LATENCY_P50 in one.figures]
    best = [one for one in trained if one.is_on_front]
    with mpl.rc_context(STYLE):
        figure, axis = panel(width=6.4, height=3.4)
        for one in trained:
            colour = FRONT if one.is_on_front else TRIED
            axis.plot(one.figures[LATENCY_P50], _score(one), "o", color=colour, markersize=7)
            if one.is_chosen:
                axis.plot(one.figures[LATENCY_P50], _score(one), "o", markersize=14, markerfacecolor="none", markeredgecolor=INK)  # fmt: skip
        axis.margins(x=0.12, y=0.12)
        bottom, top = axis.get_ylim()
        for one in untrained:
            axis.plot(one.figures[LATENCY_P50], bottom, "x", color=LIMIT, markersize=7, clip_on=False)
        if most_ms is not None:
            axis.axvline(most_ms, color=LIMIT, linewidth=1, linestyle="--")
        log_milliseconds(axis)
        left, right = axis.get_xlim()
        costs, scores = [one.figures[LATENCY_P50] for one in best], [_score(one) for one in best]
        axis.step(
            [costs[0], *costs, right], [bottom, *scores, scores[-1]], where="post", color=FRONT, linewidth=1.3
        )
        axis.set(
            xlim=(left, right),
            ylim=(bottom, top),
            title=target,
            xlabel="median latency, one example (ms, log scale)",
            ylabel="validation score (%)",
        )
        told = "; ".join(
            f"{one.name}, {one.score:.2f} % at {one.figures[LATENCY_P50]:.3g} ms" for one in best
        )
        drawn = svg(figure, f"{len(trained)} candidates on {target}. On the Pareto front: {told}.")
    keys = [Key("on the Pareto front", FRONT, "o"), Key("trained", TRIED, "o"), Key("chosen", INK, "ring")]
    if untrained:
        keys.append(Key("over the budget, not trained", LIMIT, "X"))
    if most_ms is not None:
        keys.append(Key("the budget's limit", LIMIT, "dashes"))
    return Picture((drawn,), tuple(keys))


def _score(one: Tried) -> float:
    assert one.score is not None
    return one.score


def _candidates(tried: Sequence[Tried], limits: Mapping[str, float]) -> Table:
    heads = [
        "student",
        "validation score (%)",
        *(METRICS[metric].title for metric in SHOWN),
        "what became of it",
    ]
    rows = []
    for one in tried:
        score = Cell("–") if one.score is None else Cell(f"{one.score:.2f}", one.score)
        costs = [
            Cell(format_value(one.figures.get(metric), METRICS[metric].dimension), one.figures.get(metric))
            for metric in SHOWN
        ]
        became = "chosen" if one.is_chosen else "on the front" if one.is_on_front else one.became
        rows.append([Cell(one.name), score, *costs, Cell(became, note=one.why)])
    allowed = ", ".join(
        f"{METRICS[metric].title} ≤ {format_value(most, METRICS[metric].dimension)}"
        for metric, most in limits.items()
        if metric in SHOWN
    )
    return table(f"Candidates{f' ({allowed})' if allowed else ''}", heads, rows)
