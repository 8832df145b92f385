"""What stands in the report's tables, whatever a policy's owner or a recipe wrote."""

from pathlib import Path
from types import SimpleNamespace

import judging
import pytest

from edgecomp.errors import FileError
from edgecomp.metrics.registry import METRICS
from edgecomp.report.evidence import of_data
from edgecomp.report.figures import unit_text
from edgecomp.report.stage import environment
from edgecomp.stats.figure import Figure

SIZE = judging.figure(2.0, 2.0, 2.0, "bytes", unit="exact", count=1)
TEXT = "until <b>spring</b> |\nsee ticket"
SAFE = "until &lt;b>spring&lt;/b> \\| see ticket"


@pytest.mark.parametrize(
    ("estimate", "text"),
    [
        (None, "–"),
        (SIZE, "exact"),
        (judging.figure(2.0, 1.0, 3.0, confidence=0.99), "5 restarts, 99 %, one-sided"),
        (judging.figure(2.0, 1.0, 3.0, sided="two", count=7), "7 restarts, 95 %, two-sided"),
        (judging.figure(None, None, None), "–"),
    ],
)
def test_only_what_was_measured_is_exact(estimate: Figure | None, text: str) -> None:
    assert unit_text(estimate) == text


def test_a_reason_of_several_lines_bars_and_tags_stays_in_its_cell() -> None:
    waiver = {"check": "size", "expires": "2999-01-01", "owner": "ann", "reason": TEXT}
    row = judging.check(
        title="size", limit="≤ 1 B", estimate=SIZE, verdict="FAIL", reason="over_limit", waiver=waiver
    )
    evidence = SimpleNamespace(
        figures={},
        health_elsewhere={TEXT: TEXT},
        is_by_device=True,
        job=SimpleNamespace(targets=[SimpleNamespace(name=TEXT, host=TEXT)]),
        measured={
            TEXT: SimpleNamespace(
                student="s", task=SimpleNamespace(score=None), arms={}, not_run=TEXT, facts={}
            )
        },
        verdict=SimpleNamespace(checks=[]),
        precision=None,
        splits=None,
        tried=[
            {"name": TEXT, "seconds": 1.0, "found": {"onnxruntime-cpu": TEXT}, "is_chosen": chosen}
            for chosen in (False, True)
        ],
        float_layers=[{"layer": "head", "reason": TEXT}],
        provenance=[("policy", TEXT)],
        said_of_training={"alarms": [TEXT], "failures": [TEXT]},
        teachers=None,
        exits=None,
        cascades={},
    )
    text = (
        environment()
        .get_template("report.md.j2")
        .render(
            evidence=evidence,
            recipe=SimpleNamespace(name="r", quick=False, quantize=SimpleNamespace(weight_bits=8)),
            why=TEXT,
            strips=[],
            verdict=judging.verdict(row, next_step=TEXT, policy={"warnings": [TEXT]}),
            metrics=METRICS,
            names={},
        )
    )
    lines = text.splitlines()
    assert {SAFE, f"Note: {SAFE}."} <= set(lines)
    assert (
        f"| FAIL (waived until 2999-01-01 by ann: {SAFE}) | board | size | 2 B | ≤ 1 B | over_limit |"
        in lines
    )
    assert f"| {SAFE} | 1 | {SAFE} |" in lines
    assert f"| head | {SAFE} |" in lines
    assert f"| {SAFE} (not run: {SAFE}) | {SAFE} | – | – | – | – | – | – | – |" in lines
    assert f"| policy | {SAFE} |" in lines


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"examples": {}, "duplicates": {}, "notes": "all"}'])
def test_what_no_data_step_wrote_is_told(content: str, tmp_path: Path) -> None:
    assert of_data(tmp_path) is None, "a run that was made before there was such a file"
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "splits.json").write_text(content, encoding="utf-8")
    with pytest.raises(FileError, match=r"splits\.json"):
        of_data(tmp_path)
