"""Checks that may fail for a while."""

import datetime
import json
from pathlib import Path

import judging
import pytest
from running import Cli

from edgecomp.config.job import load_job
from edgecomp.config.policy import Policy, Threshold, Waiver
from edgecomp.errors import RecipeError
from edgecomp.gate.document import Check
from edgecomp.gate.next_step import RunRemedies, next_step
from edgecomp.gate.verdict import Reason, Verdict
from edgecomp.gate.waivers import deciding, headline, unbounded, with_waivers
from edgecomp.stats.figure import Figure

TODAY = datetime.date(2026, 11, 21)


ROWS = {"board": {"latency_p99_ms": Threshold(metric="latency_p99_ms", max="5 ms")}}


def row(verdict: Verdict, target: str = "board", name: str = "latency_p99_ms") -> Check:
    return Check(
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


def waiver(
    expires: datetime.date = TODAY,
    target: str | None = None,
    name: str = "latency_p99_ms",
    limit: str | None = None,
) -> Waiver:
    return Waiver(row=name, target=target, owner="ann", reason="ticket 12", expires=expires, limit=limit)


def test_a_valid_waiver_keeps_the_verdict_and_takes_the_row_out() -> None:
    (found,) = with_waivers([row(Verdict.FAIL)], [waiver()], ROWS, TODAY)  # the day itself counts
    assert found.verdict is Verdict.FAIL
    assert found.waiver is not None
    assert found.waiver.model_dump(mode="json") == {
        "row": "latency_p99_ms",
        "target": None,
        "owner": "ann",
        "reason": "ticket 12",
        "expires": "2026-11-21",
        "limit": None,
    }
    assert deciding([found]) == []


@pytest.mark.parametrize("verdict", list(Verdict))
def test_an_expired_waiver_fails_whatever_the_row_found(verdict: Verdict) -> None:
    yesterday = TODAY - datetime.timedelta(days=1)
    (found,) = with_waivers([row(verdict)], [waiver(yesterday)], ROWS, TODAY)
    assert (found.verdict, found.reason) == (Verdict.FAIL, Reason.WAIVER_EXPIRED)
    assert "(ann: ticket 12) expired on 2026-11-20" in found.sentence
    assert "7 ms is not below 5 ms" in found.sentence
    assert deciding([found]) == [found]


@pytest.mark.parametrize("order", [1, -1])
def test_a_renewal_beside_the_first_waiver_holds(order: int) -> None:
    old, new = waiver(TODAY - datetime.timedelta(days=200)), waiver(TODAY + datetime.timedelta(days=9))
    (found,) = with_waivers([row(Verdict.FAIL)], [old, new][::order], ROWS, TODAY)
    assert found.verdict is Verdict.FAIL
    assert found.reason is Reason.OVER_LIMIT
    assert deciding([found]) == []


def test_a_waiver_of_one_target_or_row_leaves_the_others() -> None:
    rows = [row(Verdict.FAIL), row(Verdict.FAIL, target="other"), row(Verdict.FAIL, name="load_p50_ms")]
    found = with_waivers(rows, [waiver(target="board")], ROWS, TODAY)
    assert [one.waiver is not None for one in found] == [True, False, False]
    assert deciding(found) == rows[1:]


def test_the_headline_says_what_waivers_leave_to_decide() -> None:
    passes, fails = row(Verdict.PASS, name="a"), row(Verdict.FAIL, name="b")
    later = TODAY + datetime.timedelta(days=3)
    waived = with_waivers([passes, fails], [waiver(later, name="b")], ROWS, TODAY)
    assert next_step(Verdict.PASS, waived, RunRemedies({})).startswith(
        "What does not pass is waived (checks b): it may ship until 2026-11-24"
    )
    assert headline(waived[1:]).startswith("Every check is waived or only advises: nothing decides.")
    assert headline([passes, fails]) == headline([*waived, row(Verdict.FAIL, name="c")]) == ""
    advises = fails.but(severity="warn")
    assert next_step(Verdict.PASS, [passes, advises], RunRemedies({})).startswith(
        "All checks that decide passed"
    )
    assert next_step(Verdict.PASS, [passes], RunRemedies({})).startswith("All checks passed")


def found(lower: float | None, upper: float | None, dimension: str = "time") -> Figure:
    return judging.figure(7.0, lower, upper, dimension)


@pytest.mark.parametrize(
    ("estimate", "verdict", "waived"),
    [
        (found(6.5, 7.9), Verdict.FAIL, True),
        (found(6.5, 8.0), Verdict.FAIL, True),
        (found(6.5, 8.1), Verdict.FAIL, False),  # it may be worse than was allowed
        (found(60.0, 70.0), Verdict.FAIL, False),
        (found(4.0, 6.0), Verdict.INCONCLUSIVE, True),
        (found(None, None), Verdict.INCONCLUSIVE, False),
        (None, Verdict.INCONCLUSIVE, False),
        (found(6.5, 7.5), Verdict.INVALID, False),
    ],
)
def test_a_waiver_with_a_limit_holds_while_the_whole_interval_is_on_its_good_side(
    estimate: Figure | None, verdict: Verdict, waived: bool
) -> None:
    one = row(verdict).but(estimate=estimate)
    (judged,) = with_waivers([one], [waiver(limit="8 ms")], ROWS, TODAY)
    assert (judged.waiver is not None) is waived
    assert judged.verdict is verdict
    assert waived or judged.sentence.endswith("Its waiver (ann: ticket 12) holds up to 8 ms only.")


def test_of_two_waivers_the_one_that_holds_counts() -> None:
    one = row(Verdict.FAIL).but(estimate=found(6.0, 7.9))
    narrow, wide = waiver(TODAY + datetime.timedelta(days=9), limit="7 ms"), waiver(limit="8 ms")
    (judged,) = with_waivers([one], [narrow, wide], ROWS, TODAY)
    assert judged.waiver is not None
    assert judged.waiver.limit == "8 ms"


@pytest.mark.parametrize(
    ("threshold", "limit", "inside", "outside", "dimension"),
    [
        ({"metric": "accuracy_pct", "min": "90 %"}, "85 %", (86.0, 88.0), (84.0, 88.0), "percent"),
        ({"metric": "accuracy_pct", "against": "teacher", "margin": "3 pt"}, "5 pt", (-4.9, -4.0), (-61.0, -60.0), "points"),
        ({"metric": "parameter_bytes", "against": "teacher", "max": "0.2 x"}, "0.3 x", (0.25, 0.29), (0.25, 0.31), "multiple"),
        ({"metric": "latency_p50_ms", "against": "teacher", "margin": "5 %"}, "10 %", (1.06, 1.09), (1.06, 1.11), "ratio"),
        ({"metric": "cpu_p50_ms", "against": "baseline", "margin": "5 %"}, "10 %", (0.05, 0.09), (0.05, 0.1), "log_ratio"),
    ],
)  # fmt: skip
def test_a_limit_is_in_the_rows_own_unit(
    threshold: dict[str, str],
    limit: str,
    inside: tuple[float, float],
    outside: tuple[float, float],
    dimension: str,
) -> None:
    rows = {"board": {"latency_p99_ms": Threshold.model_validate(threshold)}}
    passes = "above" if threshold["metric"] == "accuracy_pct" else "below"
    for bounds, waived in ((inside, True), (outside, False)):
        one = row(Verdict.FAIL).but(estimate=found(*bounds, dimension), passes=passes)
        (judged,) = with_waivers([one], [waiver(limit=limit)], rows, TODAY)
        assert (judged.waiver is not None) is waived


def test_a_waiver_without_a_limit_is_told_and_ends(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (told,) = unbounded(with_waivers([row(Verdict.FAIL)], [waiver()], ROWS, TODAY))
    assert (
        "board: the waiver of latency_p99_ms (ann) has no limit: until 2026-11-21 it lets anything ship; from version 0.3"
        in told
    )
    one = row(Verdict.FAIL).but(estimate=found(6.5, 7.5))
    assert unbounded(with_waivers([one], [waiver(limit="8 ms")], ROWS, TODAY)) == []
    assert unbounded(with_waivers([row(Verdict.FAIL)], [waiver(target="other")], ROWS, TODAY)) == []
    load_job("digits", [policy(tmp_path, row="accuracy_pct")])
    monkeypatch.setattr("edgecomp.config.job.release", lambda: (0, 3))
    with pytest.raises(RecipeError, match="accuracy_pct: a waiver needs a `limit:`"):
        load_job("digits", [policy(tmp_path, row="accuracy_pct")])
    load_job("digits", [policy(tmp_path, row="accuracy_pct", limit="5 %")])
    Policy.model_validate(
        {"name": "of an old run", "rows": {}, "waivers": [waiver().model_dump(mode="json")]}
    )


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
        ({"row": "acuracy_pct"}, "no check 'acuracy_pct'; did you mean 'accuracy_pct'?"),
        ({"row": "accuracy_pct", "target": "onnxruntime-cp"}, "no target 'onnxruntime-cp'; did you mean 'onnxruntime-cpu'?"),
        ({"row": "accuracy_pct", "owner": ""}, "owner: is blank"),
        ({"row": "accuracy_pct", "reason": " \t"}, "reason: is blank"),
        ({"row": "accuracy_pct", "expires": "soon"}, "expires: is not a day: write one as 2026-12-31"),
        ({"row": "accuracy_pct", "expires": 20261231}, "expires: is not a day"),
        ({"row": "accuracy_pct", "expires": 1e9}, "expires: is not a day"),
        ({"row": "accuracy_pct", "expires": True}, "expires: is not a day"),
        ({"row": "accuracy_pct", "expires": "2026-12-31T10:00"}, "expires: is not a day"),
        ({"row": "accuracy_pct", "expires": "2026-02-30"}, "expires"),
        ({"row": "accuracy_pct", "limit": 5}, "limit: 5 has no unit"),
        ({"row": "accuracy_pct", "limit": "5 ms"}, "limit '5 ms' is a time, and the check's own, '10 %', a percent"),
        ({"row": "accuracy_pct", "limit": "20 %"}, "limit '20 %' is no wider than the check's own, '10 %': it waives nothing"),
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
    assert "FAIL What does not pass is waived (checks " in said
    assert "Waived until 2999-01-01 by ann" in said
    for report in ("report.html", "report.md", "junit.xml"):
        assert "2999-01-01" in (folder / "report" / report).read_text(encoding="utf-8")
    file.write_text(json.dumps(content).replace("2999", "2001"), encoding="utf-8")
    done = cli("run", "digits", *TINY, f"policy={file}", "--out", str(folder), "--json")
    assert done.code == 1
    assert "expired on 2001-01-01" in (folder / "report" / "report.html").read_text(encoding="utf-8")
