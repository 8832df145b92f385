"""What was watched in training, by epoch, as a picture: gradients, learning rate, likeness to the teacher, and memory."""

from typing import NamedTuple

from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

from edgecomp.arms import CONTROL, STUDENT_FP32, STUDENT_INT8, TEACHER
from edgecomp.report.evidence import Evidence
from edgecomp.report.pictures.plots import COLOURS, subplots, svg

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


def watched(evidence: Evidence) -> str:
    """A picture of each of PICTURES that `evidence` has figures of; nothing where it has none."""
    drawn = [(one, lines) for one in PICTURES if (lines := _lines(evidence, one))]
    if not drawn:
        return ""
    figure, axes = subplots(len(drawn), width=3.4, height=2.5)
    for axis, (one, lines) in zip(axes, drawn, strict=True):
        for label, colour, values in lines:
            axis.plot(
                range(1, len(values) + 1),
                values,
                "o-",
                color=colour,
                markersize=3,
                linewidth=1.3,
                label=label,
            )
        axis.set(title=one.title, yscale="log" if one.log and _positive(lines) else "linear")
        axis.set_xlabel("epoch of each training")
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        if one.log:
            axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axis.yaxis.set_minor_formatter(NullFormatter())
        axis.legend(fontsize=7.5)
    return svg(figure)


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
