"""The student that a search finds beside the recipe's own, at equal measured cost: filled cell by cell.

    python benchmarks/search default                  # the recipe's own student, three seeds; its latency and memory are the budget of 1
    python benchmarks/search find --budgets 0.5 1 2   # a search at so many times them, resumable
    python benchmarks/search found --budgets 0.5 1 2  # the students that were found, three seeds, trained as the recipe's own was
    python benchmarks/search points                   # every point of the space measured and trained for a little: the table for replays
    python benchmarks/search replay                   # TPE and random search on that table, 200 times each
    python benchmarks/search cost                     # students of the space measured, of which some foretell what 30 others take
    python benchmarks/search show                     # only writes the page of what is there

A cell is a file in reports/search/cells, which is not made again. Students are chosen on validation; the test split is read by the runs of `default`
and `found`, once each. "not run" is no result. Time and memory are of the machine and the hour: run `default`, `find` and `found` alone on it.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import costs
from replays import replayed
from show import page

import edgecomp
from edgecomp.files.writing import write_json
from edgecomp.metrics.registry import LATENCY_P50, PEAK
from edgecomp.progress import Silent

SEEDS, BUDGETS = (0, 1, 2), (0.5, 1.0, 2.0)
FIGURES = ("macro_f1_pct", LATENCY_P50, "cpu_p50_ms", PEAK, "file_size_bytes")
REPLAYS = 200
WIDE = (
    f"thresholds.{LATENCY_P50}.max='1000 s'",
    f"thresholds.{PEAK}.max='1 GiB'",
    "thresholds.parameter_bytes=null",
)
"""A budget that every point keeps."""


class Told(Silent):
    """Says what begins."""

    def started(self, what: str, reason: str) -> None:
        print(f"  {what} ({reason})", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("stage", choices=["default", "find", "found", "points", "replay", "cost", "show"])
    parser.add_argument("--recipe", default="cifar10")
    parser.add_argument(
        "--set", nargs="+", default=[], metavar="KEY=VALUE", help="of the recipe, in every stage"
    )
    parser.add_argument("--budgets", nargs="+", type=float, default=list(BUDGETS))
    parser.add_argument("--seeds", nargs="+", type=int, default=list(SEEDS))
    parser.add_argument("--trials", type=int, help="candidates of a search, at most")
    parser.add_argument("--time", type=float, metavar="MINUTES", help="of one sitting of a search")
    parser.add_argument("--learnt", type=int, default=24, help="students that the cost model is made of")
    parser.add_argument("--unseen", type=int, default=30, help="students that it foretells")
    parser.add_argument("--called", help="of a cell of `cost`, the recipe's name where it is not given")
    parser.add_argument("--replays", type=int, default=REPLAYS)
    parser.add_argument("--runs", type=Path, default=Path("runs/search-benchmark"), help="where the runs lie")
    parser.add_argument("--to", type=Path, default=Path("reports/search"))
    asked = parser.parse_intermixed_args()
    if asked.stage == "default":
        for seed in asked.seeds:
            finalist(asked, "default", asked.recipe, seed)
    for times in asked.budgets if asked.stage in ("find", "found") else ():
        if asked.stage == "find":
            find(asked, times)
            continue
        for seed in asked.seeds:
            finalist(asked, f"found at {times:g}", str(chosen(asked, times)), seed)
    if asked.stage == "points":
        every_point(asked)
    if asked.stage == "replay":
        cell = asked.to / "cells" / "replays.json"
        write_json(cell, replayed(asked.runs / "points", asked.runs / "replays", asked.replays))
    if asked.stage == "cost":
        called = asked.called or asked.recipe
        found = costs.measured(
            asked.recipe, [*asked.set, *WIDE], asked.runs / f"cost-{called}", asked.learnt + asked.unseen, asked.seeds[0], Told()
        )  # fmt: skip
        write_json(
            cell_of(asked, f"cost of {called}"), {"settings": asked.set} | costs.judged(found, asked.learnt)
        )
    write_page(asked)


def cell_of(asked: argparse.Namespace, name: str) -> Path:
    (asked.to / "cells").mkdir(parents=True, exist_ok=True)
    return Path(asked.to) / "cells" / f"{name}.json"


def finalist(asked: argparse.Namespace, kind: str, recipe: str, seed: int) -> None:
    """A student trained as long as the recipe says and measured in every target's runtime, where that is not there yet."""
    file = cell_of(asked, f"{kind}, seed {seed}")
    if file.is_file():
        print(f"{file.stem}: there already")
        return
    print(file.stem, flush=True)
    own = asked.set if recipe == asked.recipe else []  # a recipe that was found has them already
    settings = [*own, f"student.seed={seed}"]
    result = edgecomp.run(recipe, settings, out=asked.runs / "run", history=None, listener=Told())
    figures = {
        target: {name: one[name].estimate for name in FIGURES if name in one}
        for target, one in ((target, result.figures[target]) for target in result.deployed)
    }
    student = result.job.recipe.student
    write_json(file, {"student": student.model_dump(), "verdict": result.verdict, "figures": figures})


