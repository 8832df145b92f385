"""What a worker does that has a language model: texts generated, and texts that are given read token by token.

A session is one of edgecomp.runtimes.genai.base; texts are a folder of input_ids and attention_mask [N, length].
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any


def generate(session: Any, feeds: Sequence[Mapping[str, Any]], count: int, tokens: int) -> dict[str, Any]:
    """`count` generations of so many `tokens`, by prompts of `feeds` in turn: when each token was there, ns from the call on, and the CPU time till then, [count][tokens]
    each, and what the first said. session: a language model's. Raises InferenceError where one ended before."""
    from edgecomp.errors import InferenceError
    from edgecomp.runtimes.genai.base import prompts

    made = [session.generate(prompts(feeds[place % len(feeds)])[0], tokens) for place in range(count)]
    if short := [one for one in made if len(one.at_ns) != tokens]:
        raise InferenceError(f"a generation ended after {len(short[0].at_ns)} of {tokens} tokens")
    return {
        "at_ns": [one.at_ns for one in made],
        "cpu_ns": [one.cpu_ns for one in made],
        "said": made[0].tokens,
    }


def forced(session: Any, inputs: str, to: str) -> dict[str, Any]:
    """Writes float32 [N, length, 2] into the .npy file `to`: of each place the log-probability of the token that comes next, 0 where none does, and the likeliest
    token. session: a language model's; inputs: the folder of the texts."""
    import numpy as np

    texts = list(_texts(inputs))
    found = np.zeros((len(texts), max(length for _, length in texts), 2), np.float32)
    for place, (tokens, _) in enumerate(texts):
        said = log_probabilities(session.logits(tokens))
        found[place, : len(tokens), 1] = said.argmax(axis=1)
        found[place, : len(tokens) - 1, 0] = said[np.arange(len(tokens) - 1), tokens[1:]]
    np.save(to, found)
    return {}


def said(session: Any, inputs: str, to: str) -> dict[str, Any]:
    """Writes the logits [length, vocabulary] of every text into the .npz file `to`, by its place. session: a language model's; inputs: the folder of the texts."""
    import numpy as np

    np.savez(to, **{str(place): session.logits(tokens) for place, (tokens, _) in enumerate(_texts(inputs))})
    return {}


def log_probabilities(logits: Any) -> Any:
    """Of `logits`, [..., vocabulary], the logarithms of the softmax."""
    import numpy as np

    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def _texts(inputs: str) -> Iterator[tuple[Any, int]]:
    """Each text's tokens, and how long all are with padding."""
    from edgecomp.inputs import load
    from edgecomp.runtimes.genai.base import IDS, prompts

    asked = load(Path(inputs))
    return ((tokens, asked[IDS].shape[1]) for tokens in prompts(asked))
