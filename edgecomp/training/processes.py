"""One process or several, on a CPU or a GPU: what Accelerate knows of where training runs, and a step as it takes it.

Several processes are started by `torchrun --nproc-per-node N`; each learns its share of every batch, gradients are means over all of them,
and the first alone evaluates and writes. Batch statistics, and terms that relate a batch's examples, are of each process's share.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import nn

from edgecomp.errors import UsageError
from edgecomp.outputs import as_one
from edgecomp.training.practice import Practice

if TYPE_CHECKING:
    from accelerate import Accelerator

Loss = Callable[[torch.Tensor, Any], torch.Tensor]

TRACKED = "tracked"
"""The folder, in a run's, of what trackers write."""


def accelerator(practice: Practice, batch_size: int) -> "Accelerator":
    """Where and how `practice` has steps taken, each of `batch_size` examples. Raises UsageError where that cannot be here."""
    # cuBLAS is told before CUDA starts: without it its sums are added up in another order each time.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState
    from accelerate.utils import (
        DistributedDataParallelKwargs,
        DistributedType,
        GradientAccumulationPlugin,
        ProjectConfiguration,
    )

    if practice.precision == "fp16" and not torch.cuda.is_available():
        raise UsageError(
            "precision: fp16 is trained on a GPU, and PyTorch finds none here: take fp32, bf16 or auto"
        )
    AcceleratorState._reset_state()  # which would hold this process to the precision of its first training
    made = Accelerator(
        mixed_precision="no" if practice.precision == "fp32" else practice.precision,
        gradient_accumulation_plugin=GradientAccumulationPlugin(
            num_steps=practice.accumulation, sync_with_dataloader=False
        ),
        log_with=list(practice.trackers) or None,
        project_config=ProjectConfiguration(
            project_dir=str(practice.folder), logging_dir=str(practice.folder and practice.folder / TRACKED)
        ),
        kwargs_handlers=[
            DistributedDataParallelKwargs(find_unused_parameters=True)
        ],  # a stage may leave some out
    )
    known = (DistributedType.NO, DistributedType.MULTI_CPU, DistributedType.MULTI_GPU)
    if made.distributed_type not in known:
        raise UsageError(f"training by {made.distributed_type.value}: a checkpoint holds a whole network, and this parts it: "
                         "take torchrun, or a configuration of Accelerate's for DDP")  # fmt: skip
    parts = made.num_processes * practice.accumulation
    if batch_size % parts:
        raise UsageError(f"batch_size: {batch_size} examples cannot be parted equally among {made.num_processes} process(es), "
                         f"{practice.accumulation} part(s) each: take a multiple of {parts}")  # fmt: skip
    return made


class Step(nn.Module):
    """A network with its loss, as one module: what is computed for a batch is all inside, so that Accelerate may wrap it, and the network is left
    as it is."""

    def __init__(self, network: nn.Module, loss: Loss) -> None:
        super().__init__()
        self.network = network
        self._loss = loss

    def forward(self, batch: Any) -> torch.Tensor:
        outputs = as_one(self.network(*batch.inputs))
        return self._loss(outputs if outputs.dtype == torch.float64 else outputs.float(), batch)


def scaled(helper: "Accelerator", optimizer: torch.optim.Optimizer) -> Any:
    """What takes the steps of `optimizer`: itself, or where gradients are scaled what leaves out those that overflow. helper: where training runs.

    Accelerate's own does no more, and looks for another package in every step.
    """
    return optimizer if helper.scaler is None else helper.prepare_optimizer(optimizer, device_placement=False)


def clip(
    helper: "Accelerator", stepper: Any, optimizer: torch.optim.Optimizer, most: float | None
) -> torch.Tensor:
    """The norm of all gradients of `optimizer`, a scalar, cut to `most` where that is a number.

    helper: where training runs; stepper: what it made of the optimiser, which may have scaled them.
    """
    if helper.scaler is not None:
        helper.unscale_gradients(stepper)
    with_gradients = [
        one for group in optimizer.param_groups for one in group["params"] if one.grad is not None
    ]
    norm = nn.utils.get_total_norm([one.grad for one in with_gradients])
    if most is not None:
        nn.utils.clip_grads_with_norm_(with_gradients, most, norm)
    return norm


Some = TypeVar("Some")


def parts_of(batch: Some, count: int) -> Iterator[Some]:
    """A `batch`, a dataclass of tensors [N, ...], in `count` equal parts."""
    if count == 1:
        yield batch
        return
    for part in range(count):
        yield each_tensor(batch, lambda tensor, part=part: tensor.chunk(count)[part])  # type: ignore[misc]  # of a lambda with a default


def placed(batch: Some, device: torch.device) -> Some:
    """The `batch`, a dataclass of tensors, on a `device`."""
    return batch if device.type == "cpu" else each_tensor(batch, lambda tensor: tensor.to(device))


def each_tensor(batch: Some, of: Callable[[torch.Tensor], torch.Tensor]) -> Some:
    """The `batch`, a dataclass, with what `of` makes of every tensor in it, also in tuples and mappings."""

    def made(value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            return of(value)
        if isinstance(value, tuple) and not hasattr(value, "_fields"):
            return tuple(map(made, value))
        return {key: made(one) for key, one in value.items()} if isinstance(value, Mapping) else value

    changed = {one.name: made(getattr(batch, one.name)) for one in fields(batch)}  # type: ignore[arg-type]  # training knows no class of batch
    return replace(batch, **changed)  # type: ignore[type-var]  # likewise


def told_to_all(value: Any, accelerator: "Accelerator") -> Any:
    """What the first process has as `value`, in every one of those of the `accelerator`."""
    if accelerator.num_processes == 1:
        return value
    from accelerate.utils import broadcast_object_list

    return broadcast_object_list([value])[0]
