"""Early exits that are kept: the threshold of confidence that the validation split chooses, and what an answer then costs on average."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import save_file
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from edgecomp.distill.losses.of_features import pooled
from edgecomp.files.json_files import read_mapping
from edgecomp.files.writing import write_json
from edgecomp.outputs import as_one
from edgecomp.training.loop import load_weights

if TYPE_CHECKING:
    from edgecomp.distill.data import DistillationData
    from edgecomp.distill.losses.own.exits import Bound

FILE, WEIGHTS = "exits.json", "exits.safetensors"
GRID = 200  # thresholds that are tried

Numbers = npt.NDArray[np.float64]


class Choice(NamedTuple):
    """threshold: what the largest probability of an exit must reach, for its answer to be taken; leaving: the share of the examples that each exit
    answers, and the end; accuracy_pct: with them; cost: mean, as a share of the whole network's."""

    threshold: float
    leaving: list[float]
    accuracy_pct: float
    cost: float


def at_threshold(
    probabilities: Sequence[Numbers], labels: npt.NDArray[np.int64], costs: Sequence[float], threshold: float
) -> Choice:
    """What comes of one threshold.

    probabilities: [N, classes] of each exit in order, and of the end last; labels: int64 [N]; costs: up to each exit and to the end, as shares
    of the end's; threshold: of the largest probability, which the end need not reach.
    """
    sure = np.stack([one.max(axis=1) >= threshold for one in probabilities])
    sure[-1] = True
    taken = sure.argmax(axis=0)  # the first that is sure
    answers = np.stack([one.argmax(axis=1) for one in probabilities])[taken, np.arange(len(labels))]
    leaving = np.bincount(taken, minlength=len(probabilities)) / len(labels)
    return Choice(
        threshold,
        leaving.tolist(),
        float((answers == labels).mean() * 100),
        float(leaving @ np.asarray(costs)),
    )


def choose(
    probabilities: Sequence[Numbers],
    labels: npt.NDArray[np.int64],
    costs: Sequence[float],
    max_drop_pt: float,
) -> Choice:
    """The cheapest threshold with which at most `max_drop_pt` points of the end's accuracy are lost; one that nothing reaches where there is none.

    probabilities, labels, costs: as `at_threshold` has them.
    """
    largest = np.concatenate([one.max(axis=1) for one in probabilities[:-1]])
    tried = [*np.unique(np.quantile(largest, np.linspace(0, 1, GRID))).tolist(), 1.1]
    found = [at_threshold(probabilities, labels, costs, threshold) for threshold in tried]
    wanted = found[-1].accuracy_pct - max_drop_pt
    return min((one for one in found if one.accuracy_pct >= wanted), key=lambda one: one.cost)


class _Reached(Exception):  # noqa: N818 - it is an event
    pass


def cost_to(student: nn.Module, layer: str | None, example: Sequence[torch.Tensor]) -> int:
    """Multiply-accumulates of `student` up to the output of `layer`, or in all where it is None, of the `example` inputs."""

    def stop(module: nn.Module, inputs: Any, output: Any) -> None:
        raise _Reached

    hook = None if layer is None else student.get_submodule(layer).register_forward_hook(stop)
    counter = FlopCounterMode(display=False)
    try:
        with torch.no_grad(), counter:
            student.eval()(*example)
    except _Reached:
        pass
    finally:
        if hook is not None:
            hook.remove()
    return int(counter.get_total_flops()) // 2


def keep(
    bound: "Bound",
    student: nn.Module,
    data: "DistillationData",
    layers: Sequence[str],
    max_drop_pt: float,
    folder: Path,
) -> None:
    """Writes exits.json and exits.safetensors into `folder`.

    bound: the exits; student: trained, which they listen to; data: whose validation split chooses; layers: of the exits; max_drop_pt: that the
    chosen threshold may cost.
    """
    example = data.held_out().batch(np.arange(1)).inputs
    whole = cost_to(student, None, example)
    heads = [part.weight.numel() for part in bound.heads.modules() if isinstance(part, nn.Linear)]
    spent = [cost_to(student, layer, example) for layer in layers]
    # Whoever goes on has asked every exit before.
    costs = [(up_to + sum(heads[: place + 1])) / whole for place, up_to in enumerate(spent)]
    costs.append((whole + sum(heads)) / whole)
    write(bound, student, data, layers, max_drop_pt, costs, whole, folder)


