"""Quantisation-aware distillation beside its fairest rivals, on real data, filled over as many sittings as it takes.

    python benchmarks/table cifar10                 # every cell that is not there yet
    python benchmarks/table sst2 --cells 'int8 *'   # some of them
    python benchmarks/table cifar10 --show          # only writes the table of what is there; the rest is "not run"

A cell is one `edgecomp run` of a shipped recipe: its command is in the table's json, and anyone can run it. One teacher
serves all cells of a data set; seeds vary the student. A finished cell is kept by the digest of its whole job and the
versions it ran with, and is not run again.
"""

import argparse
import fnmatch
import json
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

from cells import CELLS, Cell
from render import write

from edgecomp.artifacts import digest_of, replacing
from edgecomp.job import load_job

LIBRARIES = ("torch", "onnxruntime", "openvino", "nncf", "numpy")
JUDGED = (0, 1, 3)  # exit codes of a run that came to a verdict


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", choices=CELLS)
    parser.add_argument("--cells", default="*", help="a pattern of cell names, such as 'int8 seed 0'")
    parser.add_argument("--show", action="store_true", help="run nothing")
    parser.add_argument(
        "--runs", type=Path, default=Path("runs/table"), help="where the runs and their cells lie"
    )
    parser.add_argument("--to", type=Path, default=Path("reports"), help="where the table is written")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="of every cell, such as quick=true")
    asked = parser.parse_intermixed_args()
    kept = asked.runs / asked.data / "cells"
    kept.mkdir(parents=True, exist_ok=True)
    for cell in CELLS[asked.data]:
        if asked.show or not fnmatch.fnmatch(cell.name, asked.cells):
            continue
        folder = kept / digest(cell, asked.overrides)
        if (folder / "cell.json").is_file():
            print(f"{cell.name}: there already")
        else:
            run(cell, asked.overrides, asked.runs / asked.data / "run", folder)
            write(asked.data, found(asked.data, kept, asked.overrides), asked.to)
    write(asked.data, found(asked.data, kept, asked.overrides), asked.to)


def digest(cell: Cell, overrides: list[str]) -> str:
    job = load_job(cell.recipe, [*cell.overrides, *overrides]).model_dump(mode="json", exclude={"folder"})
    return digest_of({"job": job, "versions": {name: version(name) for name in LIBRARIES}})[:16]


def found(data: str, kept: Path, overrides: list[str]) -> dict[Cell, Path | None]:
    """Every cell, with the folder of its results where it has been run."""
    folders = {cell: kept / digest(cell, overrides) for cell in CELLS[data]}
    return {cell: folder if (folder / "cell.json").is_file() else None for cell, folder in folders.items()}


def run(cell: Cell, overrides: list[str], out: Path, to: Path) -> None:
    """Runs a cell in the folder that all cells of a data set share, so that they have one teacher, and keeps its results."""
    command = [*command_of(cell, overrides), "--out", str(out)]
    print(f"{cell.name}: {' '.join(command)}", flush=True)
    done = subprocess.run(
        [sys.executable, "-m", "edgecomp", *command[1:]], stdout=subprocess.DEVNULL, check=False
    )
    if done.returncode not in JUDGED:
        print(f'{cell.name}: no verdict, exit code {done.returncode}; it stays "not run"', flush=True)
        return
    scratch = to.with_name(f".{to.name}.tmp")
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    verdict = json.loads((out / "gate" / "verdict.json").read_text(encoding="utf-8"))
    for target in verdict["figures"]:
        for room in ("bench", "parity", "emulation"):
            source = out / room / target
            if source.is_dir():
                shutil.copytree(source, scratch / room / target)
    for name in ("gate/verdict.json", "job.json", "manifest.json", "export/ptq.json"):
        if (out / name).is_file():
            shutil.copyfile(out / name, scratch / Path(name).name)
    with replacing(scratch / "cell.json") as temporary:
        content = {"name": cell.name, "command": command_of(cell, overrides), "exit_code": done.returncode}
        temporary.write_text(json.dumps(content, indent=1), encoding="utf-8")
    shutil.rmtree(to, ignore_errors=True)
    scratch.rename(to)


def command_of(cell: Cell, overrides: list[str]) -> list[str]:
    return ["edgecomp", "run", cell.recipe, *cell.overrides, *overrides]


if __name__ == "__main__":
    main()
