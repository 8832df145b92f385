"""Quantisation-aware distillation beside its fairest rivals, on real data, filled over as many sittings as it takes.

    python benchmarks/table cifar10                 # every cell that is not there yet
    python benchmarks/table sst2 --cells 'int8 *'   # some of them
    python benchmarks/table sst2 --core 1           # beside another sitting: one core, one thread, no cell that is timed
    python benchmarks/table cifar10 --show          # only writes the table of what is there; the rest is "not run"

A cell is one `edgecomp run` of a shipped recipe: its command is in the table's json, and anyone can run it. One teacher
serves all cells of a data set; seeds vary the student. What a finished cell found is kept beside the table, by the digest of
its whole job and the versions it ran with, and it is not run again.
"""

import argparse
import fnmatch
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

from cells import CELLS, ORDINARY, Cell, timed
from keep import keep
from render import write

from edgecomp.config.job import load_job
from edgecomp.files.writing import digest_of

LIBRARIES = ("torch", "onnxruntime", "openvino", "nncf", "numpy")
JUDGED = (0, 1, 3)  # exit codes of a run that came to a verdict


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", choices=CELLS)
    parser.add_argument("--cells", default="*", help="a pattern of cell names, such as 'int8 seed 0'")
    parser.add_argument("--core", type=int, help="run on this core alone; times are then not the table's")
    parser.add_argument("--show", action="store_true", help="run nothing")
    parser.add_argument("--runs", type=Path, default=Path("runs/table"), help="where the runs lie")
    parser.add_argument(
        "--to", type=Path, default=Path("reports"), help="where the table and its cells are written"
    )
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="of every cell, such as quick=true")
    asked = parser.parse_intermixed_args()
    kept = asked.to / f"table-{asked.data}" / "cells"
    if asked.core is not None:
        os.sched_setaffinity(0, {asked.core})
    for cell in CELLS[asked.data]:
        if asked.show or not fnmatch.fnmatch(cell.name, asked.cells):
            continue
        folder = kept / digest(cell, asked.overrides)
        if folder.is_dir():
            print(f"{cell.name}: there already")
        elif cell.kind == ORDINARY:
            print(
                f"{cell.name}: edgecomp refuses such a target; benchmarks/portable measures what it would come to"
            )
        elif asked.core is not None and timed(cell.kind, cell.seed):
            print(f"{cell.name}: is timed, and wants the machine for itself")
        elif run(cell, asked, folder):
            write(asked.data, found(asked.data, kept, asked.overrides), asked.to)
    write(asked.data, found(asked.data, kept, asked.overrides), asked.to)


def digest(cell: Cell, overrides: list[str]) -> str:
    """Of all that a cell's figures come from: not of what it may cost, nor of what is said of it.

    What is not set does not count, so that a setting which edgecomp gains later leaves the cells that do without it.
    """
    job = load_job(cell.recipe, [*cell.overrides, *overrides])
    recipe = job.recipe.model_dump(
        mode="json", exclude={"description", "policy", "thresholds"}, exclude_none=True
    )
    targets = list(job.targets)
    if cell.kind == ORDINARY:
        other = {"name": "onnxruntime-avx2-ordinary", "scheme": "cpu-u8"}
        targets = [target.model_copy(update=other) for target in targets]
    profiles = [
        target.model_dump(mode="json", exclude={"description", "budget"}, exclude_none=True)
        for target in targets
    ]
    versions = {name: version(name) for name in LIBRARIES}
    return digest_of({"recipe": recipe, "targets": profiles, "versions": versions})[:16]


def found(data: str, kept: Path, overrides: list[str]) -> dict[Cell, Path | None]:
    """Every cell, with the folder of its results where it has been run."""
    folders = {cell: kept / digest(cell, overrides) for cell in CELLS[data]}
    return {cell: folder if folder.is_dir() else None for cell, folder in folders.items()}


def run(cell: Cell, asked: argparse.Namespace, to: Path) -> bool:
    """Runs a cell in the folder that all cells of a data set share, so that they have one teacher, and keeps its results."""
    out = asked.runs / asked.data
    command = ["edgecomp", "run", cell.recipe, *cell.overrides, *asked.overrides]
    print(f"{cell.name}: {' '.join(command)}", flush=True)
    done = subprocess.run(
        [sys.executable, "-m", *command, "--out", str(out)], stdout=subprocess.DEVNULL, check=False
    )
    if done.returncode not in JUDGED:
        print(f'{cell.name}: no verdict, exit code {done.returncode}; it stays "not run"', flush=True)
        return False
    about = {
        "name": cell.name,
        "command": command,
        "exit_code": done.returncode,
        "versions": {name: version(name) for name in LIBRARIES},
        "alone": asked.core is None,
    }
    try:
        keep(out, about, to)
    except ValueError as why:
        print(f'{cell.name}: {why}; it stays "not run"', flush=True)
        return False
    return True


if __name__ == "__main__":
    main()
