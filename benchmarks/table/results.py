"""Cells as figures: what each arm of each cell scored, by runtime."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from cells import Cell

from edgecomp.measurements import Measurements

HOST = ("onnxruntime-cpu", "openvino-cpu")


@dataclass(frozen=True)
class Result:
    """One cell that has been run."""

    cell: Cell
    folder: Path

    @cached_property
    def measured(self) -> dict[str, Measurements]:
        return {path.name: Measurements.load(path) for path in sorted((self.folder / "bench").iterdir())}

    @cached_property
    def seconds(self) -> dict[str, float]:
        steps = json.loads((self.folder / "manifest.json").read_text(encoding="utf-8"))["steps"]
        return {name: record["seconds"] for name, record in steps.items()}

    def right(self, target: str, arm: str) -> npt.NDArray[np.bool_]:
        """Which test examples the arm answers rightly, as executed; under emulation, where the target is another CPU's."""
        measured = self.measured[target]
        emulated = self.folder / "emulation" / target / "test.npy"
        if arm == "emulated":
            logits = np.load(emulated, allow_pickle=False)
            return np.asarray(logits.argmax(1) == measured.labels[: len(logits)])
        return np.asarray(measured.arms[arm].logits.argmax(1) == measured.labels)

    def agreement(self, target: str, arm: str) -> float:
        """With the teacher in the same runtime, in per cent of the test examples."""
        arms = self.measured[target].arms
        return float((arms[arm].logits.argmax(1) == arms["teacher"].logits.argmax(1)).mean() * 100)

    def faster(self, target: str, arm: str, than: str, samples: str) -> npt.NDArray[np.float64]:
        """How many times faster, by restart: the ratio of the medians of what was measured by turns."""
        times = [np.median(self.measured[target].arms[name].samples[samples], axis=1) for name in (than, arm)]
        return np.asarray(times[0] / times[1], np.float64)


class Results:
    """Everything that has been run of one data set."""

    def __init__(self, folders: Mapping[Cell, Path | None]) -> None:
        self.all = [Result(cell, folder) for cell, folder in folders.items() if folder is not None]
        self.missing = [cell.name for cell, folder in folders.items() if folder is None]

    def of(self, kind: str) -> list[Result]:
        return [result for result in self.all if result.cell.kind == kind]

    def right(self, kind: str, target: str, arm: str) -> npt.NDArray[np.float64] | None:
        """Right answers in points, [seeds, examples]; None where no seed has been run."""
        rows = [
            result.right(target, arm)
            for result in self.of(kind)
            if target in result.measured and (arm == "emulated" or arm in result.measured[target].arms)
        ]
        return np.stack(rows).astype(np.float64) * 100 if rows else None

    def by_seed(self, kind: str, figure: Any) -> list[float]:
        return [float(figure(result)) for result in self.of(kind)]
