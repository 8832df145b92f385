"""Models measured on a device over SSH: a real sshd on this machine, and what goes wrong on the way."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import psutil
import pytest
from comparing import classifier, compare
from remote import Kitchen, needs_sshd, served_by
from running import command, environment

from edgecomp import inputs
from edgecomp.benchmark.hosts import connection, device, served
from edgecomp.benchmark.hosts.device import Device
from edgecomp.benchmark.hosts.process import HERE, Place
from edgecomp.benchmark.result import clocks_disagree
from edgecomp.benchmark.worker import answers
from edgecomp.errors import (
    BudgetExceededError,
    DeviceError,
    EdgecompError,
    RuntimeUnavailableError,
    UsageError,
    WorkerError,
)

pytestmark = needs_sshd
EYE = np.eye(4, dtype=np.float32)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Kitchen]]:
    started: list[Kitchen] = []

    def start(known: bool = True, **variables: str) -> Kitchen:
        started.append(served_by(tmp_path_factory.mktemp("ssh"), known, **variables))
        return started[-1]

    yield start
    for kitchen in started:
        kitchen.close()


@pytest.fixture(scope="module")
def kitchen(made: Callable[..., Kitchen]) -> Kitchen:
    return made()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A model file, and a folder of examples."""
    folder = tmp_path_factory.mktemp("model")
    inputs.save({"x": np.random.default_rng(0).normal(size=(64, 4)).astype(np.float32)}, folder / "inputs")
    return classifier(folder / "model.onnx"), folder / "inputs"


def on(kitchen: Kitchen, runtime: str = "onnxruntime-cpu") -> Device:
    return Device("kitchen", runtime, [str(kitchen.ssh)])


def at(host: Any, runtime: str = "onnxruntime-cpu", **more: Any) -> Place:
    return Place(runtime, {}, threads=1, timeout_s=20, host=host, **more)


def comes_true(so: Callable[[], bool], within_s: float = 20.0) -> bool:
    """Whether it is `so` before long: what is removed there is removed by a process of its own."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if so():
            return True
        time.sleep(0.2)
    return False


def gone(kitchen: Kitchen, within_s: float = 20.0) -> bool:
    """Whether nothing is left of it there, and it can be measured on again: who has lost a connection is no child of sshd's any more."""
    if comes_true(lambda: not kitchen.left_behind() and not kitchen.workers() and is_free(), within_s):
        return True
    print("left:", kitchen.left_behind(), kitchen.workers(), f"free: {is_free()}")
    return False


def is_free() -> bool:
    """Whether nobody holds the lock of the device."""
    held = served.locked()
    if held is not None:
        os.close(held)
    return held is not None


def test_it_answers_as_here_and_leaves_nothing_behind(
    kitchen: Kitchen, place: tuple[Path, Path], tmp_path: Path
) -> None:
    model, examples = place
    found = {}
    with on(kitchen) as there:
        assert there.facts()["host"] == "kitchen"
        assert there.facts()["free_disk_bytes"] > 0
        for name, host in (("here", HERE), ("there", there)):
            with host.start(at(host), model, examples) as worker:
                assert worker.cold_start_ns > 0
                timed = worker.ask("single_stream", count=8)
                assert len(timed["wall_ns"]) == 8
                worker.ask("outputs", inputs=str(examples), to=str(tmp_path / f"{name}.npz"), batch=8)
            found[name] = answers.load(tmp_path / f"{name}.npz")["logits"]
        assert kitchen.left_behind()
    np.testing.assert_array_equal(found["here"], found["there"])
    assert gone(kitchen)


