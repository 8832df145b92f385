"""Cells as figures: what each arm of each cell scored, by runtime."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from cells import Cell, timed

HOST = ("onnxruntime-cpu", "openvino-cpu")


@dataclass(frozen=True)
class Result:
    """One cell that has been run, as `keep` left it."""

    cell: Cell
    folder: Path

    @cached_property
    def about(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads((self.folder / "cell.json").read_text(encoding="utf-8"))
        return content

    def arm(self, target: str, arm: str) -> dict[str, Any] | None:
        """What was measured of an arm under a target; None where it was not."""
        found: dict[str, Any] | None = self.about["targets"].get(target, {"arms": {}})["arms"].get(arm)
        return found

    def right(self, target: str, arm: str) -> npt.NDArray[np.bool_] | None:
        """Which test examples the arm answers rightly, as executed; `emulated`, as another CPU executes the student."""
        name = f"{target}.{arm}"
        if name not in self.about["examples"]:
            return None
        with np.load(self.folder / "answers.npz") as answers:
            return np.unpackbits(answers[name], count=self.about["examples"][name]).astype(bool)


class Results:
    """Everything that has been run of one data set."""

    def __init__(self, folders: Mapping[Cell, Path | None]) -> None:
        self.all = [Result(cell, folder) for cell, folder in folders.items() if folder is not None]
        self.cells = list(folders)
        if len({result.about.get("labels_sha256") for result in self.all}) > 1:
            raise SystemExit("the cells are of different test splits, or of one in different orders, and nothing in them is paired: run "
                             "the new ones into a folder of their own (--to)")  # fmt: skip

    def of(self, kind: str) -> list[Result]:
        return [result for result in self.all if result.cell.kind == kind]

    def right(self, kind: str, target: str, arm: str) -> npt.NDArray[np.float64] | None:
        """Right answers in points, [seeds, examples]; None where no seed has been run."""
        rows = [bits for result in self.of(kind) if (bits := result.right(target, arm)) is not None]
        return np.stack(rows).astype(np.float64) * 100 if rows else None

    def paired(self, *arms: tuple[str, str, str]) -> list[npt.NDArray[np.float64]] | None:
        """Right answers in points of each (kind, target, arm), on the seeds and examples that all have: each [seeds, examples].

        None where they have no seed in common.
        """
        rows: list[dict[int, npt.NDArray[np.bool_]]] = [
            {
                result.cell.seed: bits
                for result in self.of(kind)
                if (bits := result.right(target, arm)) is not None
            }
            for kind, target, arm in arms
        ]
        seeds = sorted(set.intersection(*map(set, rows)))
        if not seeds:
            return None
        examples = min(len(bits) for one in rows for bits in one.values())
        return [np.stack([one[seed][:examples] for seed in seeds]).astype(np.float64) * 100 for one in rows]

    def figures(self, kind: str, target: str, arm: str, figure: Callable[[dict[str, Any]], Any]) -> list[Any]:
        """One of an arm's figures, by seed."""
        arms = [result.arm(target, arm) for result in self.of(kind)]
        return [figure(one) for one in arms if one is not None]

    def ratios(self, kind: str, target: str, arm: str, than: str, times: str) -> npt.NDArray[np.float64]:
        """How many times faster, over all restarts of the cells that are timed."""
        arms = [result.arm(target, arm) for result in self.of(kind) if timed(kind, result.cell.seed)]
        found = [np.asarray(one["faster_than"][than][times]) for one in arms if one is not None]
        return np.concatenate(found) if found else np.empty(0)

    def training_s(self, kind: str, steps: Sequence[str]) -> float | None:
        """Seconds of these steps together, the median over the cells that had the machine for themselves."""
        seconds = [one.about["seconds"] for one in self.of(kind) if one.about.get("alone", True)]
        return (
            float(np.median([sum(one.get(step, 0.0) for step in steps) for one in seconds]))
            if seconds
            else None
        )
