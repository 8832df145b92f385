"""What one step of quantisation-aware distillation allocates and takes, by operator: PyTorch's own profiler."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile

from edgecomp.distill.losses import Loss
from edgecomp.training.convolutions import sound_gradients
from edgecomp.training.loop import Batch
from edgecomp.training.optimizers import adamw, parameter_groups

TRACE = "training_trace.json"
SHOWN = 15


def profile_step(
    network: nn.Module,
    batch: Batch,
    *,
    loss: Loss,
    bf16: bool,
    folder: Path,
) -> dict[str, Any]:
    """Writes the trace (for chrome://tracing or Perfetto), and returns the peak of what is allocated and the costliest operators.

    batch: with its soft labels. Two steps come before, so that the optimiser's state is there. network: the
    student, which the three steps change; loss: not bound yet; bf16: forward passes under autocast; folder:
    of the trace. Raises CaptureError.
    """
    learner = loss.bind(network, batch.inputs)
    learner.train()
    optimizer = adamw(parameter_groups(list(learner.named_parameters()), 1e-6, 0.0))

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        with sound_gradients(learner), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            value = learner.loss(learner(*batch.inputs).float(), batch)
        value.backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    step()
    step()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True, record_shapes=True) as taken:
        step()
    taken.export_chrome_trace(str(folder / TRACE))
    events = json.loads((folder / TRACE).read_text(encoding="utf-8"))["traceEvents"]
    return {
        "batch": len(batch.labels),
        "parameters_bytes": sum(one.numel() * one.element_size() for one in network.parameters()),
        "peak_bytes": peak_bytes(events),
        "operators": [
            {
                "name": one.key,
                "calls": one.count,
                "cpu_ms": one.self_cpu_time_total / 1e3,
                "allocated_bytes": one.self_cpu_memory_usage,
            }
            for one in sorted(taken.key_averages(), key=lambda one: -one.self_cpu_time_total)[:SHOWN]
        ],
        "trace": TRACE,
    }


def peak_bytes(events: Sequence[Mapping[str, Any]]) -> int:
    """The most that was allocated at once during the profiled step, over what was allocated when it began.

    events: of a trace in Chrome's format.
    """
    held = [
        int(event["args"]["Total Allocated"])
        for event in sorted(
            (event for event in events if event.get("name") == "[memory]"), key=lambda event: event["ts"]
        )
        if int(event["args"].get("Device Type", 0)) == 0
    ]
    return max(held, default=0) - (held[0] if held else 0)
