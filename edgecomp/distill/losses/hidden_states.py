"""Hints: a student's hidden states drawn to the teacher's (FitNets, Romero et al. 2015, arXiv:1412.6550)."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch import nn

from edgecomp.distill.losses.attention import attention_tap
from edgecomp.distill.losses.crd import SLOTS, Memory
from edgecomp.distill.losses.of_features import mean_squared
from edgecomp.distill.losses.taps import Read, tap, taps
from edgecomp.distill.similarity import Compared
from edgecomp.errors import CaptureError
from edgecomp.training.loop import Batch
from edgecomp.training.schedules import Scheduled, all_at, at

Loss = Callable[..., torch.Tensor]


class Hint(NamedTuple):
    """Module paths of a student's and a teacher's hidden state, the weight of their loss, and that: a function of both. projects: whether it takes
    equal widths; by: how that is brought about, as `distill.terms` says it; masked: whether it takes the batch's `mask` and `token_weights`, where there are any; name: of the loss, in
    histories; arguments: its own; heads: of attention maps, the student's and the teacher's."""

    student: str
    teacher: str
    weight: Scheduled
    loss: Loss = mean_squared
    projects: bool = True
    by: str = "linear"
    masked: bool = False
    name: str = "hidden"
    arguments: Mapping[str, Scheduled] = {}
    heads: tuple[int, int] | None = None


@dataclass(frozen=True)
class HiddenStates:
    """A term: Σ weight · loss of hidden states. teacher: the network whose states the hints name; it runs once a batch, whatever hints there are."""

    hints: Sequence[Hint]
    teacher: nn.Module

    def bind(self, student: nn.Module, example: Sequence[torch.Tensor]) -> "Bound":
        """Raises CaptureError where two hidden states have shapes that no projection brings together."""
        return Bound(student, self.teacher, self.hints, example)


def reading(network: nn.Module, hint: Hint, place: int) -> Callable[[], Read]:
    """What makes a tap of the `network` for a `hint`. place: 0 of the student, 1 of the teacher."""
    path = (hint.student, hint.teacher)[place]
    return (
        partial(attention_tap, network, path, hint.heads[place])
        if hint.heads
        else partial(tap, network, path)
    )


class Bound(nn.Module):
    """Hints of a student and a teacher, with the projections between their widths."""

    closed_forms_taken: torch.Tensor

    def __init__(
        self, student: nn.Module, teacher: nn.Module, hints: Sequence[Hint], example: Sequence[torch.Tensor]
    ) -> None:
        super().__init__()
        self._hints = hints
        # That the closed forms were taken is a part of the checkpoint, as they are.
        self.register_buffer("closed_forms_taken", torch.zeros((), dtype=torch.bool))
        read = taps(
            [reading(student, hint, 0) for hint in hints] + [reading(teacher, hint, 1) for hint in hints]
        )
        self._ours, self._theirs = read[: len(hints)], read[len(hints) :]
        self._teacher = (teacher.to(example[0].device).eval(),)  # in a tuple: no part of this module
        self._last: list[tuple[torch.Tensor, torch.Tensor]] = []
        with torch.no_grad():
            student.eval()(*example)
            teacher(*example)
        self.projections = nn.ModuleList(
            projection(hint, ours(), theirs()) if hint.projects else nn.Identity()
            for hint, ours, theirs in zip(hints, self._ours, self._theirs, strict=True)
        )
        self.memories = nn.ModuleList(
            memory(hint, ours(), theirs()) if hint.loss is Memory.forward else nn.Identity()
            for hint, ours, theirs in zip(hints, self._ours, self._theirs, strict=True)
        )
        self._hints = hints = [
            hint._replace(loss=made) if isinstance(made, Memory) else hint
            for hint, made in zip(hints, self.memories, strict=True)
        ]
        with torch.no_grad():
            for hint, project, ours, theirs in zip(
                hints, self.projections, self._ours, self._theirs, strict=True
            ):
                check(hint, project, ours(), theirs())

    def forward(self, logits: torch.Tensor, batch: Batch) -> list[tuple[str, torch.Tensor]]:
        """After a forward pass of the student on the batch's inputs."""
        with torch.no_grad():
            self._teacher[0].to(logits.device)(*batch.inputs)
        pairs = [(ours(), theirs().float()) for ours, theirs in zip(self._ours, self._theirs, strict=True)]
        if not self.closed_forms_taken:
            for hint, project, (ours, theirs) in zip(self._hints, self.projections, pairs, strict=True):
                if hint.by != "linear" and isinstance(project, nn.Conv2d | nn.Linear):
                    take_closed_form(project, ours, theirs)
            self.closed_forms_taken.fill_(True)
        self._last = pairs
        terms = zip(self._hints, self.projections, pairs, strict=True)
        return [
            (f"{hint.name} of {hint.student}", weighed(hint, project, *pair, batch))
            for hint, project, pair in terms
        ]

    def compared(self) -> Iterator[Compared]:
        """The hidden states of the last batch that was learnt, where both have a row for each place, token or example."""
        for hint, project, (ours, theirs) in zip(self._hints, self.projections, self._last, strict=True):
            a, b = _rows(ours.detach().float()), _rows(theirs)
            squared = hint.loss is mean_squared
            if len(a) == len(b):
                yield Compared(hint.student, a, b, _rows(project(ours.detach().float())) if squared else None)


