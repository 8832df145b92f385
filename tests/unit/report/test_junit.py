import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import judging
import pytest

from edgecomp.gate.document import VerdictDocument
from edgecomp.report.figures import estimate_text
from edgecomp.report.junit import junit
from edgecomp.stats.figure import Figure


def verdict(row: str, on_inconclusive: str = "block", **more: Any) -> VerdictDocument:
    gate = {
        "target": "t",
        "limit": "≤ 20 ms",
        "verdict": row,
        "reason": "undecided",
        "sentence": "a < b & c.",
    }
    return judging.verdict(judging.check(**gate | more), policy={"on_inconclusive": on_inconclusive})


@pytest.mark.parametrize(
    ("row", "policy", "kind"),
    [
        ("PASS", "block", None),
        ("FAIL", "block", "failure"),
        ("INVALID", "block", "error"),
        ("INCONCLUSIVE", "block", "failure"),
        ("INCONCLUSIVE", "warn", "skipped"),
    ],
)
def test_a_gate_is_a_test_case_and_only_pass_is_green(row: str, policy: str, kind: str | None) -> None:
    root = ET.fromstring(junit(verdict(row, policy), "digits"))
    (suite,) = root.findall("testsuite")
    (case,) = suite
    assert case.attrib["name"] == "latency_p50_ms ≤ 20 ms"
    assert suite.attrib["tests"] == "1"
    found = [child.tag for child in case if child.tag != "system-out"]
    assert found == ([kind] if kind else [])
    totals = {name: int(suite.attrib[name]) for name in ("failures", "errors", "skipped")}
    plural = {"failure": "failures", "error": "errors", "skipped": "skipped"}
    assert totals == dict.fromkeys(totals, 0) | ({plural[kind]: 1} if kind else {})


def test_a_waived_row_is_skipped_with_its_owner() -> None:
    waiver = {"check": "latency_p50_ms", "owner": "ann", "reason": "ticket 12", "expires": "2026-12-31"}
    waived = verdict("FAIL", waiver=waiver)
    (suite,) = ET.fromstring(junit(waived, "digits")).findall("testsuite")
    (skipped,) = suite.iter("skipped")
    assert skipped.attrib["message"].startswith("waived until 2026-12-31 by ann (ticket 12): FAIL: a < b")
    assert (suite.attrib["failures"], suite.attrib["skipped"]) == ("0", "1")


def test_what_a_terminal_obeys_is_left_out(tmp_path: Path) -> None:
    told = verdict(
        "FAIL",
        sentence="t: died: \x1b[1;31mError\x1b[0m\a at\x00 <x>\n\tof \x9by\x7f \udc80\ufffe.",
        waiver={"check": "n", "owner": "an\bn", "reason": "\x1b[<0mx", "expires": "2026-12-31"},
    )
    (tmp_path / "j.xml").write_text(junit(told, "digits"), encoding="utf-8")
    root = ET.parse(tmp_path / "j.xml").getroot()
    assert root.findtext("*/*/system-out") == "t: died: Error at <x>\n\tof y ."
    (problem,) = root.iter("skipped")
    assert problem.attrib["message"].startswith(
        "waived until 2026-12-31 by ann (x): FAIL: t: died: Error at <x>"
    )


def estimate(**changes: Any) -> Figure:
    return judging.figure(**{"value": 1.25, "lower": 1.2, "upper": 1.31} | changes)


def test_an_estimate_is_shown_with_its_bounds_or_says_that_it_has_none() -> None:
    assert estimate_text(estimate()) == "1.25 ms [1.2, 1.31]"
    assert estimate_text(estimate(unit="exact")) == "1.25 ms"
    far = estimate(value=0.0177, lower=-0.947, upper=0.982, dimension="log_ratio")
    assert estimate_text(far) == "+1.79 % [0.388 x, 2.67 x]"
    assert (
        estimate_text(estimate(value=9e5, lower=8e5, upper=1.2e6, dimension="bytes"))
        == "878.9 KiB [781.2, 1.1 MiB]"
    )
    assert estimate_text(estimate(lower=None, upper=None)) == "1.25 ms [no bound from 5 restarts]"
    assert (
        estimate_text(estimate(dimension="bytes", value=2**20, lower=1000.0, upper=2**21))
        == "1.0 MiB [1000 B, 2.0]"
    )
    assert estimate_text(None) == "–"
