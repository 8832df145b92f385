"""How training examples vary, beside being shifted and mirrored, and which are written by a teacher."""

from typing import Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from edgecomp.config.parts.api_teacher import Api, Writer
from edgecomp.config.schema import Part

OF_TEXTS = ("typos", "synonyms", "same_kind", "rewrite", "paraphrase")
OF_IMAGES = ("colour", "cutmix")


class Augment(Part):
    """What each of `data.views` views of a training example has of its own; the first view of a text is the text as it is.

    The teacher is asked about every view. `mixup` and `cutmix` blend two examples: `within: class` of one class, whose hard label stays;
    `within: all` any two, which only the teacher can answer, so that the student learns no hard labels. Of several ways with texts
    all are taken, in the order in which they stand here from the last to the first.
    """

    # images: brightness, contrast and saturation times a number from 1 - colour to 1 + colour
    colour: float = Field(0.0, ge=0, le=1)
    mixup: float = Field(
        0.0, ge=0, le=10
    )  # images and rows: α of Beta(α, α), of which a blend's share is drawn; 0: none
    cutmix: float = Field(0.0, ge=0, le=10)  # images: a rectangle of the other, likewise
    within: Literal["class", "all"] = "class"  # who is blended with whom
    typos: float = Field(0.0, ge=0, le=1)  # texts: the share of words with a typing error
    # texts: a file, a line a word, name or phrase, a tab, and what may stand in its place; beside the recipe or in $EDGECOMP_DATA
    synonyms: str | None = None
    replaced: float = Field(0.2, gt=0, le=1)  # the share of them that is
    same_kind: bool = False  # texts: numbers, hexadecimal, paths and identifiers replaced within their kind
    # texts: your own function `(texts, view) -> texts`, such as a translation there and back: `package.module:function` or `path/to/file.py:function`
    rewrite: str | None = None
    # texts: who writes them anew, each of `prompts` asked of the answer to the one before: one paraphrases, two translate there and back
    paraphrase: Writer | None = None

    @model_serializer(mode="wrap")
    def _as_before_there_was_paraphrase(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without `paraphrase` where there is none, so that digests of recipes stay what they were."""
        found: dict[str, Any] = dump(self)
        return {key: value for key, value in found.items() if key != "paraphrase" or value is not None}

    @property
    def asked(self) -> tuple[str, ...]:
        """The names of what varies."""
        return tuple(name for name in ("colour", "mixup", "cutmix", *OF_TEXTS) if getattr(self, name))

    @property
    def of_texts(self) -> bool:
        return any(name in OF_TEXTS for name in self.asked)

    @property
    def across(self) -> bool:
        """Whether examples of different classes are blended."""
        return self.within == "all" and bool(self.mixup or self.cutmix)

    @model_validator(mode="after")
    def _one_writes_anew(self) -> "Augment":
        if self.rewrite is not None and self.paraphrase is not None:
            raise ValueError("rewrite and paraphrase both write the texts anew: leave out one of the two")
        return self

    @model_validator(mode="after")
    def _something_varies(self) -> "Augment":
        if not self.asked:
            raise ValueError(
                f"nothing varies: set {', '.join(('colour', 'mixup', 'cutmix', *OF_TEXTS))}, or take augment out"
            )
        return self


class Synthesis(Part):
    """Texts that a teacher writes, of classes that are rare, and of a domain: learnt from, and in no other split.

    One is kept only where `api`, asked anew by its own prompts, and `filter` both say that it is of the class that it was written for, and where it is
    near to no example that there is. Budget, rates and the key are those of `api`, for writing and labelling together.
    """

    api: Api  # who writes, and, by its `prompts` and `parse`, who says what class a text is of
    # Jinja templates with {{ label }}, and {{ classes }}, {{ domain }}, {{ examples }} of the class, {{ number }} of the request; each is asked
    write: list[str] = Field(min_length=1)
    classes: list[str] = []  # that are written of; without any those with less than half of an equal share
    each: int = Field(10, ge=1, le=100_000)  # requests of a class and template
    domain: str = ""  # what examples are about, for the templates
    shots: int = Field(3, ge=0, le=50)  # training examples of the class that a request may show
    answer: Literal["text", "lines"] = "text"  # an answer is one example, or each of its lines is
    temperature: float = Field(1.0, ge=0, le=2)  # of what is written
    max_tokens: int = Field(256, ge=1, le=100_000)  # of an answer
    near: float = Field(0.8, ge=0.5, lt=1)  # likeness from which an example is a copy
    # `words`: what tells the training examples apart by words; or your own `(text, label) -> bool`: `package.module:function` or `path/to/file.py:function`
    filter: str = "words"

    @model_validator(mode="after")
    def _the_teacher_writes(self) -> "Synthesis":
        if self.api.kind == "kserve-v2":
            raise ValueError(
                "api.kind: kserve-v2 writes no texts: take openai-chat, openai-completions or function"
            )
        return self