@torch.no_grad()
def write(
    bound: "Bound",
    student: nn.Module,
    data: "DistillationData",
    layers: Sequence[str],
    max_drop_pt: float,
    costs: Sequence[float],
    macs: int,
    folder: Path,
) -> None:
    """Writes what `keep` does, of the same bound, student, data, layers, max_drop_pt and folder. costs: up to each exit and to the end, as shares of the whole
    network's, `macs` multiply-accumulates."""
    student.eval()
    bound.eval()
    held_out = data.held_out()
    said: list[list[torch.Tensor]] = []
    for start in range(0, len(held_out), 64):
        batch = held_out.batch(np.arange(start, min(start + 64, len(held_out))))
        end = as_one(student(*batch.inputs)).float()
        said.append([one.softmax(dim=1) for one in (*bound.answers(batch.mask), end)])
    probabilities = [torch.cat(parts).double().numpy() for parts in zip(*said, strict=True)]
    labels = data.views.validation.labels
    chosen = choose(probabilities, labels, costs, max_drop_pt)
    rows = [
        {
            "layer": layer,
            "accuracy_pct": float((one.argmax(axis=1) == labels).mean() * 100),
            "cost": cost,
            "leaving": leaving,
        }
        for layer, one, cost, leaving in zip(
            (*layers, "end"), probabilities, costs, chosen.leaving, strict=True
        )
    ]
    write_json(
        folder / FILE,
        {
            "exits": rows,
            "threshold": chosen.threshold if chosen.threshold <= 1 else None,
            "accuracy_pct": chosen.accuracy_pct,
            "average_cost": chosen.cost,
            "max_drop_pt": max_drop_pt,
            "examples": len(labels),
            "macs": macs,
        },
    )
    weights = {
        f"{layer}/{name}": value.contiguous()
        for layer, head in zip(layers, bound.heads, strict=True)
        for name, value in head.state_dict().items()
    }
    save_file(weights, folder / WEIGHTS)


def classifier(width: int, classes: int) -> nn.Sequential:
    """[N, width] → logits [N, classes], linear in values that are standardised over what was trained on."""
    return nn.Sequential(nn.BatchNorm1d(width, affine=False), nn.Linear(width, classes))


class Head(nn.Module):
    """A layer's output, of one example or without padding, → an exit's logits [N, classes]. reads: [N, width] → [N, classes]."""

    def __init__(self, reads: nn.Module) -> None:
        super().__init__()
        self.reads = reads

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.reads(pooled(values, None))
        return found


def kept(folder: Path) -> dict[str, nn.Module]:
    """By layer, what makes logits of its output, as `keep` wrote it into `folder`; none where there are none, or the threshold lets none of
    them answer."""
    if not (folder / FILE).is_file():
        return {}
    told, weights = read_mapping(folder / FILE, "exits", "threshold"), load_weights(folder / WEIGHTS)
    found: dict[str, nn.Module] = {}
    for layer in [one["layer"] for one in told["exits"][:-1]] if told["threshold"] is not None else []:
        own = {
            name.removeprefix(f"{layer}/"): value
            for name, value in weights.items()
            if name.startswith(f"{layer}/")
        }
        made = classifier(*reversed(own["1.weight"].shape))
        made.load_state_dict(own)
        found[layer] = Head(made).eval()
    return found


class EarlyExit(nn.Module):
    """A student that answers as soon as an exit is sure. One example at a time: the others of a batch would have to wait for it."""

    def __init__(self, student: nn.Module, heads: Mapping[str, nn.Module], threshold: float) -> None:
        """student: trained; heads: as `kept` gives them; threshold: of the largest probability."""
        super().__init__()
        self.student, self.threshold = student, threshold
        self.heads, self.layers = nn.ModuleList(heads.values()), list(heads)

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        """Logits [1, classes]; layers behind the exit that is taken are not computed."""
        taken: list[torch.Tensor] = []

        def asks(head: nn.Module) -> Any:
            def ask(module: nn.Module, given: Any, output: Any) -> None:
                logits = head(output[0] if isinstance(output, tuple) else output)
                if logits.softmax(dim=1).max() >= self.threshold:
                    taken.append(logits)
                    raise _Reached

            return ask

        hooks = [
            self.student.get_submodule(layer).register_forward_hook(asks(head))
            for layer, head in zip(self.layers, self.heads, strict=True)
        ]
        try:
            return as_one(self.student(*inputs))
        except _Reached:
            return taken[0]
        finally:
            for hook in hooks:
                hook.remove()
