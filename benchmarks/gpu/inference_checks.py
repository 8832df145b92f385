"""Inference: three precisions compiled, throughput of student against teacher, and the linear layers in int8."""

import math
from collections.abc import Iterator

import torch
from clock import median_ms, peak_memory, rate
from rows import Row, at_least, not_run
from subjects import Sitting, Task, Tensors, answers, moved, on
from torch import nn

from edgecomp.export.integer_linear import Int8Linear, in_int8, in_type

TYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
BATCHES = (1, 256)
AGREEMENT_PCT, SQNR_DB, SHARE_PCT = 98.5, 20.0, 100.0  # of the policy `industrial`
FASTER = 3.0
PROBES = 2048


class Compiled:
    """A copy on the device, in a type, compiled as the adapter pytorch-gpu compiles it: for one shape after another."""

    def __init__(self, network: nn.Module, dtype: torch.dtype, device: str, mode: str = "default") -> None:
        self.network = in_type(moved(network, device, dtype), dtype).eval()
        torch._dynamo.reset()  # or a network of a class takes the recompilations of the last one of it
        self._call = torch.compile(self.network, dynamic=False, mode=mode)

    def __call__(self, inputs: Tensors) -> torch.Tensor:
        with torch.inference_mode():
            logits: torch.Tensor = self._call(*inputs)
        return logits


def inputs_of(task: Task, count: int, dtype: torch.dtype, device: str) -> Tensors:
    return on(device, task.examples(count, 5)[0], dtype)


def precisions(sitting: Sitting) -> Iterator[Row]:
    """Latency and memory of student and teacher in fp32, fp16 and bf16, and whether they answer as in fp32."""
    for task in sitting.tasks():
        trained = sitting.trained(task)
        for what, network in (("student", trained.student), ("teacher", trained.teacher)):
            wanted = answers(moved(network, sitting.device), task.examples(PROBES, 6)[0], sitting.device)
            for precision, dtype in list(TYPES.items())[: 1 if sitting.quick else 3]:
                yield from _precision(
                    sitting, task, f"{task.name}, {what}, {precision} compiled", network, dtype, wanted
                )


def _precision(
    sitting: Sitting, task: Task, name: str, network: nn.Module, dtype: torch.dtype, wanted: torch.Tensor
) -> Iterator[Row]:
    for batch in BATCHES[: 1 if sitting.quick else 2]:
        took, mib = latency(sitting, task, network, dtype, batch)
        yield Row(f"{name}: latency, batch {batch}", took, "ms")
        yield Row(f"{name}: device memory, batch {batch}", mib, "MiB")
    given = answers(moved(network, sitting.device, dtype), task.examples(PROBES, 6)[0], sitting.device)
    same = float((given.argmax(1) == wanted.argmax(1)).float().mean() * 100)
    yield at_least(f"{name}: answers as in fp32", same, AGREEMENT_PCT, "%")


def latency(
    sitting: Sitting, task: Task, network: nn.Module, dtype: torch.dtype, batch: int, mode: str = "default"
) -> tuple[float, float]:
    """Median of a compiled call in ms, and the most it holds on the device, weights too, in MiB."""
    with peak_memory(sitting.device) as peak:
        compiled = Compiled(network, dtype, sitting.device, mode)
        inputs = inputs_of(task, batch, dtype, sitting.device)
        took = median_ms(lambda: compiled(inputs), sitting.device, 2 * sitting.repeats, warmup=20)
    return took, peak.mib


def cuda_graphs(sitting: Sitting) -> Iterator[Row]:
    """What launches cost at batch 1: the students with torch.compile's mode that records them once."""
    for task in sitting.tasks():
        took, _ = latency(
            sitting, task, sitting.trained(task).student, torch.float16, 1, mode="reduce-overhead"
        )
        yield Row(f"{task.name}, student, fp16 compiled with CUDA graphs: latency, batch 1", took, "ms",
                  reason="mode reduce-overhead, which the adapter pytorch-gpu does not offer")  # fmt: skip


def throughput(sitting: Sitting) -> Iterator[Row]:
    """Of student and teacher in fp16, compiled, batches queued behind each other; each at the batch that suits it best."""
    for task in sitting.tasks():
        trained = sitting.trained(task)
        is_text = task.name.startswith("Transformer")
        found: dict[str, dict[int, float]] = {"student": {}, "teacher": {}}
        for batch in (task.batch,) if is_text or sitting.quick else (task.batch, 8 * task.batch):
            for what, network in (("student", trained.student), ("teacher", trained.teacher)):
                found[what][batch] = _examples_a_second(sitting, task, network, batch)
                yield Row(f"{task.name}, {what}: fp16 throughput, batch {batch}", found[what][batch], "/s")
            ratio = found["student"][batch] / found["teacher"][batch]
            yield Row(f"{task.name}: fp16 throughput, student over teacher, batch {batch}", ratio, "×")
        ratio = max(found["student"].values()) / max(found["teacher"].values())
        name = f"{task.name}: fp16 throughput, student over teacher, each at its best batch"
        if is_text:
            yield Row(
                name,
                ratio,
                "×",
                reason="no limit: half of the teacher's layers cannot be three times as fast",
            )
        else:
            yield at_least(name, ratio, FASTER, "×")


