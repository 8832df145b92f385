"""Answers parsed by a declared rule. What does not parse is nobody's label: it is counted, kept apart, and never guessed."""

import importlib
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from edgecomp.errors import RuntimeUnavailableError, UsageError, nearest
from edgecomp.teachers.api.asked import Answer, Rule

Numbers = npt.NDArray[np.float64]
AROUND = " \t\r\n\"'`*.:!"


class Parser:
    """rule: how; classes: the data's, in their order. Raises UsageError where the rule cannot tell them apart, or is none."""

    def __init__(self, rule: Rule, classes: Sequence[str]) -> None:
        if rule.name not in TABLE:
            raise UsageError(
                f"parse: no such rule {rule.name!r}{nearest(rule.name, TABLE)}; there are {', '.join(TABLE)}"
            )
        if unknown := [name for name in rule.names.values() if name not in classes]:
            raise UsageError(
                f"parse.names: {unknown[0]!r} is no class of the data{nearest(unknown[0], classes)}; they are {', '.join(classes[:10])}"
            )
        said = list(rule.names) or list(classes)
        self._places = {_plain(one): classes.index(rule.names.get(one, one)) for one in said}
        if len(self._places) < len(said):
            raise UsageError(
                "parse.names: two answers differ in capitals or quotation marks alone: name classes by words that differ"
            )
        if missing := set(range(len(classes))) - set(self._places.values()):
            raise UsageError(f"parse.names: nothing that is answered means class {classes[min(missing)]!r}")
        self._rule, self.width = rule, len(classes)
        self._of = TABLE[rule.name](rule)

    def __call__(self, answer: Answer) -> Numbers | None:
        """The distribution [classes] that an `answer` is; None where it does not parse."""
        if answer.scores is not None:
            return self._of_scores(answer.scores)
        if answer.first is not None and self._rule.name == "choice":
            return self._of_first(answer.first)
        word = self._of(answer.text)
        place = None if word is None else self._places.get(_plain(word))
        if place is None:
            return None
        found: Numbers = np.zeros(self.width)
        found[place] = 1.0
        return found

    def _of_scores(self, scores: Sequence[float]) -> Numbers | None:
        given = np.asarray(scores, np.float64)
        if given.shape != (self.width,) or not np.isfinite(given).all():
            return None
        if (given >= 0).all() and abs(given.sum() - 1) < 1e-3:
            return np.asarray(given / given.sum())
        given = np.exp(given - given.max())
        return np.asarray(given / given.sum())

    def _of_first(self, first: Mapping[str, float]) -> Numbers | None:
        """Of the tokens that could come first, the probability of each with which just one class begins."""
        found: Numbers = np.zeros(self.width)
        for token, logarithm in first.items():
            begins = _plain(token)
            fitting = {
                place
                for said, place in self._places.items()
                if begins and (said.startswith(begins) or begins == said)
            }
            if len(fitting) == 1:
                found[fitting.pop()] += math.exp(min(0.0, logarithm))
        return found / found.sum() if found.sum() > 0 else None


def _plain(text: str) -> str:
    return text.strip(AROUND).casefold()


def _choice(rule: Rule) -> Callable[[str], str | None]:
    return lambda text: text


def _regex(rule: Rule) -> Callable[[str], str | None]:
    try:
        pattern = re.compile(rule.pattern)
    except re.error as error:
        raise UsageError(f"parse.pattern: {rule.pattern!r} is no regular expression: {error}") from None
    if pattern.groups != 1:
        raise UsageError(
            f"parse.pattern: {rule.pattern!r} has {pattern.groups} groups; the one group of a pattern is the class"
        )

    def parsed(text: str) -> str | None:
        found = {_plain(match[1] or "") for match in pattern.finditer(text[:LONGEST])}
        return found.pop() if len(found) == 1 else None

    return parsed


LONGEST = 10_000  # characters of an answer that a pattern is looked for in


def _json(rule: Rule) -> Callable[[str], str | None]:
    check = _schema(rule.schema) if rule.schema is not None else None

    def parsed(text: str) -> str | None:
        try:
            content: Any = json.loads(text)
        except (ValueError, RecursionError):
            return None
        if check is not None and not check(content):
            return None
        found = content.get(rule.key) if isinstance(content, dict) else None
        return found if isinstance(found, str) else None

    return parsed


def _schema(schema: Mapping[str, Any]) -> Callable[[Any], bool]:
    try:
        jsonschema = importlib.import_module("jsonschema")
    except ImportError as error:
        raise RuntimeUnavailableError(
            f"parse.schema needs the extra `data` ({error}): pip install 'edgecomp[data]'"
        ) from error
    try:
        kind = jsonschema.validators.validator_for(schema)
        kind.check_schema(schema)
    except jsonschema.SchemaError as error:
        raise UsageError(f"parse.schema is no JSON Schema: {error.message}") from None
    # Without a registry nothing that a schema refers to is fetched.
    return lambda content: bool(kind(schema).is_valid(content))


TABLE: Mapping[str, Callable[[Rule], Callable[[str], str | None]]] = {
    "choice": _choice,
    "regex": _regex,
    "json": _json,
}
"""choice: the answer is the name of a class, and nothing else; regex: the one group of a pattern is, and of several matches all are the same one;
json: the value of `key` in an object, which `schema` may say more of."""
