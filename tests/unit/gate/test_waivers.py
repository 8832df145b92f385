"""Rows that may fail for a while."""

import datetime
import json
from dataclasses import replace
from pathlib import Path

import pytest
from running import Cli

from edgecomp.errors import RecipeError
from edgecomp.gate.judge import Row
from edgecomp.gate.stage import next_step
from edgecomp.gate.verdict import Reason, Verdict
from edgecomp.gate.waivers import deciding, headline, with_waivers
from edgecomp.job import load_job
from edgecomp.policies import Waiver

TODAY = datetime.date(2026, 11, 21)


def row(verdict: Verdict, target: str = "board", name: str = "latency_p99_ms") -> Row:
    return Row(
        target=target,
        name=name,
        metric="latency_p99_ms",
        title="latency",
        limit="≤ 5 ms",
        limit_value=5.0,
        passes="below",
        estimate=None,
        verdict=verdict,
        reason=Reason.OVER_LIMIT,
        sentence=f"{target}: latency: 7 ms is not below 5 ms.",
    )


def waiver(expires: datetime.date = TODAY, target: str | None = None, name: str = "latency_p99_ms") -> Waiver:
    return Waiver(row=name, target=target, owner="ann", reason="ticket 12", expires=expires)


def test_a_valid_waiver_keeps_the_verdict_and_takes_the_row_out() -> None:
    (found,) = with_waivers([row(Verdict.FAIL)], [waiver()], TODAY)  # the day itself counts
    assert found.verdict is Verdict.FAIL
    assert found.waiver == {
        "row": "latency_p99_ms",
        "target": None,
        "owner": "ann",
        "reason": "ticket 12",
        "expires": "2026-11-21",
    }
    assert deciding([found]) == []


@pytest.mark.parametrize("verdict", list(Verdict))
def test_an_expired_waiver_fails_whatever_the_row_found(verdict: Verdict) -> None:
    yesterday = TODAY - datetime.timedelta(days=1)
    (found,) = with_waivers([row(verdict)], [waiver(yesterday)], TODAY)
    assert (found.verdict, found.reason) == (Verdict.FAIL, Reason.WAIVER_EXPIRED)
    assert "(ann: ticket 12) expired on 2026-11-20" in found.sentence
    assert "7 ms is not below 5 ms" in found.sentence
    assert deciding([found]) == [found]


@pytest.mark.parametrize("order", [1, -1])
def test_a_renewal_beside_the_first_waiver_holds(order: int) -> None:
    old, new = waiver(TODAY - datetime.timedelta(days=200)), waiver(TODAY + datetime.timedelta(days=9))
    (found,) = with_waivers([row(Verdict.FAIL)], [old, new][::order], TODAY)
    assert found.verdict is Verdict.FAIL
    assert found.reason is Reason.OVER_LIMIT
    assert deciding([found]) == []


def test_a_waiver_of_one_target_or_row_leaves_the_others() -> None:
    rows = [row(Verdict.FAIL), row(Verdict.FAIL, target="other"), row(Verdict.FAIL, name="load_p50_ms")]
    found = with_waivers(rows, [waiver(target="board")], TODAY)
    assert [one.waiver is not None for one in found] == [True, False, False]
    assert deciding(found) == rows[1:]


def test_the_headline_says_what_waivers_leave_to_decide() -> None:
    passes, fails = row(Verdict.PASS, name="a"), row(Verdict.FAIL, name="b")
    later = TODAY + datetime.timedelta(days=3)
    waived = with_waivers([passes, fails], [waiver(later, name="b")], TODAY)
    assert next_step(Verdict.PASS, waived, {}).startswith(
        "What does not pass is waived (rows b): it may ship until 2026-11-24"
    )
    assert headline(waived[1:]).startswith("Every row is waived or only advises: nothing decides.")
    assert headline([passes, fails]) == headline([*waived, row(Verdict.FAIL, name="c")]) == ""
    advises = replace(fails, severity="warn")
    assert next_step(Verdict.PASS, [passes, advises], {}).startswith("All gates that decide passed")
    assert next_step(Verdict.PASS, [passes], {}).startswith("All gates passed")


def policy(folder: Path, **waived: object) -> str:
    content = {
        "format": 1,
        "name": "ours",
        "rows": {"accuracy_pct": {"min": "10 %"}},
        "waivers": [{"owner": "ann", "reason": "ticket 12", "expires": "2999-01-01", **waived}],
    }
    (folder / "ours.yaml").write_text(json.dumps(content), encoding="utf-8")
    return f"policy={folder / 'ours.yaml'}"


@pytest.mark.parametrize(
    ("waived", "words"),
    [
        ({"row": "acuracy_pct"}, "no row 'acuracy_pct'; did you mean 'accuracy_pct'?"),
        ({"row": "accuracy_pct", "target": "onnxruntime-cp"}, "no target 'onnxruntime-cp'; did you mean 'onnxruntime-cpu'?"),
        ({"row": "accuracy_pct", "owner": ""}, "owner"),
        ({"row": "accuracy_pct", "expires": "soon"}, "expires"),
    ],
)  # fmt: skip
def test_a_waiver_of_nothing_is_refused(waived: dict[str, object], words: str, tmp_path: Path) -> None:
    with pytest.raises(RecipeError) as caught:
        load_job("digits", [policy(tmp_path, **waived)])
    assert words in str(caught.value)


def test_a_waiver_of_another_target_is_for_another_run(tmp_path: Path) -> None:
    """One policy serves several recipes; its rows are the policy's, and those of that target's own budget."""
    load_job("digits", [policy(tmp_path, row="accuracy_pct", target="edge-2core-1g")])
    load_job("digits", [policy(tmp_path, row="latency_p99_ms", target="edge-2core-1g")])


@pytest.mark.slow
def test_a_waived_row_is_named_and_does_not_decide(cli: Cli, tiny_run: Path, tmp_path: Path) -> None:
    import shutil

    from running import TINY

    folder = shutil.copytree(tiny_run, tmp_path / "run")
    lenient = {"accuracy_pct": {"min": "10 %"}, "parameter_bytes": {"max": "1 B"}}
    content = {"format": 1, "name": "ours", "rows": lenient, "waivers": [
        {"row": name, "owner": "ann", "reason": "ticket 12", "expires": "2999-01-01"}
        for name in ("parameter_bytes", "latency_p50_ms", "latency_p99_ms", "peak_memory_bytes")
    ]}  # fmt: skip
    file = tmp_path / "ours.yaml"
    file.write_text(json.dumps(content), encoding="utf-8")
    done = cli("run", "digits", *TINY, f"policy={file}", "--out", str(folder), "--json")
    assert (done.json["verdict"], done.json["unwaived"], done.code) == ("FAIL", "PASS", 0), done.err
    said = " ".join(done.err.split())
    assert "FAIL What does not pass is waived (rows " in said
    assert "Waived until 2999-01-01 by ann" in said
    for report in ("report.html", "report.md", "junit.xml"):
        assert "2999-01-01" in (folder / "report" / report).read_text(encoding="utf-8")
    file.write_text(json.dumps(content).replace("2999", "2001"), encoding="utf-8")
    done = cli("run", "digits", *TINY, f"policy={file}", "--out", str(folder), "--json")
    assert done.code == 1
    assert "expired on 2001-01-01" in (folder / "report" / "report.html").read_text(encoding="utf-8")
