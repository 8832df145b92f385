"""What is measured: edgecomp's own networks on made-up tasks that can be learnt, trained on the device there is."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn

from edgecomp.distill.losses.soft_and_hard_labels import distillation_loss
from edgecomp.inputs import MASK, Inputs
from edgecomp.models.networks.airbench import Airbench
from edgecomp.models.networks.resnet import ResNet
from edgecomp.models.networks.transformer import Transformer
from edgecomp.quantization.calibration import calibrate, reestimate_batchnorm
from edgecomp.quantization.capture import DynamicAxes, capture, duplicate
from edgecomp.quantization.folding import fold
from edgecomp.quantization.placement import place
from edgecomp.training.optimizers import adamw, parameter_groups

SCHEME = "gpu-s8"
BATCHES = 8  # of examples that are learnt from, over and over
Tensors = tuple[torch.Tensor, ...]


@dataclass(frozen=True)
class Task:
    """A teacher, a student, and examples of inputs and labels. names: of the inputs, as a network takes them."""

    name: str
    teacher: Callable[[], nn.Module]
    student: Callable[[], nn.Module]
    examples: Callable[[int, int], tuple[Tensors, torch.Tensor]]  # count, seed
    names: tuple[str, ...]
    axes: DynamicAxes
    batch: int  # of a training step
    learning_rate: float


@dataclass(frozen=True)
class Trained:
    """All on the CPU. quantised: the student with fake-quant placed and trained; folded: the same, as it is exported."""

    teacher: nn.Module
    student: nn.Module
    quantised: fx.GraphModule
    folded: fx.GraphModule


@dataclass
class Sitting:
    """What the checks share. `quick` is small: it says that a check works."""

    device: str
    quick: bool
    to: Path
    scratch: Path
    has_gpu: bool
    _trained: dict[str, Trained] = field(default_factory=dict)

    @property
    def repeats(self) -> int:
        return 5 if self.quick else 30

    def tasks(self) -> list[Task]:
        return [images(self.quick), texts(self.quick)]

    def trained(self, task: Task) -> Trained:
        """Once a sitting."""
        if task.name not in self._trained:
            self._trained[task.name] = train(task, self.device, 12 if self.quick else 150)
        return self._trained[task.name]


def images(quick: bool) -> Task:
    """Ten patterns under noise, for the networks of the recipe cifar10."""
    patterns = torch.randn(10, 3, 32, 32, generator=torch.Generator().manual_seed(1))

    def examples(count: int, seed: int) -> tuple[Tensors, torch.Tensor]:
        random = torch.Generator().manual_seed(seed)
        labels = torch.randint(0, 10, (count,), generator=random)
        noise = torch.randn(count, 3, 32, 32, generator=random)
        pictures = (patterns[labels] + 2.5 * noise).contiguous(memory_format=torch.channels_last)
        return (pictures,), labels

    widths = (16, 32, 32) if quick else (64, 256, 256)
    return Task("airbench → ResNet-8", lambda: Airbench(3, 10, widths), lambda: ResNet(3, 10, blocks=1), examples,
                ("input",), [{0: "batch"}], 16 if quick else 1024, 5e-3)  # fmt: skip


def texts(quick: bool) -> Task:
    """Which of two kinds of token prevails, of 64 that occur; shapes as of the recipe sst2, MiniLM-L6 → three layers."""
    vocabulary, length, width, heads, layers = (128, 16, 64, 2, 2) if quick else (8192, 64, 384, 12, 6)

    def network(depth: int) -> nn.Module:
        return Transformer(vocabulary, length, 2, layers=depth, width=width, heads=heads, dropout=0.0)

    def examples(count: int, seed: int) -> tuple[Tensors, torch.Tensor]:
        random = torch.Generator().manual_seed(seed)
        tokens = torch.randint(0, 64, (count, length), generator=random)
        lengths = torch.randint(length // 2, length + 1, (count, 1), generator=random)
        mask = (torch.arange(length) < lengths).long()
        return (tokens, mask), (((tokens % 2 * 2 - 1) * mask).sum(1) > 0).long()

    axes = [{0: "batch", 1: "length"}] * 2
    return Task(f"Transformer, {layers} → {layers // 2} layers", lambda: network(layers), lambda: network(layers // 2),
                examples, ("input_ids", MASK), axes, 16 if quick else 256, 5e-4)  # fmt: skip


def moved(module: nn.Module, device: str, dtype: torch.dtype = torch.float32) -> nn.Module:
    """A copy on the device, in that type: of a captured graph also what torch.export wrote into it, which `.to` leaves."""
    copied = duplicate(module).to(device=device, dtype=dtype)  # type: ignore[arg-type]
    if isinstance(copied, fx.GraphModule):
        written = {torch.float32: dtype}

        def changed(value: Any) -> Any:
            if isinstance(value, torch.device):
                return torch.device(device)
            return written.get(value, value) if isinstance(value, torch.dtype) else value

        for node in copied.graph.nodes:
            node.args = fx.node.map_aggregate(node.args, changed)
            node.kwargs = fx.node.map_aggregate(node.kwargs, changed)
        copied.recompile()
    if any(isinstance(part, nn.Conv2d) for part in copied.modules()):
        copied = copied.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return copied


def on(device: str, tensors: Tensors, dtype: torch.dtype = torch.float32) -> Tensors:
    """Floating-point ones in that type."""
    return tuple(
        tensor.to(device=device, dtype=dtype if tensor.is_floating_point() else tensor.dtype)
        for tensor in tensors
    )


def arrays(task: Task, tensors: Tensors) -> Inputs:
    return {name: tensor.numpy() for name, tensor in zip(task.names, tensors, strict=True)}


@torch.no_grad()
def answers(network: nn.Module, inputs: Tensors, device: str, size: int = 1024) -> torch.Tensor:
    """Logits [N, classes] in fp32 on the CPU, of a network that is on the device, in its type."""
    network.eval()
    dtype = next((one.dtype for one in network.parameters()), torch.float32)
    starts = range(0, len(inputs[0]), size)
    parts = [network(*on(device, tuple(one[i : i + size] for one in inputs), dtype)) for i in starts]
    return torch.cat([part.float().cpu() for part in parts])


def step_of(network: nn.Module, rate: float, bf16: bool) -> Callable[..., torch.Tensor]:
    """One training step, as edgecomp's loop takes it, on the tensors' own device: (inputs, labels, soft labels) → its loss.

    Without soft labels, which are the teacher's logits, it trains on labels, as a teacher.
    """
    optimizer = adamw(parameter_groups(list(network.named_parameters()), rate, 1e-2))

    def step(inputs: Tensors, labels: torch.Tensor, soft: torch.Tensor | None) -> torch.Tensor:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(labels.device.type, torch.bfloat16, enabled=bf16):
            logits = network(*inputs).float()
        loss = F.cross_entropy(logits, labels)
        if soft is not None:
            loss = distillation_loss(logits, soft, labels, temperature=2.0, hard_label_weight=0.1)
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step


def train(task: Task, device: str, steps: int) -> Trained:
    """Teacher, student, and the student through fake-quant, each for so many steps."""
    torch.manual_seed(0)
    inputs, labels = task.examples(task.batch * BATCHES, 0)
    teacher = learn(task, task.teacher(), inputs, labels, None, device, steps)
    soft = answers(moved(teacher, device), inputs, device)
    student = learn(task, task.student(), inputs, labels, soft, device, steps)
    some = arrays(task, tuple(one[: min(256, task.batch)] for one in inputs))
    reestimate_batchnorm(student, [some])
    placed = place(capture(duplicate(student), [one[:2] for one in inputs], task.axes), SCHEME)  # type: ignore[arg-type]
    calibrate(placed, [some])  # on the CPU: what a fake-quant observes is kept there
    quantised = learn(task, placed, inputs, labels, soft, device, max(4, steps // 3))
    assert isinstance(quantised, fx.GraphModule)
    return Trained(teacher, student, quantised, fold(duplicate(quantised)))


def learn(
    task: Task,
    network: nn.Module,
    inputs: Tensors,
    labels: torch.Tensor,
    soft: torch.Tensor | None,
    device: str,
    steps: int,
) -> nn.Module:
    """The network trained on the device, and brought back to the CPU."""
    there = moved(network, device).train()
    step = step_of(there, task.learning_rate, bf16=False)
    for index in range(steps):
        chosen = slice(index % BATCHES * task.batch, (index % BATCHES + 1) * task.batch)
        known = None if soft is None else soft[chosen].to(device)
        step(on(device, tuple(one[chosen] for one in inputs)), labels[chosen].to(device), known)
    return moved(there, "cpu").eval()