def test_bench_and_compare_take_a_target_with_a_host(
    kitchen: Kitchen, place: tuple[Path, Path], tmp_path: Path
) -> None:
    (tmp_path / "t.yaml").write_text("extends: onnxruntime-cpu\nname: kitchen\nhost: kitchen\n")
    env = environment() | kitchen.client
    shutil.copy(place[0], tmp_path / "m.onnx")
    done = subprocess.run(
        command("bench", "m.onnx", "-t", "t.yaml", "--restarts", "2", "--max-time", "2", "-s", "server", "--out", "b", "--json"),
        cwd=tmp_path, env=env, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    content = json.loads((tmp_path / "b" / "bench.json").read_text())
    assert content["machine"]["host"] == "kitchen"
    both = compare(tmp_path, "m.onnx", "m.onnx", "-t", "t.yaml", "--policy", "no-slower", "--max-time", "5", "--json", "--out", "c",
                   **kitchen.client)  # fmt: skip
    assert both.code in (0, 3), both.err
    verdict = json.loads((tmp_path / "c" / "verdict.json").read_text())
    assert verdict["compared"]["facts"]["machine"]["host"] == "kitchen"
    assert gone(kitchen)


def test_a_worker_that_is_killed_is_told_and_the_device_goes_on(
    kitchen: Kitchen, place: tuple[Path, Path]
) -> None:
    with on(kitchen) as there:
        with there.start(at(there), *place) as worker:
            (process,) = [one for one in kitchen.workers() if "worker" in command_of(one)]
            process.kill()
            with pytest.raises(WorkerError, match=r"on kitchen: .*(SIGKILL|died before)"):
                worker.ask("single_stream", count=8)
        with there.start(at(there), *place) as worker:
            assert worker.ask("single_stream", count=2)["wall_ns"]


@pytest.mark.parametrize("phase", ["before", "starting", "asked"])
def test_a_connection_that_is_cut_is_told_at_once_and_nothing_is_left(
    kitchen: Kitchen, place: tuple[Path, Path], phase: str
) -> None:
    began = time.monotonic()
    with on(kitchen) as there:
        if phase == "before":
            kitchen.cut()
        if phase == "starting":
            threading.Timer(0.1, kitchen.cut).start()

        def measure() -> None:
            with there.start(at(there), *place) as worker:
                threading.Timer(0.5, kitchen.cut).start()
                for _ in range(10_000):
                    worker.ask("single_stream", count=1000)

        with pytest.raises(DeviceError, match="kitchen: the connection was lost during"):
            measure()
    assert time.monotonic() - began < 30
    assert gone(kitchen)


def test_what_is_lost_on_the_way_is_no_candidates_fault(
    kitchen: Kitchen, place: tuple[Path, Path], tmp_path: Path
) -> None:
    (tmp_path / "t.yaml").write_text("extends: onnxruntime-cpu\nname: kitchen\nhost: kitchen\n")
    shutil.copy(place[0], tmp_path / "m.onnx")
    slow_policy(tmp_path)

    def cut_while_measuring() -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if (
                sum("worker" in command_of(one) for one in kitchen.workers()) == 3
            ):  # both sides, and the baseline again
                break
            time.sleep(0.02)
        kitchen.cut()

    cutting = threading.Thread(target=cut_while_measuring)
    cutting.start()
    given = "-t", "t.yaml", "--max-time", "60", "--json", "--policy", "slow.yaml"
    done = compare(tmp_path, "m.onnx", "m.onnx", *given, **kitchen.client)
    cutting.join()
    assert done.code == 3, done.err
    assert done.rows["runs"]["reason"] == "not_run"
    assert "connection was lost" in done.verdict(tmp_path)["gates"][0]["sentence"]
    assert gone(kitchen)


def command_of(process: psutil.Process) -> str:
    """Empty of one that has just ended."""
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def slow_policy(folder: Path) -> None:
    """One that takes every restart there is."""
    margin = {"metric": "cpu_p50_ms", "against": "baseline", "margin": "0.001 %"}
    (folder / "slow.yaml").write_text(
        json.dumps({"format": 1, "name": "slow", "checks": {"cpu_p50_ms": margin}})
    )


def test_a_model_that_does_not_fit_a_devices_memory_is_told_with_the_device(
    kitchen: Kitchen, place: tuple[Path, Path]
) -> None:
    with on(kitchen) as there, pytest.raises(BudgetExceededError, match="on kitchen: ") as told:
        there.start(at(there, memory_bytes=8 << 20), *place)
    assert told.value.model == str(place[0].resolve())
    assert told.value.exit_code in (1, 3)


@pytest.mark.parametrize(
    ("off_s", "words"),
    [
        (7200.0, "ahead of this machine's: no figure depends on it, and its certificates and logs do"),
        (-90.0, "behind this machine's: no figure depends on it, and its certificates and logs do"),
        (20.0, None),
    ],
)
def test_a_clock_that_is_another_is_told(
    kitchen: Kitchen, monkeypatch: pytest.MonkeyPatch, off_s: float, words: str | None
) -> None:
    monkeypatch.setattr(device, "time", SimpleNamespace(time=lambda: time.time() - off_s))
    with on(kitchen) as there:
        said = clocks_disagree(there.facts())
        assert there.facts()["clock_off_s"] == pytest.approx(off_s, abs=10)
    assert [one.partition("; ")[0].split(" s ")[1] for one in said] == ([words] if words else [])


def test_one_measures_at_a_time(kitchen: Kitchen) -> None:
    with on(kitchen):
        with pytest.raises(DeviceError, match=r"kitchen is busy: another measurement runs there .process"):
            on(kitchen)
        assert comes_true(lambda: len(kitchen.left_behind()) == 1)  # of the one that measures
    with on(kitchen):
        pass
    assert gone(kitchen)


def test_nothing_is_written_any_more_once_it_has_ended(tmp_path: Path) -> None:
    """A file that was on its way would make the folder again."""
    serving = served.Served(tmp_path / "home", lambda *_: None)
    assert serving.put("a/b", b"x")["sha256"]
    serving.end()
    with pytest.raises(OSError, match="has ended"):
        serving.put("a/c", b"x")
    assert not (tmp_path / "home").exists()


def test_what_was_left_by_one_that_was_killed_is_removed_by_the_next(kitchen: Kitchen) -> None:
    abandoned = kitchen.temporary / f"{served.PREFIX}abc"
    (abandoned / "models").mkdir(parents=True)
    with on(kitchen):
        assert not abandoned.exists()


def test_it_ends_by_itself_where_nobody_speaks_any_more(tmp_path: Path) -> None:
    home = tmp_path / f"{served.PREFIX}x"
    home.mkdir()
    script = (
        "import sys; from edgecomp.benchmark.hosts import served; from pathlib import Path; "
        f"served.SILENCE_S = 1.0; served.LOCK = Path({str(tmp_path / 'lock')!r}); served.main({str(home)!r}, sys.stdin.buffer, sys.stdout.buffer)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.wait(timeout=30) == 1
    assert not home.exists()


def test_an_unknown_host_key_is_refused_with_how_to_add_it(made: Callable[..., Kitchen]) -> None:
    with pytest.raises(UsageError, match=r"kitchen: its host key is not known here.*compare the fingerprint"):
        on(made(known=False))


def test_a_device_that_cannot_be_reached_is_told(tmp_path: Path) -> None:
    ssh = tmp_path / "ssh"
    ssh.write_text('#!/bin/sh\nexec /usr/bin/ssh -F /dev/null -p 1 "$@"\n')
    ssh.chmod(0o755)
    with pytest.raises(DeviceError, match=r"127.0.0.1 cannot be reached: .*refused"):
        Device("127.0.0.1", "fake", [str(ssh)])


@pytest.mark.parametrize(
    ("python", "words"),
    [
        (None, "kitchen has no python3: install Python 3.11"),
        ('#!/bin/sh\necho \'{"old": "3.9"}\'\n', "kitchen has Python 3.9, and 3.11 is the oldest"),
        ("#!/bin/sh\necho no such thing >&2\nexit 3\n", "ended with exit code 3: no such thing"),
    ],
)
def test_a_device_without_a_python_that_serves_is_told(
    made: Callable[..., Kitchen], tmp_path: Path, python: str | None, words: str
) -> None:
    if python is not None:
        (tmp_path / "python3").write_text(python)
        (tmp_path / "python3").chmod(0o755)
    with pytest.raises(EdgecompError, match=words):
        on(made(PATH=str(tmp_path)))


def test_a_runtime_that_is_not_there_or_another_version_is_told(
    kitchen: Kitchen, place: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        on(kitchen, "onnxruntime-cuda") as there,
        pytest.raises(RuntimeUnavailableError, match="on kitchen: "),
    ):
        there.start(at(there, "onnxruntime-cuda"), *place)
    monkeypatch.setattr(device, "installed", lambda _: "0.1")
    with on(kitchen) as there:
        with pytest.raises(
            RuntimeUnavailableError,
            match=r"kitchen has onnxruntime .*, and this machine.* has 0.1: `edgecomp prepare device",
        ):
            there.start(at(there), *place)
        assert not [one for one in kitchen.workers() if "worker" in command_of(one)]


@pytest.mark.skipif(os.geteuid() != 0, reason="a small file system is mounted by root alone")
def test_a_full_disk_is_told(made: Callable[..., Kitchen], place: tuple[Path, Path], tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(small)], check=False).returncode:
        pytest.skip("no file system can be mounted here")
    try:
        kitchen = made(TMPDIR=str(small))
        (tmp_path / "large").mkdir()
        large = tmp_path / "large" / "model.onnx"
        large.write_bytes(bytes(4 << 20))
        with on(kitchen) as there:
            with pytest.raises(DeviceError, match=r"on kitchen: .*No space left.*free room"):
                there._send(large, "models/large")
            with there.start(at(there), *place) as worker:  # what fits goes on
                assert worker.ask("single_stream", count=2)
        assert not list(small.glob("edgecomp*"))
    finally:
        subprocess.run(["umount", "-l", str(small)], check=False)


def test_more_cores_than_a_device_has_are_refused(kitchen: Kitchen, tmp_path: Path) -> None:
    (tmp_path / "t.yaml").write_text("extends: onnxruntime-cpu\nname: kitchen\nhost: kitchen\ncores: 900\n")
    classifier(tmp_path / "m.onnx")
    done = compare(tmp_path, "m.onnx", "m.onnx", "-t", "t.yaml", **kitchen.client)
    assert done.code == 2
    assert "target kitchen has 900 cores, kitchen" in " ".join(done.err.split())


def test_the_bundle_imports_no_more_than_a_device_has(tmp_path: Path) -> None:
    """The standard library and numpy: a device has no edgecomp, no pydantic and no psutil."""
    (tmp_path / "b.zip").write_bytes(device.bundled("onnxruntime-cpu"))
    script = (
        f"import sys; sys.path.insert(0, {str(tmp_path / 'b.zip')!r}); import edgecomp.benchmark.hosts.served as s; "
        "import edgecomp.benchmark.hosts.process, edgecomp.benchmark.worker.main; "
        "print(s.__file__); assert not {'pydantic', 'psutil', 'torch', 'onnx'} & set(sys.modules), sorted(sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", script], capture_output=True, text=True, check=False, cwd="/"
    )
    assert done.returncode == 0, done.stderr
    assert "b.zip" in done.stdout


