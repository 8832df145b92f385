"""What is asked of an API that teaches: settings, requests and answers, as plain data."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Limits:
    """requests_per_minute, tokens_per_minute: rates, None for any; requests, tokens, money: a budget, None for any; input_price, output_price: of a
    million tokens, in the money that `money` is in; concurrency: requests at a time; retries: of a request; timeout_s: of each try."""

    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    requests: int | None = None
    tokens: int | None = None
    money: float | None = None
    input_price: float = 0.0
    output_price: float = 0.0
    concurrency: int = 4
    retries: int = 6
    timeout_s: float = 60.0


@dataclass(frozen=True)
class Rule:
    """How an answer is parsed: name, a row of `parsing.TABLE`; pattern: of `regex`; key, schema: of `json`; names: by what an answer says, the class."""

    name: str = "choice"
    pattern: str = ""
    key: str = "label"
    schema: Mapping[str, Any] | None = None
    names: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Asked:
    """kind: a row of `protocols.TABLE`; url, model: of the service; prompts: Jinja templates, each of which is asked; system: what is said before
    them; samples: of each prompt; temperature, max_tokens: of the answer; logprobs: whether the probabilities of its first token are asked for;
    input, output: tensors of KServe's; smoothing: the share of a uniform distribution in what is learnt; send_personal_data: whether texts go out as
    they are."""

    kind: str
    url: str = ""
    model: str = ""
    prompts: Sequence[str] = ()
    system: str = ""
    samples: int = 1
    temperature: float = 0.0
    max_tokens: int = 16
    logprobs: bool = False
    input: str = "input"
    output: str = ""
    rule: Rule = field(default_factory=Rule)
    smoothing: float = 0.05
    send_personal_data: bool = False
    limits: Limits = field(default_factory=Limits)

    @property
    def answers(self) -> int:
        """How many an example has."""
        return max(1, len(self.prompts)) * self.samples


@dataclass(frozen=True)
class Request:
    """id: a digest of all that is asked, which the service is told as its idempotency key; prompt: as it is sent; tokens: how many it takes, about,
    with its answer; body: of HTTP, None of a function."""

    id: str
    prompt: str
    tokens: int
    body: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Answer:
    """text: what was said; first: by token, the logarithm of its probability to be the first, where that was asked for; scores: numbers a class, of
    a service that gives those; model: who says it was; tokens_in, tokens_out: as the service counts, or else about; is_counted: whether it does;
    is_cut: whether it ended at the most tokens that it may have."""

    text: str = ""
    first: Mapping[str, float] | None = None
    scores: Sequence[float] | None = None
    model: str = ""
    tokens_in: int = 0
    tokens_out: int = 0
    is_counted: bool = False
    is_cut: bool = False


def about_tokens(text: str) -> int:
    """How many tokens `text` takes, about: a quarter of its characters, which is usual of English, and more of what is not ASCII."""
    return 1 + len(text.encode("utf-8", "surrogatepass")) // 4
