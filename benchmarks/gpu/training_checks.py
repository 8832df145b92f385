"""Training and labelling: a step of each network in fp32 and bf16, labels a second, what a step holds and where its time goes."""

import csv
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from clock import median_ms, peak_memory, rate
from rows import Row, at_most, not_run
from subjects import Sitting, Task, Tensors, answers, moved, on, step_of
from torch import nn
from torch.profiler import ProfilerActivity, profile

PRECISIONS = (("fp32", False), ("bf16", True))
GPU_AND_CPU = 1e-3  # relative, of logits in fp32
SHOWN = 6  # kernels


def agrees_with_the_cpu(sitting: Sitting) -> Iterator[Row]:
    """The same network, the same inputs, both in fp32; and what TF32 convolutions, PyTorch's default, make of that."""
    for task in sitting.tasks():
        trained = sitting.trained(task)
        inputs, labels = task.examples(256, 2)
        for what, network in (("teacher", trained.teacher), ("gpu-s8 student", trained.quantised)):
            wanted = answers(network, inputs, "cpu")
            given = answers(moved(network, sitting.device), inputs, sitting.device)
            off = float((given - wanted).norm() / wanted.norm())
            right = float((given.argmax(1) == labels).float().mean() * 100)
            yield at_most(f"{task.name}, {what}: logits off the CPU's", 100 * off, 100 * GPU_AND_CPU if what == "teacher" else 5.0,
                          "%", f"{right:.1f} % of 256 new examples right")  # fmt: skip
    task = sitting.tasks()[0]
    network = sitting.trained(task).teacher
    wanted = answers(network, task.examples(256, 2)[0], "cpu")
    torch.backends.cudnn.allow_tf32 = True
    try:
        given = answers(moved(network, sitting.device), task.examples(256, 2)[0], sitting.device)
    finally:
        torch.backends.cudnn.allow_tf32 = False
    off = float((given - wanted).norm() / wanted.norm())
    yield Row(f"{task.name}, teacher: the same with TF32 convolutions", 100 * off, "%",
              reason="PyTorch's default, and so what the adapter pytorch-gpu runs as fp32")  # fmt: skip


def steps(sitting: Sitting) -> Iterator[Row]:
    """Median of a step, and the most it holds, of a teacher, a student, and the student through fake-quant."""
    for task in sitting.tasks():
        trained = sitting.trained(task)
        networks = {
            "teacher": trained.teacher,
            "student": trained.student,
            "gpu-s8 student": trained.quantised,
        }
        for precision, bf16 in PRECISIONS:
            took = {}
            for what, network in networks.items():
                took[what], mib, finite = timed_step(sitting, task, network, what != "teacher", bf16)
                name = f"{task.name}, {what}'s step of {task.batch}, {precision}"
                yield Row(name, took[what], "ms", "a finite loss", "PASS" if finite else "FAIL")
                yield Row(f"{name}: device memory", mib, "MiB")
            ratio = took["gpu-s8 student"] / took["student"]
            yield Row(f"{task.name}, {precision}: the step with fake-quant over the one without", ratio, "×")


def timed_step(
    sitting: Sitting, task: Task, network: nn.Module, is_student: bool, bf16: bool
) -> tuple[float, float, bool]:
    """Median time in ms, the most that is held in MiB, and whether the losses were numbers."""
    with peak_memory(sitting.device) as peak:
        step, batch = prepared(task, network, is_student, sitting.device, bf16)
        first = step(*batch)
        took = median_ms(lambda: step(*batch), sitting.device, sitting.repeats)
        finite = bool(torch.isfinite(first + step(*batch)))
    return took, peak.mib, finite


def prepared(
    task: Task, network: nn.Module, is_student: bool, device: str, bf16: bool
) -> tuple[Callable[..., torch.Tensor], tuple[Tensors, torch.Tensor, torch.Tensor | None]]:
    """A step of a copy of the network, and a batch for it, on the device."""
    inputs, labels = task.examples(task.batch, 3)
    soft = torch.nn.functional.one_hot(labels).float() * 4 if is_student else None
    batch = on(device, inputs), labels.to(device), None if soft is None else soft.to(device)
    return step_of(moved(network, device).train(), 1e-5, bf16), batch


