"""Ways to ask, a row each: what is sent, and what an answer says.

OpenAI's chat and text completions (https://platform.openai.com/docs/api-reference), as many servers speak them; KServe's open inference protocol v2
(https://github.com/kserve/open-inference-protocol); a function of the user's own.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgecomp.teachers.api.asked import Answer, Asked, about_tokens

TOP = 20  # tokens whose probabilities are asked for, the most that the protocol allows


class Misfit(Exception):  # noqa: N818 - it is what an answer is, and it is told
    """An answer that is whole and cannot be one: it would be the same the next time."""


@dataclass(frozen=True)
class Way:
    """path: after the service's address; body: of a request, from what is asked and a prompt, or the example's values; read: of the JSON that comes
    back; by_prompt: whether a text is asked; over_http: whether anything is sent."""

    path: Callable[[Asked], str]
    body: Callable[[Asked, str, Any], dict[str, Any]]
    read: Callable[[Asked, Any, str], Answer]
    by_prompt: bool = True
    over_http: bool = True


def _chat(asked: Asked, prompt: str, values: Any) -> dict[str, Any]:
    said = [{"role": "system", "content": asked.system}] if asked.system else []
    found = {
        "model": asked.model,
        "messages": [*said, {"role": "user", "content": prompt}],
        "temperature": asked.temperature,
        "max_tokens": asked.max_tokens,
        "n": 1,
    }
    return found | ({"logprobs": True, "top_logprobs": TOP} if asked.logprobs else {})


def _completions(asked: Asked, prompt: str, values: Any) -> dict[str, Any]:
    found = {
        "model": asked.model,
        "prompt": f"{asked.system}\n\n{prompt}" if asked.system else prompt,
        "temperature": asked.temperature,
        "max_tokens": asked.max_tokens,
        "n": 1,
    }
    return found | ({"logprobs": TOP} if asked.logprobs else {})


def _read_chat(asked: Asked, content: Any, prompt: str) -> Answer:
    choice = _only_choice(content)
    message = choice.get("message")
    if not isinstance(message, Mapping) or not isinstance(message.get("content"), str | None):
        raise Misfit("its choice has no message with a content")
    first = None
    if asked.logprobs:
        steps = (choice.get("logprobs") or {}).get("content") or []
        top = steps[0].get("top_logprobs") if steps and isinstance(steps[0], Mapping) else None
        if not top:
            raise Misfit(NO_LOGPROBS)
        first = {str(one["token"]): float(one["logprob"]) for one in top}
    return _with_usage(Answer(message.get("content") or "", first), content, prompt)


def _read_completions(asked: Asked, content: Any, prompt: str) -> Answer:
    choice = _only_choice(content)
    if not isinstance(choice.get("text"), str):
        raise Misfit("its choice has no text")
    first = None
    if asked.logprobs:
        top = (choice.get("logprobs") or {}).get("top_logprobs")
        if not top or not isinstance(top[0], Mapping):
            raise Misfit(NO_LOGPROBS)
        first = {str(token): float(value) for token, value in top[0].items()}
    return _with_usage(Answer(choice["text"], first), content, prompt)


NO_LOGPROBS = (
    "logprobs were asked for, and it has none: this service or model does not give them; set logprobs: false"
)


def _only_choice(content: Any) -> Mapping[str, Any]:
    choices = content.get("choices") if isinstance(content, Mapping) else None
    if not isinstance(choices, list) or len(choices) != 1 or not isinstance(choices[0], Mapping):
        count = len(choices) if isinstance(choices, list) else "no"
        raise Misfit(f"it has {count} choices, and one was asked for")
    return choices[0]


def _with_usage(answer: Answer, content: Mapping[str, Any], prompt: str) -> Answer:
    usage = content.get("usage")
    counted = (
        [usage.get(name) for name in ("prompt_tokens", "completion_tokens")]
        if isinstance(usage, Mapping)
        else [None]
    )
    is_counted = all(isinstance(one, int) and one >= 0 for one in counted)
    tokens_in, tokens_out = (
        (int(counted[0] or 0), int(counted[1] or 0))
        if is_counted
        else (about_tokens(prompt), about_tokens(answer.text))
    )
    is_cut = _only_choice(content).get("finish_reason") == "length"
    return Answer(
        answer.text,
        answer.first,
        None,
        str(content.get("model") or ""),
        tokens_in,
        tokens_out,
        is_counted,
        is_cut,
    )


DATATYPES = {"float32": "FP32", "float64": "FP64", "uint8": "UINT8", "int64": "INT64", "int32": "INT32"}


def _infer(asked: Asked, prompt: str, values: Any) -> dict[str, Any]:
    if isinstance(values, str):
        tensor = {"name": asked.input, "shape": [1, 1], "datatype": "BYTES", "data": [values]}
    else:
        given = np.asarray(values)
        data = given.ravel().tolist()
        tensor = {
            "name": asked.input,
            "shape": [1, *given.shape],
            "datatype": DATATYPES[str(given.dtype)],
            "data": data,
        }
    return {"inputs": [tensor]} | ({"outputs": [{"name": asked.output}]} if asked.output else {})


def _read_infer(asked: Asked, content: Any, prompt: str) -> Answer:
    outputs = content.get("outputs") if isinstance(content, Mapping) else None
    named = [
        one
        for one in outputs or []
        if isinstance(one, Mapping) and (not asked.output or one.get("name") == asked.output)
    ]
    if len(named) != 1:
        there = ", ".join(str(one.get("name")) for one in outputs or [] if isinstance(one, Mapping)) or "none"
        raise Misfit(
            f"it has outputs {there}, and {asked.output or 'one'} was asked for: name it in api.output"
        )
    try:
        scores = [float(value) for value in np.asarray(named[0]["data"], np.float64).ravel()]
    except (KeyError, TypeError, ValueError) as error:
        raise Misfit(f"its output is no list of numbers: {error}") from None
    return Answer(
        scores=scores,
        model=str(content.get("model_name") or "")
        + (f" {content['model_version']}" if content.get("model_version") else ""),
    )


def _read_function(asked: Asked, content: Any, prompt: str) -> Answer:
    """A text, or numbers a class."""
    if isinstance(content, str):
        return Answer(content, tokens_in=about_tokens(prompt), tokens_out=about_tokens(content))
    try:
        return Answer(scores=[float(value) for value in content], tokens_in=about_tokens(prompt))
    except (TypeError, ValueError):
        raise Misfit(
            f"it returned {type(content).__name__}; a function returns a text, or a number for each class"
        ) from None


TABLE: Mapping[str, Way] = {
    "openai-chat": Way(lambda asked: "/chat/completions", _chat, _read_chat),
    "openai-completions": Way(lambda asked: "/completions", _completions, _read_completions),
    "kserve-v2": Way(lambda asked: f"/v2/models/{asked.model}/infer", _infer, _read_infer, by_prompt=False),
    "function": Way(lambda asked: "", lambda asked, prompt, values: {}, _read_function, over_http=False),
}
