"""Spaces of students: a row for each family we ship, or what a recipe declares."""

import itertools
import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edgecomp.errors import UsageError, nearest
from edgecomp.files.writing import digest_of

Point = dict[str, Any]
"""By key of a student (`arguments.width`), one of its values."""

# By family, what may vary, the cheapest first: a row of edgecomp.models.TABLE each.
SPACES: dict[str, dict[str, Sequence[Any]]] = {
    # images
    "airbench": {
        "arguments.widths": ([16, 32, 32], [16, 64, 64], [32, 64, 64], [32, 128, 128], [64, 128, 128], [64, 256, 256]),
    },
    "mobilenet": {
        "arguments.width": (4, 8, 12, 16, 24, 32),
        "arguments.expansion": (2, 3, 4, 6),
        "arguments.activation": ("relu6", "hardswish"),
    },
    "resnet": {"arguments.blocks": (1, 2, 3), "arguments.width": (4, 8, 12, 16, 20, 24, 32)},
    "segmenter": {"arguments.depth": (1, 2, 3), "arguments.width": (4, 8, 12, 16, 24, 32)},
    # texts, as bytes
    "conv-text": {
        "arguments.layers": (1, 2, 3),
        "arguments.width": (8, 16, 32),
        "arguments.filters": (16, 32, 64, 128),
        "arguments.kernel": (3, 5, 7),
    },
    "ngram": {
        "arguments.orders": ([2, 3], [2, 3, 4], [2, 3, 4, 5]),
        "arguments.words": ([], [1], [1, 2]),
        "arguments.buckets": (997, 4_093, 16_381, 65_521),
        "arguments.width": (8, 16, 32, 64),
        "arguments.hidden": (16, 32, 64, 128),
    },
    "byte-transformer": {
        "arguments.layers": (1, 2, 3),
        "arguments.width": (32, 64, 96, 128),
        "arguments.heads": (2, 4, 8),
        "arguments.patch": (8, 4, 2),
    },
    # texts, as tokens; every width is a multiple of every number of heads
    "tagger": {
        "arguments.layers": (1, 2, 3, 4),
        "arguments.width": (32, 64, 96, 128),
        "arguments.heads": (2, 4, 8),
    },
    "transformer": {
        "arguments.layers": (1, 2, 3, 4),
        "arguments.width": (32, 64, 96, 128),
        "arguments.heads": (2, 4, 8),
    },
    # rows of numbers
    "mlp": {"arguments.layers": (1, 2, 3), "arguments.width": (16, 32, 64, 128, 256)},
    "two-tower": {
        "arguments.layers": (1, 2, 3),
        "arguments.width": (16, 32, 64, 128, 256),
        "arguments.space": (8, 16, 32, 64),
    },
}  # fmt: skip

ENUMERATED = 20_000  # points of a space that are all looked at for one that was not tried
TRIES = 1_000  # of a larger one


@dataclass(frozen=True)
class Space:
    """student: a recipe's, which every point changes; axes: by key of it, its values, the cheapest first."""

    student: Mapping[str, Any]
    axes: Mapping[str, Sequence[Any]]

    def __len__(self) -> int:
        """How many points there are."""
        return math.prod(map(len, self.axes.values()))

    @property
    def cheapest(self) -> Point:
        """The first value of every key."""
        return {key: values[0] for key, values in self.axes.items()}

    @property
    def declared(self) -> Point | None:
        """The student as the recipe has it; None where it is no point of the space."""
        found: Point = {}
        for key, values in self.axes.items():
            part: Any = self.student
            for name in key.split("."):
                part = part.get(name) if isinstance(part, Mapping) else None
            if part not in values:
                return None
            found[key] = part
        return found

    def of(self, point: Point) -> dict[str, Any]:
        """The student of a `point`, as a recipe would have it."""
        made: dict[str, Any] = _copied(self.student)
        for key, value in point.items():
            *folders, last = key.split(".")
            part = made
            for name in folders:
                part[name] = part.get(name) or {}
                part = part[name]
            part[last] = value
        return made

    def points(self) -> Iterator[Point]:
        """Every point, the cheapest first."""
        for values in itertools.product(*self.axes.values()):
            yield dict(zip(self.axes, values, strict=True))

    def untried(self, near: Point, tried: set[str], seed: int) -> Point | None:
        """The point nearest to `near` whose name is not among those `tried`, by how many places its values are away, of several one by chance, from
        `seed`; None where there is none, or none was found."""
        chance = random.Random(seed)
        if len(self) > ENUMERATED:
            any_of_them = (
                {key: chance.choice(values) for key, values in self.axes.items()} for _ in range(TRIES)
            )
            return next((one for one in any_of_them if name_of(one) not in tried), None)
        left = [one for one in self.points() if name_of(one) not in tried]
        away = [self._apart(near, one) for one in left]
        return (
            chance.choice([one for one, far in zip(left, away, strict=True) if far == min(away)])
            if left
            else None
        )

    def _apart(self, one: Point, other: Point) -> int:
        return sum(
            abs(list(values).index(one[key]) - list(values).index(other[key]))
            for key, values in self.axes.items()
        )

    def told(self, point: Point) -> str:
        """A `point` in words: `blocks 1, width 8`."""
        last = [key.rpartition(".")[2] for key in self.axes]
        names = last if len(set(last)) == len(last) else list(self.axes)
        return ", ".join(f"{name} {point[key]}" for name, key in zip(names, self.axes, strict=True))


def name_of(point: Point) -> str:
    """Of a `point`, the same for the same values: what its records are called."""
    return digest_of(point)[:12]


def space_of(
    asked: str | Mapping[str, Sequence[Any]] | None,
    student: Mapping[str, Any],
    of_checkpoint: Callable[[str], Mapping[str, Sequence[Any]] | None] = lambda network: None,
) -> Space:
    """The space that is `asked` for: of a family or a Hugging Face model by name, declared, or that of the network of `student`, a recipe's; of_checkpoint:
    what may vary in a network that is such a model, None where it is none. Raises UsageError where there is no such space, or it has one point only."""
    if isinstance(asked, Mapping):
        return _of_several(Space(student, asked))
    family = asked or student["network"]
    if (axes := of_checkpoint(family)) is not None:
        arguments = dict(student["arguments"]) if family == student["network"] else {}
        arguments["pretrained"] = False  # the weights of another width are another network's
        return _of_several(Space({**student, "network": family, "arguments": arguments}, axes))
    if family not in SPACES:
        known = f"there are {', '.join(SPACES)}, and hf:FOLDER or hf:NAME"
        why = f"no such space: {family!r}{nearest(family, SPACES)}; {known}"
        if asked is None:
            why = (f"network {family!r} is of no family that has a space of its own ({known}): say what may vary, such as "
                   "search: {space: {arguments.width: [8, 16, 32]}}")  # fmt: skip
        raise UsageError(f"search.space: {why}")
    if family != student["network"]:  # whose arguments are another network's
        student = {**student, "network": family, "arguments": {}}
    return _of_several(Space(student, SPACES[family]))


def _of_several(space: Space) -> Space:
    if len(space) < 2:
        only = space.told(space.cheapest) if space.axes else "the recipe's own student"
        raise UsageError(
            f"search.space: there is one point in it, {only}: nothing to search; give a key several values"
        )
    return space


def _copied(part: Any) -> Any:
    """Mappings and lists of `part`, and of what they hold, as new ones."""
    if isinstance(part, Mapping):
        return {key: _copied(value) for key, value in part.items()}
    return list(map(_copied, part)) if isinstance(part, list | tuple) else part
