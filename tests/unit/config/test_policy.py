"""Policies of comparisons: what a row means without saying, and what is refused."""

import json
from pathlib import Path
from typing import Any

import pytest

from edgecomp.config.job import Job, load_job
from edgecomp.config.parts.health import ASKED_BY
from edgecomp.config.policy import Policy, Threshold, load_policy, with_budget
from edgecomp.config.schema import names_in, parse, shipped
from edgecomp.errors import RecipeError
from edgecomp.gate.stage import changes
from edgecomp.metrics.registry import METRICS, Metric
from edgecomp.metrics.units import EXAMPLES, UNITS, parse_quantity

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
        parse(Policy, {"name": "p", "rows": {"r": row}}, Path("policy"))


def test_rows_that_contradict_each_other_are_refused_and_a_repeated_one_is_not() -> None:
    other = MARGIN | {"margin": "5 %"}
    with pytest.raises(RecipeError, match="checks 'a' and 'b' contradict each other"):
        parse(Policy, {"name": "p", "rows": {"a": MARGIN, "b": other}}, Path("policy"))
    assert len(parse(Policy, {"name": "p", "rows": {"a": MARGIN, "b": MARGIN}}, Path("policy")).rows) == 2
    absolute = {"metric": "cpu_p50_ms", "max": "5 ms"}
    assert len(parse(Policy, {"name": "p", "rows": {"a": MARGIN, "b": absolute}}, Path("policy")).rows) == 2


def rows(**given: dict[str, Any]) -> dict[str, Threshold]:
    return {name: Threshold.model_validate({"metric": "latency_p50_ms"} | row) for name, row in given.items()}


@pytest.mark.parametrize(("policy", "budget"), [("20 ms", "50 ms"), ("50 ms", "20 ms")])
def test_of_a_policys_limit_and_a_budgets_the_stricter_holds(policy: str, budget: str) -> None:
    own = rows(latency_p50_ms={"max": policy, "confidence": 0.99})
    found = with_budget(own, rows(latency_p50_ms={"max": budget}))
    assert {name: (row.text, row.confidence) for name, row in found.items()} == {
        "latency_p50_ms": ("≤ 20 ms", 0.99)
    }


def test_of_two_limits_from_below_the_stricter_is_the_higher() -> None:
    least = {"metric": "accuracy_pct"}
    found = with_budget(
        rows(accuracy_pct=least | {"min": "90 %"}), rows(accuracy_pct=least | {"min": "80 %"})
    )
    assert found["accuracy_pct"].text == "≥ 90 %"


@pytest.mark.parametrize(
    "own",
    [
        {"against": "teacher", "max": "0.5 x"},
        {"max": "20 ms", "severity": "warn"},
        {"metric": "cpu_p50_ms", "max": "1 ms"},
    ],
)
def test_limits_that_differ_in_kind_both_hold(own: dict[str, Any]) -> None:
    policy, budget = rows(latency_p50_ms=own), rows(latency_p50_ms={"max": "50 ms"})
    found = with_budget(policy, budget)
    assert found == policy | {"budget_latency_p50_ms": budget["latency_p50_ms"]}


def job_of(folder: Path, limit: str, *overrides: str) -> Job:
    """A run whose policy limits the median latency; the target's budget is 50 ms."""
    policy = {"name": "ours", "rows": {"latency_p50_ms": {"max": limit}}}
    target = {"name": "board", "runtime": "onnxruntime-cpu", "budget": {"latency_p50_ms": "50 ms"}}
    for name, content in (("ours", policy), ("board", target)):
        (folder / f"{name}.yaml").write_text(json.dumps(content), encoding="utf-8")
    named = [f"policy={folder}/ours.yaml", f"targets=[{folder}/board.yaml]", "ungated_targets=[]"]
    return load_job("digits", [*named, *overrides])


@pytest.mark.parametrize(("limit", "judged"), [("20 ms", "≤ 20 ms"), ("80 ms", "≤ 50 ms")])
def test_a_looser_budget_takes_no_row_of_the_policy_away(tmp_path: Path, limit: str, judged: str) -> None:
    job = job_of(tmp_path, limit)
    assert job.rows["board"]["latency_p50_ms"].text == judged
    assert changes(job.policy, {"board": job.targets[0].budget_rows()}, job.rows) == []


