"""A folded gpu-s8 student with its linear layers in integers: int8 × int8 → int32 by torch._int_mm, on the GPU and on the CPU."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn

from edgecomp.quantization.capture import duplicate
from edgecomp.quantization.fake_quant import FakeQuant
from edgecomp.quantization.layers import layer_name, layers, module_of, rule_of
from edgecomp.quantization.placement import fake_quants, weighted

FEWEST_ROWS = 17  # torch._int_mm on CUDA takes more than 16 rows,
MULTIPLE = 8  # and other sizes that are multiples of 8


class Levels(nn.Module):
    """Values → their integers on an activation's grid, int8; the zero point is 0."""

    step: float

    def __init__(self, quant: FakeQuant) -> None:
        super().__init__()
        assert not quant.zero_point.any(), "gpu-s8 has none"
        self.step, self.low, self.high = float(quant.scale()), quant.grid.low, quant.grid.high

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x.float() / self.step).round().clamp(self.low, self.high).to(torch.int8)


class Int8Linear(nn.Module):
    """int8 [..., K] → [..., N] in `out`; sizes that the kernel refuses are filled up with zeros, and `filled` says so."""

    levels: torch.Tensor
    scale: torch.Tensor
    bias: torch.Tensor | None

    def __init__(
        self, weight: torch.Tensor, quant: FakeQuant, step: float, bias: torch.Tensor | None
    ) -> None:
        super().__init__()
        scale = quant.scale()
        levels = (
            (weight.detach() / scale.detach()).round().clamp(quant.grid.low, quant.grid.high).to(torch.int8)
        )
        self.outputs, self.inputs = levels.shape
        spare = (-self.inputs % MULTIPLE, -self.outputs % MULTIPLE)
        self.filled = any(spare)
        self.register_buffer("levels", F.pad(levels, (0, spare[0], 0, spare[1])))
        self.register_buffer("scale", scale.detach().flatten() * step)
        self.register_buffer("bias", None if bias is None else bias.detach().clone())
        self.out = torch.float32

    def forward(self, levels: torch.Tensor) -> torch.Tensor:
        flat = levels.reshape(-1, self.inputs)
        count = flat.shape[0]
        flat = F.pad(flat, [0, self.levels.shape[1] - self.inputs, 0, _spare(count)])
        sums = torch._int_mm(flat, self.levels.t())[:count, : self.outputs]
        values = sums.float() * self.scale
        if self.bias is not None:
            values = values + self.bias
        return values.to(self.out).reshape(*levels.shape[:-1], self.outputs)


def _spare(rows: Any) -> Any:
    """How many rows of zeros bring so many to what the kernel takes; rows: a number, or one that an exporter leaves free."""
    if torch._C._get_tracing_state() is not None:
        return FEWEST_ROWS - 1  # whatever they are: a trace holds for any number
    return torch.sym_max(0, FEWEST_ROWS - rows)  # type: ignore[no-untyped-call]  # torch does not type it


def in_int8(folded: fx.GraphModule) -> tuple[fx.GraphModule, list[str], dict[str, str]]:
    """A copy that computes in integers what it can, the layers that do, and the others with the reason.

    folded: a student of scheme gpu-s8, folded, which stays as it is.
    """
    module = duplicate(folded)
    _bake_tables(module)
    done, left = [], {}
    quantised = {node: (source, quant) for node, source, quant in weighted(module)}
    levels: dict[fx.Node, fx.Node] = {}
    for node in layers(module):
        name = str(layer_name(node))
        reason = _obstacle(module, node, node in quantised)
        if reason:
            left[name] = reason
            continue
        source, quant = quantised[node]
        _replace(module, node, source, quant, levels)
        done.append(name)
    module.graph.eliminate_dead_code()
    module.delete_all_unused_submodules()
    for part in fake_quants(module).values():
        part.form = "plain"  # type: ignore[assignment]  # a fake-quant module's own
    module.graph.lint()
    module.recompile()
    return module, done, left


def in_type(module: nn.Module, dtype: torch.dtype) -> nn.Module:
    """What integer layers hand on is of that type, and their scales stay in fp32, in place: after a move to that type.

    module: which `in_int8` has made; dtype: fp32, fp16 or bf16.
    """
    for part in module.modules():
        if isinstance(part, Int8Linear):
            part.out = dtype
            part.scale = part.scale.float()
            part.bias = None if part.bias is None else part.bias.float()
    return module


def _obstacle(module: fx.GraphModule, node: fx.Node, is_quantised: bool) -> str:
    if rule_of(node) != "linear":
        return (
            "a convolution: PyTorch has no int8 kernel for it on CUDA; TensorRT's is what the scheme is for"
        )
    read = module_of(module, node.args[0])
    if not is_quantised or not isinstance(read, FakeQuant):
        return "its weight or its input is in float"
    return ""


def _replace(
    module: fx.GraphModule, node: fx.Node, source: fx.Node, quant: FakeQuant, levels: dict[fx.Node, fx.Node]
) -> None:
    """The layer by an Int8Linear, which shares its input's integers with the others that read it."""
    read: Any = node.args[0]
    if read not in levels:
        path = f"levels_{read.name}"
        module.add_submodule(path, Levels(module_of(module, read)))  # type: ignore[arg-type]  # an fx argument that is a node here
        with module.graph.inserting_after(read):
            levels[read] = module.graph.call_module(path, (read.args[0],))
    bias: Any = node.args[2] if len(node.args) > 2 else None
    grid: Any = module.get_submodule(str(levels[read].target))
    value = None if bias is None else module.get_parameter(str(bias.target))
    path = f"int8_{node.name}"
    weight = module.get_parameter(str(source.target))
    module.add_submodule(path, Int8Linear(weight, quant, grid.step, value))
    with module.graph.inserting_before(node):
        layer = module.graph.call_module(path, (levels[read],))
    layer.meta = dict(node.meta)
    node.replace_all_uses_with(layer)
    module.graph.erase_node(node)


@torch.no_grad()
def _bake_tables(module: fx.GraphModule) -> None:
    """An embedding's table holds its rounded values: no fake-quant is left that another type would round otherwise."""
    for node in list(module.graph.nodes):
        users = list(node.users)
        quant = module_of(module, users[0]) if len(users) == 1 else None
        if rule_of(node) == "embedding" and isinstance(quant, FakeQuant):
            table = module.get_parameter(str(node.args[0].target))
            table.copy_(quant(table))
            users[0].replace_all_uses_with(node)
            module.graph.erase_node(users[0])
