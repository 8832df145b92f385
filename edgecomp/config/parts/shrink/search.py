"""What a recipe says of the search for its student (`edgecomp search`)."""

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from edgecomp.config.schema import Part

OF_STUDENT = ("network", "arguments", "prune")
"""Keys of a recipe's student that may vary."""

FEWEST_EPOCHS = 3
"""That a pruner has something to choose from."""


class Range(Part):
    """Numbers from `low` up to and with `high`, `step` apart."""

    low: int | float  # the first
    high: int | float  # the last one that there may be
    step: int | float = Field(1, gt=0)  # from each to the next

    @model_validator(mode="after")
    def _goes_upwards(self) -> "Range":
        if self.low > self.high:
            raise ValueError(
                f"low {self.low:g} is over high {self.high:g}: the range is upside down; write low: {self.high:g}, high: {self.low:g}"
            )
        return self

    @property
    def values(self) -> list[int | float]:
        """Every number of it, the smallest first; whole ones where `low` and `step` are."""
        count = int((self.high - self.low) / self.step + 1e-9) + 1
        return [self.low + place * self.step for place in range(count)]


class Search(Part):
    """What may vary in the student, how long a candidate learns, and when it is enough. Every key has a default."""

    # of a family by name, or by key of the student (`arguments.width`) its values, the cheapest first, or a range; without it that of the student's network
    space: str | dict[str, list[Any] | Range] | None = None
    # tpe, gp (a Gaussian process, for few trials): the best score within the budget; nsga2: the whole front of score and latency
    sampler: Literal["tpe", "gp", "nsga2"] = "tpe"
    epochs: int = Field(2, ge=1, le=10_000)  # of a candidate's distillation, before it is scored
    # hyperband: of `epochs` a candidate that is weak beside the others ends after some
    pruner: Literal["none", "hyperband"] = "none"
    trials: int = Field(40, ge=2, le=100_000)  # candidates, at most
    # so many candidates in succession that put none on the front are enough
    patience: int = Field(12, ge=1, le=100_000)
    restarts: int = Field(3, ge=1, le=1000)  # processes that measure a candidate, on each target

    @model_validator(mode="after")
    def _has_what_a_pruner_takes(self) -> "Search":
        if self.pruner == "none":
            return self
        if self.epochs < FEWEST_EPOCHS:
            raise ValueError(
                f"pruner: {self.pruner} ends weak candidates between epochs: write epochs: {FEWEST_EPOCHS} or more, and not {self.epochs}"
            )
        if self.sampler == "nsga2":
            raise ValueError(
                f"pruner: {self.pruner} goes by one score, and sampler: nsga2 by two: write sampler: tpe, or gp"
            )
        return self

    @field_validator("space")
    @classmethod
    def _is_of_the_student(cls, space: Any) -> Any:
        for key, values in space.items() if isinstance(space, dict) else ():
            if key.partition(".")[0] not in OF_STUDENT:
                raise ValueError(
                    f"{key}: no key of the student; write for example arguments.width, of {', '.join(OF_STUDENT)}"
                )
            if isinstance(values, list) and not values:
                raise ValueError(f"{key}: has no values; write for example [8, 16, 32]")
            if isinstance(values, list) and any(one in values[:place] for place, one in enumerate(values)):
                raise ValueError(f"{key}: holds a value twice")
        return space
