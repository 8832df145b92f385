"""Figures, checks and verdict documents made by hand, with what a test does not care about filled in."""

from typing import Any

from edgecomp.gate.document import Check, VerdictDocument
from edgecomp.stats.figure import Figure


def figure(
    value: float | None, lower: float | None, upper: float | None, dimension: str = "time", **more: Any
) -> Figure:
    given = {"count": 5, "unit": "restarts", "confidence": 0.95, "sided": "one"} | more
    return Figure.model_validate(
        {"value": value, "lower": lower, "upper": upper, "dimension": dimension} | given
    )


CHECK: dict[str, Any] = {
    "target": "board", "name": "latency_p50_ms", "metric": "latency_p50_ms", "title": "latency", "limit": "≤ 5 ms", "limit_value": 5.0,
    "passes": "below", "estimate": None, "verdict": "PASS", "reason": "within_limit", "sentence": "board: it is so.",
}  # fmt: skip


def check(**given: Any) -> Check:
    return Check.model_validate(CHECK | given)


def verdict(*checks: Check, policy: dict[str, Any] | None = None, **given: Any) -> VerdictDocument:
    of_policy = {"name": "p", "on_inconclusive": "block", "changes": [], "warnings": [], "sha256": "0" * 64}
    filled = {"verdict": "FAIL", "unwaived": "FAIL", "exit_code": 1, "next_step": "Fix it.", "figures": {}}
    return VerdictDocument.model_validate(
        filled | {"policy": of_policy | (policy or {}), "gates": checks} | given
    )
