"""`pt2:FILE`, what torch.export.save wrote, as a network of a recipe, with its own weights. Read as data: no pickle is opened."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgecomp.errors import UsageError
from edgecomp.models.onnx_files import draw_weights, found_file

if TYPE_CHECKING:
    from torch import nn

PT2 = "pt2:"
ARGUMENTS = {"pretrained": False}
"""What may be said of a file, and whether it must be."""


def files_of(reference: str, folder: Path) -> list[Path]:
    """The file that `reference` names from `folder`. Raises UsageError."""
    return [resolve(reference, folder)]


def resolve(reference: str, folder: Path) -> Path:
    """The file that `reference` (what follows `pt2:`) means, as `found_file` looks for it in `folder`. Raises UsageError."""
    return found_file(reference, folder, PT2)


def build_pt2(
    reference: str, given: Mapping[str, Any], arguments: Mapping[str, Any], folder: Path
) -> "nn.Module":
    """The network in the file, of whose outputs the first is meant. Raises UsageError, ModelFileError.

    reference, folder: as in `resolve`; given: what the data say, of no matter here; arguments: `pretrained: false`, weights drawn anew.
    """
    from edgecomp.runtimes.files import pt2

    pretrained = arguments.get("pretrained", True)
    if not isinstance(pretrained, bool):
        raise UsageError(f"{PT2}{reference}: pretrained is {pretrained!r}; write true or false")
    file = resolve(reference, folder)
    program = pt2.read(file, "cpu")
    for port in program.signature.inputs:
        if port.shape and port.shape[0] is not None:
            raise UsageError(f"{file}: its input {port.name!r} is of {port.shape[0]} examples and no other number: export it with a free batch "
                             "axis, dynamic_shapes={..., 0: torch.export.Dim('batch')}")  # fmt: skip
    network = program.module
    (output,) = network.graph.find_nodes(op="output")
    output.args = (output.args[0][0],)
    network.recompile()
    for parameter in network.parameters():
        parameter.requires_grad_(parameter.is_floating_point())
    if not pretrained:
        draw_weights(network)
    return network
