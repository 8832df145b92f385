"""The store of soft labels: rows a second and memory, as rows grow tenfold and tenfold again, and rows a second by several processes.

    python benchmarks/labels.py                                   # reports/data/labels.json
    python benchmarks/labels.py --rows 10000 100000 --classes 100
    python benchmarks/labels.py --only workers

Each size is written and read in a process of its own, whose peak memory (VmHWM) is told beside that of one that writes nothing. Logits are made a
shard at a time, which a teacher would be; reading goes through all rows, a thousand at a time. By 1, 2 and 4
processes 163,840 rows are written, each by a stand-in of a teacher that multiplies two matrices on one thread; their digests are compared.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from edgecomp.data import label_store
from edgecomp.data.label_store import STORE, Layout, Shard, ShardedLabels
from edgecomp.files.writing import sha256

AT_ONCE = 1_000
WORKERS, BY_WORKERS = (1, 2, 4), 20 * label_store.ROWS
WIDTH = 768  # of what the stand-in of a teacher reads


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


def stands_in(shard: Shard) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """Logits [rows, 100] of rows that are made up of their shard's number."""
    random = np.random.default_rng(shard.number)
    inputs = random.normal(size=(shard.stop - shard.start, WIDTH)).astype(np.float32)
    weights = np.random.default_rng(0).normal(size=(2, WIDTH, WIDTH)).astype(np.float32)
    hidden = np.maximum(0, inputs @ weights[0])
    return np.asarray((hidden @ weights[1])[:, :100] / WIDTH, np.float32)


def layout_by_workers() -> Layout:
    return Layout(1, BY_WORKERS, 1, (100,), "made up")


def one_worker(folder: Path, worker: int, workers: int) -> None:
    for _ in label_store.write(folder, layout_by_workers(), stands_in, worker=worker, workers=workers):
        pass


def by_workers(workers: int) -> dict[str, float | int | str]:
    with tempfile.TemporaryDirectory() as place:
        folder, began = Path(place), time.perf_counter()
        environment = os.environ | dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
        command = [sys.executable, __file__, "--worker", place]
        running = [
            subprocess.Popen([*command, str(one), str(workers)], env=environment) for one in range(workers)
        ]
        if any(one.wait() for one in running):
            raise SystemExit("a worker failed")
        seconds = time.perf_counter() - began
        label_store.finish(folder, layout_by_workers())
        return {
            "workers": workers,
            "rows": BY_WORKERS,
            "rows_per_s": round(BY_WORKERS / seconds),
            "store": sha256(folder / STORE),
        }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--classes", type=int, default=100)
    parser.add_argument("--to", type=Path, default=Path("reports/data/labels.json"))
    parser.add_argument("--only", choices=("sizes", "workers"))
    parser.add_argument("--worker", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--one", type=int, nargs=3, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one:
        print(json.dumps(written_and_read(*asked.one)))
        return
    if asked.worker:
        one_worker(Path(asked.worker[0]), *map(int, asked.worker[1:]))
        return
    content = json.loads(asked.to.read_text(encoding="utf-8")) if asked.to.exists() else {"format": 1}
    if asked.only != "workers":
        content["stores"] = by_size(asked)
    if asked.only != "sizes":
        content["by_workers"] = [by_workers(workers) for workers in WORKERS]
        print(*content["by_workers"], f"{os.cpu_count()} cores", sep="\n")
        assert len({one["store"] for one in content["by_workers"]}) == 1
        content["cores"] = os.cpu_count()
    asked.to.parent.mkdir(parents=True, exist_ok=True)
    asked.to.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def by_size(asked: argparse.Namespace) -> list[dict[str, float | int]]:
    found = []
    for top in (0, 10):
        for rows in asked.rows:
            command = [sys.executable, __file__, "--one", str(rows), str(asked.classes), str(top)]
            found.append(
                json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
            )
            print(found[-1])
    return found


if __name__ == "__main__":
    main()
