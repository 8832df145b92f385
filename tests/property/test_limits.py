"""Properties of a policy and a budget together: neither is ever loosened by the other."""

from hypothesis import given, settings
from hypothesis import strategies as st

from edgecomp.config.policy import Threshold, with_budget

settings.register_profile("limits", derandomize=True, deadline=None, max_examples=200)
settings.load_profile("limits")

LIMITS = {"latency_p50_ms": ("max", "ms"), "peak_memory_bytes": ("max", "MiB"), "accuracy_pct": ("min", "%")}
METRICS = st.sampled_from(sorted(LIMITS))
NAMES = st.sampled_from([*LIMITS, *(f"budget_{metric}" for metric in LIMITS)])


@st.composite
def row(draw: st.DrawFn, metric: str | None = None) -> Threshold:
    metric = metric or draw(METRICS)
    kind, unit = LIMITS[metric]
    against = draw(st.sampled_from([None, None, "teacher"]))
    limit = f"{draw(st.integers(1, 90))} {'x' if against else unit}"
    return Threshold(
        metric=metric,
        against=against,
        confidence=draw(st.sampled_from([0.9, 0.95, 0.99])),
        severity=draw(st.sampled_from(["block", "block", "warn"])),
        **{kind: limit},
    )


@st.composite
def budgets(draw: st.DrawFn) -> dict[str, Threshold]:
    chosen = draw(st.sets(METRICS))
    limits = {metric: f"{draw(st.integers(1, 90))} {LIMITS[metric][1]}" for metric in sorted(chosen)}
    return {
        metric: Threshold.model_validate({"metric": metric, LIMITS[metric][0]: limit})
        for metric, limit in limits.items()
    }


def holds(one: Threshold, other: Threshold) -> bool:
    """Whether whatever passes `one` passes `other`."""
    alike = ("metric", "against", "kind", "severity")
    tighter = (
        one.limit.value >= other.limit.value if one.kind == "min" else one.limit.value <= other.limit.value
    )
    same = all(getattr(one, name) == getattr(other, name) for name in alike)
    return same and tighter and one.confidence >= other.confidence


@given(st.dictionaries(NAMES, row()), budgets())
def test_a_policy_with_a_budget_is_never_looser_than_either(
    policy: dict[str, Threshold], budget: dict[str, Threshold]
) -> None:
    both = with_budget(policy, budget)
    for name, asked in policy.items():
        assert holds(both[name], asked)
    for asked in budget.values():
        assert any(holds(found, asked) for found in both.values())


@given(st.dictionaries(NAMES, row()), budgets())
def test_every_limit_of_a_policy_with_a_budget_is_of_one_of_them(
    policy: dict[str, Threshold], budget: dict[str, Threshold]
) -> None:
    asked = {(one.metric, one.text) for one in (*policy.values(), *budget.values())}
    both = with_budget(policy, budget)
    assert {(one.metric, one.text) for one in both.values()} <= asked
    assert with_budget(both, {}) == both
    assert with_budget(policy, {}) == policy