def test_ssh_options_refuse_a_password_and_a_forwarding() -> None:
    assert connection.command("pi@kitchen", "true")[-3:] == ["--", "pi@kitchen", "true"]
    assert {"BatchMode=yes", "StrictHostKeyChecking=yes"} <= set(connection.command("pi", "true"))


CALLS = (
    "facts",
    "put",
    "start",
    "cores",
    "noise",
    "load",
    "single_stream",
    "outputs",
    "memory",
    "harness",
    "repeated",
    "get",
    "close",
)


def measured(kitchen: Kitchen, place: tuple[Path, Path], scratch: Path) -> None:
    """Every kind of request that a measurement makes."""
    with on(kitchen) as there:
        for ask in (there.cores, there.noise, there.load):
            ask()
        with there.start(at(there), *place) as worker:
            for do in ("single_stream", "repeated"):
                worker.ask(do, count=4)
            for do in ("memory", "harness"):
                worker.ask(do)
            worker.ask("outputs", inputs=str(place[1]), to=str(scratch / "o.npz"), batch=8)


@pytest.mark.slow
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("call", CALLS)
def test_whatever_is_asked_may_be_cut_off(
    kitchen: Kitchen,
    place: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    call: str,
    when: str,
) -> None:
    """Before it is sent, and before it is answered: it is told within seconds, and nothing is left there."""
    sent = connection.Connection._write

    def write(self: connection.Connection, message: bytes) -> None:
        head = message.partition(b"\n")[0]
        asked = json.loads(head) if head.startswith(b'{"id"') else {}
        is_it = call in (asked.get("call"), asked.get("do"))
        if is_it and when == "before":
            kitchen.cut()
            time.sleep(0.1)
        sent(self, message)
        if is_it and when == "after":
            kitchen.cut()

    monkeypatch.setattr(connection.Connection, "_write", write)
    began = time.monotonic()
    if call == "close":  # all that was wanted is known
        measured(kitchen, place, tmp_path)
    elif when == "before":
        with pytest.raises(DeviceError, match="the connection was lost during"):
            measured(kitchen, place, tmp_path)
    else:  # an answer may have been on its way already
        with contextlib.suppress(DeviceError):
            measured(kitchen, place, tmp_path)
    assert time.monotonic() - began < 30
    assert gone(kitchen)


