"""What whoever calls a model must know, compared."""

import pytest

from edgecomp.compare.sides import contract_differences
from edgecomp.runtimes import Port


def sides(before: Port, now: Port, kind: str = "inputs") -> list[str]:
    return contract_differences(*({"inputs": [], "outputs": []} | {kind: [port]} for port in (before, now)))  # type: ignore[dict-item]


X = Port("x", (None, 3), "float32")


@pytest.mark.parametrize(
    ("now", "kind", "told"),
    [
        (X, "inputs", []),
        (Port("x", (None, None), "float32"), "inputs", []),
        (Port("x", None, None), "inputs", []),
        (Port("x", (1, 3), "float32"), "inputs", ["input x is of [1, 3] instead of [any, 3]"]),
        (Port("x", (None, 4), "float32"), "inputs", ["input x is of [any, 4] instead of [any, 3]"]),
        (Port("x", (None, 3, 1), "float32"), "inputs", ["input x is of [any, 3, 1] instead of [any, 3]"]),
        (Port("x", (None, 3), "float16"), "inputs", ["input x is of float16 instead of float32"]),
        (Port("y", (None, 3), "float32"), "outputs", ["output x is missing", "output y is new"]),
        (Port("x", (None, 4), "float32"), "outputs", ["output x is of [any, 4] instead of [any, 3]"]),
        (Port("x", (1, 3), "float32"), "outputs", []),
    ],
)
def test_differences_are_listed_by_name_shape_and_dtype(now: Port, kind: str, told: list[str]) -> None:
    assert sides(X, now, kind) == told
