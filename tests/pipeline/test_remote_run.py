"""A run whose target is a device over SSH."""

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
from remote import both, needs_sshd, served_by
from running import TINY, command, environment

pytestmark = [pytest.mark.slow, needs_sshd]


def test_a_run_measures_on_the_device_and_says_so_where_it_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "ssh").mkdir()
    kitchen = served_by(tmp_path / "ssh")
    (tmp_path / "k.yaml").write_text("extends: onnxruntime-cpu\nname: kitchen\nhost: kitchen\n")

    def run() -> "subprocess.CompletedProcess[str]":
        asked = command(
            "run", "digits", *TINY, f"targets=[{tmp_path}/k.yaml,onnxruntime-cpu]", "--out", "r", "--json"
        )
        return subprocess.run(
            asked,
            cwd=tmp_path,
            env=environment() | kitchen.client,
            capture_output=True,
            text=True,
            check=False,
        )

    try:
        done = run()
        assert done.returncode in (0, 1, 3), done.stderr
        measured = json.loads((tmp_path / "r" / "bench" / "kitchen" / "measurements.json").read_text())
        assert measured["facts"]["machine"]["host"] == "kitchen"
        by_layer = json.loads((tmp_path / "r" / "bench" / "kitchen" / "layers.json").read_text())["arms"]
        assert len(by_layer["student_int8"]["layers"]) > 5, by_layer
        with (
            np.load(tmp_path / "r" / "bench" / "kitchen" / "outputs.npz") as there,
            np.load(tmp_path / "r" / "bench" / "onnxruntime-cpu" / "outputs.npz") as here,
        ):
            for name in here.files:
                np.testing.assert_array_equal(there[name], here[name])
        assert not kitchen.left_behind()
    finally:
        kitchen.close()
    (
        tmp_path / "r" / "bench" / "kitchen" / "samples.npz"
    ).unlink()  # to be measured again, and nobody is there
    done = run()
    assert done.returncode in (1, 3), done.stderr
    gates = {
        row["name"]: row
        for row in json.loads(done.stdout.splitlines()[-1])["gates"]
        if row["target"] == "kitchen"
    }
    assert (gates["latency_p50_ms"]["verdict"], gates["latency_p50_ms"]["reason"]) == (
        "INCONCLUSIVE",
        "not_run",
    )
    by_layer = json.loads((tmp_path / "r" / "bench" / "kitchen" / "layers.json").read_text())["arms"]
    assert by_layer["student_int8"]["layers"] == []
    assert "kitchen cannot be reached" in by_layer["student_int8"]["not_run"]
    verdict = json.loads((tmp_path / "r" / "gate" / "verdict.json").read_text())
    assert "kitchen cannot be reached" in json.dumps(verdict)


def test_a_run_on_two_devices_has_a_table_by_device_and_a_lost_one_leaves_the_other(tmp_path: Path) -> None:
    devices = {}
    for name in ("kitchen", "cellar"):
        (tmp_path / name).mkdir()
        devices[name] = served_by(tmp_path / name, name=name, apart=True)
        (tmp_path / f"{name}.yaml").write_text(f"extends: onnxruntime-cpu\nname: {name}\nhost: {name}\n")
    env = environment() | both(tmp_path / "ssh", *devices.values())
    targets = f"targets=[onnxruntime-cpu,{tmp_path}/kitchen.yaml,{tmp_path}/cellar.yaml]"
    asked = command("run", "digits", *TINY, targets, "--out", "r", "--json")

    def run() -> "subprocess.CompletedProcess[str]":
        return subprocess.run(asked, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)

    try:
        done = run()
        assert done.returncode in (0, 1, 3), done.stderr
        began = [line.split("bench/")[1].split()[0] for line in done.stderr.splitlines() if " bench/" in line]
        assert sorted(began[:2]) == ["cellar", "kitchen"]
        assert began[2] == "onnxruntime-cpu"
        page = (tmp_path / "r" / "report" / "report.md").read_text().split("## By device")[1]
        table = page.partition("\n\n")[2].partition("\n\n")[0].splitlines()
        rows = {line.split("|")[1].strip(): line for line in table[2:]}
        assert set(rows) == {"onnxruntime-cpu", "kitchen", "cellar"}
        assert "this machine" in rows["onnxruntime-cpu"]
        assert all(" ms" in row for row in rows.values())
        assert 'id="devices"' in (tmp_path / "r" / "report" / "report.html").read_text()
        devices["kitchen"].close()
        for name in devices:
            (tmp_path / "r" / "bench" / name / "samples.npz").unlink()
        done = run()
        assert done.returncode in (1, 3), done.stderr
    finally:
        for device in devices.values():
            device.close()
    said = {
        name: json.loads((tmp_path / "r" / "bench" / name / "measurements.json").read_text())
        for name in devices
    }
    assert "kitchen cannot be reached" in said["kitchen"]["not_run"]
    assert not said["cellar"]["not_run"]
    page = (tmp_path / "r" / "report" / "report.md").read_text().split("## By device")[1]
    assert "kitchen (not run: kitchen cannot be reached" in page