def budget(asked: argparse.Namespace, times: float) -> list[str]:
    """Thresholds at so many times what the recipe's own student takes, the largest over targets."""
    file = cell_of(asked, f"default, seed {asked.seeds[0]}")
    if not file.is_file():
        raise SystemExit(f"{file} is not there: python benchmarks/search default")
    found = json.loads(file.read_text(encoding="utf-8"))["figures"].values()
    latency, memory = (max(one[name] for one in found) for name in (LATENCY_P50, PEAK))
    # Beside the runtime's own memory a student's is small: a budget of half of it nobody could keep.
    return [
        f"thresholds.{LATENCY_P50}.max='{times * latency:.6g} ms'",
        f"thresholds.{PEAK}.max='{max(times, 1.0) * memory / 2**20:.6g} MiB'",
    ]


def find(asked: argparse.Namespace, times: float) -> None:
    """A search at so many times the default's cost, which goes on where it ended."""
    print(f"find at {times:g}", flush=True)
    out = asked.runs / f"at-{times:g}"
    result = edgecomp.search(
        asked.recipe, [*asked.set, *budget(asked, times)], trials=asked.trials, minutes=asked.time, out=out, listener=Told()
    )  # fmt: skip
    chosen = result.chosen
    told: dict[str, Any] = {
        "chosen": chosen and chosen.point,
        "validation": chosen and chosen.score,
        "recipe": result.recipe and str(result.recipe),
        "stopped": result.stopped,
        "spent": dict(result.spent),
        "became": {word: sum(one.became == word for one in result.candidates) for word in ("trained", "over budget", "failed")},
    }  # fmt: skip
    write_json(cell_of(asked, f"find at {times:g}"), told)


def chosen(asked: argparse.Namespace, times: float) -> Path:
    file = cell_of(asked, f"find at {times:g}")
    if not file.is_file():
        raise SystemExit(f"{file} is not there: python benchmarks/search find --budgets {times:g}")
    return Path(json.loads(file.read_text(encoding="utf-8"))["recipe"])


def every_point(asked: argparse.Namespace) -> None:
    """Each point of the space, within a budget that all can keep."""
    edgecomp.search(
        asked.recipe,
        [*asked.set, "search.patience=100000", *WIDE],
        trials=100_000,
        minutes=asked.time,
        out=asked.runs / "points",
        listener=Told(),
    )  # fmt: skip


def write_page(asked: argparse.Namespace) -> None:
    cells = {
        file.stem: json.loads(file.read_text(encoding="utf-8"))
        for file in sorted((asked.to / "cells").glob("*.json"))
    }
    asked.to.mkdir(parents=True, exist_ok=True)
    (asked.to / "search.md").write_text(page(asked.recipe, cells), encoding="utf-8")
    print(asked.to / "search.md")


if __name__ == "__main__":
    main()
