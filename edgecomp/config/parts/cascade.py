"""What a recipe says of a student that hands on what it is unsure of."""

from pydantic import field_validator

from edgecomp.config.schema import Part
from edgecomp.metrics.units import parse_quantity


class Cascade(Part):
    """One release of the quantised student and its teacher: the student answers what it is sure of, and the teacher the rest."""

    # of all examples, those that the teacher has right and the student, sure of it, has wrong: at most so many, at 95 %, on the validation split
    most_lost: str = "0.5 %"

    @field_validator("most_lost", mode="before")
    @classmethod
    def _a_share(cls, text: object) -> object:
        found = parse_quantity(text)
        if found.dimension != "percent" or not 0 < found.value < 100:
            raise ValueError(f"{text!r} is no share of examples: write for example '0.5 %'")
        return text

    @property
    def most(self) -> float:
        """As a share, from 0 to 1."""
        return parse_quantity(self.most_lost).value / 100
