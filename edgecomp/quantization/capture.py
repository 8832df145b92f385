"""A network as a graph of ATen operators, by torch.export: what placement and folding work on, whatever the
architecture. Batch normalisation and dropout become modules again, so that the graph can be trained."""

import copy
import inspect
import os
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import fx, nn
from torch._decomp import decomposition_table
from torch.export import _patches
from torch.utils._pytree import tree_unflatten

from edgecomp.errors import CaptureError
from edgecomp.outputs import named
from edgecomp.quantization.constants import value_of
from edgecomp.quantization.layers import layer_name
from edgecomp.quantization.linear import write_as_linear

aten = torch.ops.aten

# Operators of a dropout, and the module that they become again.
DROPOUTS: dict[Any, type[nn.Module]] = {
    aten.dropout.default: nn.Dropout,
    aten.feature_dropout.default: nn.Dropout2d,
    aten.alpha_dropout.default: nn.AlphaDropout,
}

# Operators that do nothing, or fail, by how a tensor happens to lie in memory, and what does not depend on that:
# the exporter decomposes attention into operators that lay their result out in another order.
STRIDES: dict[Any, tuple[Any, dict[str, Any]]] = {
    aten.view.default: (aten.reshape.default, {}),
    aten.contiguous.default: (aten.clone.default, {"memory_format": torch.contiguous_format}),
}

# Recurrent operators that ONNX has, and where torch computes them step by step.
RECURRENT = (aten.lstm.input, aten.gru.input)
STEP_BY_STEP = (torch._C.DispatchKey.CompositeImplicitAutograd, torch._C.DispatchKey.Autograd)

DynamicAxes = Sequence[Mapping[int, str]]
"""By input: axis → name. Axes of one name have one size; the first axis is usually `batch`."""


def capture(network: nn.Module, example: Sequence[torch.Tensor], dynamic_axes: DynamicAxes) -> fx.GraphModule:
    """The network's graph, with parameters under their own names, shared with `network`.

    example: one tensor an input, each dynamic axis at least 2 long; dynamic_axes: by input, axis → name.
    Raises CaptureError with the operator or line that stops torch.export.
    """
    try:
        shapes = dynamic_shapes(network, dynamic_axes)
        with recurrent_layers_whole():
            program = torch.export.export(network.eval(), tuple(example), dynamic_shapes=shapes, strict=False)
    except Exception as error:  # torch.export raises whatever the network's own code and its own checks raise
        raise CaptureError(
            f"{type(network).__name__} cannot be captured by torch.export{_place(error)}: {_first_words(error)}. "
            f"{_advice(error, network)}"
        ) from error
    unguarded = program.module(check_guards=False)
    module = fx.GraphModule(unguarded, unguarded.graph)  # its own train() and eval() work
    _one_or_a_tuple(module, program.call_spec.out_spec)
    _undo_in_place(module)
    for node in list(module.graph.nodes):
        if node.target is aten._assert_tensor_metadata.default:
            module.graph.erase_node(node)
        elif node.target is aten.batch_norm.default:
            _restore_batchnorm(module, node, network)
        elif node.target in DROPOUTS:
            _restore_dropout(module, node)
        elif node.target is aten.avg_pool2d.default and _covers_the_image(node):
            node.target, node.args, node.kwargs = aten.adaptive_avg_pool2d.default, (node.args[0], [1, 1]), {}
        elif node.target in (aten.clamp.default, aten.clamp_min.default):
            _restore_relu(node)
        elif node.target in STRIDES:
            _forget_strides(node)
        elif node.target is aten.lstm.input:
            _refuse_projection(node)
    write_as_linear(module)
    module.graph.eliminate_dead_code()  # the parameters of what has become a module
    module.graph.lint()
    module.recompile()
    return module


def _one_or_a_tuple(module: fx.GraphModule, spec: Any) -> None:
    """Several outputs become a tuple, in the order of their names: what a dictionary or a named tuple was is forgotten. spec: torch's, of
    what the network returns."""
    if spec.is_leaf():
        return
    (output,) = (node for node in module.graph.nodes if node.op == "output")
    given = tree_unflatten(list(output.args[0]), spec)
    in_order = named(given).values() if named(given) else given
    output.args = (tuple(node for node in in_order if isinstance(node, fx.Node)),)
    module.graph.set_codegen(fx.graph.CodeGen())


_last: dict[tuple[int, ...], fx.GraphModule] = {}


