"""Terms of the distillation loss, in a recipe."""

from typing import Annotated, Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, field_validator, model_serializer, model_validator

from edgecomp.config.schema import Schema


class Hint(Schema):
    """A hidden state of the student that is drawn to one of the teacher's: module paths, as in named_modules()."""

    student: str  # a module path of the student
    teacher: str  # a module path of the teacher
    weight: float = Field(1.0, gt=0, le=1e6)  # of this term of the loss


class Balance(Schema):
    """What an example counts in the terms of outputs, by how many training examples its class has."""

    by: Literal["inverse", "effective-number"]  # 1 / n, or (1 - β) / (1 - βⁿ): Cui et al. 2019
    beta: float = Field(0.999, ge=0, lt=1)  # β of effective-number: 0 weighs all alike, near 1 as inverse


class Schedule(Schema):
    """A number that changes while the student is trained in fp32, and keeps its end through fake-quant."""

    start: float = Field(ge=0, le=1e6)  # what it is at first
    end: float = Field(ge=0, le=1e6)  # and at last
    shape: Literal["linear", "cosine", "steps"] = "linear"  # how it goes there
    steps: int = Field(4, ge=2, le=1000)  # of shape: steps, the levels, start and end among them


class Exits(Schema):
    """Early exits of the student, a linear classifier on what each of some layers gives, which its own end teaches."""

    layers: list[str] = Field(
        min_length=1
    )  # module paths of the student, in the order that they are computed
    weight: float = Field(0.5, gt=0, le=1e6)  # of each exit's loss
    hard_label_weight: float = Field(0.5, ge=0, le=1)  # of cross-entropy; the rest is of what the end says
    temperature: float = Field(3.0, gt=0, le=100)  # that both logits are divided by
    # points of accuracy that early answers may cost on validation, which chooses the threshold; null: exits help to train, and go
    max_drop_pt: float | None = Field(None, ge=0, le=100)

    @field_validator("layers")
    @classmethod
    def _each_once(cls, layers: list[str]) -> list[str]:
        if twice := sorted({layer for layer in layers if layers.count(layer) > 1}):
            raise ValueError(f"{twice[0]!r} is named twice")
        return layers


class Lifelong(Schema):
    """A student that knows some classes already, learns the others, and keeps what it knew: its old self teaches beside the teacher."""

    old_classes: list[str] = Field(min_length=2)  # by name; an old student is trained on their labels first
    epochs: int = Field(ge=1, le=10_000)  # of that
    replay: float = Field(
        0.0, ge=0, le=1
    )  # the share of their training examples that is kept, and learnt again beside the new ones
    weight: float = Field(
        1.0, gt=0, le=1e6
    )  # of what the old student says of all examples, among the old classes
    temperature: float = Field(2.0, gt=0, le=100)  # that both logits are divided by there

    @field_validator("old_classes")
    @classmethod
    def _each_once(cls, classes: list[str]) -> list[str]:
        if twice := sorted({name for name in classes if classes.count(name) > 1}):
            raise ValueError(f"{twice[0]!r} is named twice")
        return classes


class Noise(Schema):
    """Noise on a teacher's outputs (Sau & Balasubramanian 2016): each number is multiplied by 1 + ξ, ξ normal."""

    sigma: Annotated[float, Field(gt=0, le=100)] | Schedule  # the deviation of ξ
    share: float = Field(1.0, gt=0, le=1)  # of the examples


class Term(Schema):
    """A term of the distillation loss by its name (edgecomp.distill.losses.NAMED), with its weight and arguments. Of hidden states it names the
    module whose output is meant in each network, and what brings the student's width to the teacher's, where that is needed."""

    loss: str  # soft-labels, hard-labels, dkd, dist, features-cosine, ...
    weight: Annotated[float, Field(gt=0, le=1e6)] | Schedule = 1.0  # of this term
    arguments: dict[str, int | float | Schedule] = {}  # the loss's own, by name: temperature, beta, ...
    student: str | None = None  # of hidden states: a module path of the student
    teacher: str | None = None  # of hidden states: a module path of the teacher
    # of outputs: the teacher's; or of the student's earlier self: a snapshot that is renewed, or the average of its weights
    of: Literal["teacher", "snapshot", "average"] = "teacher"
    every: int = Field(1, ge=1, le=10_000)  # of a snapshot: renewed when so many epochs are over
    decay: float = Field(0.99, ge=0, lt=1)  # of an average: what stays of it at each step
    noise: Noise | None = None  # on the teacher's outputs
    # linear: learnt; least-squares: learnt, from the closed form of the first batch on; fixed: that closed form, not learnt
    projection: Literal["linear", "least-squares", "fixed"] = "linear"

    @model_serializer(mode="wrap")
    def _as_before_there_was_more(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without what came later where it says nothing, so that digests of recipes stay what they were."""
        found: dict[str, Any] = dump(self)
        kept = {"of", "every", "decay"} if self.of != "teacher" else set()
        kept |= {"noise"} if self.noise else set()
        return {
            key: value for key, value in found.items() if key not in {"of", "every", "decay", "noise"} - kept
        }

    @model_validator(mode="after")
    def _what_is_said_is_used(self) -> "Term":
        for key, of in (("every", "snapshot"), ("decay", "average")):
            if getattr(self, key) != type(self).model_fields[key].default and self.of != of:
                raise ValueError(f"{key} is of a term `of: {of}`, and this is of: {self.of}")
        return self