def labels(sitting: Sitting) -> Iterator[Row]:
    """Soft labels a second: examples to the device, the teacher, its logits back."""
    for task in sitting.tasks():
        teacher = moved(sitting.trained(task).teacher, sitting.device).eval()
        inputs, _ = task.examples(task.batch, 4)
        for precision, bf16 in PRECISIONS:

            def labelled(
                bf16: bool = bf16, inputs: Tensors = inputs, teacher: nn.Module = teacher
            ) -> torch.Tensor:
                with torch.inference_mode(), torch.autocast(sitting.device, torch.bfloat16, enabled=bf16):
                    logits: torch.Tensor = teacher(*on(sitting.device, inputs)).float().cpu()
                return logits

            found = rate(labelled, sitting.device, task.batch, 2 if sitting.quick else 10)
            yield Row(f"{task.name}, soft labels, batches of {task.batch}, {precision}", found, "/s")


def snapshot(sitting: Sitting) -> Iterator[Row]:
    """What one step of the fake-quant student allocates, by PyTorch's own recorder; the file opens in its memory viewer."""
    if sitting.device == "cpu":
        yield not_run("memory snapshot", "PyTorch records CUDA's memory alone")
        return
    task = sitting.tasks()[0]
    file = sitting.to / "memory.pickle"
    step, batch = prepared(task, sitting.trained(task).quantised, True, sitting.device, bf16=False)
    step(*batch)
    torch.cuda.memory._record_memory_history(max_entries=100_000)
    try:
        with peak_memory(sitting.device) as peak:
            step(*batch)
        torch.cuda.memory._dump_snapshot(str(file))
        events = torch.cuda.memory._snapshot()["device_traces"][0]
    finally:
        torch.cuda.memory._record_memory_history(enabled=None)
    allocated = [event["size"] for event in events if event["action"] == "alloc"]
    yield Row("memory snapshot: most that one gpu-s8 step adds", peak.mib, "MiB", reason=f"{task.name}, {file.name} of {file.stat().st_size} bytes")  # fmt: skip
    yield Row("memory snapshot: allocations in the step", len(allocated))
    yield Row("memory snapshot: the largest", max(allocated) / 2**20, "MiB")


def profiled(sitting: Sitting) -> Iterator[Row]:
    """Where a fake-quant step's time goes: PyTorch's profiler, and Nsight Systems where it is."""
    for task in sitting.tasks():
        trained = sitting.trained(task)
        for what, network in (("student", trained.student), ("gpu-s8 student", trained.quantised)):
            step, batch = prepared(task, network, True, sitting.device, bf16=False)
            for _ in range(3):
                step(*batch)
            kinds = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if sitting.device == "cuda" else [])]
            with profile(activities=kinds) as taken:
                step(*batch)
                if sitting.device == "cuda":
                    torch.cuda.synchronize()
            yield from of_profile(f"{task.name}, {what}'s step", taken.key_averages())
    yield from nsight(sitting)


def of_profile(name: str, averages: list) -> Iterator[Row]:
    """Kernels, the times that the host waits for the device, and the costliest kernels."""
    waits = sum(one.count for one in averages if one.key == "cudaStreamSynchronize")
    kernels = [one for one in averages if one.device_type == torch.autograd.DeviceType.CUDA]
    busy = sum(one.self_device_time_total for one in kernels) / 1e3
    yield Row(f"{name}: kernels launched", sum(one.count for one in kernels))
    yield Row(f"{name}: kernels' own time", busy, "ms")
    yield Row(f"{name}: the host waits for the device", waits, "times")
    first = sorted(kernels, key=lambda one: -one.self_device_time_total)[:SHOWN]
    if first:
        said = "; ".join(
            f"{one.key[:60]} {one.self_device_time_total / 1e3:.2f} ms × {one.count}" for one in first
        )
        yield Row(f"{name}: the costliest kernel", first[0].self_device_time_total / 1e3, "ms", reason=said)


def nsight(sitting: Sitting) -> Iterator[Row]:
    """The same step under nsys: the time of its costliest kernel, over five steps."""
    program = shutil.which("nsys")
    if program is None:
        yield not_run("Nsight Systems", "nsys is not on the PATH")
        return
    report = sitting.to / "steps.nsys-rep"
    script = [sys.executable, str(Path(__file__).with_name("five_steps.py"))]
    command = [program, "profile", "--force-overwrite", "true", "-t", "cuda", "-o", str(report), *script]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    stats = [
        program,
        "stats",
        "-r",
        "cuda_gpu_kern_sum",
        "--format",
        "csv",
        "--force-export",
        "true",
        str(report),
    ]
    said = subprocess.run(stats, check=True, capture_output=True, text=True, timeout=120).stdout
    lines = list(csv.DictReader(line for line in said.splitlines() if line.count(",") > 3))
    yield Row("Nsight Systems: the costliest kernel of five steps", float(lines[0]["Total Time (ns)"]) / 1e6, "ms",
              reason=f"{lines[0]['Name'][:80]}, {report.name}")  # fmt: skip
