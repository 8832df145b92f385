"""What a network answers: one output, or several by name. Several go beside each other wherever one goes: flat, in the order of their names.

Light on purpose: neither torch nor numpy is imported, for what comes in is of the library that it is of.
"""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy.typing as npt
    import torch

ONE = "logits"
"""What the output of a network is called that has one."""

PLACE = re.compile(rf"{ONE}|output_\d+")
"""What the outputs of a PyTorch file are called."""


def by_name(returned: Any) -> "dict[str, torch.Tensor]":
    """The tensors that a network has returned, in the order of their names: of a mapping, or a named tuple; one tensor is called ONE.

    What is None, or of another kind, is left out; a tuple without names has none.
    """
    import torch

    if isinstance(returned, torch.Tensor):
        return {ONE: returned}
    return {name: value for name, value in named(returned).items() if isinstance(value, torch.Tensor)}


def named(returned: Any) -> dict[str, Any]:
    """Whatever a network has `returned` in a mapping or a named tuple, in the order of its names; nothing of what has no names."""
    if not isinstance(returned, Mapping):
        returned = dict(zip(returned._fields, returned, strict=True)) if hasattr(returned, "_fields") else {}
    return {str(name): returned[name] for name in sorted(returned, key=str)}


def as_one(returned: Any) -> "torch.Tensor":
    """What a network has returned as one tensor [N, numbers of all outputs]; of one output, that as it is.

    returned: a tensor, tensors by name, or, of a captured network, a tuple of them in the order of their names.
    """
    import torch

    if isinstance(returned, torch.Tensor):
        return returned
    tensors = returned if type(returned) in (tuple, list) else by_name(returned).values()
    return torch.cat([one.flatten(1) for one in tensors], dim=1)


def beside_each_other(answers: "Mapping[str, npt.NDArray[Any]]") -> "npt.NDArray[Any]":
    """Outputs by name as one array [N, numbers of all], flat and in the order of their names; of one output, that as it is.

    answers: [N, ...] each; of a PyTorch file, which has lost the names and kept their order, in theirs.
    """
    import numpy as np

    if len(answers) == 1:
        return next(iter(answers.values()))
    without_names = all(PLACE.fullmatch(name) for name in answers)
    in_order = list(answers) if without_names else sorted(answers)
    flat = [answers[name].reshape(len(answers[name]), -1) for name in in_order]
    return np.concatenate(flat, axis=1)
