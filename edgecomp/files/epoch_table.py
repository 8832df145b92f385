"""The table of epochs in a run folder: every figure of every training by epoch, while it goes on."""

import csv
import io
from collections.abc import Mapping
from pathlib import Path

from edgecomp.files.scratch import replacing

TABLE = "training.csv"
COLUMNS = ("training", "epoch", "figure", "value")


def add(folder: Path, training: str, epoch: int, figures: Mapping[str, float]) -> None:
    """Adds a training's `figures` of an epoch, from 0, to the table in `folder`, in place of what it says of that epoch and later ones.

    training: which, such as `student, fp32`.
    """
    before = [row for row in rows(folder) if row[0] != training or int(row[1]) <= epoch]
    new = [(training, str(epoch + 1), name, repr(float(value))) for name, value in figures.items()]
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([COLUMNS, *before, *new])
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder / TABLE) as temporary:
        temporary.write_text(text.getvalue(), encoding="utf-8")


def rows(folder: Path) -> list[tuple[str, str, str, str]]:
    """What the table in `folder` says, without its heading; nothing where there is none, or it is no such table."""
    try:
        read = list(csv.reader(io.StringIO((folder / TABLE).read_text(encoding="utf-8"))))
    except (OSError, UnicodeDecodeError, csv.Error):
        return []
    return [(row[0], row[1], row[2], row[3]) for row in read[1:] if len(row) == 4 and row[1].isdigit()]
