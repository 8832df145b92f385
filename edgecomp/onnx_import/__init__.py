"""An ONNX file as a PyTorch network, whose weights can be trained, and the proof that it is the same function."""

from edgecomp.onnx_import.checking import check
from edgecomp.onnx_import.network import Interface, before_softmax, from_onnx, interface_of

__all__ = ["Interface", "before_softmax", "check", "from_onnx", "interface_of"]
