"""`onnx:FILE` as a network of a recipe: its own weights to start from, or to teach with."""

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgecomp.errors import UsageError, nearest, nearest_there

if TYPE_CHECKING:
    from torch import fx, nn

ONNX = "onnx:"
ARGUMENTS = {"output": False, "fixed": False, "pretrained": False}
"""What may be said of a file, and whether it must be."""


def resolve(reference: str, folder: Path) -> Path:
    """The file that `reference` (what follows `onnx:`) means, as `found_file` looks for it in `folder`. Raises UsageError."""
    return found_file(reference, folder, ONNX)


def found_file(reference: str, folder: Path, prefix: str) -> Path:
    """The file at `reference`: an absolute path, or one from `folder`, or from the current one. prefix: what stands before it in a recipe.
    Raises UsageError."""
    path = Path(reference).expanduser()
    looked_in = list(dict.fromkeys([folder.absolute(), Path.cwd()]))
    for parent in looked_in:
        if reference and (parent / path).is_file():
            return (parent / path).resolve()
    places = "" if path.is_absolute() else f" in {' or in '.join(str(place) for place in looked_in)}"
    raise UsageError(
        f"{prefix}{reference}: no file {reference!r}{places}{nearest_there(looked_in[0] / path)}"
    )


def files_of(reference: str, folder: Path) -> list[Path]:
    """The file that `reference` names from `folder`, and those beside it that hold its weights. Raises UsageError."""
    from edgecomp.onnx_import.reading import files_of

    return files_of(resolve(reference, folder))


def build_onnx(
    reference: str, given: Mapping[str, Any], arguments: Mapping[str, Any], folder: Path
) -> "nn.Module":
    """The network in the file, whose outputs were compared with ONNX Runtime's. Raises UsageError.

    reference, folder: as in `resolve`; given: what the data say; arguments: `output`, the value that is the network's, else the file's
    first output; `fixed`, by name of an axis or of an input of one number, what it always is; `pretrained: false`, weights drawn anew.
    """
    output, fixed = arguments.get("output"), arguments.get("fixed") or {}
    if output is not None and not isinstance(output, str):
        raise UsageError(f"{ONNX}{reference}: output is {output!r}; write the name of a value of the file")
    numbers = fixed.values() if isinstance(fixed, Mapping) else [None]
    if any(isinstance(one, bool) or not isinstance(one, int) for one in numbers):
        raise UsageError(
            f"{ONNX}{reference}: fixed is {fixed!r}; write names and whole numbers, fixed: {{length: 128}}"
        )
    pretrained = arguments.get("pretrained", True)
    if not isinstance(pretrained, bool):
        raise UsageError(f"{ONNX}{reference}: pretrained is {pretrained!r}; write true or false")
    file = resolve(reference, folder)
    named = tuple(sorted((str(name), number) for name, number in fixed.items()))
    stamp = tuple(
        (part, part.stat().st_mtime_ns, part.stat().st_size) for part in files_of(reference, folder)
    )
    classes = given.get("classes")
    if isinstance(classes, Mapping):
        if output is not None:
            raise UsageError(
                f"{ONNX}{reference}: output is {output!r}, and `tasks` names the outputs: leave it out"
            )
        return _several(file, sorted(classes), named, stamp)
    network = _checked(file, output, named, classes is not None, stamp)
    if "vocabulary" in given:
        _take_texts(network, file)
    if not pretrained:
        draw_weights(network)
    return network


def _several(file: Path, outputs: list[str], fixed: tuple[tuple[str, int], ...], stamp: Any) -> "nn.Module":
    """The network that gives these outputs, in their order, as a tuple. Raises UsageError where one is not of the file, or one of the file's
    is neither among them nor the probabilities of one."""
    from edgecomp.onnx_import import from_onnx
    from edgecomp.onnx_import.network import before_probabilities
    from edgecomp.onnx_import.reading import load

    graph = load(file).graph
    own = [str(value.name) for value in graph.output]
    known = {name for node in graph.node for name in node.output} | set(own)
    for name in outputs:
        if name not in known:
            raise UsageError(
                f"tasks.{name}: {file} has no such output{nearest(name, own)}; it has {', '.join(own)}"
            )
    made_of = before_probabilities(from_onnx(file, None, dict(fixed)))
    for name in own:
        kind, before = made_of.get(name, ("", ""))
        if name in outputs and kind == "Softmax":
            raise UsageError(f"tasks.{name}: it is probabilities, by a softmax, and a network is taught and compared by its logits: name what the "
                             f"softmax is of, tasks.{before}")  # fmt: skip
        if name not in outputs and before not in outputs:
            raise UsageError(f"{file} has an output {name!r}, and `tasks` does not say what it means{nearest(name, outputs)}; it names "
                             f"{', '.join(outputs)}")  # fmt: skip
    network = from_onnx(file, outputs, dict(fixed))
    _check_examples_first(file, network)
    for name in outputs:
        _compare(file, name, fixed, stamp)
    return network