@pytest.mark.slow
@pytest.mark.parametrize("call", ["put", "single_stream", "outputs"])
def test_what_serves_there_may_be_killed(
    kitchen: Kitchen, place: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """By the kernel that wants its memory, say: its workers end with it, and the next measurement removes what it left."""
    sent = connection.Connection._write

    def write(self: connection.Connection, message: bytes) -> None:
        if f'"{call}"'.encode() in message[:400]:
            for one in kitchen.workers():
                if "worker" not in command_of(one):
                    one.kill()
        sent(self, message)

    monkeypatch.setattr(connection.Connection, "_write", write)
    with pytest.raises(DeviceError, match="the connection was lost during"):
        measured(kitchen, place, tmp_path)
    monkeypatch.undo()
    with on(kitchen):
        assert len(kitchen.left_behind()) == 1
    assert gone(kitchen)


@pytest.mark.slow
def test_a_way_that_goes_silent_is_given_up(kitchen: Kitchen, place: tuple[Path, Path]) -> None:
    """As when a cable is pulled: nothing says that it has ended."""
    with on(kitchen) as there:
        carriers = psutil.Process(kitchen.server.pid).children(recursive=True)
        carriers = [one for one in carriers if "sshd" in one.name()]
        for one in carriers:
            one.suspend()
        began = time.monotonic()
        try:
            with pytest.raises(DeviceError, match="the connection was lost during"):
                there.start(at(there), *place)
        finally:
            for one in carriers:
                with contextlib.suppress(psutil.NoSuchProcess):
                    one.resume()
        assert time.monotonic() - began < 40
    assert gone(kitchen, within_s=90)
