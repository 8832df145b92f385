"""What a recipe says of channels that are taken out of its teacher."""

from typing import Literal

from pydantic import field_validator

from edgecomp.config.schema import Part
from edgecomp.metrics.units import parse_quantity


class Prune(Part):
    """What is taken out of the teacher: the least important channels of every layer, and what depends on them; of a Transformer, heads."""

    keep: str  # share of every layer's channels that stays: `50 %`
    # magnitude: the norm of its weights; taylor: what the loss on labels would change by
    importance: Literal["magnitude", "taylor"] = "magnitude"

    @field_validator("keep", mode="before")
    @classmethod
    def _a_share(cls, text: object) -> object:
        found = parse_quantity(text)
        if found.dimension != "percent" or not 0 < found.value < 100:
            raise ValueError(
                f"{text!r} is no share of channels that leaves some out: write for example '50 %'"
            )
        return text

    @property
    def share(self) -> float:
        """From 0 to 1."""
        return parse_quantity(self.keep).value / 100