def _check_examples_first(file: Path, network: "fx.GraphModule") -> None:
    """Raises UsageError where an input's first axis cannot be one of examples, as a recurrent state's is not."""
    from edgecomp.onnx_import import interface_of

    known = interface_of(network)
    firsts = {axes[0] for axes in known.free_axes if axes.get(0)}
    for name, shape, axes in zip(known.inputs, known.shapes, known.free_axes, strict=True):
        elsewhere = {called for place, called in axes.items() if place} & firsts
        if not shape or (shape[0] in (None, 1) and not (elsewhere and shape[0] == 1)):
            continue
        sizes = ", ".join("?" if size is None else str(size) for size in shape)
        remedy = (
            "or without its state"
            if elsewhere
            else f"with a free first axis: it takes {shape[0]} examples, and no other number"
        )
        raise UsageError(f"{file}: its input {name!r} is [{sizes}]: its first axis is always {shape[0]}, and has to be the one of examples: "
                         f"export the network so that every input is [N, ...], {remedy}")  # fmt: skip


def _checked(
    file: Path, output: str | None, fixed: tuple[tuple[str, int], ...], logits: bool, stamp: Any
) -> "fx.GraphModule":
    from edgecomp.onnx_import import before_softmax, from_onnx, interface_of
    from edgecomp.onnx_import.reading import load

    first = output or str(load(file).graph.output[0].name)
    network = from_onnx(file, [first], dict(fixed))
    _check_examples_first(file, network)
    before = before_softmax(network)
    if before and logits and output is None:
        raise UsageError(f"{file}: its output {interface_of(network).outputs[0]!r} is probabilities, by a softmax, and a network is taught and "
                         f"compared by its logits: name what the softmax is of, arguments: {{output: {before!r}}}, or say task: probabilities and "
                         f"arguments: {{output: {first!r}}}")  # fmt: skip
    _compare(file, first, fixed, stamp)
    return network


@functools.cache
def _compare(file: Path, output: str, fixed: tuple[tuple[str, int], ...], stamp: Any) -> None:
    """Once for a file as it is now, for a run builds its networks again at each step."""
    from edgecomp.onnx_import import check, from_onnx

    check(file, from_onnx(file, [output], dict(fixed)))


TEXTS = ("input_ids", "attention_mask")
SEGMENTS = "token_type_ids"


def _take_texts(network: "fx.GraphModule", file: Path) -> None:
    """What texts give, token ids and their mask, in this order, whatever the file's is; all of one segment. Raises UsageError for others."""
    import torch

    inputs = {node.target: node for node in network.graph.nodes if node.op == "placeholder"}
    if not {*TEXTS} <= {*inputs} <= {*TEXTS, SEGMENTS}:
        raise UsageError(
            f"{file}: takes {', '.join(map(str, inputs))}, and texts give {' and '.join(TEXTS)}: bring its inputs by name in an .npz"
        )
    ids, mask = (inputs[name] for name in TEXTS)
    if SEGMENTS in inputs:
        with network.graph.inserting_after(ids):
            segments = network.graph.call_function(torch.zeros_like, (ids,))
        inputs[SEGMENTS].replace_all_uses_with(segments)
        network.graph.erase_node(inputs[SEGMENTS])
    if list(network.graph.nodes).index(mask) < list(network.graph.nodes).index(ids):
        mask.prepend(ids)
    network.recompile()


def draw_weights(network: "nn.Module") -> None:
    """Weights of the architecture drawn anew in `network`, whatever their layout: those of matrices and kernels normal, with the deviation that each has, and
    in the place of vectors their mean, for they scale or centre. Batch normalisation begins as it does."""
    import torch
    from torch import nn

    norms = [part for part in network.modules() if isinstance(part, nn.modules.batchnorm._BatchNorm)]
    own = {id(one) for part in norms for one in part.parameters()}
    for part in norms:
        part.reset_parameters()
    with torch.no_grad():
        for parameter in network.parameters():
            if id(parameter) in own or parameter.numel() < 2 or not parameter.isfinite().all():
                continue
            if parameter.numel() > max(parameter.shape):
                nn.init.normal_(parameter, std=float(parameter.std()))
            else:
                parameter.fill_(float(parameter.mean()))
