"""What is kept of a training while it goes on: figures by step and by epoch, alarms, the table, trackers and checkpoints."""

import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import psutil
import torch
from torch import nn

from edgecomp.errors import EdgecompError
from edgecomp.files import epoch_table
from edgecomp.training import alarms
from edgecomp.training.checkpoints import History, best_weights, keep, keep_best
from edgecomp.training.practice import Practice

if TYPE_CHECKING:
    from accelerate import Accelerator

LOOKS = 64  # steps between two looks at the memory
MACHINE = ("memory_mib", "cpu_seconds", "seconds")
"""Of the table alone: what differs between two runs of the same training."""


class Books:
    """Of one training, `what`. helper: where it runs; checkpoint: that it keeps; divergences: keys of terms that an alarm is of."""

    def __init__(
        self,
        what: str,
        helper: "Accelerator",
        practice: Practice,
        checkpoint: Path,
        divergences: Sequence[str],
    ) -> None:
        self._what, self._helper, self._practice = what, helper, practice
        self._checkpoint, self._divergences = checkpoint, divergences
        self._best = checkpoint.with_name(f"{checkpoint.stem}.best{checkpoint.suffix}")
        self._told: set[str] = set()
        self._tracks = bool(practice.trackers) and practice.folder is not None
        if self._tracks:
            helper.init_trackers(what.replace(", ", "-").replace(" ", "-"))

    def begin(self, epoch: int) -> None:
        """epoch: that begins, from 0."""
        self._epoch, self._losses, self._norms = epoch, list[float](), list[float]()
        self._seen: dict[str, list[torch.Tensor]] = {}
        self._began = time.perf_counter(), time.process_time()
        self._raised: dict[str, float] = {}

    def add(self, loss: torch.Tensor, watched: Mapping[str, torch.Tensor]) -> None:
        """Of a part of a batch. loss: a scalar; watched: scalars by name."""
        self._losses.append(loss.item())
        for name, one in watched.items():
            self._seen.setdefault(name, []).append(one.detach())

    def is_sound(self, position: int, norm: torch.Tensor | None) -> bool:
        """Whether a step may be taken: with loss and gradients that are finite. position: of the step in its epoch; norm: of its gradients,
        where that was looked at.

        Raises EdgecompError where they are not, or the memory is about to run out, unless the recipe says `warn`.
        """
        length = 0.0 if norm is None else norm.item()
        if norm is not None:
            self._norms.append(length)
        finite = math.isfinite(self._losses[-1])
        if position % LOOKS == 0 and (scarce := alarms.scarce_memory(alarms.memory_left())):
            self._raise(alarms.MEMORY, scarce[0], f"{scarce[1]}, in epoch {self._epoch + 1}")
        if finite and (math.isfinite(length) or self._helper.scaler is not None):
            return True  # a scaler leaves out such a step, and lowers its scale
        place = f"in epoch {self._epoch + 1}, step {position + 1}"
        broken = f"the loss is {self._losses[-1]}" if not finite else f"the norm of gradients is {length}"
        first = self._epoch == position == 0
        remedy = (
            "the network itself gives that: look at its inputs and its activations"
            if first
            else "training has diverged; lower the learning rate"
        )
        self._raise(alarms.NOT_FINITE, float(position + 1), f"{broken} {place}: {remedy}")
        parts = self._practice.accumulation
        del self._losses[-parts:]
        for values in self._seen.values():
            del values[-parts:]
        return False

    def close(self, found: Mapping[str, float], rate: float, history: History) -> dict[str, float]:
        """What the epoch came to. found: by evaluation; rate: the learning rate of its last step; history: of the epochs before it.

        Raises EdgecompError where an alarm ends the training.
        """
        means = self._of_all(
            {"loss": float(np.mean(self._losses)) if self._losses else math.nan}
            | {name: torch.stack(values).mean().item() for name, values in self._seen.items() if values}
        )
        norms = alarms.norms_of(self._norms)
        epoch = {"loss": means.pop("loss"), **found, **means, **norms, alarms.RATE: rate}
        self._write(epoch)
        for name, (value, says) in alarms.raised([*history, epoch], self._divergences).items():
            self._raise(name, value, f"{says}, in epoch {self._epoch + 1}")
        return epoch | {f"{alarms.RAISED}{name}": value for name, value in self._raised.items()}

    def keep(self, network: nn.Module, optimizer: torch.optim.Optimizer, history: History) -> None:
        """Writes the checkpoint, and the weights where they are the best so far and may be wanted. network, optimizer: as they are
        after the epochs of `history`."""
        if self._helper.is_main_process:
            if self._practice.patience is not None and _best(history) == len(history) - 1:
                keep_best(network, self._best)
            keep(network, optimizer, history, self._checkpoint)
        self._helper.wait_for_everyone()

    def is_over(self, history: History) -> bool:
        """Whether training ends early: no better score for as many epochs of `history` as patience lasts."""
        patience = self._practice.patience
        return patience is not None and bool(history) and len(history) - 1 - _best(history) >= patience

    def end(self, network: nn.Module, history: History) -> None:
        """Ends trackers; where training may end early `network` gets the best weights of `history`."""
        if self._tracks:
            self._helper.end_training()
        if self._practice.patience is not None and history and self._best.exists():
            network.load_state_dict(best_weights(self._best))

    def _raise(self, name: str, value: float, says: str) -> None:
        """An alarm: raises EdgecompError where it stops, else says so once."""
        action = self._practice.alarms.get(name, "stop" if name in alarms.STOPS else "warn")
        if action == "ignore":
            return
        self._raised[name] = value
        if action == "stop":
            kept = (
                f"; the checkpoint of epoch {self._epoch} is kept, {self._checkpoint}" if self._epoch else ""
            )
            raise EdgecompError(f"{self._what}: {says}{kept}")
        if name not in self._told and self._helper.is_main_process:
            self._practice.note(f"{self._what}: {says}")
        self._told.add(name)

    def _of_all(self, figures: dict[str, float]) -> dict[str, float]:
        """Means over all processes."""
        if self._helper.num_processes == 1:
            return figures
        mine = torch.tensor([figures[name] for name in figures], device=self._helper.device)
        means = self._helper.reduce(mine, "mean").tolist()
        return dict(zip(figures, means, strict=True))

    def _write(self, epoch: Mapping[str, float]) -> None:
        """Into the table of epochs, and to trackers, with what this machine gave for it."""
        if self._practice.folder is None or not self._helper.is_main_process:
            return
        wall, cpu = self._began
        held = psutil.Process().memory_info().rss
        if self._helper.device.type == "cuda":
            held = torch.cuda.max_memory_allocated()
        spent = (held / 2**20, time.process_time() - cpu, time.perf_counter() - wall)
        figures = dict(epoch) | dict(zip(MACHINE, spent, strict=True))
        epoch_table.add(self._practice.folder, self._what, self._epoch, figures)
        if self._tracks:
            self._helper.log(figures, step=self._epoch + 1)


def _best(history: History) -> int:
    """The first epoch of `history` with the highest score."""
    scores = [epoch[alarms.SCORE] for epoch in history]
    return scores.index(max(scores))
