"""What a network's constructor may be asked for."""

from collections.abc import Sequence

from edgecomp.errors import UsageError


def positive(**values: int | Sequence[int]) -> None:
    """Raises UsageError unless each value is a whole number of at least 1, or a list of such numbers."""
    for name, value in values.items():
        numbers = value if isinstance(value, Sequence) and not isinstance(value, str) else [value]
        if not numbers or any(isinstance(n, bool) or not isinstance(n, int) or n < 1 for n in numbers):
            raise UsageError(f"argument {name!r} is {value!r}; write whole numbers of at least 1")
