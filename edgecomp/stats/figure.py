"""The figure: an estimate with its bounds, and all that says what they are worth."""

from typing import Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, Field

Sided = Literal["one", "two"]


class Figure(BaseModel):
    """An estimate and its bounds, in the base unit of `dimension`. Nothing shows a bound without its confidence.

    estimate, low, high: None where the samples cannot give one; an exact figure (a file's size) has equal bounds. JSON calls them
    value, lower and upper, and n count.
    confidence, sided: `one`: each bound holds at this confidence; `two`: both together do. A confidence is None where an old history did
    not keep it.
    n, unit: from how many restarts, examples or keys, or `exact`.
    dimension: as in edgecomp.metrics.units.UNITS, or `ratio`, a multiple that is shown as a change in per cent, or `log_ratio`.
    samples: calls in each restart, where they are told; note: what is to be said of the figure.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, serialize_by_alias=True)

    estimate: float | None = Field(
        validation_alias=AliasChoices("value", "estimate"), serialization_alias="value"
    )
    low: float | None = Field(validation_alias=AliasChoices("lower", "low"), serialization_alias="lower")
    high: float | None = Field(validation_alias=AliasChoices("upper", "high"), serialization_alias="upper")
    dimension: str
    n: int = Field(validation_alias=AliasChoices("count", "n"), serialization_alias="count")
    unit: Literal["restarts", "examples", "keys", "exact"]
    confidence: float | None
    sided: Sided
    note: str = ""
    samples: int | None = None

    @property
    def is_bounded(self) -> bool:
        return self.low is not None and self.high is not None

    @property
    def is_exact(self) -> bool:
        return self.unit == "exact"

    @property
    def confidence_text(self) -> str:
        """`95 %, one-sided`."""
        return confidence_text(self.confidence, self.sided)


def exact(value: float, dimension: str, confidence: float, note: str = "") -> Figure:
    """What is known without samples: a figure whose bounds are its estimate.

    value: in the base unit of `dimension`; confidence: as it is asked for, which an exact figure has at any;
    note: what is to be said of it.
    """
    return Figure(
        estimate=value,
        low=value,
        high=value,
        dimension=dimension,
        n=1,
        unit="exact",
        confidence=confidence,
        sided="one",
        note=note,
    )


def confidence_text(confidence: float | None, sided: str) -> str:
    """`95 %, one-sided`, as every table and picture says it.

    confidence: a share, None where it was not kept; sided: `one` or `two`.
    """
    level = "confidence not kept" if confidence is None else f"{100 * confidence:.6g} %"
    return f"{level}, {sided}-sided"
