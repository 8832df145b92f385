"""The one training loop, for teachers and students: an epoch at a time, resumable to the bit.

Everything random is a function of (seed, epoch), so an epoch can be run again from the checkpoint before it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from edgecomp.errors import FileError
from edgecomp.inputs import MASK, Inputs, joined, some
from edgecomp.outputs import as_one
from edgecomp.progress import STEPS, Track
from edgecomp.training.books import Books
from edgecomp.training.checkpoints import History, resume
from edgecomp.training.convolutions import sound_gradients
from edgecomp.training.practice import PLAIN, Practice
from edgecomp.training.processes import Step, accelerator, clip, parts_of, placed, scaled, told_to_all


@dataclass(frozen=True)
class Batch:
    """inputs: tensors [N, ...] in the network's order; labels: [N] or [N, width], as edgecomp.tasks has them; soft_labels: float32 logits
    [N, width]; mask: of texts, 1 where a token is one, [N, tokens]; done: the share of training that was over when it is learnt;
    weights: float32 [N], what each example counts; None: all the same; begins: whether it is the first part of what an optimiser's step is of;
    token_weights: of texts, float32 [N, tokens], what each token counts where attention is compared; None: all the same."""

    inputs: tuple[torch.Tensor, ...]
    labels: torch.Tensor
    soft_labels: torch.Tensor | None = None
    mask: torch.Tensor | None = None
    done: float = 0.0
    weights: torch.Tensor | None = None
    begins: bool = True
    token_weights: torch.Tensor | None = None


@dataclass(frozen=True)
class Examples:
    """arrays: [N, ...] by name, as they are stored; `prepare` makes network inputs of some of them, a batch at a time."""

    arrays: Inputs
    labels: npt.NDArray[Any]
    prepare: Callable[[Inputs], Inputs]
    soft_labels: npt.NDArray[np.float32] | None = None
    weights: npt.NDArray[np.float32] | None = None
    token_weights: npt.NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def chosen(self, places: npt.NDArray[np.int64]) -> "Examples":
        """Those at `places`, int64 [n]."""
        beside = (self.soft_labels, self.weights, self.token_weights)
        chosen = (None if one is None else one[places] for one in beside)
        return Examples(some(self.arrays, places), self.labels[places], self.prepare, *chosen)

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
        tokens = None
        if self.token_weights is not None and mask is not None:  # which `prepare` has cut to the longest text
            tokens = torch.from_numpy(self.token_weights[chosen, : mask.shape[1]])
        return Batch(network_inputs(prepared), labels, soft, mask, weights=weights, token_weights=tokens)


NORMS = 16  # of gradients that are looked at in an epoch, at least, where they are not cut
ALIKE = 16  # batches of texts that are sorted by length among themselves


def train(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    *,
    examples: Callable[[int], Examples],
    loss: Callable[[torch.Tensor, Batch], torch.Tensor],
    schedule: Callable[[float], float],
    evaluate: Callable[[nn.Module], Mapping[str, float]],
    epochs: int,
    batch_size: int,
    seed: int,
    checkpoint: Path,
    track: Track,
    what: str,
    practice: Practice = PLAIN,
    before_epoch: Callable[[int], None] = lambda epoch: None,
    watched: Callable[[], Mapping[str, torch.Tensor]] = dict,
    after_epoch: Callable[[], Mapping[str, float]] = dict,
    divergences: Sequence[str] = (),
) -> History:
    """Trains in place and returns, by epoch, the mean loss, what `evaluate` makes of the network, the means of what is `watched`, a number each by name
    that is read after every step, gradient norms, the learning rate, and what `after_epoch` finds before the network is evaluated.

    optimizer: its groups' learning rates are the peaks; loss: of outputs in fp32 [N, width] and a batch, a
    scalar; evaluate: gives `validation_score_pct`, and more by name; epochs: in whole batches of batch_size; seed: of the examples'
    order and of dropout, with the epoch; track: shows progress; what: is trained, in words; practice: precision, parts of a batch, clipping,
    early end, alarms and trackers; divergences: keys of what is `watched` that an alarm is of.

    `examples` gives those of an epoch. `schedule` maps the share of training that is done, in [0, 1), to a factor on each group's learning rate.
    `before_epoch` may freeze parts of the network. Where there is a GPU the network is trained there, and comes back to the CPU. Under
    autocast weights, logits, losses and every evaluation stay in fp32. `checkpoint` is read where it exists, and written after every epoch that no
    alarm ended. Raises EdgecompError where an alarm or the judge of `practice` ends it, UsageError where `practice` cannot be followed here.
    """
    count = len(examples(0))
    steps = max(1, count // batch_size)
    helper = accelerator(practice, min(batch_size, count))
    network.to(helper.device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch types no memory format
    sound = sound_gradients(network)
    peaks = [group["lr"] for group in optimizer.param_groups]
    history = resume(network, optimizer, checkpoint)
    learner = helper.prepare_model(Step(network, loss), device_placement=False)
    stepper = scaled(helper, optimizer)
    share = slice(helper.process_index, None, helper.num_processes)
    books = Books(what, helper, practice, checkpoint, divergences)
    remaining = range(len(history) * steps, epochs * steps)
    shares = (
        practice.accumulation > 1 or helper.scaler is not None
    )  # of a gradient, or its scale: else none is asked for
    cuts = practice.clip_norm is not None or helper.num_processes > 1 or helper.scaler is not None
    every = max(1, steps // NORMS)
    batches: Iterator[Batch] = iter(())
    for step in track(remaining, f"{what}{STEPS}", len(remaining)):
        epoch, position = divmod(step, steps)
        if position == 0:
            if books.is_over(history):
                break
            network.train()
            before_epoch(epoch)
            batches = shuffled(examples(epoch), batch_size, np.random.default_rng([seed, epoch]), share)
            torch.manual_seed(
                seed * 1_000_003 + epoch + helper.process_index * 7_919
            )  # for networks with dropout
            books.begin(epoch)
        for group, peak in zip(optimizer.param_groups, peaks, strict=True):
            group["lr"] = peak * schedule(step / (epochs * steps))
        batch = replace(next(batches), done=step / (epochs * steps))
        optimizer.zero_grad(set_to_none=True)
        for number, part in enumerate(parts_of(placed(batch, helper.device), practice.accumulation)):
            with helper.accumulate(learner) if shares else nullcontext():
                with sound:
                    value = learner(part if number == 0 else replace(part, begins=False))
                helper.backward(value) if shares else value.backward()
            books.add(value, watched())
        norm = clip(helper, stepper, optimizer, practice.clip_norm) if cuts or position % every == 0 else None
        if books.is_sound(position, norm):
            stepper.step()
        if position == steps - 1:
            found = after_epoch()
            network.eval()
            if helper.is_main_process:
                found = {**evaluate(network), **found}
            history.append(books.close(told_to_all(found, helper), optimizer.param_groups[0]["lr"], history))
            practice.judge(
                len(history), history[-1]
            )  # before it is kept: after a kill the epoch is judged again
            books.keep(network, optimizer, history)
    books.end(network, history)
    network.to("cpu").eval()
    return history


@torch.no_grad()
def logits_of(network: nn.Module, examples: Examples, batch_size: int = 64) -> npt.NDArray[np.float32]:
    """Outputs [N, ...] of `examples`, `batch_size` of them at a time; several beside each other.

    network: takes their inputs in order, and is left in evaluation mode. Texts go beside texts of like
    length, which halves the padding.
    """
    network.eval()
    starts = range(0, len(examples), batch_size)
    device = next((parameter.device for parameter in network.parameters()), torch.device("cpu"))

    def answers(chosen: slice | npt.NDArray[np.int64]) -> torch.Tensor:
        return as_one(network(*(one.to(device) for one in examples.inputs(chosen))))

    if MASK not in examples.arrays:
        parts = [answers(slice(start, start + batch_size)) for start in starts]
        found: npt.NDArray[np.float32] = torch.cat(parts).float().cpu().numpy()
        return found
    order = np.argsort(examples.arrays[MASK].sum(axis=1), kind="stable")
    asked = [answers(order[start : start + batch_size]).float().cpu().numpy() for start in starts]
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


def shuffled(
    examples: Examples, batch_size: int, random: np.random.Generator, share: slice = slice(None)
) -> Iterator[Batch]:
    """Whole batches of `examples` in an order of `random`'s: a last batch of one breaks batch normalisation.

    batch_size: or all examples, where they are fewer; share: of each batch, what is given. Texts are put beside texts of like length.
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
        yield examples.batch(order[start : start + size][share])


def network_inputs(inputs: Inputs) -> tuple[torch.Tensor, ...]:
    """The tensors of `inputs` [N, ...], in their order.

    Images [N, C, H, W] go channels-last: convolutions train 1.4–1.5 times faster on a CPU.
    """
    tensors = (torch.from_numpy(np.ascontiguousarray(values)) for values in inputs.values())
    return tuple(
        tensor.contiguous(memory_format=torch.channels_last) if tensor.ndim == 4 else tensor
        for tensor in tensors
    )
