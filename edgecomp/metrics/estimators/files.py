"""What is known of a model file exactly, in bytes; None where it is not known. Each is (arm) → number."""

from edgecomp.metrics.measurements import Arm


def size(arm: Arm) -> int | None:
    """The file's size, with its weights' where they are a file of their own."""
    return arm.file_size_bytes


def parameters(arm: Arm) -> int | None:
    """What its parameters take."""
    return arm.parameter_bytes
