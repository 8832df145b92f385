"""What cleaning, augmentation and a black-box teacher are worth: accuracy of a student with and without each, cell by cell.

    EDGECOMP_DATA=FOLDER python benchmarks/worth                        # every cell that is not in reports/data/cells yet
    EDGECOMP_DATA=FOLDER python benchmarks/worth --data low --seeds 0   # some
    python benchmarks/worth --show                                      # only writes the table of what is there

A cell is data, a way to treat them, and a seed: a file in reports/data/cells, which is not run again. Settings are small, so that two cores beside
other work finish: a Transformer of two layers of 128 teaches one of one layer of 64, both from random weights, in fp32, on 32 tokens; the student is
judged on the test split, which no way touches. Nothing was tuned. `noisy` has 10 % of its training labels flipped and its validation labels as they
are; `low` has 500 training sentences and 250 validation sentences, and five times the epochs. What a way changes is in `WAYS`, and nothing else differs.
"""

import argparse
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))
import filling as shared
from cell import DATA, WAYS, Cell
from table import write


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", nargs="+", choices=DATA, default=list(DATA))
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--runs", type=Path, default=Path("runs/worth"), help="where the runs lie")
    parser.add_argument("--to", type=Path, default=Path("reports/data"))
    parser.add_argument("--show", action="store_true", help="run nothing")
    shared.options(parser)
    asked = parser.parse_args()
    made = [
        shared.Cell(asked.to / "cells" / f"{cell.name}.json", list(map(str, cell)))
        for cell in (() if asked.show else cells(asked))
    ]
    script = Path(__file__).with_name("cell.py")
    shared.fill(script, made, asked.runs, lambda: write(asked.to), asked.ray)
    write(asked.to)


def cells(asked: argparse.Namespace) -> list[Cell]:
    """Those that are asked for, seed by seed, so that what is compared is there early."""
    return [
        Cell(data, way, seed)
        for seed in asked.seeds
        for data in asked.data
        for way in asked.ways
        if data in WAYS[way].data
    ]


if __name__ == "__main__":
    main()
