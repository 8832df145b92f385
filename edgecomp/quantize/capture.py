"""A network as a graph of ATen operators, by torch.export: what placement and folding work on, whatever the
architecture. Batch normalisation and dropout become modules again, so that the graph can be trained."""

import copy
import os
import traceback
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import fx, nn

from edgecomp.errors import CaptureError

aten = torch.ops.aten

# Operators that write into their input, and what they compute.
IN_PLACE = {
    aten.add_.Tensor: aten.add.Tensor,
    aten.mul_.Tensor: aten.mul.Tensor,
    aten.relu_.default: aten.relu.default,
    aten.hardtanh_.default: aten.hardtanh.default,
    aten.hardswish_.default: aten.hardswish.default,
    aten.silu_.default: aten.silu.default,
    aten.leaky_relu_.default: aten.leaky_relu.default,
    aten.dropout_.default: aten.dropout.default,
}

DynamicAxes = Sequence[Mapping[int, str]]
"""By input: axis → name. Axes of one name have one size; the first axis is usually `batch`."""


def capture(network: nn.Module, example: Sequence[torch.Tensor], dynamic_axes: DynamicAxes) -> fx.GraphModule:
    """The network's graph, with parameters under their own names, shared with `network`.

    example: one tensor an input, each dynamic axis at least 2 long. Raises CaptureError with the operator or line
    that stops torch.export.
    """
    try:
        program = _exported(network.eval(), tuple(example), dynamic_shapes(dynamic_axes))
    except Exception as error:  # torch.export raises whatever the network's own code and its own checks raise
        raise CaptureError(
            f"{type(network).__name__} cannot be captured by torch.export{_place(error)}: {_first_words(error)}. "
            "Control flow that depends on a tensor's values must be rewritten, for example with torch.where"
        ) from error
    unguarded = program.module(check_guards=False)
    module = fx.GraphModule(unguarded, unguarded.graph)  # its own train() and eval() work
    _undo_in_place(module)
    for node in list(module.graph.nodes):
        if node.target is aten._assert_tensor_metadata.default:
            module.graph.erase_node(node)
        elif node.target is aten.batch_norm.default:
            _restore_batchnorm(module, node)
        elif node.target is aten.dropout.default:
            _restore_dropout(module, node)
    module.graph.eliminate_dead_code()  # the parameters of what has become a module
    module.graph.lint()
    module.recompile()
    return module


def duplicate(module: fx.GraphModule) -> fx.GraphModule:
    """A copy that shares nothing with the module."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of torch's own copying
        return copy.deepcopy(module)


def dynamic_shapes(dynamic_axes: DynamicAxes) -> tuple[dict[int, Any], ...]:
    """The axes in torch.export's terms: their ranges are found out, a size fixed by the network is refused."""
    return tuple({axis: torch.export.Dim.DYNAMIC for axis in axes} for axes in dynamic_axes)


def _exported(
    network: nn.Module, example: tuple[torch.Tensor, ...], shapes: Any
) -> torch.export.ExportedProgram:
    """A network that takes `*inputs` has one argument, a tuple, in torch.export's eyes."""
    try:
        return torch.export.export(network, example, dynamic_shapes=shapes, strict=False)
    except (torch._dynamo.exc.UserError, ValueError) as error:
        if "dynamic_shapes" not in str(error):
            raise
        return torch.export.export(network, example, dynamic_shapes=(shapes,), strict=False)


def _place(error: BaseException) -> str:
    """The innermost line of the network's own code that the error came through."""
    ours = (os.path.dirname(torch.__file__), os.path.dirname(__file__))
    frames = [
        frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith(ours)
    ]
    if not frames:
        return ""
    frame = frames[-1]
    return f", at {os.path.basename(frame.filename)}:{frame.lineno} `{frame.line}`"


def _first_words(error: BaseException) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__


def _undo_in_place(module: fx.GraphModule) -> None:
    """x.add_(y): whoever reads x afterwards reads the sum."""
    order = {node: index for index, node in enumerate(module.graph.nodes)}
    for node in module.graph.nodes:
        if node.target in IN_PLACE:
            node.target = IN_PLACE[node.target]
            written = node.args[0]
            for user in list(written.users):
                if order[user] > order[node]:
                    user.replace_input_with(written, node)


def _restore_batchnorm(module: fx.GraphModule, node: fx.Node) -> None:
    source, weight, bias, mean, variance, _, momentum, epsilon, *_ = node.args
    dimensions = source.meta["val"].ndim  # type: ignore[union-attr]
    kind = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d, 5: nn.BatchNorm3d}[dimensions]
    if mean is None or variance is None:
        return  # batch statistics at inference too: left as an operator without a rule
    statistics = [_attribute(module, value) for value in (mean, variance)]
    norm = kind(statistics[0].numel(), eps=epsilon, momentum=momentum, affine=weight is not None)  # type: ignore[arg-type]
    norm.running_mean, norm.running_var = statistics
    if weight is not None:
        norm.weight, norm.bias = _attribute(module, weight), _attribute(module, bias)
    path = str(mean.target).rpartition(".")[0] or f"norm_{node.name}"  # type: ignore[union-attr]
    module.set_submodule(path, norm.eval())
    _replace_by_module(module, node, path, source)


def _restore_dropout(module: fx.GraphModule, node: fx.Node) -> None:
    path = f"restored_{node.name}"
    module.add_submodule(path, nn.Dropout(float(node.args[1])).eval())  # type: ignore[arg-type]
    _replace_by_module(module, node, path, node.args[0])


def _replace_by_module(module: fx.GraphModule, node: fx.Node, path: str, source: Any) -> None:
    with module.graph.inserting_before(node):
        replacement = module.graph.call_module(path, (source,))
    replacement.meta = dict(node.meta)
    node.replace_all_uses_with(replacement)
    module.graph.erase_node(node)


def _attribute(module: fx.GraphModule, node: Any) -> Any:
    """The parameter or buffer behind a get_attr node."""
    owner, _, name = str(node.target).rpartition(".")
    return getattr(module.get_submodule(owner), name)
