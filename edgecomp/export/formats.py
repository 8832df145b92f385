"""How a file of each format is made of a captured network: one row a format, as edgecomp.runtimes.formats has them."""

from collections.abc import Callable
from pathlib import Path

from torch import fx, nn

from edgecomp.errors import EdgecompError
from edgecomp.export.openvino import ir
from edgecomp.export.stage import Interface, deployed, export_pytorch_file, write_onnx


def _onnx(graph: fx.GraphModule, interface: Interface, to: Path) -> None:
    write_onnx(graph, interface, to)


def _openvino(graph: fx.GraphModule, interface: Interface, to: Path) -> None:
    write_onnx(graph, interface, to.with_suffix(".onnx"))
    ir.convert(to.with_suffix(".onnx"), to.parent)
    for suffix in (".bin", to.suffix):
        to.with_name(f"model{suffix}").replace(to.with_suffix(suffix))


def _pytorch(graph: fx.GraphModule, interface: Interface, to: Path) -> None:
    """The .pt2 and the .ts. Raises EdgecompError where a trace does not hold for another batch size."""
    export_pytorch_file(graph, interface, to.with_suffix(""))
    if not to.is_file():
        raise EdgecompError(to.with_suffix(".ts.not-written").read_text(encoding="utf-8").strip())


MAKERS: dict[str, Callable[[fx.GraphModule, Interface, Path], None]] = {
    ".onnx": _onnx,
    ".xml": _openvino,
    ".pt2": _pytorch,
    ".ts": _pytorch,
}


def export_network(network: nn.Module, interface: Interface, to: Path) -> Path:
    """One network as the file `to`, by its suffix; returns `to`.

    interface: what goes into the network. Raises CaptureError; EdgecompError where it has no such file.
    """
    MAKERS[to.suffix](deployed(network, interface), interface, to)
    return to
