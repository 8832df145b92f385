"""edgecomp itself on the GPU: `bench` and `compare` under the target torch-gpu, and what ONNX Runtime makes of a gpu-s8 file."""

import datetime
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from environment import providers
from inference_checks import AGREEMENT_PCT, SQNR_DB
from rows import Row, at_least, expected, not_run
from subjects import Sitting, Task, answers, arrays
from torch import nn

from edgecomp import runtimes
from edgecomp.benchmark.scenarios.further import Options
from edgecomp.benchmark.scenarios.side_by_side import Side
from edgecomp.benchmark.standalone import bench_model
from edgecomp.comparison.trial import Outcome, place_of
from edgecomp.comparison.trial import compare as compare_sides
from edgecomp.config.policy import load_policy
from edgecomp.config.target import Target, load_target
from edgecomp.export import parity
from edgecomp.export.onnx.qdq import export_onnx
from edgecomp.gate.paired import log_ratios
from edgecomp.gate.verdict import Verdict, combine
from edgecomp.metrics.comparison import CANDIDATE
from edgecomp.progress import silent
from edgecomp.quantization.capture import duplicate, dynamic_shapes
from edgecomp.runtimes import Inspect
from edgecomp.tasks import TASKS

BENCHED = {
    "latency_p50_ms": "ms",
    "throughput_p50_per_s": "/s",
    "cold_start_p50_ms": "ms",
    "peak_memory_bytes": "bytes",
}
SLOWER = 0.25


def target_of(sitting: Sitting) -> Target:
    """torch-gpu; where this is rehearsed, the same on the CPU."""
    target = load_target("torch-gpu")
    return target if sitting.device == "cuda" else target.model_copy(update={"runtime": "pytorch-cpu"})


def written(task: Task, network: nn.Module, file: Path) -> Path:
    """The network as the .pt2 file that the adapter takes."""
    network = duplicate(network).eval().to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    example = tuple(one.contiguous() for one in task.examples(2, 0)[0])
    program = torch.export.export(
        network, example, dynamic_shapes=dynamic_shapes(network, task.axes), strict=False
    )
    torch.export.save(program, file)
    return file


def bench(sitting: Sitting) -> Iterator[Row]:
    """What `edgecomp bench MODEL.pt2 -t torch-gpu` measures, from fewer restarts: a start compiles."""
    task = sitting.tasks()[0]
    file = written(task, sitting.trained(task).student, sitting.scratch / "benched.pt2")
    asked = Options(restarts=1 if sitting.quick else 2, max_time_s=2.0 if sitting.quick else 6.0)
    folder = sitting.scratch / "bench"
    content = bench_model(file, target_of(sitting), asked, given=None, folder=folder, track=silent)
    for metric, unit in BENCHED.items():
        value = content["metrics"].get(metric, {}).get("value")
        name = f"edgecomp bench, student of {task.name}: {metric}"
        if value is None:
            yield not_run(name, str(content["not_supported"].get(metric, "not in the result")))
        elif unit == "bytes":
            yield Row(
                name,
                value / 2**20,
                "MiB",
                reason="the process's, on the host: a worker does not ask the device",
            )
        else:
            yield Row(name, value, unit)
    yield Row(f"edgecomp bench, student of {task.name}: quality", content["quality"]["grade"])


def compare(sitting: Sitting) -> Iterator[Row]:
    """`edgecomp compare` of a file with itself, and with itself made slower by work that is really done."""
    task = sitting.tasks()[0]
    file = written(task, sitting.trained(task).student, sitting.scratch / "compared.pt2")
    target = target_of(sitting).model_copy(update={"options": {"mode": "eager"}})  # a start compiles nothing
    for name, slowdown, wanted in (("itself", 0.0, "PASS"), (f"itself, {SLOWER:.0%} slower", SLOWER, "FAIL")):
        outcome = _compared(sitting, file, target, slowdown)
        verdict = combine(row.verdict for row in outcome.checks)
        said = " ".join(row.sentence for row in outcome.checks if row.verdict != Verdict.PASS)
        reason = f"{outcome.elapsed_s:.0f} s. {said}"
        yield expected(f"edgecomp compare, with {name}: verdict", str(verdict), wanted, reason)
        of = outcome.comparison
        for metric in ("cpu_p50_ms", "latency_p50_ms") if of is not None and of.restarts else ():
            shifts = 100 * np.expm1(log_ratios(of, metric, len(of.restarts), CANDIDATE))
            each = ", ".join(f"{shift:+.1f}" for shift in shifts)
            yield Row(f"edgecomp compare, with {name}: {metric}, median of restarts", float(np.median(shifts)), "%",
                      reason=f"of each: {each} %")  # fmt: skip


def _compared(sitting: Sitting, file: Path, target: Target, slowdown: float) -> Outcome:
    place = place_of(target)
    with tempfile.TemporaryDirectory(dir=sitting.scratch) as name:
        return compare_sides(
            Side(file, place),
            Side(file, replace(place, slowdown=slowdown)),
            target=target,
            policy=load_policy("no-slower"),
            today=datetime.datetime.now(datetime.UTC).date(),
            evaluation=None,
            max_time_s=5.0 if sitting.quick else 90.0,
            seed=1,
            scratch=Path(name),
            track=silent,
        )


def onnxruntime(sitting: Sitting) -> Iterator[Row]:
    """The gpu-s8 student's ONNX file, executed as it is written by ONNX Runtime on the CPU, against the student: the kernels in integers of a CPU
    without VNNI would cut its sums off, for its weights have the whole range."""
    task = sitting.tasks()[0]
    folded = sitting.trained(task).folded
    probes, _ = task.examples(256, 8)
    file = sitting.scratch / "gpu-s8.onnx"
    export_onnx(duplicate(folded), [one[:2].contiguous() for one in probes], file, dynamic_axes=task.axes)
    references = {"as trained": answers(folded, probes, "cpu").numpy()}
    found, _ = parity.compare(
        file,
        "onnxruntime-cpu",
        options=parity.UNOPTIMISED["onnxruntime-cpu"],
        probes={"as trained": arrays(task, probes)},
        references=references,
        float_layers={},
        task=TASKS["classification"],
        asks_kernels=False,
    )
    kernels = runtimes.adapter("onnxruntime-cpu")
    assert isinstance(kernels, Inspect)
    share = parity.int8_share_pct(kernels.executed_layers(file, options={}))
    name = f"{task.name}, gpu-s8 file in ONNX Runtime on the CPU"
    yield at_least(
        f"{name}: answers as the student's", 100 * found["agreeing"] / found["examples"], AGREEMENT_PCT, "%"
    )
    yield at_least(f"{name}: SQNR", found["sqnr_db"], SQNR_DB, "dB")
    yield Row(f"{name}: layers in int8", share, "%")


def other_runtimes(sitting: Sitting) -> Iterator[Row]:
    """What needs a library that is not here."""
    here = providers()
    for target, provider in (
        ("onnxruntime-cuda", "CUDAExecutionProvider"),
        ("tensorrt", "TensorrtExecutionProvider"),
    ):
        if provider in here:
            yield Row(target, "can be measured", reason=f"`edgecomp bench MODEL.onnx -t {target}`")
        else:
            yield not_run(target, f"this ONNX Runtime has no {provider}")
