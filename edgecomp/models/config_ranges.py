"""The space of a Hugging Face Transformer: how deep, how wide, with how many heads and how wide inside its layers, from a part of what its config says up to that."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgecomp.errors import UsageError
from edgecomp.models.references import PREFIX

DEPTH = ("num_hidden_layers", "n_layers", "num_layers")
WIDTH = ("hidden_size", "dim")
HEADS = ("num_attention_heads", "n_heads")
INSIDE = ("intermediate_size", "hidden_dim")
"""What configs call the same."""

QUARTERS = (1, 2, 3, 4)
LEAST_HEAD = 8  # numbers of a head


def ranges_of(network: str, folder: Path) -> dict[str, Sequence[Any]] | None:
    """By key of the student its values, the cheapest first; None of a network that is no Hugging Face model.

    network: `hf:FOLDER` or `hf:NAME` where it is one; folder: the recipe's, where a relative reference is looked for. Raises UsageError where its config does not say
    these four numbers.
    """
    if not network.startswith(PREFIX):
        return None
    from edgecomp.models.checkpoints import stored_config
    from edgecomp.models.references import resolve

    reference = network.removeprefix(PREFIX)
    config = stored_config(reference, resolve(reference, folder))
    names = [_named(config, of) for of in (DEPTH, WIDTH, HEADS, INSIDE)]
    if None in names:
        raise UsageError(f"search.space: the config of {network}, of a {config.model_type} model, says no depth, width, heads and intermediate width "
                         f"({', '.join(of[0] for of in (DEPTH, WIDTH, HEADS, INSIDE))}): say what may vary, such as search: {{space: {{arguments.depths: "
                         "[[1, 1], [2, 2]]}}")  # fmt: skip
    depth, width, heads, inside = (int(getattr(config, str(name))) for name in names)
    widths = _quarters(width)
    divide_all = math.gcd(*widths)
    fitting = [
        one
        for one in range(1, heads + 1)
        if heads % one == 0 and divide_all % one == 0 and widths[0] // one >= LEAST_HEAD
    ]
    values = (_quarters(depth), widths, fitting or [1], _quarters(inside))
    return {f"arguments.{name}": of for name, of in zip(names, values, strict=True)}


def _named(config: Any, names: Sequence[str]) -> str | None:
    return next((name for name in names if isinstance(getattr(config, name, None), int)), None)


def _quarters(number: int) -> list[int]:
    """A quarter, a half, three quarters and all of it, in whole numbers."""
    return sorted({max(1, number * quarter // 4) for quarter in QUARTERS})
