"""Terms of the distillation loss, in a recipe."""

from typing import Annotated, Literal

from pydantic import Field

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


class Term(Schema):
    """A term of the distillation loss by its name (edgecomp.distill.losses.NAMED), with its weight and arguments. Of hidden states it names the
    module whose output is meant in each network, and what brings the student's width to the teacher's, where that is needed."""

    loss: str  # soft-labels, hard-labels, dkd, dist, features-cosine, ...
    weight: Annotated[float, Field(gt=0, le=1e6)] | Schedule = 1.0  # of this term
    arguments: dict[str, int | float | Schedule] = {}  # the loss's own, by name: temperature, beta, ...
    student: str | None = None  # of hidden states: a module path of the student
    teacher: str | None = None  # of hidden states: a module path of the teacher
    # linear: learnt; least-squares: learnt, from the closed form of the first batch on; fixed: that closed form, not learnt
    projection: Literal["linear", "least-squares", "fixed"] = "linear"