def captured_once(weights: Path, capture: Callable[[], fx.GraphModule]) -> fx.GraphModule:
    """A copy of the graph of what has these weights, captured where they are not those of the last call.

    weights: their file; capture: makes the graph of the network that has them.
    """
    found = weights.stat()
    key = (found.st_dev, found.st_ino, found.st_mtime_ns)
    if key not in _last:
        _last.clear()
        _last[key] = capture()
    return duplicate(_last[key])


def duplicate(module: fx.GraphModule) -> fx.GraphModule:
    """A copy that shares nothing with the module."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of torch's own copying
        return copy.deepcopy(module)


def output_of(module: fx.GraphModule, path: str) -> tuple[fx.Node | None, list[str]]:
    """The last node that was computed inside the module that was at `path` of the network, None where there was none, and the paths that are known.

    module: a captured network, with fake-quant or without.
    """
    found: fx.Node | None = None
    known: list[str] = []
    for node in module.graph.nodes:
        stack = [name for name, _ in node.meta.get("nn_module_stack", {}).values()]
        known += stack
        if path in stack and isinstance(node.meta.get("val"), torch.Tensor):
            found = node
    return found, known


def dynamic_shapes(network: nn.Module, dynamic_axes: DynamicAxes) -> tuple[Any, ...]:
    """dynamic_axes in torch.export's terms: ranges are found out, a size fixed by the network is refused.

    A network that takes `*inputs` has one argument, a tuple, in torch.export's eyes.
    """
    shapes = tuple({axis: torch.export.Dim.DYNAMIC for axis in axes} for axes in dynamic_axes)
    kinds = {parameter.kind for parameter in inspect.signature(network.forward).parameters.values()}
    return (shapes,) if kinds == {inspect.Parameter.VAR_POSITIONAL} else shapes


@contextmanager
def recurrent_layers_whole() -> Iterator[None]:
    """While it lasts, torch.export takes an LSTM or GRU for one operator of any length.

    It keeps the operator as one, but to find its results' shapes it computes the layer step by step, which fixes the length.
    """
    places: list[tuple[dict[Any, Any], Any]] = [(decomposition_table, one) for one in RECURRENT]
    places += [(one.py_kernels, key) for one in RECURRENT for key in STEP_BY_STEP]
    places += [
        (vars(_patches), f"{kind}_while_loop_impl") for kind in ("lstm", "gru")
    ]  # torch.onnx puts these in their place

    def put(kernels: Sequence[Any]) -> None:
        for (table, key), kernel in zip(places, kernels, strict=True):
            table[key] = kernel
        for operator in RECURRENT:
            operator._dispatch_cache.clear()

    known = [table[key] for table, key in places]
    put([_recurrent_shapes] * len(places))
    try:
        yield
    finally:
        put(known)


def _recurrent_shapes(
    x: torch.Tensor, states: Any, parameters: Any, has_biases: bool, layers: int, dropout: float, train: bool,
    bidirectional: bool, batch_first: bool,
) -> tuple[torch.Tensor, ...]:  # fmt: skip
    """Of aten.lstm.input, whose states are two, and aten.gru.input: all steps [., ., directions · hidden], and the last states."""
    last = states if isinstance(states, (list, tuple)) else [states]
    outputs = x.new_empty((*x.shape[:2], (2 if bidirectional else 1) * last[0].shape[-1]))
    return outputs, *map(torch.empty_like, last)


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


def _advice(error: BaseException, network: nn.Module) -> str:
    if "specialized" in str(error) or "Constraints violated" in str(error):
        recurrent = [
            f"{name} ({type(part).__name__})"
            for name, part in network.named_modules()
            if isinstance(part, nn.RNN)
        ]
        if recurrent:
            return (
                f"torch.export writes a recurrent layer, {', '.join(recurrent)}, out step by step for one length: give it data of one "
                "length, or take an LSTM or a GRU, which are kept as they are"
            )
        return (
            "The network's code fixes the size of an axis that is declared dynamic: it must compute with x.shape "
            "in place of numbers, or the axis must be declared fixed"
        )
    return "Control flow that depends on a tensor's values must be rewritten, for example with torch.where"


def _undo_in_place(module: fx.GraphModule) -> None:
    """x.add_(y): whoever reads x afterwards reads the sum. What writes into a part of a tensor is left as it is."""
    order = {node: index for index, node in enumerate(module.graph.nodes)}
    for node in module.graph.nodes:
        functional = _functional(node.target)
        if functional is None:
            continue
        written = node.args[0]
        if _views(written) and any(order[user] > order[node] for user in written.args[0].users):
            continue
        node.target = functional
        for user in list(written.users):
            if order[user] > order[node]:
                user.replace_input_with(written, node)


def _functional(target: Any) -> Any:
    """aten.add.Tensor for aten.add_.Tensor; None for what does not write into its first argument."""
    if not isinstance(target, torch._ops.OpOverload) or not target._schema.name.endswith("_"):
        return None
    packet = getattr(aten, target._schema.name.removeprefix("aten::")[:-1], None)
    return getattr(packet, target._overloadname, None)


def _views(node: Any) -> bool:
    """Whether the operator's result lies in its first argument's memory."""
    if not isinstance(node.target, torch._ops.OpOverload) or not node.target._schema.arguments:
        return False
    return node.target._schema.arguments[0].alias_info is not None


def _restore_batchnorm(module: fx.GraphModule, node: fx.Node, network: nn.Module) -> None:
    source, weight, bias, mean, variance, _, momentum, epsilon, *_ = node.args
    dimensions = source.meta["val"].ndim  # type: ignore[union-attr]
    kind = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d, 5: nn.BatchNorm3d}[dimensions]
    if mean is None or variance is None:
        return  # batch statistics at inference too: left as an operator without a rule
    statistics = [value_of(module, value) for value in (mean, variance)]  # type: ignore[arg-type]
    norm = kind(statistics[0].numel(), eps=epsilon, momentum=momentum, affine=weight is not None)  # type: ignore[arg-type]
    norm.running_mean, norm.running_var = statistics
    if weight is not None:
        norm.weight, norm.bias = value_of(module, weight), bias and value_of(module, bias)  # type: ignore
    path = str(mean.target).rpartition(".")[0] or f"norm_{node.name}"  # type: ignore[union-attr]
    written = dict(network.named_modules()).get(path)
    if isinstance(written, nn.modules.batchnorm._BatchNorm):
        norm.momentum = written.momentum  # None, a cumulative average, is 0 in the graph
    module.set_submodule(path, norm.eval())
    _replace_by_module(module, node, path, source)


def _restore_dropout(module: fx.GraphModule, node: fx.Node) -> None:
    path = f"restored_{node.name}"
    module.add_submodule(path, DROPOUTS[node.target](node.args[1]).eval())
    _replace_by_module(module, node, path, node.args[0])


def _restore_relu(node: fx.Node) -> None:
    """clamp(x, 0) is a ReLU, clamp(x, 0, 6) a ReLU6: what runs inside the operator before it."""
    source, low, high = (*node.args, node.kwargs.get("min"), None)[:3]
    high = node.kwargs.get("max", high)
    if isinstance(low, (int, float)) and low == 0 and (high is None or isinstance(high, (int, float))):
        target = aten.relu.default if high is None else aten.hardtanh.default
        node.target, node.args, node.kwargs = target, (source,) if high is None else (source, 0.0, high), {}


def _covers_the_image(node: fx.Node) -> bool:
    """A window larger than its image, cut off at the border: it averages all there is, but OpenVINO refuses it."""
    window: Any = node.args[1]
    ceil = len(node.args) > 4 and node.args[4] is True and not any(node.args[3])  # type: ignore[arg-type]
    sizes = node.args[0].meta["val"].shape[-2:]  # type: ignore[union-attr]
    fixed = all(isinstance(size, int) for size in sizes)
    return ceil and fixed and all(size < side for size, side in zip(sizes, window, strict=True))


def _refuse_projection(node: fx.Node) -> None:
    states: Any = node.args[1]
    outputs, cells = (one.meta["val"].shape[-1] for one in states)
    if outputs != cells:
        raise CaptureError(f"{layer_name(node)} (LSTM) has proj_size={outputs}, and ONNX's LSTM has no projection: put a linear layer of "
                           "that size behind an LSTM without one")  # fmt: skip


def _forget_strides(node: fx.Node) -> None:
    target, settings = STRIDES[node.target]
    node.target, node.kwargs = target, settings


def _replace_by_module(module: fx.GraphModule, node: fx.Node, path: str, source: Any) -> None:
    with module.graph.inserting_before(node):
        replacement = module.graph.call_module(path, (source,))
    replacement.meta = dict(node.meta)
    node.replace_all_uses_with(replacement)
    module.graph.erase_node(node)
