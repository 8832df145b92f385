"""What a recipe says of a language model alone (task: causal-lm)."""

from typing import Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from edgecomp.config.parts.api_teacher import Writer
from edgecomp.config.schema import Part

TASK = "causal-lm"


class Language(Part):
    """Of `task: causal-lm`: what is learnt of the teacher, how weights are grouped, and what is measured of text that is generated.

    `distill.temperature` and `distill.hard_label_weight` weigh the teacher's soft labels against the tokens that came; `quantize.weight_bits` are
    of all layers but embeddings and the last, which have 8.
    """

    # kl: of the teacher from the student, forward; reverse-kl: the other way round; jsd: the generalised Jensen-Shannon divergence
    loss: Literal["kl", "reverse-kl", "jsd"] = "kl"
    jsd_beta: float = Field(0.5, gt=0, lt=1)  # of jsd: what the teacher weighs in the mixture
    top_k: int = Field(64, ge=1, le=4096)  # tokens that are kept of what the teacher says at each place
    # teacher-texts: what the teacher says to the training prompts is learnt, not what the data say (sequence-level distillation)
    learn_from: Literal["data", "teacher-texts"] = "data"
    teacher_tokens: int = Field(64, ge=1, le=8192)  # of a text that the teacher generates, at most
    # of teacher-texts: a service that says them in the teacher's place; in its `prompts`, {{ text }} is the prompt of a row
    writer: Writer | None = None
    # what stands between <think> and </think> in an answer: strip: is not learnt, nor is an answer that does not come to its end
    reasoning: Literal["keep", "strip"] = "keep"
    packed: bool = True  # texts behind each other fill rows of data.max_length; never prompts with answers
    group_size: Literal[32, 64, 128] = 32  # weights that share a scale; divides the inputs of every layer
    # answers to choose from: of each test prompt it is asked which of them is the likeliest (choice_accuracy_pct); each test answer is one of them
    choices: list[str] = []
    prompt_tokens: list[int] = Field(
        [32, 128], min_length=1
    )  # lengths of prompts that are measured; the first is judged
    new_tokens: int = Field(16, ge=2, le=8192)  # that are generated after each
    generations: int = Field(
        8, ge=1
    )  # in each restart, of each length of a prompt; bench.iterations are of the first token alone
    parity_texts: int = Field(
        16, ge=1
    )  # of the validation split, that the exported folder is held against the student by

    @model_serializer(mode="wrap")
    def _as_before_there_was_a_writer(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without `writer`, `reasoning` and `choices` where nothing is asked of them, so that digests of recipes stay what they were."""
        found: dict[str, Any] = dump(self)
        plain: dict[str, Any] = {"writer": None, "reasoning": "keep", "choices": []}
        return {key: value for key, value in found.items() if key not in plain or value != plain[key]}

    @model_validator(mode="after")
    def _there_is_a_choice(self) -> "Language":
        told = [one for one in self.choices if one.strip()]
        if self.choices and (len(set(told)) < 2 or len(set(told)) < len(self.choices)):
            raise ValueError("choices: two different answers at least, none of them empty or named twice")
        return self

    @model_validator(mode="after")
    def _the_writer_is_the_teacher(self) -> "Language":
        if self.writer is not None and self.learn_from != "teacher-texts":
            raise ValueError("writer: what it writes is learnt with learn_from: teacher-texts")
        return self
