"""The store of soft labels: rows a second and memory, as rows grow tenfold and tenfold again.

    python benchmarks/labels.py                                   # reports/data/labels.json
    python benchmarks/labels.py --rows 10000 100000 --classes 100

Each size is written and read in a process of its own, whose peak memory (VmHWM) is told beside that of one that writes nothing. Logits are made a
shard at a time, which a teacher would be; reading goes through all rows, a thousand at a time.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from edgecomp.data import label_store
from edgecomp.data.label_store import Layout, ShardedLabels

AT_ONCE = 1_000


def peak_bytes() -> int:
    line = next(
        line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")
    )
    return int(line.split()[1]) * 1024


def written_and_read(rows: int, classes: int, top: int) -> dict[str, float | int]:
    layout = Layout(1, rows, 1, (classes,), "made up", top=top)
    made = np.random.default_rng(0).normal(size=(label_store.ROWS, classes)).astype(np.float32)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        began = time.perf_counter()
        for _ in label_store.write(folder, layout, lambda shard: made[: shard.stop - shard.start]):
            pass
        writing = time.perf_counter() - began
        label_store.finish(folder, layout)
        store, began = ShardedLabels(folder), time.perf_counter()
        total = 0.0
        for start in range(0, rows, AT_ONCE):
            total += float(store.rows(0, start, min(rows, start + AT_ONCE))[:, 0].sum())
        reading = time.perf_counter() - began
        size = sum(file.stat().st_size for file in folder.iterdir())
    return {
        "rows": rows,
        "classes": classes,
        "top": top,
        "bytes": size,
        "written_rows_per_s": round(rows / writing),
        "read_rows_per_s": round(rows / reading),
        "peak_memory_bytes": peak_bytes(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--classes", type=int, default=100)
    parser.add_argument("--to", type=Path, default=Path("reports/data/labels.json"))
    parser.add_argument("--one", type=int, nargs=3, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one:
        print(json.dumps(written_and_read(*asked.one)))
        return
    found = []
    for top in (0, 10):
        for rows in asked.rows:
            command = [sys.executable, __file__, "--one", str(rows), str(asked.classes), str(top)]
            found.append(
                json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
            )
            print(found[-1])
    asked.to.parent.mkdir(parents=True, exist_ok=True)
    asked.to.write_text(json.dumps({"format": 1, "stores": found}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
