"""The one training loop, for teachers and students: an epoch at a time, resumable to the bit.

Everything random is a function of (seed, epoch), so an epoch can be run again from the checkpoint before it.
"""

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save, save_file
from torch import nn

from edgecomp.errors import EdgecompError, FileError
from edgecomp.files.json_files import parse_json
from edgecomp.files.scratch import replacing
from edgecomp.inputs import MASK, Inputs, joined, some
from edgecomp.outputs import as_one
from edgecomp.progress import STEPS, Track
from edgecomp.training.convolutions import sound_gradients


@dataclass(frozen=True)
class Batch:
    """inputs: tensors [N, ...] in the network's order; labels: [N] or [N, width], as edgecomp.tasks has them; soft_labels: float32 logits
    [N, width]; mask: of texts, 1 where a token is one, [N, tokens]; done: the share of training that was over when it is learnt;
    weights: float32 [N], what each example counts; None: all the same."""

    inputs: tuple[torch.Tensor, ...]
    labels: torch.Tensor
    soft_labels: torch.Tensor | None = None
    mask: torch.Tensor | None = None
    done: float = 0.0
    weights: torch.Tensor | None = None


@dataclass(frozen=True)
class Examples:
    """arrays: [N, ...] by name, as they are stored; `prepare` makes network inputs of some of them, a batch at a time."""

    arrays: Inputs
    labels: npt.NDArray[Any]
    prepare: Callable[[Inputs], Inputs]
    soft_labels: npt.NDArray[np.float32] | None = None
    weights: npt.NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def chosen(self, places: npt.NDArray[np.int64]) -> "Examples":
        """Those at `places`, int64 [n]."""
        soft, weights = (None if one is None else one[places] for one in (self.soft_labels, self.weights))
        return Examples(some(self.arrays, places), self.labels[places], self.prepare, soft, weights)

    def inputs(self, chosen: slice | npt.NDArray[np.int64]) -> tuple[torch.Tensor, ...]:
        """The network's inputs of the `chosen` examples: tensors [n, ...] in its order."""
        return network_inputs(self.prepare(some(self.arrays, chosen)))

    def batch(self, chosen: npt.NDArray[np.int64]) -> Batch:
        """The `chosen` examples, int64 [n], as a batch, with soft labels where there are any."""
        soft = None if self.soft_labels is None else torch.from_numpy(self.soft_labels[chosen])
        prepared = self.prepare(some(self.arrays, chosen))
        mask = torch.from_numpy(np.asarray(prepared[MASK])) if MASK in prepared else None
        weights = None if self.weights is None else torch.from_numpy(self.weights[chosen])
        labels = torch.from_numpy(self.labels[chosen])
        return Batch(network_inputs(prepared), labels, soft, mask, weights=weights)


History = list[dict[str, float]]

ALIKE = 16  # batches of texts that are sorted by length among themselves


