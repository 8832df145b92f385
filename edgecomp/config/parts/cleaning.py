"""What of a recipe's data is left out or replaced before they are split."""

from typing import Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from edgecomp.config.schema import Part

RuleName = Literal[
    "empty",
    "too-long",
    "encoding",
    "language",
    "duplicate",
    "contradiction",
    "near-duplicate",
    "leak",
    "near-leak",
    "label-error",
    "low-confidence",
    "outlier",
]
"""Rows of edgecomp.data.cleaning.findings.RULES whose action may be chosen."""


class Clean(Part):
    """Rules that look for what should not be learnt from. Nothing is deleted: the run goes on without it, and its table of findings says why.

    `rules` says what is done about what each finds where that should differ from the default. `findings` is a table of `edgecomp data clean` that
    somebody has looked through: what it says is done, and nothing else is looked for.
    """

    rules: dict[RuleName, Literal["remove", "report", "off"]] = {}  # rule → what is done about what it finds
    near: float = Field(0.8, ge=0.5, lt=1)  # likeness from which two texts or images are near
    longest: int = Field(5_000, ge=1)  # a text, in characters
    confidence: float = Field(0.5, gt=0, le=1)  # below which a teacher's answer has none
    outlier: float = Field(3.0, gt=1)  # local outlier factor beyond which an example is one
    languages: list[
        str
    ] = []  # that texts should be in, ISO 639 codes such as `en`; without any none is judged
    # an .npz of a teacher's answers to the training data: `train` [N, classes], and perhaps `classes`; beside the recipe or in $EDGECOMP_DATA
    answers: str | None = None
    findings: str | None = None  # a table of findings that decides; likewise
    # in texts: replace: by pseudonyms, with the key of $EDGECOMP_PSEUDONYM_KEY; refuse: where there are any, nothing is run
    personal_data: Literal["ignore", "report", "replace", "refuse"] = "ignore"

    @model_serializer(mode="wrap")
    def _as_before_there_were_languages(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without `languages` where there are none, so that digests of recipes stay what they were."""
        found: dict[str, Any] = dump(self)
        return {name: value for name, value in found.items() if name != "languages" or value}
