"""What was watched in training, by epoch, as a picture: gradients, learning rate, likeness to the teacher, and memory."""

from typing import NamedTuple

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.ticker import MaxNLocator

from edgecomp.arms import CONTROL, STUDENT_FP32, STUDENT_INT8, TEACHER
from edgecomp.report.evidence import Evidence
from edgecomp.report.pictures.drawing import COLOURS, STYLE, Picture, panel, plain_numbers, svg

ARMS = {
    "teacher": TEACHER.name,
    "student, fp32": STUDENT_FP32.name,
    "student, control": CONTROL.name,
    "student, int8": STUDENT_INT8.name,
}
"""By the name that a training has in the table of epochs, its arm."""


class Watched(NamedTuple):
    """title: of the picture; figures: their names, or what these begin with; by_arm: each arm in its colour, else each figure in one of its own."""

    title: str
    figures: tuple[str, ...]
    by_arm: bool = True
    log: bool = False


PICTURES = (
    Watched("norm of gradients (log scale)", ("gradient_norm",), log=True),
    Watched("learning rate", ("learning_rate",)),
    Watched("answers like the teacher's (%)", ("agreement_pct",)),
    Watched("memory (MiB)", ("memory_mib",)),
    Watched("likeness of hidden states", ("cka: ", "explained: ", "explainable: "), by_arm=False),
)


def watched(evidence: Evidence) -> Picture | None:
    """A picture of each of PICTURES that `evidence` has figures of; None where it has none."""
    drawn = [(one, lines) for one in PICTURES if (lines := _lines(evidence, one))]
    with mpl.rc_context(STYLE):
        panels = tuple(_panel(one, lines) for one, lines in drawn)
    return Picture(panels) if panels else None


def _panel(one: Watched, lines: "Lines") -> Markup:
    figure, axis = panel(width=3.4, height=2.5)
    for label, colour, values in lines:
        axis.plot(
            range(1, len(values) + 1), values, "o-", color=colour, markersize=3, linewidth=1.3, label=label
        )
    axis.set(title=one.title, yscale="log" if one.log and _positive(lines) else "linear")
    axis.set_xlabel("epoch of each training")
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    if one.log:
        plain_numbers(axis.yaxis)
    axis.legend(fontsize=7.5)
    told = "; ".join(f"{label} from {values[0]:.3g} to {values[-1]:.3g}" for label, _, values in lines)
    return svg(figure, f"{one.title} by epoch: {told}")


Lines = list[tuple[str, str | None, list[float]]]


def _lines(evidence: Evidence, one: Watched) -> Lines:
    """Of each arm or figure its label, colour and values by epoch."""
    found: dict[tuple[str, str], list[float]] = {}
    for training, _, figure, value in evidence.epochs:
        arm = ARMS.get(training)
        wanted = figure in one.figures if one.by_arm else figure.startswith(one.figures)
        if arm in evidence.names and wanted and (one.by_arm or arm == STUDENT_FP32.name):
            found.setdefault((str(arm), figure), []).append(value)
    return [
        (evidence.names[arm], COLOURS[arm], values) if one.by_arm else (figure, None, values)
        for (arm, figure), values in found.items()
    ]


def _positive(lines: Lines) -> bool:
    return all(value > 0 for _, _, values in lines for value in values)
