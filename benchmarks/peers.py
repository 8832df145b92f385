"""Our loop beside OpenVINO's benchmark_app and MLPerf's LoadGen, by turns, on the same files with the same shapes.

    pip install mlcommons-loadgen                 # 6.0; without it, its rows are "not run"
    python benchmarks/peers.py runs/cifar10 runs/sst2

Of each run folder: its deployed student under both runtimes, and its teacher (of sst2 that is MiniLM-L6). A figure is the median
over rounds of a round's median latency, in wall time and one thread; a ratio is the median of the rounds' ratios.
"""

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from edgecomp import inputs
from edgecomp.benchmark.hosts.process import Place, Worker
from edgecomp.benchmark.inputs import generated
from edgecomp.benchmark.inputs.signatures import signature_of
from edgecomp.config.target import Shapes
from edgecomp.runtimes import Port

SHAPES = Shapes(sequence_length=64, image_size=32)
SECONDS = 4.0

LOADGEN = """
import sys, numpy as np, onnxruntime as ort, mlperf_loadgen as lg
model, inputs, seconds, logs = sys.argv[1], sys.argv[2], float(sys.argv[3]), sys.argv[4]
options = ort.SessionOptions()
options.intra_op_num_threads = options.inter_op_num_threads = 1
session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
with np.load(inputs) as content:
    arrays = {name: content[name] for name in content.files}
feeds = [{name: values[i:i + 1] for name, values in arrays.items()} for i in range(16)]
def issue(queries):
    for query in queries:
        session.run(None, feeds[query.index])
        lg.QuerySamplesComplete([lg.QuerySampleResponse(query.id, 0, 0)])
for feed in feeds + feeds:
    session.run(None, feed)
settings = lg.TestSettings()
settings.scenario, settings.mode = lg.TestScenario.SingleStream, lg.TestMode.PerformanceOnly
settings.min_duration_ms, settings.min_query_count = int(1000 * seconds), 100
output = lg.LogOutputSettings()
output.outdir, output.copy_summary_to_stdout = logs, False
log = lg.LogSettings()
log.log_output, log.enable_trace = output, False
sut = lg.ConstructSUT(issue, lambda: None)
qsl = lg.ConstructQSL(16, 16, lambda _: None, lambda _: None)
lg.StartTestWithLogSettings(sut, qsl, settings, log)
lg.DestroyQSL(qsl)
lg.DestroySUT(sut)
"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--rounds", type=int, default=7)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for run in (run.resolve() for run in asked.runs):
            for name, onnx, ir in (
                ("student", run / "deploy/onnxruntime-cpu/model.onnx", run / "deploy/openvino-cpu/model.xml"),
                ("teacher", run / "export/onnx/teacher.onnx", run / "export/openvino/teacher/model.xml"),
            ):
                compare(f"{run.name}, {name}", onnx, ir, asked.rounds, Path(folder))
        print(
            f"\na call of ours over a bare loop, of a model that does nothing: {harness(Path(folder)):.0f} ns"
        )


def compare(title: str, onnx: Path, ir: Path, rounds: int, folder: Path) -> None:
    found: dict[str, list[float | None]] = defaultdict(list)
    for round_ in range(rounds):
        turns = [
            ("ONNX Runtime, ours", lambda: ours("onnxruntime-cpu", onnx, folder)),
            ("ONNX Runtime, LoadGen", lambda: loadgen(onnx, folder)),
            ("OpenVINO, ours", lambda: ours("openvino-cpu", ir, folder)),
            ("OpenVINO, benchmark_app", lambda: benchmark_app(ir, folder)),
            ("OpenVINO, benchmark_app without inputs", lambda: benchmark_app(ir, folder, fills=False)),
            ("OpenVINO, benchmark_app, static shapes", lambda: benchmark_app(ir, folder, static=True)),
        ]
        for name, measure in turns if round_ % 2 == 0 else turns[::-1]:
            found[name].append(measure())
    print(f"\n{title}")
    for name in dict.fromkeys(name for name, _ in turns):
        own = found[f"{name.split(',')[0]}, ours"]
        times = [one for one in found[name] if one is not None]
        if not times:
            print(f"  {name:<40} not run")
            continue
        ratios = [a / b for a, b in zip(found[name], own, strict=True) if a and b]
        print(f"  {name:<40} {statistics.median(times):8.4f} ms   {statistics.median(ratios):.3f} × ours  "
              f"[{min(ratios):.3f}, {max(ratios):.3f}]")  # fmt: skip


def examples(runtime: str, model: Path) -> tuple[dict[str, Any], list[Port]]:
    ports = signature_of(Place(runtime, {}, threads=1), model).inputs
    return generated.generate(ports, SHAPES, rows=1, queries=16, seed=0).inputs, list(ports)


def ours(runtime: str, model: Path, folder: Path) -> float:
    """Median latency in ms, from a fresh worker."""
    kept = folder / "inputs"
    given, _ = examples(runtime, model)
    inputs.save(given, kept)
    options = {"inference_precision": "f32"} if runtime == "openvino-cpu" else {}
    with Worker(Place(runtime, options, threads=1), model=model, inputs=kept) as worker:
        worker.ask("single_stream", count=32)
        once = statistics.median(worker.ask("single_stream", count=32)["wall_ns"])
        walls = worker.ask("single_stream", count=max(100, round(SECONDS * 1e9 / once)))["wall_ns"]
    inputs.delete(kept)
    return statistics.median(walls) / 1e6


def benchmark_app(model: Path, folder: Path, *, fills: bool = True, static: bool = False) -> float | None:
    """fills: whether an inference is given its inputs, as ours is; its own default leaves that out of the time. static: the
    model is reshaped to its input's shape first, which is another model than the one that is deployed."""
    program = shutil.which("benchmark_app") or shutil.which(
        "benchmark_app", path=os.path.dirname(sys.executable)
    )
    if program is None:
        return None
    given, _ = examples("openvino-cpu", model)
    shapes = ",".join(
        f"{name}[{','.join(map(str, (1, *values.shape[1:])))}]" for name, values in given.items()
    )
    command = [program, "-m", str(model), "-d", "CPU", "-api", "sync", "-hint", "none", "-nthreads", "1", "-nstreams", "1",
               "-infer_precision", "f32", "-t", str(round(SECONDS)), "-inference_only", str(not fills), "-data_shape", shapes, *(("-shape", shapes) if static else ())]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
    medians = re.findall(r"Median:\s+([0-9.]+) (ms|us)", done.stdout)
    if not medians:
        sys.exit(f"benchmark_app: {done.stdout[-600:]}{done.stderr[-600:]}")
    value, unit = medians[0]
    return float(value) / (1000 if unit == "us" else 1)


