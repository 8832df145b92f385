"""Networks of a recipe: the teacher, the student, and who teaches beside the teacher."""

import re
from typing import Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, field_validator, model_serializer, model_validator

from edgecomp.arms import TEACHER
from edgecomp.config.parts.api_teacher import Api
from edgecomp.config.parts.loop import PLAIN, Loop, parts_do_not_fit, without_plain
from edgecomp.config.parts.shrink.prune import Prune
from edgecomp.config.schema import Part


class Network(Part):
    """A network by name (edgecomp.models.TABLE) or factory (`package.module:function`), with its arguments."""

    network: str  # a name, `hf:MODEL`, `onnx:FILE`, `pt2:FILE`, or a factory `package.module:function`
    arguments: dict[str, Any] = {}  # what it is built with, by name
    inputs: list[
        str
    ] = []  # those it takes of the inputs that `data` names, in its order; all where none is named

    @field_validator("inputs")
    @classmethod
    def _each_once(cls, names: list[str]) -> list[str]:
        if twice := [name for place, name in enumerate(names) if name in names[:place]]:
            raise ValueError(f"inputs: {twice[0]!r} is named twice")
        return names


class Teacher(Network):
    """Trained on hard labels; with no epochs it is taken as its factory, or its folder, gives it."""

    epochs: int = Field(ge=0, le=10_000)  # 0: it is trained already
    batch_size: int = Field(64, ge=2)  # examples
    learning_rate: float = Field(3e-3, gt=0, le=10)  # at its highest
    weight_decay: float = Field(5e-4, ge=0, le=1)  # of matrices and kernels
    loop: Loop = PLAIN  # how steps are taken, alarms, trackers

    @model_serializer(mode="wrap")
    def _as_before_there_was_a_loop(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return without_plain(dump(self))

    @model_validator(mode="after")
    def _batches_can_be_taken_in_parts(self) -> "Teacher":
        if wrong := parts_do_not_fit(self.loop, self.batch_size):
            raise ValueError(wrong)
        return self


class Student(Network):
    """A network of its own, or `network: teacher`: the teacher as it is, or some of its layers, `arguments: {layers: [0, 2, 5]}`, or some of its
    channels, `prune: {keep: 50 %}`.

    `seed` is of its weights and the order of its examples, where it should differ from the recipe's.
    """

    # of its weights and the order of its data, where it should differ from the recipe's
    seed: int | None = Field(None, ge=0, lt=2**32)
    prune: Prune | None = None  # of `network: teacher`, what of it stays

    @model_serializer(mode="wrap")
    def _as_before_there_was_pruning(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without `prune` and `inputs` where there are none, so that digests of recipes stay what they were."""
        found: dict[str, Any] = dump(self)
        return {key: value for key, value in found.items() if key not in ("prune", "inputs") or value}

    @model_validator(mode="after")
    def _what_is_pruned_is_trained(self) -> "Student":
        if self.prune is not None and self.network != "teacher":
            raise ValueError(
                f"prune: of weights that are trained, and network {self.network!r} begins without: take network: teacher"
            )
        return self

    @property
    def is_its_teacher(self) -> bool:
        """Whether it is the teacher as it is, whole."""
        return self.network == "teacher" and "layers" not in self.arguments and self.prune is None


class Another(Part):
    """Who teaches beside the teacher: a network that is trained here on hard labels, or is ready (`epochs: 0`); or what one has answered."""

    network: str | None = None  # as `teacher.network`
    arguments: dict[str, Any] = {}  # what it is built with, by name
    # in place of a network: an .npz of its outputs, `train` [N, classes] in the order of the training data; beside the recipe or in $EDGECOMP_DATA
    soft_labels: str | None = None
    api: Api | None = None  # in place of both: a service that is asked
    weight: float = Field(1.0, ge=0, le=1e6)  # beside that of the others
    epochs: int = Field(0, ge=0, le=10_000)  # 0: it is trained already
    batch_size: int = Field(64, ge=2)  # examples
    learning_rate: float = Field(3e-3, gt=0, le=10)  # at its highest
    weight_decay: float = Field(5e-4, ge=0, le=1)  # of AdamW
    # of its weights and the order of its examples; without it another than the teacher's and that of each other
    seed: int | None = Field(None, ge=0, lt=2**32)

    @model_validator(mode="after")
    def _it_is_one_or_the_other(self) -> "Another":
        if sum(one is not None for one in (self.network, self.soft_labels, self.api)) != 1:
            raise ValueError(
                "a teacher is a `network`, or `soft_labels` that one gave, or an `api`: name one of them"
            )
        if self.network == "teacher":
            raise ValueError("network: teacher is the student's word: name a network of its own")
        if self.network is None and (self.epochs or self.arguments):
            raise ValueError("soft_labels are given: epochs and arguments are of a network")
        return self

    @model_serializer(mode="wrap")
    def _as_before_there_was_an_api(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without `api` where there is none, so that digests of recipes stay what they were."""
        found: dict[str, Any] = dump(self)
        return {key: value for key, value in found.items() if key != "api" or value is not None}


class Teachers(Part):
    """Who teaches beside the teacher, and what each counts: one mixture of their outputs is what the student learns."""

    # weight: as they say; learned: the mixture that makes the validation labels likeliest; confidence: by example, as each is right about its label
    by: Literal["weight", "learned", "confidence"] = "weight"
    weight: float = Field(
        1.0, ge=0, le=1e6
    )  # of the teacher itself; 0: it is judged beside its student, and teaches nothing
    others: dict[str, Another] = Field(min_length=1)  # by name: letters, digits, `.`, `_`, `-`

    @model_validator(mode="after")
    def _names_are_folders(self) -> "Teachers":
        if odd := [name for name in self.others if not NAME.fullmatch(name) or name == TEACHER.name]:
            raise ValueError(
                f"others: a teacher cannot be called {odd[0]!r}: letters, digits, `.`, `_`, `-`, and not {TEACHER.name!r}, which is the first"
            )
        return self

    @model_validator(mode="after")
    def _somebody_teaches(self) -> "Teachers":
        if self.by != "weight" and {self.weight, *(one.weight for one in self.others.values())} != {1.0}:
            raise ValueError(f"weight is said, and by: {self.by} finds the weights: leave out one of the two")
        if self.weight + sum(one.weight for one in self.others.values()) == 0:
            raise ValueError("the weights sum to nothing: give one teacher a weight")
        return self


NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
