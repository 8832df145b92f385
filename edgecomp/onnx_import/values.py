"""What flows between the operators of an imported graph: tensors, and numbers, which are known without any data.

A shape is numbers, and so is all that is computed from shapes and small constants: numpy arrays, of Python objects where an axis is free
while torch.export looks. So reshapes by computed shapes keep their axes free, and no tensor's value is ever asked for.
"""

import functools
import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias, get_args

import numpy as np
import numpy.typing as npt
import torch

Numbers: TypeAlias = npt.NDArray[Any]
Value: TypeAlias = torch.Tensor | Numbers
Operator = Callable[..., Any]

# Of numbers of Python's and of torch.export's alike; torch does not say what they take.
sym_float: Operator = torch.sym_float
sym_int: Operator = torch.sym_int
sym_max: Operator = torch.sym_max

SYMBOLIC = (torch.SymInt, torch.SymFloat, torch.SymBool)

DTYPES: Mapping[int, torch.dtype] = {
    1: torch.float32, 2: torch.uint8, 3: torch.int8, 4: torch.uint16, 5: torch.int16, 6: torch.int32, 7: torch.int64,
    9: torch.bool, 10: torch.float16, 11: torch.float64, 12: torch.uint32, 13: torch.uint64, 16: torch.bfloat16,
}  # fmt: skip
"""By ONNX's number, TensorProto.DataType."""


class NotKnownError(Exception):
    """A number that an operator needs, such as a shape, is computed from data."""


def numbers(value: Any) -> Numbers:
    """`value`, a number or a list of them, as an array. Raises NotKnownError for a tensor whose values are data."""
    if isinstance(value, np.ndarray):
        return value
    if isinstance(value, torch.Tensor):
        if type(value) is not torch.Tensor and not isinstance(value, torch.nn.Parameter):
            raise NotKnownError("is computed from the inputs' values")
        return np.asarray(value.detach().cpu().numpy())
    if isinstance(value, SYMBOLIC) or any(isinstance(one, SYMBOLIC) for one in np.ravel(_objects(value))):
        return _objects(value)
    found = np.asarray(value)
    return found.astype(np.int64) if found.size == 0 else found


def _objects(value: Any) -> Numbers:
    return np.array(value, dtype=object)


def whole(value: Numbers) -> list[Any]:
    """The whole numbers of `value`, an array of any shape, in order; free axes stay what they are."""
    return [one if isinstance(one, torch.SymInt) else int(one) for one in np.ravel(value).tolist()]


def single(value: Numbers) -> Any:
    """The one number of `value`, an array that has one."""
    (found,) = np.ravel(value).tolist()
    return found


def tensor(value: Value, like: torch.Tensor | None = None) -> torch.Tensor:
    """`value` as a tensor: of the dtype of `like`, where that is given, and on its device."""
    if isinstance(value, torch.Tensor):
        return value
    dtype = dtype_of(value) if like is None else like.dtype
    device = None if like is None else like.device
    if value.dtype == object:
        flat = [torch.scalar_tensor(one, dtype=dtype, device=device) for one in np.ravel(value).tolist()]
        return torch.stack(flat).reshape(value.shape) if flat else torch.empty(value.shape, dtype=dtype)
    return torch.tensor(value.tolist(), dtype=dtype, device=device).reshape(value.shape)


def dtype_of(value: Numbers) -> torch.dtype:
    """What numbers, `value`, become as a tensor: float32, int64 or bool."""
    kinds = {type(one) for one in np.ravel(value).tolist()}
    if kinds & {float, torch.SymFloat}:
        return torch.float32
    if kinds and kinds <= {bool, torch.SymBool}:
        return torch.bool
    return torch.float32 if value.dtype.kind == "f" else torch.int64


def operand(value: Value, beside: torch.Tensor) -> Any:
    """What stands beside a tensor in arithmetic, of `value`: a single number as that, more of them as a
    tensor of the same dtype."""
    if isinstance(value, torch.Tensor):
        return value
    if value.size == 1 and value.ndim <= beside.ndim:
        return single(value)
    return tensor(value, beside)


def row(function: Operator, on_numbers: Operator | None = None) -> Operator:
    """An operator of the table: `function` on tensors, and `on_numbers` where no input is one.

    What the function calls Numbers is handed over as such, and numbers are made tensors where it wants tensors.
    """
    kinds = _kinds(function)

    @functools.wraps(function)
    def operator(*inputs: Any, **attributes: Any) -> Any:
        given = [one if one is None or isinstance(one, torch.Tensor) else _given(one) for one in inputs]
        if on_numbers is not None and not any(isinstance(one, torch.Tensor) for one in given):
            return on_numbers(*given, **attributes)
        named = {name: kinds.get(name, "") for name in attributes}
        places = [kinds.get(place, kinds.get("*", "")) for place in range(len(given))]
        return function(
            *(_as(kind, one) for kind, one in zip(places, given, strict=True)),
            **{name: _as(named[name], value) for name, value in attributes.items()},
        )

    operator.parameters = {} if kinds == ALL_TENSORS else inspect.signature(function).parameters  # type: ignore[attr-defined]  # a function may carry what it likes
    return operator


def _given(value: Any) -> Any:
    """An input that is no tensor: several of them where an operator before has several outputs."""
    return value if isinstance(value, tuple) else numbers(value)


def _as(kind: str, value: Any) -> Any:
    if value is None:
        return None
    if kind == "numbers":
        return numbers(value)
    return tensor(value) if kind == "tensor" and not isinstance(value, torch.Tensor) else value


ALL_TENSORS: dict[Any, str] = {"*": "tensor"}


def _kinds(function: Operator) -> dict[Any, str]:
    """By place and by name of a parameter: whether it is a tensor or numbers. Of torch's own, all are tensors."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:
        return ALL_TENSORS
    found: dict[Any, str] = {}
    for place, parameter in enumerate(parameters):
        wanted = {parameter.annotation, *get_args(parameter.annotation)}
        kind = "numbers" if Numbers in wanted else "tensor" if torch.Tensor in wanted else ""
        kind = "" if {Numbers, torch.Tensor} <= wanted else kind
        found |= {place: kind, parameter.name: kind}
        if parameter.kind is parameter.VAR_POSITIONAL:
            found["*"] = kind
    return found


def product(sizes: Sequence[Any]) -> Any:
    """Of sizes, free ones too."""
    return math.prod(sizes)


def larger(one: Any, other: Any) -> Any:
    """The larger of two sizes, `one` and the `other`, of which either may be free."""
    return (
        sym_max(one, other) if isinstance(one, SYMBOLIC) or isinstance(other, SYMBOLIC) else max(one, other)
    )
