"""Bias correction: the mean that rounding takes from a layer's output is given back to its bias.

Nagel et al. 2019 (arXiv:1906.04721), section 4.2, with the shift measured on calibration data in place of derived.
"""

from typing import Any

import torch
from torch import fx, nn

from edgecomp.quantization.calibration import Batches
from edgecomp.quantization.constants import constant_nodes, value_of
from edgecomp.quantization.layers import Norm, layers, norm_after, rule_of
from edgecomp.training.loop import network_inputs

Means = dict[str, torch.Tensor]


@torch.no_grad()
def correct_biases(
    quantised: fx.GraphModule,
    fp32: fx.GraphModule,
    batches: Batches,
    known: Means | None = None,
    *,
    adds: bool = True,
) -> None:
    """Makes the mean of every layer's output, by channel and over all batches, that of the fp32 network, in place.

    quantised: fake-quant placed in a copy of fp32, and calibrated; not folded; known: means of the fp32 network's layers that were
    found before, to which those that are wanted are added; adds: a bias, where a layer has none of its own; without it such a layer stays as it is, and so
    do the names of all parameters. One layer after another, each fed by
    those already corrected. The shift is measured after the batch normalisation that follows a layer, and goes to that
    one's β: in inference it comes to the same bias when folded, whether the layer's own takes it, the running mean or
    β, but only β can where γ is 0. For such layers there is little to do after `reestimate_batchnorm`, which
    restores β as the mean by itself. Other layers get a bias, or one of their own where several share it; a
    normalisation that several layers share stays as it is. Padding counts like any position. Holds of all batches at
    once what the graph still needs.
    """
    quantised.eval()
    shifted = _biases(quantised, adds)
    wanted = {} if known is None else known
    axes = {node.name: axis for node, (_, axis) in shifted.items() if node.name not in wanted}
    if axes:
        wanted |= _means(fp32.eval(), axes, batches)
    running = [_Step(quantised, batch) for batch in batches]
    for node in quantised.graph.nodes:
        for one in running:
            one.step(node)
        if node not in shifted:
            continue
        bias, axis = shifted[node]
        outputs = [one.env[node] for one in running]
        shift = (wanted[node.name] - _mean(outputs, axis)).to(bias.dtype)
        bias += shift
        for output, one in zip(outputs, running, strict=True):
            one.env[node] = output + shift.reshape(
                [-1 if i == axis % output.ndim else 1 for i in range(output.ndim)]
            )


def _biases(module: fx.GraphModule, adds: bool) -> dict[fx.Node, tuple[torch.Tensor, int]]:
    """By the node whose mean is to be kept, a layer or its normalisation: what is added to it, and its channels' axis."""
    found: dict[fx.Node, tuple[torch.Tensor, int]] = {}
    calls = [str(node.target) for node in module.graph.nodes if node.op == "call_module"]
    constants = constant_nodes(module)
    for node in [node for node in layers(module) if node not in constants]:
        followed = norm_after(module, node)
        if followed is None:
            bias = _new_bias(module, node) if adds else _own_bias(module, node)
            if bias is not None:
                found[node] = (bias, 1 if rule_of(node) == "convolution" else -1)
        elif calls.count(str(followed[0].target)) == 1 and (adds or followed[1].bias is not None):
            found[followed[0]] = (_beta(followed[1]), 1)
    module.recompile()
    return found


def _own_bias(module: fx.GraphModule, node: fx.Node) -> torch.Tensor | None:
    """The bias that this layer alone has; None where there is none, or others read it too."""
    bias: Any = node.args[2] if len(node.args) > 2 else None
    if bias is None or bias.op != "get_attr" or len(bias.users) > 1:
        return None
    places = [one for one in module.graph.nodes if one.op == "get_attr" and one.target == bias.target]
    return value_of(module, bias) if len(places) == 1 else None


def _new_bias(module: fx.GraphModule, node: fx.Node) -> torch.Tensor:
    """The bias that this layer alone has from now on; zeros where it had none."""
    source: Any = node.args[1]
    weight = value_of(module, source)
    bias: Any = node.args[2] if len(node.args) > 2 else None
    value = weight.new_zeros(len(weight)) if bias is None else value_of(module, bias).detach().clone()
    path = f"corrected_bias_{node.name}"
    module.register_parameter(path, nn.Parameter(value))
    with module.graph.inserting_before(node):
        own = module.graph.get_attr(path)
    node.args = (*node.args[:2], own, *node.args[3:])
    return module.get_parameter(path)


def _beta(norm: Norm) -> torch.Tensor:
    if norm.bias is None:
        assert norm.running_mean is not None
        norm.bias = nn.Parameter(torch.zeros_like(norm.running_mean))
        if norm.weight is None:
            norm.weight = nn.Parameter(torch.ones_like(norm.running_mean))
    return norm.bias


class _Step(fx.Interpreter):
    """The graph on one batch, a node at a time; `env` holds what nodes to come will read."""

    def __init__(self, module: fx.GraphModule, batch: Any) -> None:
        super().__init__(module)
        self.args_iter = iter(network_inputs(batch))
        self._last = self.user_to_last_uses

    def step(self, node: fx.Node) -> None:
        self.env[node] = self.run_node(node)
        for spent in self._last.get(node, []):
            del self.env[spent]


def _means(module: fx.GraphModule, axes: dict[str, int], batches: Batches) -> Means:
    """The mean by channel of the outputs of those nodes: name → [channels]."""
    sums: dict[str, torch.Tensor] = {}
    counts: dict[str, int] = {}
    for batch in batches:
        one = _Step(module, batch)
        for node in module.graph.nodes:
            one.step(node)
            if node.name in axes:
                total, count = _total(one.env[node], axes[node.name])
                sums[node.name] = sums.get(node.name, torch.zeros_like(total)) + total
                counts[node.name] = counts.get(node.name, 0) + count
    return {name: total / counts[name] for name, total in sums.items()}


def _mean(outputs: list[torch.Tensor], axis: int) -> torch.Tensor:
    totals, counts = zip(*(_total(output, axis) for output in outputs), strict=True)
    mean: torch.Tensor = sum(totals, torch.zeros_like(totals[0])) / sum(counts)
    return mean


def _total(output: torch.Tensor, axis: int) -> tuple[torch.Tensor, int]:
    """The sum by channel, in double precision, and of how many values each is."""
    rows = output.movedim(axis, 0).flatten(1)
    return rows.double().sum(1), rows.shape[1]
