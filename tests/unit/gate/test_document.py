"""The verdict document: one typed model, which reads what was written before, and whose JSON Schema is published."""

import copy
import json
from pathlib import Path
from typing import Any

import judging
import pytest

from edgecomp.errors import FileError
from edgecomp.gate.document import (
    SCHEMA_FILE,
    VerdictDocument,
    canonical,
    from_json,
    json_schema,
    read,
    upgraded,
)

FIGURE = judging.figure(1.25, 1.2, 1.31)
DOCUMENT = judging.verdict(
    judging.check(estimate=FIGURE),
    judging.check(name="accuracy_pct", metric="accuracy_pct"),
    figures={"board": {"student_int8": {"latency_p50_ms": FIGURE}}},
)


def of_format_1() -> dict[str, Any]:
    """As an earlier edgecomp wrote it."""
    content: dict[str, Any] = copy.deepcopy(DOCUMENT.as_json())
    for one in (
        content["gates"][0]["estimate"],
        content["figures"]["board"]["student_int8"]["latency_p50_ms"],
    ):
        del one["sided"], one["samples"]
    del content["compared"], content["answers"], content["made_with"]
    return content | {"format": 1}


def test_the_schema_that_is_published_is_the_current_one() -> None:
    assert json.loads(SCHEMA_FILE.read_text(encoding="utf-8")) == json_schema(), (
        "python -m edgecomp.gate.document"
    )


def test_the_keys_that_users_read_are_there() -> None:
    content = DOCUMENT.as_json()
    assert {"verdict", "unwaived", "exit_code", "next_step", "policy", "gates", "figures"} <= content.keys()
    estimate = content["gates"][0]["estimate"]
    assert {key: estimate[key] for key in ("value", "lower", "upper", "count", "unit", "confidence", "sided")} == {
        "value": 1.25, "lower": 1.2, "upper": 1.31, "count": 5, "unit": "restarts", "confidence": 0.95, "sided": "one",
    }  # fmt: skip


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    (tmp_path / "v.json").write_text(json.dumps(DOCUMENT.as_json()), encoding="utf-8")
    assert read(tmp_path / "v.json") == canonical(DOCUMENT) == DOCUMENT


def test_format_1_is_read_and_its_bounds_are_one_sided() -> None:
    assert from_json(of_format_1(), "v.json") == DOCUMENT
    assert upgraded(of_format_1()) == DOCUMENT.as_json()
    assert VerdictDocument.model_validate(upgraded(of_format_1())).checks[0].estimate == FIGURE


@pytest.mark.parametrize(
    "content", [[], None, {}, {"format": 1}, {"format": 3}, {"format": 1, "gates": [{"estimate": 7}]}]
)
def test_what_is_none_is_refused(content: object) -> None:
    with pytest.raises(FileError, match=r"v\.json: is no verdict document: "):
        from_json(content, "v.json")


def test_a_figure_that_json_has_no_number_for_is_refused() -> None:
    broken = judging.verdict(judging.check(estimate=judging.figure(float("nan"), None, None)))
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical(broken)
