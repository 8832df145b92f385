"""Log lines by the hundred thousand: students that read bytes, their Transformer teacher, and what is commonly used instead.

    python benchmarks/streams                            # every cell that is not in reports/streams yet
    python benchmarks/streams --splits order --seeds 0   # some
    python benchmarks/streams --labels template alarm --splits line order   # which event template, and which are alarms
    python benchmarks/streams --show                     # only writes the table of what is there

26,000 lines of 13 systems (Loghub, Zhu et al. 2023, $EDGECOMP_DATA/logs/lines.parquet): of which system a line is, of which event template, and
whether it is an alarm (BlueGene/L alone). A cell is what is asked, a split, a student
and a seed: trained by benchmarks/recipes/log-stream.yaml (a cascade: its student and a teacher that reads bytes, which is asked the rest), judged on the test lines, and measured by `bench -s stream` on all lines in random order.
"""

import argparse
import os
import shutil
from collections.abc import Iterator
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import baselines
import pyarrow as pa
import pyarrow.parquet as pq
import splits
from table import table

import edgecomp
from edgecomp.files.json_files import read_json, read_mapping
from edgecomp.files.writing import write_json
from edgecomp.machine import cpu_model, host_isa
from edgecomp.progress import Silent

RECIPE = Path(__file__).parents[1] / "recipes" / "log-stream.yaml"
TARGETS = ("edge-2core-1g", "openvino-cpu")
CASCADE = "cascade"
STUDENTS = {
    "ngram": ["student={network: ngram}"],
    "words too": ["student={network: ngram, arguments: {words: [1, 2]}}"],
    "conv-text": ["student={network: conv-text}"],
    CASCADE: [  # its teacher reads bytes too: one file asks both the same
        "teacher={network: byte-transformer}",
        "student={network: ngram}",
        "data.tokenizer=null",
        "data.max_length=null",
        "+quantize.cascade={most_lost: 1 %}",
        "thresholds.parameter_bytes=null",
    ],
}
ASKED = {
    "system": [],
    "template": ["+thresholds.tail_macro_f1_pct={against: teacher, margin: 10 pt}"],
    "alarm": ["+thresholds.alarm_recall_pct={min: 0 %}"],  # told, and not gated: there are few
}
ALSO = ("tail_macro_f1_pct", "alarm_recall_pct")
RESTARTS = 6


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--labels", nargs="+", choices=splits.LABELS, default=["system"])
    parser.add_argument("--splits", nargs="+", choices=splits.SPLITS, default=list(splits.SPLITS))
    parser.add_argument("--students", nargs="+", choices=STUDENTS, default=list(STUDENTS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--runs", type=Path, default=Path("runs/benchmark-streams"))
    parser.add_argument("--to", type=Path, default=Path("reports/streams"))
    parser.add_argument("--show", action="store_true", help="run nothing")
    asked = parser.parse_args()
    cells = asked.to / "cells"
    cells.mkdir(parents=True, exist_ok=True)
    for name, make in () if asked.show else wanted(asked):
        file = cells / f"{name}, {host_isa()}.json"
        if not file.is_file():
            print(name, flush=True)
            write_json(file, {"cell": name, "isa": host_isa(), "cpu": cpu_model(), **make()})
    (asked.to / "streams.md").write_text(
        table([read_json(one) for one in sorted(cells.glob("*.json"))]), encoding="utf-8"
    )


def wanted(asked: argparse.Namespace) -> Iterator[tuple[str, Any]]:
    """By name, what makes a cell."""
    lines = Path(os.environ.get("EDGECOMP_DATA", "../shared/data")) / "logs" / "lines.parquet"
    for label, split, seed in product(asked.labels, asked.splits, asked.seeds):
        if label == split == "template":
            print("template, template: no student can name a template that it has not seen")
            continue
        of = split if label == "system" else f"{label}, {split}"
        folder = asked.runs / f"{of.replace(', ', '-')}-{seed}"
        parts = splits.SPLITS[split](splits.LABELS[label](pq.read_table(lines)), seed)
        for student in asked.students:
            yield (
                f"{of}, {student}, seed {seed}",
                partial(trained, student, folder, parts, seed, ASKED[label]),
            )
        for name in baselines.BASELINES:
            yield f"{of}, {name}, seed {seed}", partial(baselines.measured, name, parts)


def trained(
    student: str, folder: Path, parts: dict[str, pa.Table], seed: int, others: list[str]
) -> dict[str, Any]:
    """What became of a student. A run's folder is the split's and the seed's: its teacher is trained once for all students that it teaches."""
    data = (folder / "data").resolve()
    data.mkdir(parents=True, exist_ok=True)
    for name, part in parts.items():
        pq.write_table(part, data / f"{name}.parquet")
    files = ", ".join(f"{name}: {name}.parquet" for name in parts)
    overrides = [
        f"data.path={data}",
        f"data.files={{{files}}}",
        "data.label=label",
        f"seed={seed}",
        *STUDENTS[student],
        *others,
    ]
    run = folder / ("run-of-bytes" if student == CASCADE else "run")
    result = edgecomp.run(RECIPE, overrides, out=run, history=None, listener=Silent())
    verdict = read_mapping(run / "gate" / "verdict.json", "gates", "figures")
    released = CASCADE if student == CASCADE else "student_int8"
    lines = data / "lines.txt"
    lines.write_text("\n".join(splits.in_random_order(parts, seed)), encoding="utf-8")
    counts = {name: len(part) for name, part in parts.items()}
    told: dict[str, Any] = {"verdict": str(result.verdict), "lines": counts, "targets": {}}
    for target in TARGETS:
        out = folder / f"{student}-{target}"
        shutil.rmtree(out, ignore_errors=True)  # of a cell that was ended before it was written
        benched = edgecomp.bench(
            run / "deploy" / target, [target], scenarios=["stream"], inputs=lines, restarts=RESTARTS, max_time_s=5,
            out=out, history=None,
        )  # fmt: skip
        if benched.errors:
            raise SystemExit(f"{folder.name}, {student}: {'; '.join(map(str, benched.errors.values()))}")
        [one] = benched.results
        figures = verdict["figures"][target]
        gates = {row["name"]: row for row in verdict["gates"] if row["target"] == target}
        told["targets"][target] = {
            "accuracy": {arm: figures[arm]["accuracy_pct"] for arm in {"teacher", "student_int8", released}},
            "macro_f1_gap": gates["macro_f1_pct"]["estimate"],
            **{name: gates[name]["estimate"] for name in ALSO if name in gates},
            "stream": one.content["scenarios"]["stream"],
            "stream_per_s": one.content["metrics"]["stream_per_s"],
            "peak_memory_bytes": figures[released]["peak_memory_bytes"],
            "quality": one.content["quality"],
        }
        if student == CASCADE:
            told["targets"][target]["cascade"] = read_mapping(
                run / CASCADE / target / "cascade.json", "curve"
            )
    return told


if __name__ == "__main__":
    main()
