"""Which operators a file may name: aten's that compute, and those of the sizes of tensors.

Of aten's operators those with a text among their arguments can reach the system (from_file maps a file, and makes it; save writes
one), so of these only the ones listed here, whose text is a mode, may be named. Those whose names begin with an underscore are for
PyTorch's own use, and some do not check what they are given: only the ones that exported networks are seen to have may be named.
"""

import math
import operator
import re
from collections.abc import Callable, Sequence
from typing import Any

import torch

# With a text that says how, and nothing else.
WITH_A_MODE = {
    "_assert_async", "_assert_scalar", "_convolution_mode", "conv1d", "conv2d", "conv3d", "div", "div_", "divide", "divide_", "einsum",
    "gelu", "gelu_", "index_reduce", "index_reduce_", "linalg_matrix_norm", "linalg_norm", "meshgrid", "nanquantile", "pad",
    "pad_sequence", "quantile", "scatter", "scatter_", "scatter_reduce", "scatter_reduce_", "searchsorted",
}  # fmt: skip

OF_NETWORKS = {
    "_adaptive_avg_pool2d", "_adaptive_avg_pool3d", "_assert_async", "_assert_scalar", "_assert_tensor_metadata", "_cdist_forward",
    "_convolution", "_convolution_mode", "_int_mm", "_is_all_true", "_is_any_true", "_local_scalar_dense", "_log_softmax",
    "_native_batch_norm_legit", "_native_batch_norm_legit_no_training", "_prelu_kernel", "_safe_softmax",
    "_scaled_dot_product_flash_attention_for_cpu", "_shape_as_tensor", "_softmax", "_to_copy", "_unsafe_view",
    "_upsample_bicubic2d_aa", "_upsample_bilinear2d_aa", "_weight_norm", "_weight_norm_interface",
}  # fmt: skip

SIZES: dict[str, Callable[..., Any]] = {
    **{f"_operator.{name}": getattr(operator, name) for name in (
        "add", "and_", "eq", "floordiv", "ge", "getitem", "gt", "le", "lt", "mod", "mul", "ne", "neg", "or_", "pos", "sub", "truediv",
    )},
    **{f"math.{name}": getattr(math, name) for name in ("ceil", "floor", "trunc")},
    **{f"torch.{name}": getattr(torch, name) for name in (
        "sym_float", "sym_int", "sym_ite", "sym_max", "sym_min", "sym_not",
    )},
}  # fmt: skip


def find(target: str) -> Callable[..., Any] | None:
    """The operator that torch.export calls `target`; None where a file may not name it.

    target: such as `torch.ops.aten.conv2d.default`.
    """
    if target in SIZES:
        return SIZES[target]
    match = re.fullmatch(r"torch\.ops\.aten\.(\w+)\.(\w+)", target, re.ASCII)
    if match is None:
        return None
    found = getattr(getattr(torch.ops.aten, match[1], None), match[2], None)
    if not isinstance(found, torch._ops.OpOverload):
        return None
    return found if _only_computes(match[1], [found._schema]) else None


def computes(name: str) -> bool:
    """Whether every form of aten's operator of that name only computes; TorchScript chooses the form by the arguments."""
    forms = torch._C._jit_get_schemas_for_operator(f"aten::{name}")
    return bool(forms) and _only_computes(name, forms)


def _only_computes(name: str, forms: Sequence[Any]) -> bool:
    if name.startswith("_") and not name.startswith("__") and name not in OF_NETWORKS:
        return False
    return name in WITH_A_MODE or not any(_takes_text(form) for form in forms)


def _takes_text(schema: Any) -> bool:
    return any(re.search(r"\bstr\b", str(argument.type)) for argument in schema.arguments)
