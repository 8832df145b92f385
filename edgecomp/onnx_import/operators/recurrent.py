"""LSTM and GRU, as the operators that torch has for them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

Arrays = dict[str, npt.NDArray[Any]]

GATES = {"LSTM": (0, 2, 3, 1), "GRU": (1, 0, 2)}
"""In torch's order: ONNX has input, output, forget, cell; and update, reset, hidden."""

ORDINARY = {
    "LSTM": ["Sigmoid", "Tanh", "Tanh"],
    "GRU": ["Sigmoid", "Tanh"],
}


def parameters(
    kind: str, weight: npt.NDArray[Any], recurrent: npt.NDArray[Any], bias: npt.NDArray[Any] | None
) -> Arrays:
    """An ONNX layer's weights as torch's, by torch's names.

    kind: LSTM or GRU; weight, recurrent: [directions, gates · hidden, .]; bias: [directions, 2 · gates · hidden].
    """
    found: Arrays = {}
    for place, suffix in enumerate(["", "_reverse"][: weight.shape[0]]):
        found[f"weight_ih_l0{suffix}"] = _sorted(kind, weight[place])
        found[f"weight_hh_l0{suffix}"] = _sorted(kind, recurrent[place])
        if bias is not None:
            ours, theirs = np.split(bias[place], 2)
            found[f"bias_ih_l0{suffix}"], found[f"bias_hh_l0{suffix}"] = (
                _sorted(kind, ours),
                _sorted(kind, theirs),
            )
    return found


def _sorted(kind: str, rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
    parts = np.split(rows, len(GATES[kind]))
    return np.concatenate([parts[place] for place in GATES[kind]])


def refusal(kind: str, attributes: dict[str, Any], inputs: int) -> str:
    """Why a layer is none that torch has an operator for, or nothing. kind: `LSTM` or `GRU`; attributes: the
    node's, by name; inputs: how many are given, of those it may have."""
    ways = 2 if attributes.get("direction") == "bidirectional" else 1
    functions = attributes.get("activations")
    if functions and [str(one).lower() for one in functions] != [
        one.lower() for one in ORDINARY[kind] * ways
    ]:
        return f"activations={functions}"
    if attributes.get("clip") is not None or attributes.get("input_forget"):
        return "clip or input_forget"
    if kind == "GRU" and not attributes.get("linear_before_reset"):
        return "linear_before_reset=0, which torch does not have"
    return "peepholes" if inputs > 7 else ""


def lstm(
    x: torch.Tensor, weights: Sequence[torch.Tensor], h: torch.Tensor | None, c: torch.Tensor | None,
    hidden: int, directions: int, biases: bool, layout: int, backwards: bool,
) -> tuple[torch.Tensor, ...]:  # fmt: skip
    """LSTM of `x`, [steps, N, features], or with layout 1 [N, steps, features]. weights: as torch.lstm has
    them; h, c: first states, [directions, N, hidden], or with layout 1 [N, directions, hidden], None for
    zeros; hidden: the size of a state; directions: 1 or 2; biases: whether the weights have them; backwards:
    from the last step to the first."""
    h, c = (_state(x, one, hidden, directions, layout) for one in (h, c))
    x = x.transpose(0, 1) if layout else x
    x = x.flip(0) if backwards else x
    outputs, *last = torch.lstm(x, (h, c), list(weights), biases, 1, 0.0, False, directions == 2, False)
    outputs = outputs.flip(0) if backwards else outputs
    return _as_onnx(outputs, last, hidden, directions, layout)


def gru(
    x: torch.Tensor, weights: Sequence[torch.Tensor], h: torch.Tensor | None, hidden: int, directions: int,
    biases: bool, layout: int, backwards: bool,
) -> tuple[torch.Tensor, ...]:  # fmt: skip
    """GRU of `x`, [steps, N, features], or with layout 1 [N, steps, features]. weights: as torch.gru has
    them; h: first states, None for zeros; hidden, directions, biases, backwards: as in `lstm`."""
    h = _state(x, h, hidden, directions, layout)
    x = x.transpose(0, 1) if layout else x
    x = x.flip(0) if backwards else x
    outputs, last = torch.gru(x, h, list(weights), biases, 1, 0.0, False, directions == 2, False)
    outputs = outputs.flip(0) if backwards else outputs
    return _as_onnx(outputs, [last], hidden, directions, layout)


def _state(
    x: torch.Tensor, state: torch.Tensor | None, hidden: int, directions: int, layout: int
) -> torch.Tensor:
    examples = x.shape[0 if layout else 1]
    if state is None:
        return x.new_zeros(directions, examples, hidden)
    state = state.transpose(0, 1) if layout else state
    # torch.lstm does not check it, and reads what is not its own. torch._check has no types.
    torch._check(  # type: ignore[no-untyped-call]
        state.shape[1] == examples,
        lambda: f"a first state of {state.shape[1]} examples, and there are {examples}",
    )
    return state


def _as_onnx(
    outputs: torch.Tensor, last: Sequence[torch.Tensor], hidden: int, directions: int, layout: int
) -> tuple[torch.Tensor, ...]:
    """All steps [steps, directions, examples, hidden], and the last states [directions, examples, hidden]; or with examples first."""
    if directions == 1:
        steps = outputs.unsqueeze(1)
    else:
        steps = outputs.reshape(*outputs.shape[:2], directions, hidden).transpose(1, 2)
    if layout:
        return steps.permute(2, 0, 1, 3), *(one.transpose(0, 1) for one in last)
    return steps, *last
