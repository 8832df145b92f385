"""What a recipe asks of a student's health, beside its accuracy."""

from typing import Literal

from pydantic import Field, model_validator

from edgecomp.config.schema import Part
from edgecomp.metrics.registry import (
    ADVERSARIAL_ACCURACY,
    ATTACKS_WITHSTOOD,
    CORRUPTED_ACCURACY,
    KEY_SAMPLES,
    MEMBERSHIP_ADVANTAGE,
)


class Attack(Part):
    """What an attack may do."""

    # the most that a value changes: of pictures a share of a pixel's range (0.0314 is 8 of 255), of rows in deviations of a column
    strength: float = Field(gt=0, le=10)
    # of pgd along the gradients; of answers, rounds of asking
    steps: int = Field(20, ge=1, le=10_000)


class Health(Part):
    """Asked of the teacher, the fp32 student and what is judged, in each target's runtime, on `examples` of the test split.

    `key_samples`: beside these, inputs whose answers must hold, all of them. `attacks`: `fgsm` and `pgd` follow the gradients of each network, and what they find is handed to its file; `answers` only asks the file. Of all
    that are declared together it is told how many right answers they turn. `corruptions`: of pictures noise, blur, jpeg, contrast; of texts typos,
    truncation, capitals; of rows noise, missing, shifted; at five severities each. `membership`: whether training examples can be told from others.
    """

    examples: int = Field(500, ge=20, le=100_000)  # or the whole split, where it is smaller
    # by name, what each may do
    attacks: dict[Literal["fgsm", "pgd", "answers"], Attack] = {}
    # of the kind of input
    corruptions: list[
        Literal["noise", "blur", "jpeg", "contrast", "missing", "shifted", "typos", "truncation", "capitals"]
    ] = []
    membership: bool = False  # whether training examples can be told from others
    # a .npz or .parquet file of the network's inputs by name, and `label`: the answers that must hold
    key_samples: str | None = None

    @model_validator(mode="after")
    def _asks_something(self) -> "Health":
        if not (self.attacks or self.corruptions or self.membership or self.key_samples):
            raise ValueError(
                "nothing is asked: declare attacks, corruptions, key_samples, or membership: true"
            )
        if len(set(self.corruptions)) < len(self.corruptions):
            raise ValueError("corruptions: one is named twice")
        return self

    @property
    def by_gradient(self) -> dict[str, Attack]:
        """The attacks that follow a network's gradients."""
        return {name: attack for name, attack in self.attacks.items() if name != "answers"}

    @property
    def metrics(self) -> set[str]:
        """Those that are measured."""
        of_attacks = {ADVERSARIAL_ACCURACY, ATTACKS_WITHSTOOD} if self.attacks else set()
        of_corruptions = {CORRUPTED_ACCURACY} if self.corruptions else set()
        of_training = {MEMBERSHIP_ADVANTAGE} if self.membership else set()
        return of_attacks | of_corruptions | of_training | ({KEY_SAMPLES} if self.key_samples else set())


ASKED_BY = {
    ADVERSARIAL_ACCURACY: "health.attacks",
    ATTACKS_WITHSTOOD: "health.attacks",
    CORRUPTED_ACCURACY: "health.corruptions",
    KEY_SAMPLES: "health.key_samples",
    MEMBERSHIP_ADVANTAGE: "health.membership",
}
"""By metric, what of a recipe has it measured."""
