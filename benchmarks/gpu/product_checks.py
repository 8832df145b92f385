"""edgecomp itself on the GPU: `bench` and `compare` under the target torch-gpu, and what ONNX Runtime makes of a gpu-s8 file."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from environment import providers
from inference_checks import AGREEMENT_PCT, SQNR_DB
from rows import Row, at_least, expected, not_run
from subjects import Sitting, Task, answers, arrays
from torch import nn

from edgecomp.bench.standalone import Asked, bench_model
from edgecomp.compare.selftest import trial
from edgecomp.export import parity
from edgecomp.export.onnx_qdq import export_onnx
from edgecomp.policies import load_policy
from edgecomp.progress import silent
from edgecomp.quantize.capture import duplicate, dynamic_shapes
from edgecomp.targets import Target, load_target

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
    """What `edgecomp bench MODEL.pt2 -t torch-gpu` measures, from a few restarts."""
    task = sitting.tasks()[0]
    trained = sitting.trained(task)
    for what, network in (("student", trained.student), ("teacher", trained.teacher)):
        file = written(task, network, sitting.scratch / f"{what}.pt2")
        asked = Asked(restarts=1 if sitting.quick else 3, max_time_s=2.0 if sitting.quick else 6.0)
        content = bench_model(
            file,
            target_of(sitting),
            asked,
            given=None,
            folder=sitting.scratch / f"bench-{what}",
            track=silent,
        )
        for metric, unit in BENCHED.items():
            value = content["metrics"].get(metric, {}).get("value")
            if value is not None:
                shown = (value / 2**20, "MiB") if unit == "bytes" else (value, unit)
                yield Row(f"edgecomp bench, {what} of {task.name}: {metric}", *shown)
        yield Row(f"edgecomp bench, {what} of {task.name}: quality", content["quality"]["grade"])


def compare(sitting: Sitting) -> Iterator[Row]:
    """`edgecomp compare` of a file with itself, and with itself made slower by work that is really done."""
    task = sitting.tasks()[0]
    file = written(task, sitting.trained(task).student, sitting.scratch / "compared.pt2")
    target = target_of(sitting).model_copy(update={"options": {"mode": "eager"}})  # a start compiles nothing
    for name, slowdown, wanted in (("itself", 0.0, "PASS"), (f"itself, {SLOWER:.0%} slower", SLOWER, "FAIL")):
        found = trial(
            file,
            target,
            load_policy("no-slower"),
            slowdown,
            seed=1,
            max_time_s=5.0 if sitting.quick else 90.0,
        )
        rows = ", ".join(f"{row} {verdict}" for row, verdict in found.rows.items())
        yield expected(
            f"edgecomp compare, with {name}: verdict",
            str(found.verdict),
            wanted,
            f"{rows}; {found.elapsed_s:.0f} s",
        )
        if found.log_ratios:
            shift = 100 * (float(np.exp(np.median(found.log_ratios))) - 1)
            yield Row(f"edgecomp compare, with {name}: CPU time, median of restarts", shift, "%",
                      reason=f"{len(found.log_ratios)} restarts, {shift:+.2f} %")  # fmt: skip


def onnxruntime(sitting: Sitting) -> Iterator[Row]:
    """The gpu-s8 student's ONNX file, executed by ONNX Runtime's CPU kernels, against the student."""
    task = sitting.tasks()[0]
    folded = sitting.trained(task).folded
    probes, _ = task.examples(256, 8)
    file = sitting.scratch / "gpu-s8.onnx"
    export_onnx(duplicate(folded), [one[:2].contiguous() for one in probes], file, dynamic_axes=task.axes)
    references = {"as trained": answers(folded, probes, "cpu").numpy()}
    found, _ = parity.compare(
        file,
        "onnxruntime-cpu",
        options={},
        probes={"as trained": arrays(task, probes)},
        references=references,
        float_layers={},
    )
    name = f"{task.name}, gpu-s8 file in ONNX Runtime on the CPU"
    yield at_least(
        f"{name}: answers as the student's", 100 * found["agreeing"] / found["examples"], AGREEMENT_PCT, "%"
    )
    yield at_least(f"{name}: SQNR", found["sqnr_db"], SQNR_DB, "dB")
    yield Row(f"{name}: layers in int8", found["int8_share_pct"], "%")


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
