"""What a person reads: tables of 80 columns, progress in a log, and what this machine has."""

import io
from typing import Any

import judging
import pytest
from rich.table import Table

from edgecomp.api import doctor
from edgecomp.cli import terminal
from edgecomp.cli.terminal import Console, Screen, verdict_table
from edgecomp.gate.document import Check
from edgecomp.runtimes import TABLE


def drawn(table: Table) -> list[str]:
    """Its lines on a terminal of 80 columns."""
    out = Console(width=80, file=io.StringIO())
    out.print(table)
    text = out.file.getvalue()  # type: ignore[attr-defined]
    return [line.rstrip() for line in text.splitlines()]


def row(name: str, verdict: str, severity: str = "block", **estimate: Any) -> Check:
    return judging.check(
        name=name,
        limit="≤ +10 % vs baseline",
        verdict=verdict,
        severity=severity,
        estimate=judging.figure(dimension="points", unit="examples", count=9, **estimate),
    )


def test_an_interval_and_a_verdict_are_on_the_line_of_their_row() -> None:
    rows = [
        row("baseline_agreement_pct", "INCONCLUSIVE", "warn", value=-91.67, lower=-96.31, upper=-82.61),
        row("peak_memory_bytes", "PASS", value=1.0, lower=-2.0, upper=3.0),
    ]
    lines = drawn(verdict_table(judging.verdict(*rows)))
    assert max(map(len, lines)) <= 80
    (first,) = [line for line in lines if line.startswith("baseline_agreement_pct")]
    assert "-91.67 pt [-96.31, -82.61]" in first
    assert "INCONCLUSIVE" in first


def test_a_log_says_how_far_in_which_unit_and_how_long_it_takes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(terminal.time, "monotonic", iter(range(0, 10_000, 20)).__next__)
    assert list(Screen(json=False).track(range(5), "teacher, steps", 5)) == [0, 1, 2, 3, 4]
    said = capsys.readouterr().err
    assert "teacher, steps: 1 of 5, about 160 s left" in said


@pytest.mark.parametrize("gpus", [[], ["nvidia0"]])
def test_a_gpu_runtime_is_there_where_a_gpu_is(monkeypatch: pytest.MonkeyPatch, gpus: list[str]) -> None:
    monkeypatch.setattr(doctor.machine, "gpus", lambda: gpus)
    found = {one.what: one for one in doctor.examine()}
    assert TABLE["pytorch-gpu"].gpu
    assert found["runtime pytorch-gpu"].available is bool(gpus)
    assert found["runtime pytorch-cpu"].available
    assert found["GPU"].available is bool(gpus)
