"""What each method of distillation is worth beside plain KD, at the same number of steps: a table, filled cell by cell.

    python benchmarks/methods teacher                  # who teaches on CIFAR-10; its weights are kept in reports/methods
    python benchmarks/methods screen                   # each method once, at a short budget: validation
    python benchmarks/methods seeds --methods kd dist  # some of them with three seeds on three data sets: validation
    python benchmarks/methods test --methods kd dist   # plain KD and the one that was chosen, once: test
    python benchmarks/methods show                     # only writes the table and the picture of what is there

A cell is a stage, a data set, a method and a seed: a file in reports/methods/cells, which is not run again. Everything is chosen on validation. A
method differs from plain KD by what methods.py says of it, and is trained for as many steps; what a step takes is told. "not run" is no result.
"""

import argparse
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))
import filling as shared
from cell import RECIPES, Cell
from methods import BUDGETS, METHODS
from table import write

SEEDS = {"screen": [0], "seeds": [0, 1, 2], "test": [0, 1, 2]}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("stage", choices=["teacher", *SEEDS, "show"])
    parser.add_argument("--data", nargs="+", choices=RECIPES)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--seeds", nargs="+", type=int)
    parser.add_argument("--runs", type=Path, default=Path("runs/methods"), help="where the runs lie")
    parser.add_argument("--to", type=Path, default=Path("reports/methods"))
    shared.options(parser)
    asked = parser.parse_intermixed_args()
    if asked.stage == "teacher":
        from teach import teach

        teach(asked.runs)
    made = [
        shared.Cell(asked.to / "cells" / f"{cell.name}.json", list(map(str, cell)))
        for cell in (() if asked.stage in ("teacher", "show") else cells(asked))
    ]
    script = Path(__file__).with_name("cell.py")
    shared.fill(script, made, asked.runs, lambda: write(asked.to), asked.ray)
    write(asked.to)


def cells(asked: argparse.Namespace) -> list[Cell]:
    """Those that are asked for, seed by seed, so that what is compared is there early."""
    budgets = BUDGETS["seeds" if asked.stage == "test" else asked.stage]
    return [
        Cell(asked.stage, data, method, seed)
        for data in asked.data or budgets
        for seed in asked.seeds or SEEDS[asked.stage]
        for method in asked.methods
        if data in METHODS[method].data and data in budgets
    ]


if __name__ == "__main__":
    main()
