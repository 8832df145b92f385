"""Which layers would saturate on x86 without VNNI, and how often: an audit by arithmetic, no such CPU needed.

There an 8-bit product is `vpmaddubsw`: two neighbours of u8×s8 are added in 16 bits, and what does not fit is cut off
(Intel 64 and IA-32 Architectures Software Developer's Manual, PMADDUBSW). 255·127 + 255·127 does not fit.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import fx

from edgecomp.quantization.fake_quant import FakeQuant
from edgecomp.quantization.layers import layer_name
from edgecomp.quantization.placement import weighted

LOWEST, HIGHEST = -(2**15), 2**15 - 1
ROWS = 256  # positions of a layer's input that are looked at
CHUNK = 2**22  # sums held at once


class Saturation(NamedTuple):
    """One layer. worst: the largest sum its weights allow, for any input; shares in per cent, for the inputs given."""

    layer: str
    worst: int
    saturating_sums_pct: float
    wrong_outputs_pct: float


@torch.no_grad()
def audit(student: fx.GraphModule, inputs: Sequence[torch.Tensor]) -> list[Saturation]:
    """Every layer with integer inputs and weights, in order; depthwise ones apart, which are not computed so.

    student: folded, its states `quantise`; inputs: a tensor [N, ...] for each of its inputs. Neighbours are
    those of the kernels' order, channels innermost.
    """
    watched = _Layers(student)
    watched.run(*inputs)
    return [_audited(name, rows, weight) for name, rows, weight in watched.found]


class _Layers(fx.Interpreter):
    """Runs the graph and keeps, for each weighted layer, integer inputs [rows, K] and weights [outputs, K]."""

    def __init__(self, student: fx.GraphModule) -> None:
        super().__init__(student)
        self.found: list[tuple[str, torch.Tensor, torch.Tensor]] = []
        self._layers = {node: quant for node, _, quant in weighted(student)}

    def run_node(self, node: fx.Node) -> Any:
        quant = self._layers.get(node)
        source: Any = node.args[0] if node.args else None
        if quant is not None and source.op == "call_module":
            reader = self.module.get_submodule(str(source.target))
            if isinstance(reader, FakeQuant) and reader.grid.low >= 0:
                x, weight = self.env[source], self.env[node.all_input_nodes[1]]
                levels = (x / reader.scale()).round() + reader.zero_point
                found = _as_product(node, levels, (weight / quant.scale()).round())
                if found is not None:
                    self.found.append((str(layer_name(node)), *found))
        return super().run_node(node)


def _as_product(
    node: fx.Node, x: torch.Tensor, weight: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor] | None:
    """Rows of the matrix product a layer is computed as, at most ROWS of them; None for grouped convolutions."""
    if weight.ndim == 2:
        rows = x.reshape(-1, x.shape[-1])
    elif weight.ndim == 4 and x.ndim == 4 and weight.shape[1] == x.shape[1]:
        _, channels, height, width = weight.shape
        arguments = [*node.args[3:], *([1, 0, 1][len(node.args[3:]) :])]
        stride, padding, dilation = arguments[:3]
        if isinstance(padding, str):
            return None
        patches = F.unfold(x, (height, width), dilation, padding, stride)  # type: ignore[arg-type]
        rows = patches.transpose(1, 2).reshape(-1, channels, height * width).transpose(1, 2).flatten(1)
        weight = weight.permute(0, 2, 3, 1).flatten(1)
    else:
        return None
    chosen = torch.linspace(0, len(rows) - 1, min(ROWS, len(rows))).long()
    return rows[chosen], weight


def _audited(name: str, rows: torch.Tensor, weight: torch.Tensor) -> Saturation:
    if weight.shape[1] % 2:
        rows, weight = F.pad(rows, (0, 1)), F.pad(weight, (0, 1))
    pairs = weight.reshape(len(weight), -1, 2)
    most, least = pairs.clamp(min=0).sum(-1) * 255, pairs.clamp(max=0).sum(-1) * 255
    could = (most > HIGHEST) | (least < LOWEST)  # few of them: only these are looked at
    output, pair = could.nonzero(as_tuple=True)
    x = rows.reshape(len(rows), -1, 2)
    sums = wrong = 0
    step = max(1, CHUNK // (len(pair) + len(weight)))
    for start in range(0, len(x), step):
        total = (x[start : start + step, pair] * pairs[could]).sum(-1)
        over = (total > HIGHEST) | (total < LOWEST)
        sums += int(over.sum())
        of_outputs = torch.zeros(len(total), len(weight), dtype=torch.int32)
        wrong += int((of_outputs.index_add_(1, output, over.int()) > 0).sum())
    highest, lowest = int(most.max()), int(least.min())
    outputs = len(rows) * len(weight)
    return Saturation(
        name,
        highest if highest > -lowest else lowest,
        100 * sums / (outputs * pairs.shape[1]),
        100 * wrong / outputs,
    )