def train(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    *,
    examples: Callable[[int], Examples],
    loss: Callable[[torch.Tensor, Batch], torch.Tensor],
    schedule: Callable[[float], float],
    evaluate: Callable[[nn.Module], float],
    epochs: int,
    batch_size: int,
    seed: int,
    bf16: bool = False,
    checkpoint: Path,
    track: Track,
    what: str,
    before_epoch: Callable[[int], None] = lambda epoch: None,
    watched: Callable[[], Mapping[str, torch.Tensor]] = dict,
) -> History:
    """Trains in place and returns, by epoch, the mean loss and what `evaluate` makes of the network, in per cent, and the means of what is `watched`: one
    number each by name, read after every step.

    optimizer: its groups' learning rates are the peaks; loss: of outputs in fp32 [N, width] and a batch, a
    scalar; epochs: in whole batches of batch_size; seed: of the examples' order and of dropout, with the
    epoch; track: shows progress; what: is trained, in words.

    `examples` gives those of an epoch. `schedule` maps the share of training that is done, in [0, 1), to a factor on each group's learning rate.
    `before_epoch` may freeze parts of the network. bf16: forward passes under autocast; weights, logits, losses and
    every evaluation stay in fp32. `checkpoint` is read where it exists, and written after
    every epoch. Raises EdgecompError where the loss stops being a finite number.
    """
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    sound = sound_gradients(network)
    peaks = [group["lr"] for group in optimizer.param_groups]
    history = _resume(network, optimizer, checkpoint)
    steps = max(1, len(examples(0)) // batch_size)
    remaining = range(len(history) * steps, epochs * steps)
    batches: Iterator[Batch] = iter(())
    losses: list[float] = []
    seen: dict[str, list[torch.Tensor]] = {}
    for step in track(remaining, f"{what}{STEPS}", len(remaining)):
        epoch, position = divmod(step, steps)
        if position == 0:
            network.train()
            before_epoch(epoch)
            batches = shuffled(examples(epoch), batch_size, np.random.default_rng([seed, epoch]))
            torch.manual_seed(seed * 1_000_003 + epoch)  # for networks with dropout
            losses, seen = [], {}
        for group, peak in zip(optimizer.param_groups, peaks, strict=True):
            group["lr"] = peak * schedule(step / (epochs * steps))
        batch = replace(next(batches), done=step / (epochs * steps))
        optimizer.zero_grad(set_to_none=True)
        with sound, torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            value = loss(as_one(network(*batch.inputs)).float(), batch)
        value.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(value.item())
        for name, one in watched().items():
            seen.setdefault(name, []).append(one.detach())
        if not math.isfinite(losses[-1]):
            raise EdgecompError(f"{what}: the loss is {losses[-1]} in epoch {epoch + 1}, step {position + 1}: "
                                + ("the network itself gives that: look at its inputs and its activations" if step == 0
                                   else "training has diverged; lower the learning rate"))  # fmt: skip
        if position == steps - 1:
            network.eval()
            means = {name: torch.stack(values).mean().item() for name, values in seen.items()}
            history.append(
                {"loss": float(np.mean(losses)), "validation_score_pct": evaluate(network), **means}
            )
            _save(network, optimizer, history, checkpoint)
    network.eval()
    return history


def adamw(groups: Iterable[dict[str, object]]) -> torch.optim.AdamW:
    """AdamW over parameter `groups`, in one pass over memory.

    With an embedding table, several passes take longer than the gradients.
    """
    return torch.optim.AdamW(groups, fused=True)


def one_cycle(warmup: float = 0.15) -> Callable[[float], float]:
    """Linear warm-up to the peak, then a half cosine to zero (Smith & Topin 2017, arXiv:1708.07120).

    warmup: its share of training, from 5 % of the peak.
    """

    def factor(done: float) -> float:
        if done < warmup:
            return 0.05 + 0.95 * done / warmup
        return 0.5 * (1 + math.cos(math.pi * (done - warmup) / (1 - warmup)))

    return factor


def cosine(done: float) -> float:
    """A half cosine from 1 to 0. done: the share of training, in [0, 1)."""
    return 0.5 * (1 + math.cos(math.pi * done))


def parameter_groups(
    parameters: Sequence[tuple[str, nn.Parameter]], learning_rate: float, weight_decay: float
) -> list[dict[str, object]]:
    """Weight decay for matrices and kernels; none for biases, norms and other vectors.

    parameters: by name; learning_rate: of all; weight_decay: of what has two axes at least.
    """
    decayed = [parameter for _, parameter in parameters if parameter.ndim >= 2]
    free = [parameter for _, parameter in parameters if parameter.ndim < 2]
    return [
        {"params": decayed, "lr": learning_rate, "weight_decay": weight_decay},
        {"params": free, "lr": learning_rate, "weight_decay": 0.0},
    ]


@torch.no_grad()
def logits_of(network: nn.Module, examples: Examples, batch_size: int = 64) -> npt.NDArray[np.float32]:
    """Outputs [N, ...] of `examples`, `batch_size` of them at a time; several beside each other.

    network: takes their inputs in order, and is left in evaluation mode. Texts go beside texts of like
    length, which halves the padding.
    """
    network.eval()
    starts = range(0, len(examples), batch_size)
    if MASK not in examples.arrays:
        parts = [as_one(network(*examples.inputs(slice(start, start + batch_size)))) for start in starts]
        found: npt.NDArray[np.float32] = torch.cat(parts).float().numpy()
        return found
    order = np.argsort(examples.arrays[MASK].sum(axis=1), kind="stable")
    asked = [
        as_one(network(*examples.inputs(order[start : start + batch_size]))).float().numpy()
        for start in starts
    ]
    logits = joined(asked, examples.arrays, batch_size, order)
    found = np.empty_like(logits)
    found[order] = logits
    return found


def save_weights(network: nn.Module, path: Path) -> None:
    """The state dict of `network` as safetensors at `path`, in the ordinary memory layout."""
    save_file({name: tensor.contiguous() for name, tensor in network.state_dict().items()}, path)


def load_weights(path: Path) -> dict[str, torch.Tensor]:
    """What `save_weights` wrote to `path`. Raises FileError."""
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise FileError(f"{path}: is no safetensors file, or cut short: make it again ({error})") from error


def shuffled(examples: Examples, batch_size: int, random: np.random.Generator) -> Iterator[Batch]:
    """Whole batches of `examples` in an order of `random`'s: a last batch of one breaks batch normalisation.

    batch_size: or all examples, where they are fewer. Texts are put beside texts of like length.
    """
    order = random.permutation(len(examples))
    size = min(batch_size, len(order))
    starts = np.arange(0, len(order) - size + 1, size)
    if MASK in examples.arrays:
        lengths = examples.arrays[MASK].sum(axis=1)
        for start in range(0, len(order), size * ALIKE):
            chunk = order[start : start + size * ALIKE]
            order[start : start + size * ALIKE] = chunk[np.argsort(lengths[chunk], kind="stable")]
        random.shuffle(starts)
    for start in starts.tolist():
        yield examples.batch(order[start : start + size])


def network_inputs(inputs: Inputs) -> tuple[torch.Tensor, ...]:
    """The tensors of `inputs` [N, ...], in their order.

    Images [N, C, H, W] go channels-last: convolutions train 1.4–1.5 times faster on a CPU.
    """
    tensors = (torch.from_numpy(np.ascontiguousarray(values)) for values in inputs.values())
    return tuple(
        tensor.contiguous(memory_format=torch.channels_last) if tensor.ndim == 4 else tensor
        for tensor in tensors
    )


def _save(network: nn.Module, optimizer: torch.optim.Optimizer, history: History, path: Path) -> None:
    content = save(_state(network, optimizer), {"history": json.dumps(history)})
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def _resume(network: nn.Module, optimizer: torch.optim.Optimizer, path: Path) -> History:
    """The epochs that a checkpoint knows. Raises EdgecompError where it is damaged, or of another network."""
    if not path.exists():
        return []
    try:
        with safe_open(path, "pt") as file:
            history: History = parse_json(file.metadata()["history"], str(path))
            _restore(network, optimizer, {name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
    except (SafetensorError, OSError, TypeError, KeyError, IndexError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise EdgecompError(
            f"{path}: training cannot go on from it: delete it, and run again ({reason})"
        ) from error
    return history


def _restore(network: nn.Module, optimizer: torch.optim.Optimizer, state: dict[str, torch.Tensor]) -> None:
    network.load_state_dict({name: state.pop(f"{OF_NETWORK}{name}") for name in network.state_dict()})
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    of_optimizer: dict[int, dict[str, torch.Tensor]] = {}
    for name, value in state.items():
        index, _, kind = name.partition(".")
        parameter = parameters[int(index)]
        if value.shape == parameter.shape:  # in its layout, which a fused optimiser takes for granted
            value = torch.empty_like(parameter, dtype=value.dtype).copy_(value)
        of_optimizer.setdefault(int(index), {})[kind] = value
    groups = optimizer.state_dict()["param_groups"]  # which the recipe says, and the schedule
    optimizer.load_state_dict({"state": of_optimizer, "param_groups": groups})


OF_NETWORK = "network."


def _state(network: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """All tensors of both, each with memory of its own, by `network.NAME` and `PARAMETER.NAME`."""
    state = {f"{OF_NETWORK}{name}": value for name, value in network.state_dict().items()}
    for index, values in optimizer.state_dict()["state"].items():
        state |= {f"{index}.{name}": value for name, value in values.items()}
    return {
        name: value.detach().clone(memory_format=torch.contiguous_format) for name, value in state.items()
    }