def test_a_recipes_threshold_changes_what_policy_and_budget_come_to(tmp_path: Path) -> None:
    job = job_of(tmp_path, "20 ms", "thresholds.latency_p50_ms.max=30 ms")
    assert job.rows["board"]["latency_p50_ms"].text == "≤ 30 ms"
    (said,) = changes(job.policy, {"board": job.targets[0].budget_rows()}, job.rows)
    assert said == "latency_p50_ms ≤ 30 ms at 0.95 instead of ≤ 20 ms at 0.95"


def test_a_waiver_may_be_of_a_budgets_row_beside_the_policys(tmp_path: Path) -> None:
    policy = {"name": "p", "rows": {"latency_p50_ms": {"against": "teacher", "max": "0.5 x"}}, "waivers": [
        {"row": "budget_latency_p50_ms", "owner": "ann", "reason": "r", "expires": "2999-01-01"}
    ]}  # fmt: skip
    (tmp_path / "p.yaml").write_text(json.dumps(policy), encoding="utf-8")
    job = load_job("digits", [f"policy={tmp_path}/p.yaml"])
    assert {"latency_p50_ms", "budget_latency_p50_ms"} <= set(job.rows["openvino-cpu"])


def test_a_row_that_is_not_there_cannot_be_taken_out() -> None:
    with pytest.raises(
        RecipeError,
        match=r"thresholds\.latncy_p50_ms: there is no such check to take out; did you mean 'latency_p50_ms'",
    ):
        load_job("digits", ["thresholds.latncy_p50_ms=null"])


# Units


@pytest.mark.parametrize("metric", METRICS.values(), ids=lambda metric: metric.id)
def test_a_limit_in_another_unit_is_a_usage_error_with_an_example_in_the_right_one(
    metric: Metric, tmp_path: Path
) -> None:
    kind, example = ("max" if metric.better == "lower" else "min"), EXAMPLES[metric.dimension]
    for unit, (dimension, _) in UNITS.items():
        if dimension != metric.dimension:
            with pytest.raises(ValueError, match=f"write for example {example}"):
                Threshold.model_validate({"metric": metric.id, kind: f"5 {unit}"})
    wrong = "20 ms" if metric.dimension != "time" else "5 mJ"
    with pytest.raises(RecipeError, match="wrong unit") as refused:
        load_job("digits", [f"+thresholds.{metric.id}={{against: null, {kind}: {wrong}}}"])
    assert refused.value.exit_code == 2
    assert f"write for example {example}" in str(refused.value)
    if metric.compared != "pair":  # which a run cannot measure
        right = EXAMPLES[metric.dimension].strip("'")
        (tmp_path / "own.py").write_text("def score(outputs, labels): ...\n", encoding="utf-8")
        more = [f"+score='{tmp_path}/own.py:score'"] if metric.dimension == "score" else []
        if metric.id in ASKED_BY:
            more.append(
                "+health={attacks: {fgsm: {strength: 0.1}}, corruptions: [blur], membership: true, key_samples: k.npz}"
            )
        job = load_job("digits", [f"+thresholds.{metric.id}={{against: null, {kind}: {right}}}", *more])
        kept = [
            rows[metric.id] for rows in job.rows.values() if metric.id in rows
        ]  # those of other tasks are not
        assert all(row.limit.dimension == metric.dimension for row in kept)


def test_every_dimension_of_a_metric_has_an_example_in_its_own_unit() -> None:
    for metric in METRICS.values():
        assert parse_quantity(EXAMPLES[metric.dimension].strip("'")).dimension == metric.dimension
    assert set(EXAMPLES) == {dimension for dimension, _ in UNITS.values()}


def test_a_run_has_no_baseline_to_hold_anything_against() -> None:
    for change in (
        "thresholds.cpu_p50_ms={against: baseline, max: 1 x, margin: null}",
        "thresholds.output_error_pct={max: 5 %}",
    ):
        with pytest.raises(RecipeError, match="a run has no baseline"):
            load_job("digits", [change])
