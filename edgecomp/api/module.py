"""A network of the user's as a file for a target, where a notebook has no file."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from edgecomp.config.target import Target
from edgecomp.errors import UsageError
from edgecomp.runtimes import TABLE

if TYPE_CHECKING:
    import torch
    from torch import nn

Example: TypeAlias = "torch.Tensor | Sequence[torch.Tensor] | Mapping[str, torch.Tensor]"
"""Legal inputs of a network, [N, ...] each, with N ≥ 2: a tensor, several in order, or several by name."""


def file_for(network: "nn.Module", example: Any, target: Target, folder: Path) -> Path:
    """Writes the network as the file that the target's runtime takes, in a new folder, with a dynamic batch axis.

    example: as `Example` says. Raises UsageError without one or where it is no network, CaptureError where torch.export cannot capture it.
    """
    from torch import nn

    from edgecomp.export.formats import export_network
    from edgecomp.export.stage import Interface

    if not isinstance(network, nn.Module):
        raise UsageError(f"a model is a file, a folder or a torch.nn.Module, not {type(network).__name__}")
    arrays = {name: tensor.numpy() for name, tensor in _named(example).items()}
    axes: Any = [{0: "batch"} for _ in arrays]
    folder.mkdir(parents=True)
    return export_network(
        network.eval(), Interface(axes, arrays, arrays), folder / TABLE[target.runtime].model_file
    )


def _named(example: Any) -> "dict[str, torch.Tensor]":
    import torch

    if isinstance(example, torch.Tensor):
        example = [example]
    if isinstance(example, Sequence) and not isinstance(example, str):
        example = {
            "input" if len(example) == 1 else f"input_{place}": one for place, one in enumerate(example)
        }
    if (
        not isinstance(example, Mapping)
        or not example
        or not all(isinstance(one, torch.Tensor) for one in example.values())
    ):
        raise UsageError(
            "a network needs an example of its inputs: example=torch.zeros(2, 3, 32, 32), several in a list, or by name"
        )
    if any(one.ndim == 0 or len(one) < 2 for one in example.values()):
        shapes = ", ".join(f"{name} {list(one.shape)}" for name, one in example.items())
        raise UsageError(f"an example holds at least two examples along its first axis, not {shapes}")
    return dict(example)