def loadgen(model: Path, folder: Path) -> float | None:
    """LoadGen's own 50th percentile, from a process of its own."""
    if find_spec("mlperf_loadgen") is None:
        return None
    given, _ = examples("onnxruntime-cpu", model)
    np.savez(folder / "given.npz", **given)
    done = subprocess.run(
        [sys.executable, "-c", LOADGEN, str(model), str(folder / "given.npz"), str(SECONDS), str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    summary = folder / "mlperf_log_summary.txt"
    if done.returncode or not summary.is_file():
        sys.exit(f"LoadGen: {done.stderr[-600:]}")
    (p50,) = re.findall(
        r"50\.00 percentile latency \(ns\)\s+:\s+([0-9]+)", summary.read_text(encoding="utf-8")
    )
    summary.unlink()
    return int(p50) / 1e6


def harness(folder: Path) -> float:
    (folder / "nothing.json").write_text(json.dumps({"latency_ns": 0}), encoding="utf-8")
    inputs.save({"x": np.ones((1, 4), np.float32)}, folder / "one")
    with Worker(Place("fake", {}, threads=1), model=folder / "nothing.json", inputs=folder / "one") as worker:
        return statistics.median(worker.ask("harness")["harness_ns"] for _ in range(9))


if __name__ == "__main__":
    main()
