"""A student with early exits as files, one up to each exit and one behind the last, so that what is not needed is not computed: in float, or the one
that is quantised, in integers."""

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import onnx
import torch
from onnx.utils import Extractor
from torch import fx, nn

from edgecomp.errors import CaptureError, nearest
from edgecomp.export.onnx.qdq import export_onnx
from edgecomp.export.stage import Interface
from edgecomp.outputs import ONE, as_one
from edgecomp.quantization.capture import duplicate, output_of
from edgecomp.quantization.fake_quant import FakeQuant
from edgecomp.quantization.folding import fold

STATE, ANSWER = "state", "answer"
"""What a file hands to the next one, and the logits of its exit."""


class WithExits(nn.Module):
    """A student that gives, at each exit in order, its state [N, ...] and the exit's logits [N, classes], and its own logits last."""

    def __init__(self, student: nn.Module, heads: Mapping[str, nn.Module]) -> None:
        """student: trained; heads: by layer, what makes logits of that layer's output."""
        super().__init__()
        self.student, self.heads = student, nn.ModuleList(heads.values())
        self._layers = list(heads)

    def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        states: dict[str, torch.Tensor] = {}

        def keeps(layer: str) -> Any:
            def keep(module: nn.Module, given: Any, output: Any) -> None:
                states[layer] = output[0] if isinstance(output, tuple) else output

            return keep

        hooks = [
            self.student.get_submodule(layer).register_forward_hook(keeps(layer)) for layer in self._layers
        ]
        try:
            end = as_one(self.student(*inputs))
        finally:
            for hook in hooks:
                hook.remove()
        pairs = [
            (states[layer], head(states[layer])) for layer, head in zip(self._layers, self.heads, strict=True)
        ]
        return (*(one for pair in pairs for one in pair), end)


def export_exits(
    student: nn.Module, heads: Mapping[str, nn.Module], interface: Interface, folder: Path
) -> None:
    """Writes exit_0.onnx, exit_1.onnx, … and end.onnx into `folder`, in float.

    Each but the last gives `answer`, the exit's logits, and `state`, which the next one takes beside those of the network's own inputs that it still
    needs. student: trained; heads: by layer, in the order that they are computed; interface: what goes into the student. Raises CaptureError.
    """
    _write(WithExits(student, heads).eval(), len(heads), interface, folder)


def export_int8_exits(
    student: fx.GraphModule, heads: Mapping[str, nn.Module], interface: Interface, folder: Path
) -> None:
    """The same of a captured student with fake-quant, which stays as it is: its layers in integers, `state` and the exits in float.

    What an exit reads is what its layer gives before that is rounded, so that the next file rounds it once, and all files together are the whole
    student to the bit. student, heads, interface, folder: as `export_exits` has them. Raises CaptureError.
    """
    _write(fold(_giving_states(student, heads)), len(heads), interface, folder)


def _giving_states(student: fx.GraphModule, heads: Mapping[str, nn.Module]) -> fx.GraphModule:
    """A copy of a captured `student` that gives what `WithExits` does, for the same `heads`."""
    made = duplicate(student)
    given: list[fx.Node] = []
    for place, (layer, head) in enumerate(heads.items()):
        node, known = output_of(made, layer)
        if node is None:
            raise CaptureError(f"distill: exits: no module {layer!r}{nearest(layer, known)}")
        if node.op == "call_module" and isinstance(made.get_submodule(str(node.target)), FakeQuant):
            (node,) = node.all_input_nodes
        name = f"early_exit_{place}"
        made.add_submodule(name, head)
        with made.graph.inserting_after(node):
            given += [node, made.graph.call_module(name, (node,))]
    (output,) = (node for node in made.graph.nodes if node.op == "output")
    output.args = ((*given, *output.all_input_nodes),)
    made.graph.set_codegen(fx.graph.CodeGen())  # the captured one knows of its own outputs alone
    made.graph.lint()
    made.recompile()
    return made


def _write(whole: nn.Module, exits: int, interface: Interface, folder: Path) -> None:
    """Writes the parts of `whole`, which gives a state and an answer at each of so many `exits`, and its own answer last."""
    folder.mkdir(exist_ok=True)
    names = [f"{kind}_{place}" for place in range(exits) for kind in (STATE, ANSWER)]
    given = list(interface.example)
    with TemporaryDirectory() as scratch:
        file = Path(scratch) / "whole.onnx"
        export_onnx(
            whole,
            interface.tensors,
            file,
            input_names=given,
            output_names=[*names, ONE],
            dynamic_axes=interface.axes,
        )
        model = onnx.load(file)
    for place in range(exits + 1):
        is_end = place == exits
        takes = [*given, *([f"{STATE}_{place - 1}"] if place else [])]
        gives = [ONE] if is_end else [f"{STATE}_{place}", f"{ANSWER}_{place}"]
        part = Extractor(model).extract_model(takes, gives)
        used = {name for node in part.graph.node for name in node.input}
        for unused in [one for one in part.graph.input if one.name not in used]:
            part.graph.input.remove(unused)
        renamed = {
            f"{STATE}_{place - 1}": STATE,
            f"{STATE}_{place}": f"next_{STATE}",
            f"{ANSWER}_{place}": ANSWER,
            ONE: ANSWER,
        }
        _rename(part, renamed)
        onnx.save(part, folder / ("end.onnx" if is_end else f"exit_{place}.onnx"))


def _rename(model: onnx.ModelProto, names: Mapping[str, str]) -> None:
    for node in model.graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    for value in (*model.graph.input, *model.graph.output):
        value.name = names.get(value.name, value.name)
