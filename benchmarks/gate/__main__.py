"""Whether the gate keeps its word: by simulation, and for real on this machine.

python benchmarks/gate simulate              # ten thousand gates a cell, some minutes
python benchmarks/gate trials --minutes 60   # real gates, appended to those of earlier sittings
python benchmarks/gate show                  # reports/gate/gate.md and its picture, of what is there
"""

import argparse
import time
from pathlib import Path

import pinning
import simulate
import trials
from shown import write

from edgecomp.config.policy import load_policy


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("simulate", "trials", "pinning", "show"))
    parser.add_argument("--minutes", type=float, default=60.0, help="of trials")
    parser.add_argument(
        "--cells",
        default="",
        help="only trials of cells with this in their name: `1 idle`, `2`, `neighbour nothing`",
    )
    parser.add_argument("--gates", type=int, default=10_000, help="simulated in each cell")
    parser.add_argument("--to", type=Path, default=Path("reports/gate"))
    asked = parser.parse_args()
    recorded = asked.to / "trials.jsonl"
    if asked.what == "simulate":
        simulate.run(
            load_policy("no-slower"), asked.gates, 0, trials.read(recorded), asked.to / "simulation.json"
        )
    elif asked.what == "trials":
        trials.run(recorded, time.monotonic() + 60 * asked.minutes, time.monotonic, asked.cells)
    elif asked.what == "pinning":
        pinning.run(asked.to / "pinning.json")
    write(asked.to)


if __name__ == "__main__":
    main()
