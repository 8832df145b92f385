"""TorchScript, for those who still deploy it. torch.jit is deprecated; its warning is caught here and nowhere else."""

import io
import warnings
import zipfile
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import fx, nn

from edgecomp.errors import EdgecompError
from edgecomp.quantization.capture import duplicate

# Operators with sizes among their arguments, which a trace takes for constants, and the methods where it does not.
AS_METHODS = {
    torch.ops.aten.sym_size.int: "size",
    torch.ops.aten.expand.default: "expand",
    torch.ops.aten.repeat.default: "repeat",
    torch.ops.aten.reshape.default: "reshape",
    torch.ops.aten.view.default: "view",
}

# The same of what makes tensors: a recurrent layer's first states. With states for another batch torch's LSTM writes beyond its memory.
AS_FUNCTIONS = {
    torch.ops.aten.zeros.default: torch.zeros,
    torch.ops.aten.ones.default: torch.ones,
    torch.ops.aten.full.default: torch.full,
}

NOTES = (".debug_pkl", "serialization_id")  # stack traces with this machine's paths, and a digest of them


@torch.no_grad()
def save(
    network: nn.Module, example: Sequence[torch.Tensor], other: Sequence[torch.Tensor], path: Path
) -> None:
    """Writes the traced network to `path`, for any batch size and length, without control flow.

    The same network gives the same bytes. example: the inputs it is traced with, one tensor each. Raises
    EdgecompError where it cannot be traced, or inputs of another shape, `other`, get another answer than the
    network gives.
    """
    network = _with_traced_sizes(network) if isinstance(network, fx.GraphModule) else network
    traced = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # its deprecation, and of sizes that the trace takes for constants: checked below
        try:
            script = torch.jit.trace(network.eval(), tuple(example), check_trace=False)  # type: ignore[no-untyped-call]
        except (RuntimeError, TypeError) as error:
            raise EdgecompError(
                f"{type(network).__name__}: TorchScript cannot trace it ({str(error).splitlines()[0][:200]})"
            ) from error
        torch.jit.save(script, traced)
    if not torch.equal(_answer(script, other), _answer(network, other)):
        raise EdgecompError(
            f"{type(network).__name__}: TorchScript's trace holds for one shape of the inputs only"
        )
    with zipfile.ZipFile(traced) as whole, zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as file:
        for name in whole.namelist():
            if not name.endswith(NOTES):
                file.writestr(zipfile.ZipInfo(name), whole.read(name))


def _answer(network: nn.Module, inputs: Sequence[torch.Tensor]) -> torch.Tensor:
    try:
        answer: torch.Tensor = network(*inputs)
    except RuntimeError:  # a shape that does not fit
        return torch.empty(0)
    return answer


def _with_traced_sizes(module: fx.GraphModule) -> fx.GraphModule:
    """A copy that asks tensors for their sizes in a way that a trace follows."""
    copied = duplicate(module)
    for node in copied.graph.nodes:
        if node.target in AS_METHODS:
            node.op, node.target = "call_method", AS_METHODS[node.target]
        elif node.target in AS_FUNCTIONS:
            node.target = AS_FUNCTIONS[node.target]
    copied.recompile()
    return copied