def weighed(
    hint: Hint, project: nn.Module, ours: torch.Tensor, theirs: torch.Tensor, batch: Batch
) -> torch.Tensor:
    """A `hint`'s weight times its loss, a scalar. project: stands between; ours, theirs: hidden states; batch: that they are of."""
    arguments: dict[str, Any] = all_at(hint.arguments, batch.done)
    if hint.masked:
        arguments |= {"mask": batch.mask, "token_weights": batch.token_weights}
    return at(hint.weight, batch.done) * hint.loss(project(ours).float(), theirs, **arguments)


def check(hint: Hint, project: nn.Module, ours: torch.Tensor, theirs: torch.Tensor) -> None:
    """Raises CaptureError where the loss of a `hint` cannot be taken of such hidden states, `ours` and `theirs`, with `project` between."""
    try:
        weighed(hint, project, ours, theirs.float(), Batch((), torch.empty(0)))
    except (RuntimeError, ValueError, IndexError) as error:
        shapes = f"{list(ours.shape)} and {list(theirs.shape)}"
        raise CaptureError(f"distill: {hint.name} of {hint.student} and the teacher's {hint.teacher}, {shapes}, cannot be taken: "
                           f"{' '.join(str(error).split())[:200]}") from error  # fmt: skip


def memory(hint: Hint, ours: torch.Tensor, theirs: torch.Tensor) -> Memory:
    """Of a `hint` of CRD, whose hidden states are as `ours` and `theirs` are."""
    slots = hint.arguments.get("memory", SLOTS)
    assert not isinstance(slots, Mapping)
    return Memory(ours.flatten(1).shape[1], theirs.flatten(1).shape[1], int(slots))


def projection(hint: Hint, ours: torch.Tensor, theirs: torch.Tensor) -> nn.Module:
    """A linear map between widths, nothing where they are equal. [N, C, H, W] by channel, else by the last axis.

    hint: names the layers in an error; ours, theirs: their outputs. Raises CaptureError where more than the
    width differs.
    """
    channels = 1 if ours.ndim == 4 else -1
    same = [
        (a, b)
        for axis, (a, b) in enumerate(zip(ours.shape, theirs.shape, strict=False))
        if axis != channels % ours.ndim
    ]
    if ours.ndim != theirs.ndim or any(a != b for a, b in same):
        raise CaptureError(
            f"distill: {hint.student} gives {list(ours.shape)}, the teacher's {hint.teacher} "
            f"{list(theirs.shape)}: they may differ in width only; choose layers of the same resolution"
        )
    width, wanted = ours.shape[channels], theirs.shape[channels]
    if width == wanted and hint.by == "linear":
        return nn.Identity()
    made = nn.Conv2d(width, wanted, 1) if ours.ndim == 4 else nn.Linear(width, wanted)
    return made.requires_grad_(hint.by != "fixed")


@torch.no_grad()
def take_closed_form(project: nn.Conv2d | nn.Linear, ours: torch.Tensor, theirs: torch.Tensor) -> None:
    """Sets a linear map, `project`, to the one whose squared error is least: that of `ours` onto `theirs`, hidden states of a batch. Of a map that the
    batch does not determine, the smallest."""
    rows, wanted = (_rows(one.detach().double()) for one in (ours, theirs))
    found = torch.linalg.lstsq(
        torch.cat([rows, torch.ones_like(rows[:, :1])], dim=1), wanted, driver="gelsd"
    ).solution
    assert project.bias is not None
    project.weight.copy_(found[:-1].T.reshape(project.weight.shape))
    project.bias.copy_(found[-1])
    if dist.is_initialized():
        # Each process has seen its share of the batch: the first one's map is everyone's.
        dist.broadcast(project.weight, 0)
        dist.broadcast(project.bias, 0)


def _rows(values: torch.Tensor) -> torch.Tensor:
    """[rows, width]: of [N, C, H, W] by place, else by the last axis."""
    last = values.movedim(1, -1) if values.ndim == 4 else values
    return last.reshape(-1, last.shape[-1])
