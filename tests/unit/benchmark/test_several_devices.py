"""Several devices measured at the same time: real sshds on this machine, each with a lock of its own, as devices have."""

import contextlib
import json
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from comparing import classifier
from remote import Kitchen, both, needs_sshd, served_by
from running import command, environment

pytestmark = needs_sshd
GIVEN = "--restarts", "3", "--max-time", "4"


@pytest.fixture(scope="module")
def devices(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Kitchen, Kitchen]]:
    kitchen = served_by(tmp_path_factory.mktemp("kitchen"), name="kitchen", apart=True)
    cellar = served_by(tmp_path_factory.mktemp("cellar"), name="cellar", apart=True)
    yield kitchen, cellar
    kitchen.close()
    cellar.close()


@pytest.fixture
def job(tmp_path: Path, devices: tuple[Kitchen, Kitchen]) -> dict[str, str]:
    """A model and targets in `tmp_path`; the variables of a process that reaches both devices."""
    classifier(tmp_path / "m.onnx")
    for name, host in (
        ("kitchen", "kitchen"),
        ("again", "kitchen"),
        ("cellar", "cellar"),
        ("attic", "attic"),
    ):
        (tmp_path / f"{name}.yaml").write_text(f"extends: onnxruntime-cpu\nname: {name}\nhost: {host}\n")
    return environment() | both(tmp_path / "ssh", *devices)


def started(tmp_path: Path, env: dict[str, str], *targets: str) -> "subprocess.Popen[str]":
    named = [word for target in targets for word in ("-t", target)]
    return subprocess.Popen(
        command("bench", "m.onnx", *named, *GIVEN, "--json"), cwd=tmp_path, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def watched(process: "subprocess.Popen[str]", devices: tuple[Kitchen, ...]) -> Iterator[tuple[bool, ...]]:
    """Where workers are while it runs: by device, and at last on this machine."""
    while process.poll() is None:
        here = False
        with contextlib.suppress(psutil.NoSuchProcess):
            here = any(is_worker(one) for one in psutil.Process(process.pid).children(recursive=True))
        yield *(any(is_worker(one) for one in device.workers()) for device in devices), here
        time.sleep(0.02)


def is_worker(process: psutil.Process) -> bool:
    try:
        return "edgecomp.benchmark.worker.main" in process.cmdline()
    except psutil.Error:
        return False


def ended(process: "subprocess.Popen[str]") -> tuple[int, dict[str, Any], str]:
    out, err = process.communicate(timeout=120)
    return process.returncode, json.loads(out.splitlines()[-1]), err


def gone(devices: tuple[Kitchen, Kitchen]) -> bool:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if not any(device.left_behind() or device.workers() for device in devices):
            return True
        time.sleep(0.2)
    return False


def test_two_devices_are_measured_at_the_same_time_and_this_machine_alone(
    tmp_path: Path, devices: tuple[Kitchen, Kitchen], job: dict[str, str]
) -> None:
    process = started(tmp_path, job, "onnxruntime-cpu", "kitchen.yaml", "cellar.yaml", "again.yaml")
    seen = set(watched(process, devices))
    code, said, err = ended(process)
    assert code == 0, err
    assert [one["target"] for one in said["results"]] == ["onnxruntime-cpu", "kitchen", "cellar", "again"]
    assert (True, True, False) in seen
    assert (False, False, True) in seen
    assert not seen & {(True, False, True), (False, True, True), (True, True, True)}
    hosts = [
        json.loads((tmp_path / one["folder"] / "bench.json").read_text())["machine"].get("host")
        for one in said["results"]
    ]
    assert hosts == [None, "kitchen", "cellar", "kitchen"]
    assert gone(devices)


def test_one_that_is_lost_is_told_and_the_others_end(
    tmp_path: Path, devices: tuple[Kitchen, Kitchen], job: dict[str, str]
) -> None:
    kitchen, _ = devices
    process = started(tmp_path, job, "kitchen.yaml", "cellar.yaml", "attic.yaml", "onnxruntime-cpu")
    for in_kitchen, in_cellar, _ in watched(process, devices):
        if in_kitchen and in_cellar:
            kitchen.cut()
            break
    code, said, _ = ended(process)
    assert code == 70
    assert [one["target"] for one in said["results"]] == ["cellar", "onnxruntime-cpu"]
    assert "kitchen: the connection was lost" in said["errors"]["kitchen"]
    assert "attic cannot be reached" in said["errors"]["attic"]
    assert gone(devices)


def test_an_interrupt_ends_what_all_of_them_do(
    tmp_path: Path, devices: tuple[Kitchen, Kitchen], job: dict[str, str]
) -> None:
    process = started(tmp_path, job, "kitchen.yaml", "cellar.yaml")
    for in_kitchen, in_cellar, _ in watched(process, devices):
        if in_kitchen and in_cellar:
            break
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert time.monotonic() - began < 10
    assert gone(devices)
