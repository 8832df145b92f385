"""A teacher behind an API, in a recipe."""

from typing import Any, Literal

from pydantic import Field, model_validator

from edgecomp.config.schema import Part

OF_LABELS = ("parse", "smoothing", "samples", "logprobs", "input", "output")
"""Settings of an API that says what class an example is of."""


class Parse(Part):
    """How an answer becomes a class. What does not parse is counted and kept apart."""

    # choice: the answer is the name of a class and nothing else; regex: the one group of `pattern` is; json: the value of `key` in an object is
    rule: Literal["choice", "regex", "json"] = "choice"
    pattern: str | None = None  # of regex, with one group
    key: str = "label"  # of json
    json_schema: dict[str, Any] | None = None  # of json, what an answer must be besides
    names: dict[
        str, str
    ] = {}  # what an answer says → the class that it means, where that is not the class's own name

    @model_validator(mode="after")
    def _the_rule_has_what_it_needs(self) -> "Parse":
        if (self.rule == "regex") != (self.pattern is not None):
            raise ValueError("pattern is of rule: regex, which needs one")
        if self.json_schema is not None and self.rule != "json":
            raise ValueError("json_schema is of rule: json")
        return self


class Budget(Part):
    """What may be spent, at most; the run then stops, keeps what was answered, and goes on where it ended when there is more."""

    requests: int | None = Field(None, ge=1)  # every try is one
    tokens: int | None = Field(None, ge=1)  # asked and answered
    money: float | None = Field(None, gt=0)  # in the unit of the prices
    input_price: float = Field(0.0, ge=0)  # of a million tokens that are asked
    output_price: float = Field(0.0, ge=0)  # of a million that are answered

    @model_validator(mode="after")
    def _money_has_prices(self) -> "Budget":
        if self.money is not None and not (self.input_price or self.output_price):
            raise ValueError(
                "money is counted by prices: give input_price and output_price, of a million tokens"
            )
        return self


class Api(Part):
    """A service that is asked for every example, once. Its key is in an environment variable, and nothing of it is written."""

    # openai-chat, openai-completions: what many servers speak; kserve-v2: the examples themselves, for numbers back; function: of your own
    kind: Literal["openai-chat", "openai-completions", "kserve-v2", "function"]
    url: str = ""  # `https://host/v1`; of kserve-v2 without `/v2`
    model: str = ""  # as the service calls it
    function: str | None = (
        None  # of kind function: `package.module:function`, from a prompt to a text or a number for each class
    )
    key: str | None = Field(
        None, pattern=r"^[A-Z_][A-Z0-9_]*$"
    )  # the name of the environment variable that has the key
    prompts: list[
        str
    ] = []  # Jinja templates with {{ text }}, or {{ values }} by column, and {{ classes }}; each is asked
    system: str = ""  # what is said before every prompt
    samples: int = Field(1, ge=1, le=100)  # of each prompt; their disagreement is the lack of confidence
    temperature: float = Field(0.0, ge=0, le=2)  # of the answer; 0: the likeliest
    max_tokens: int = Field(16, ge=1, le=100_000)  # of an answer
    logprobs: bool = False  # the probabilities of the first token, of rule: choice
    input: str = "input"  # of kserve-v2, the name of the tensor
    output: str = ""  # likewise; without it the only one
    parse: Parse = Parse()  # how an answer becomes a class
    smoothing: float = Field(0.05, gt=0, lt=1)  # share of a uniform distribution in what is learnt
    send_personal_data: bool = (
        False  # without it, personal data in texts become pseudonyms before anything is sent or kept
    )
    requests_per_minute: float | None = Field(None, gt=0)  # at most
    tokens_per_minute: float | None = Field(None, gt=0)  # at most
    concurrency: int = Field(4, ge=1, le=256)  # requests at a time
    retries: int = Field(6, ge=0, le=100)  # of a request, after what may pass
    timeout_s: float = Field(60.0, gt=0, le=3600)  # of every try
    budget: Budget = Budget()  # what may be spent

    @model_validator(mode="after")
    def _it_can_be_asked(self) -> "Api":
        if (self.kind == "function") != (self.function is not None):
            raise ValueError("function is of kind: function, which needs one")
        if self.kind == "function" and (self.url or self.key):
            raise ValueError("kind: function asks no service: leave out url and key")
        if self.kind.startswith("openai") and not self.prompts:
            raise ValueError("prompts: write at least one, with {{ text }} in it")
        if self.samples > 1 and self.temperature == 0 and self.kind != "function":
            raise ValueError(
                f"samples: {self.samples} at temperature 0 are the same answer so many times: set a temperature, or ask once"
            )
        if self.logprobs and (self.parse.rule != "choice" or not self.kind.startswith("openai")):
            raise ValueError(
                "logprobs are of the first token of an answer that is a class: kind openai-…, parse.rule: choice"
            )
        return self


class Writer(Api):
    """A service that is asked to write a text."""

    max_tokens: int = Field(256, ge=1, le=100_000)  # of an answer; one that is cut off there is none

    @model_validator(mode="after")
    def _it_writes(self) -> "Writer":
        said = [name for name in OF_LABELS if getattr(self, name) != Api.model_fields[name].get_default()]
        if said:
            raise ValueError(f"a text is asked for, once each, and {said[0]} is of labels: take it out")
        return self


HOW = {"requests_per_minute", "tokens_per_minute", "concurrency", "retries", "timeout_s", "budget", "key"}
"""Settings that decide how fast and how far is asked, and nothing of what is answered: not in the key of the step."""
