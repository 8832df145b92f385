"""A verdict that is shown is the one that its samples give; another one that was kept is named."""

import copy
from typing import Any

import pytest

from edgecomp.gate.rederived import differences, is_comparable

ROW = {"target": "t", "name": "latency_p50_ms", "verdict": "FAIL", "sentence": "t: 7 ms.", "limit_value": 5.0,
       "estimate": {"value": 7.0, "lower": 6.5, "upper": 7.5}, "waiver": None}  # fmt: skip
DERIVED: dict[str, Any] = {
    "format": 1, "made_with": {"edgecomp": "1", "numpy": "2"}, "verdict": "FAIL", "exit_code": 1, "next_step": "t: 7 ms: mend it.",
    "policy": {"name": "p", "sha256": "0"}, "gates": [ROW], "figures": {"t": {"student": {}}},
}  # fmt: skip


def changed(*path: Any, to: Any) -> dict[str, Any]:
    kept: Any = copy.deepcopy(DERIVED)
    place = kept
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = to
    return dict(kept)


@pytest.mark.parametrize(
    ("kept", "words"),
    [
        (changed("verdict", to="PASS"), "verdict is PASS, and its samples give FAIL"),
        (changed("exit_code", to=0), "exit_code is 0, and its samples give 1"),
        (changed("exit_code", to=True), ""),  # which is 1
        (changed("gates", 0, "verdict", to="PASS"), "gates[latency_p50_ms on t].verdict is PASS"),
        (changed("gates", 0, "estimate", "upper", to=4.0), "gates[latency_p50_ms on t].estimate.upper is 4.0"),
        (changed("gates", 0, "estimate", to=None), "estimate is None"),
        (changed("gates", 0, "waiver", to={"owner": "ann"}), "waiver is {'owner': 'ann'}, and its samples give None"),
        (changed("gates", to=[]), "gates is [], and its samples give"),
        (changed("figures", "t", "student", to={"accuracy_pct": {"value": 99.0}}), "figures.t.student.accuracy_pct"),
        (changed("gates", 0, "estimate", "upper", to=7.5 * (1 + 1e-9)), ""),
        (changed("gates", 0, "sentence", to="t: 7.0 ms!"), ""),
        (changed("next_step", to="Mend it."), ""),
    ],
)  # fmt: skip
def test_what_means_something_else_is_named_and_other_words_are_not(kept: dict[str, Any], words: str) -> None:
    found = list(differences(kept, DERIVED))
    assert (words in found[0]) if words else found == []


@pytest.mark.parametrize(
    ("kept", "comparable"),
    [
        (DERIVED, True),
        (changed("verdict", to="PASS"), True),
        (changed("made_with", "edgecomp", to="0"), False),
        (changed("made_with", "numpy", to="1"), False),
        (changed("policy", "sha256", to="1"), False),
        (changed("policy", to="p"), False),
        ({key: value for key, value in DERIVED.items() if key != "made_with"}, False),
        ({}, False),
    ],
)
def test_only_what_the_same_rules_made_is_compared(kept: dict[str, Any], comparable: bool) -> None:
    assert is_comparable(kept, DERIVED) is comparable
