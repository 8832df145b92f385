"""What it takes for one int8 file to give the same answers on every CPU, and what that costs: a table, filled cell by cell.

    python benchmarks/portable digits                      # every cell that is not there yet, of this kind of CPU
    python benchmarks/avx2_only python benchmarks/portable digits      # the same as a CPU without VNNI
    python benchmarks/portable cifar10 --seeds 0 --variants wide narrow
    python benchmarks/portable sst2 --quick         # of the recipe's rehearsal: minutes a cell, and accuracy that says little
    python benchmarks/portable --show                      # only writes the table of what is there

A cell is a data set, a variant, a seed of the student, and the kind of CPU that ran it: the shipped recipe with another scheme, from
data to the bench, both runtimes. Its answers are executed here and as every other CPU that this machine can pass for. A cell is kept
in reports/portable/cells and not run again; times of other CPUs than the host are never taken.
"""

import argparse
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))
import filling as shared
from cell import QUICK, VARIANTS, name_of
from table import write

from edgecomp.machine import host_isa

DATA = ("digits", "cifar10", "sst2")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "data", nargs="*", choices=[*DATA, []], help="of which data set; none: only the table"
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--examples", type=int, default=500, help="asked under qemu-user")
    parser.add_argument(
        "--qemu-seeds", nargs="*", type=int, default=[0], help="seeds that are asked under qemu-user"
    )
    parser.add_argument("--quick", action="store_true", help="of the recipe's rehearsal")
    parser.add_argument("--show", action="store_true", help="run nothing")
    parser.add_argument("--runs", type=Path, default=Path("runs/portable"), help="where the runs lie")
    parser.add_argument("--to", type=Path, default=Path("reports/portable"))
    shared.options(parser)
    asked = parser.parse_intermixed_args()
    for data in () if asked.show else asked.data:
        called = f"{data}{QUICK}" if asked.quick else data
        made = [cell(called, variant, seed, asked) for seed in asked.seeds for variant in asked.variants]
        # One folder a data set and kind of CPU: its variants and seeds share a teacher.
        runs = asked.runs / f"{called}-{host_isa()}"
        shared.fill(Path(__file__).with_name("cell.py"), made, runs, lambda: write(asked.to), asked.ray)
    write(asked.to)


def cell(data: str, variant: str, seed: int, asked: argparse.Namespace) -> shared.Cell:
    """A cell of this kind of CPU, whose answers are asked under qemu-user as well for some seeds."""
    slow = asked.examples if seed in asked.qemu_seeds else 0
    file = asked.to / "cells" / f"{name_of(data, variant, seed, host_isa())}.json"
    return shared.Cell(file, [data, variant, str(seed), str(slow)])


if __name__ == "__main__":
    main()