def _examples_a_second(sitting: Sitting, task: Task, network: nn.Module, batch: int) -> float:
    compiled = Compiled(network, torch.float16, sitting.device)
    inputs = inputs_of(task, batch, torch.float16, sitting.device)
    return rate(lambda: compiled(inputs), sitting.device, batch, 2 if sitting.quick else 20)


def int8(sitting: Sitting) -> Iterator[Row]:
    """Parity with the fake-quant student and share of layers in int8; on a CPU too, which has that product as well."""
    for task in sitting.tasks():
        trained = sitting.trained(task)
        module, done, left = in_int8(trained.folded)
        for device in dict.fromkeys(("cpu", sitting.device)):
            probes, labels = task.examples(PROBES // (1 if device == "cuda" else 16), 7)
            where = {"cpu": "CPU", "cuda": "GPU"}[device]
            wanted = answers(moved(trained.folded, device), probes, device)
            given = answers(moved(module, device), probes, device)
            yield from _parity(f"{task.name}, int8 linear layers, {where}", given, wanted, labels)
        yield from _share(task, module, done, left)
    yield not_run(
        "int8 by torchao",
        "not installed here; its kernels for this shape are torch._int_mm too, on scales of its own",
    )


def _parity(name: str, given: torch.Tensor, wanted: torch.Tensor, labels: torch.Tensor) -> Iterator[Row]:
    same = float((given.argmax(1) == wanted.argmax(1)).float().mean() * 100)
    right = float((wanted.argmax(1) == labels).float().mean() * 100)
    yield at_least(f"{name}: answers as the fake-quant student's", same, AGREEMENT_PCT, "%",
                   f"{len(labels)} examples, {right:.1f} % of them right")  # fmt: skip
    yield at_least(f"{name}: SQNR", sqnr_db(given, wanted), SQNR_DB, "dB")


def sqnr_db(given: torch.Tensor, wanted: torch.Tensor) -> float:
    """Of logits; 200 where they are the same."""
    noise = float(((given - wanted).double() ** 2).sum())
    return 200.0 if noise == 0 else 10 * math.log10(float((wanted.double() ** 2).sum()) / noise)


def _share(task: Task, module: nn.Module, done: list[str], left: dict[str, str]) -> Iterator[Row]:
    linear = len(done) + sum(not reason.startswith("a convolution") for reason in left.values())
    filled = sum(part.filled for part in module.modules() if isinstance(part, Int8Linear))
    yield at_least(f"{task.name}: linear layers in int8", 100 * len(done) / linear, SHARE_PCT, "%",
                   f"{len(done)} of {linear}; {filled} filled up to multiples of 8")  # fmt: skip
    reason = next(iter(left.values()), "")
    yield Row(f"{task.name}: all layers in int8", 100 * len(done) / (len(done) + len(left)), "%",
              reason=f"{len(left)} are not: {reason}" if left else "")  # fmt: skip


def int8_speed(sitting: Sitting) -> Iterator[Row]:
    """The Transformer, whose linear layers are most of it: int8 beside fp32 and fp16, all compiled."""
    task = sitting.tasks()[1]
    trained = sitting.trained(task)
    module, _, _ = in_int8(trained.folded)
    arms: dict[str, tuple[nn.Module, torch.dtype]] = {
        "fp32": (trained.student, torch.float32),
        "fp16": (trained.student, torch.float16),
        "int8, the rest fp32": (module, torch.float32),
        "int8, the rest fp16": (module, torch.float16),
    }
    found: dict[str, dict[int, float]] = {}
    probes, labels = task.examples(PROBES // (8 if sitting.quick else 1), 7)
    wanted = answers(moved(trained.folded, sitting.device), probes, sitting.device)
    for name, (network, dtype) in arms.items():
        found[name] = {}
        for batch in (16,) if sitting.quick else (32, 1024):
            took, _ = latency(sitting, task, network, dtype, batch)
            found[name][batch] = took
            yield Row(f"{task.name}, student, {name}, compiled: latency, batch {batch}", took, "ms")
        if dtype is torch.float16 and network is module:
            yield from _parity(
                f"{task.name}, {name}",
                answers(in_type(moved(network, sitting.device, dtype), dtype), probes, sitting.device),
                wanted,
                labels,
            )
    for batch, took in found["int8, the rest fp16"].items():
        yield at_least(
            f"{task.name}, student: int8 against fp32, batch {batch}", found["fp32"][batch] / took, 1, "×"
        )
        yield Row(f"{task.name}, student: int8 against fp16, batch {batch}", found["fp16"][batch] / took, "×")
