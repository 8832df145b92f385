"""What flows through a network's modules, read by their paths: of a network, and of the graph that was captured of it."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import fx, nn

from edgecomp.errors import CaptureError, nearest
from edgecomp.quantization.capture import output_of

Read = Callable[[], torch.Tensor]


class Tap(nn.Module):
    """Keeps what flows through it."""

    value: torch.Tensor

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.value = x
        return x


def tap(network: nn.Module, path: str) -> Callable[[], torch.Tensor]:
    """What reads the output of the module at `path` after each forward pass. Raises CaptureError.

    The network may be a captured graph: the modules it was captured from are known by the names of its nodes.
    """
    kept = Tap()
    if isinstance(network, fx.GraphModule):
        node, known_paths = output_of(network, path)
        if node is None:
            raise CaptureError(_unknown(path, known_paths))
        name = f"tap_{path.replace('.', '_')}"
        network.add_submodule(name, kept)
        with network.graph.inserting_after(node):
            network.graph.call_module(name, (node,))
        network.recompile()
    else:
        known = dict(network.named_modules())
        if path not in known:
            raise CaptureError(_unknown(path, list(known)))
        known[path].register_forward_hook(lambda module, inputs, output: _keep(kept, output))
    return lambda: kept.value


def taps(asked: Sequence[Callable[[], Read]]) -> list[Read]:
    """What each of `asked` makes, such as a `tap`. Raises CaptureError with all that are not there."""
    found, wrong = [], []
    for one in asked:
        try:
            found.append(one())
        except CaptureError as error:
            wrong.append(str(error))
    if wrong:
        raise CaptureError("; ".join(wrong))
    return found


def _keep(kept: Tap, output: Any) -> None:
    """The first tensor of what a module gives: transformers' layers give tuples."""
    kept(output[0] if isinstance(output, tuple) else output)


def _unknown(path: str, known: Sequence[str]) -> str:
    names = list(dict.fromkeys(name for name in known if name))
    return f"distill: no module {path!r}{nearest(path, names)}; there are {', '.join(names)}"
