"""Two models behind servers, side by side: their answers, and the time of each; what is the server's own is judged by nobody."""

from pathlib import Path

import numpy as np
import pytest
from kserve import Behaviour, Every, serving
from running import Cli

import edgecomp
from edgecomp.errors import EdgecompError, RecipeError

pytest.importorskip("tritonclient.http", reason="pip install 'edgecomp[serving]'")
pytestmark = pytest.mark.slow


def test_a_slower_server_fails_and_its_cost_is_not_judged(tmp_path: Path) -> None:
    with serving() as (before, _), serving(Behaviour(slow_s=0.004)) as (after, _):
        found = edgecomp.compare(before, after, "kserve", max_time_s=60, out=tmp_path / "made", history=None)
    checks = {check.name: check.verdict for check in found.document.checks}
    assert checks.pop("latency_p50_ms") == "FAIL"
    assert checks == {"output_error_pct": "PASS", "inputs": "PASS", "outputs": "PASS"}
    assert found.verdict == "FAIL"
    assert found.document.compared is not None
    assert found.document.compared.baseline.given == before
    assert "cpu_p50_ms taken out" in str(found.document.policy)


def test_other_answers_fail_by_the_command(cli: Cli, tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", x=np.random.default_rng(0).normal(size=(64, 4)).astype(np.float32))
    with serving() as (before, _), serving(Behaviour(wrong=Every())) as (after, _):
        done = cli("compare", before, after, "--data", str(tmp_path / "x.npz"), "--max-time", "20", "--out", str(tmp_path / "made"), "--json")  # fmt: skip
    assert done.code == 1, done.err
    assert "output_error_pct" in done.err + done.out
    assert after in (tmp_path / "made" / "compare.html").read_text("utf-8")


def test_a_policy_of_ones_own_that_asks_for_a_servers_memory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(
        "format: 1\nname: mine\nchecks:\n  peak_memory_bytes: { against: baseline, margin: 5 % }\n"
    )
    with (
        serving() as (url, _),
        pytest.raises(RecipeError, match="peak_memory_bytes: the server's own, and not seen"),
    ):
        edgecomp.compare(
            url, url, "kserve", policy=str(tmp_path / "mine.yaml"), out=tmp_path / "made", history=None
        )


def test_a_server_with_other_inputs_is_told_before_anything_is_measured(tmp_path: Path) -> None:
    with serving() as (before, _), serving(Behaviour(takes="another")) as (after, _):
        found = edgecomp.compare(before, after, "kserve", max_time_s=20, out=tmp_path / "made", history=None)
    assert found.verdict == "FAIL"
    assert {check.name for check in found.document.checks if check.reason == "incompatible"} == {"inputs"}
    with serving() as (url, _), pytest.raises(EdgecompError, match="kserve"):
        edgecomp.compare(url, url, "onnxruntime-cpu", out=tmp_path / "never", history=None)
