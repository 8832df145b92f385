"""What is checked of every network, and how an error of somebody else's code is passed on."""

from collections.abc import Sequence

from edgecomp.errors import UsageError


def positive(**values: int | Sequence[int]) -> None:
    """Raises UsageError unless each value is a whole number of at least 1, or a list of such numbers."""
    for name, value in values.items():
        numbers = value if isinstance(value, Sequence) and not isinstance(value, str) else [value]
        if not numbers or any(isinstance(n, bool) or not isinstance(n, int) or n < 1 for n in numbers):
            raise UsageError(f"argument {name!r} is {value!r}; write whole numbers of at least 1")


def said_by(error: BaseException) -> str:
    """An error's kind and its first words, in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
