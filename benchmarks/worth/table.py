"""The cells that there are, as a table: reports/data/worth.md. What was not run says so."""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from cell import DATA, WAYS, unpacked

sys.path.append(str(Path(__file__).parents[1] / "table"))
from intervals import crossed

PLAIN = "as they are"
TITLES = {
    "low": "SST-2, 500 training sentences",
    "noisy": "SST-2, 10 % of the training labels flipped",
    "sst2": "SST-2, whole",
    "lines": "Log lines, of which of 13 systems; templates that no student has seen",
}
HEAD = """# What cleaning, augmentation and a black-box teacher are worth

`python benchmarks/worth`, one file a cell in `cells/`; its own first lines say what the settings are: small ones, nothing tuned. Accuracy of the fp32
student on the test split, mean of the seeds; beside it the difference from the data as they are, of the same seeds, in points, with an interval at 95 %
over seeds and examples (of one seed: over examples alone, which says nothing of another seed). Where that interval holds 0, nothing is shown to help.
"Cleaned" removes exact and near duplicates, leaks, and what confident learning calls a label error (words alone, out of fold); "augmented" is four views
with typing errors in a tenth of the words, and of values within their kind; the black box is logistic regression on MiniLM's embeddings, of all 6,920
labels, asked as a function by the API's way. "Unlabelled" also learns from the sentences whose labels were taken away, as the black box answers them. The
teacher told is the one that is learnt from.
"""


def write(to: Path) -> None:
    """worth.md, of the cells in to/cells."""
    cells = [json.loads(file.read_text(encoding="utf-8")) for file in sorted((to / "cells").glob("*.json"))]
    parts = [HEAD, *(table(data, [one for one in cells if one["data"] == data]) for data in DATA)]
    to.mkdir(parents=True, exist_ok=True)
    (to / "worth.md").write_text("\n".join(parts), encoding="utf-8")


def right(cell: Mapping[str, Any]) -> np.ndarray[Any, np.dtype[np.float64]]:
    return unpacked(cell["student"]["right"], cell["test_examples"]).astype(float)


def table(data: str, cells: Sequence[Mapping[str, Any]]) -> str:
    """Markdown: a row a way, of one kind of data."""
    by = {(one["way"], one["seed"]): one for one in cells}
    lines = [f"## {TITLES[data]}\n", "| | accuracy, % | over the data as they are, points | seeds | trained on | teacher, % |", "| --- | --- | --- | --- | --- | --- |"]  # fmt: skip
    for way, of in WAYS.items():
        if data not in of.data:
            continue
        own = [one for one in cells if one["way"] == way]
        if not own:
            lines.append(f"| {way} | not run | | 0 | | |")
            continue
        pairs = [(one, by[PLAIN, one["seed"]]) for one in own if (PLAIN, one["seed"]) in by]
        over = ""
        if way != PLAIN and pairs:
            found = crossed(100 * np.stack([right(one) - right(other) for one, other in pairs]))
            over = f"{found.mean:+.2f} [{found.lower:+.2f}, {found.upper:+.2f}]"
        accuracy = np.mean([one["student"]["accuracy_pct"] for one in own])
        sizes = [one["examples"]["train"] + one["examples"]["calibration"] for one in own]
        told = f"{min(sizes):,}" if min(sizes) == max(sizes) else f"{min(sizes):,} to {max(sizes):,}"
        teacher = np.mean([one["black_box"]["test_accuracy_pct"] if "black_box" in one else one["teacher"]["accuracy_pct"] for one in own])  # fmt: skip
        lines.append(f"| {way} | {accuracy:.2f} | {over} | {len(own)} | {told} | {teacher:.2f} |")
    return "\n".join(lines) + "\n"
