"""A verdict that was kept, held against the one that its raw samples give now: what is shown is always the latter."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

TOLERANCE = 1e-6  # relative, of a figure: the same arithmetic on another machine
WORDS = {"sentence", "title", "next_step"}  # say the same in other words


def is_comparable(kept: Mapping[str, Any], derived: Mapping[str, Any]) -> bool:
    """Whether the same versions made both, of the same policy: rules, rows and arithmetic change from one to the next.

    kept, derived: verdict documents as JSON has them.
    """
    policy = kept.get("policy")
    same = isinstance(policy, dict) and policy.get("sha256") == derived["policy"]["sha256"]
    return same and kept.get("made_with") == derived["made_with"]


def differences(kept: object, derived: object, where: str = "") -> Iterator[str]:
    """What they mean differently, in words: verdicts, rows, figures.

    kept, derived: values of verdict documents as JSON has them; where: the path to them, empty for whole
    documents.
    """
    if isinstance(kept, dict) and isinstance(derived, dict):
        for key in dict.fromkeys((*derived, *kept)):
            if key not in WORDS:
                yield from differences(
                    kept.get(key), derived.get(key), f"{where}.{key}" if where else str(key)
                )
    elif isinstance(kept, list) and isinstance(derived, list) and len(kept) == len(derived):
        for place, (one, other) in enumerate(zip(kept, derived, strict=True)):
            yield from differences(one, other, f"{where}[{_called(other, place)}]")
    elif not _is_equal(kept, derived):
        yield f"{where} is {_short(kept)}, and its samples give {_short(derived)}"


def _is_equal(kept: object, derived: object) -> bool:
    if isinstance(kept, int | float) and isinstance(derived, int | float):
        return math.isclose(kept, derived, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
    return type(kept) is type(derived) and kept == derived


def _called(row: object, place: int) -> str:
    return (
        f"{row['name']} on {row['target']}"
        if isinstance(row, dict) and {"name", "target"} <= set(row)
        else str(place)
    )


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
