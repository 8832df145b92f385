"""Policies of comparisons: what a row means without saying, and what is refused."""

from typing import Any

import pytest

from edgecomp.errors import RecipeError
from edgecomp.policies import Policy, Threshold, load_policy
from edgecomp.schema import names_in, parse, shipped

MARGIN = {"metric": "cpu_p50_ms", "against": "baseline", "margin": "2.5 %"}


@pytest.mark.parametrize("name", names_in(shipped("targets") / "policies"))
def test_every_shipped_policy_loads_and_is_called_as_its_file(name: str) -> None:
    assert load_policy(name).name == name


def test_a_row_against_a_baseline_is_surer_than_a_budget() -> None:
    assert Threshold.model_validate(MARGIN).confidence == 0.99
    assert Threshold.model_validate(MARGIN | {"confidence": 0.9}).confidence == 0.9
    assert Threshold.model_validate({"metric": "cpu_p50_ms", "max": "5 ms"}).confidence == 0.95


def test_a_margin_against_a_baseline_reads_as_a_change() -> None:
    assert Threshold.model_validate(MARGIN).text == "≤ +2.5 % vs baseline"
    assert (
        Threshold.model_validate(MARGIN | {"metric": "throughput_p50_per_s"}).text == "≥ -2.5 % vs baseline"
    )
    assert Threshold.model_validate(MARGIN | {"against": "teacher"}).text == "≤ 1.025 x teacher"


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (MARGIN | {"implausible": "5 pt"}, "as a multiple over 1"),
        (MARGIN | {"implausible": "0.5 x"}, "as a multiple over 1"),
        (
            {"metric": "cpu_p50_ms", "max": "5 ms", "implausible": "10 x"},
            "how much better than its reference",
        ),
        (MARGIN | {"severity": "maybe"}, "'block' or 'warn'"),
        (MARGIN | {"against": "basline"}, "'baseline'"),
    ],
)
def test_a_row_that_makes_no_sense_is_refused(row: dict[str, Any], words: str) -> None:
    with pytest.raises(RecipeError, match=words):
        parse(Policy, {"name": "p", "rows": {"r": row}}, "policy")


def test_rows_that_contradict_each_other_are_refused_and_a_repeated_one_is_not() -> None:
    other = MARGIN | {"margin": "5 %"}
    with pytest.raises(RecipeError, match="rows 'a' and 'b' contradict each other"):
        parse(Policy, {"name": "p", "rows": {"a": MARGIN, "b": other}}, "policy")
    assert len(parse(Policy, {"name": "p", "rows": {"a": MARGIN, "b": MARGIN}}, "policy").rows) == 2
    absolute = {"metric": "cpu_p50_ms", "max": "5 ms"}
    assert len(parse(Policy, {"name": "p", "rows": {"a": MARGIN, "b": absolute}}, "policy").rows) == 2
