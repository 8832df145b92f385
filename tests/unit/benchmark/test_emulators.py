"""What stands in for another CPU, and how its environment is made: with programs that only pretend to be qemu and apt."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from edgecomp.benchmark.hosts import emulators, userland
from edgecomp.errors import EmulatorError, UsageError

QEMU = """case "$*" in
  *--version*) echo "qemu-aarch64 version 9.0" ;;
  *json*) echo '[3, {minor}, "glibc 2.39"]' ;;
  *) case "$PYTHONPATH" in *-broken*) echo "Segmentation fault" >&2; exit 139 ;; esac; echo 2.4 ;;
esac"""
APT = """for last; do :; done
case "$*" in
  *update*) {update} ;;
  *) {install} ;;
esac"""
UNPACK = "/bin/mkdir -p $3/usr/bin && : > $3/usr/bin/python3"

Pretend = Callable[..., None]


@pytest.fixture
def bin_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder on the PATH; no environment of this user's is found."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for machine in userland.DEBIAN:
        monkeypatch.delenv(emulators.variable(machine), raising=False)
    monkeypatch.setattr(emulators.platform, "machine", lambda: "x86_64")
    return folder


@pytest.fixture
def pretend(bin_folder: Path) -> Pretend:
    """Puts a qemu, an apt-get and a dpkg-deb on the PATH that do as they are told."""

    def write(
        *, update: str = ":", install: str | None = None, unpack: str = UNPACK, minor: int = 12
    ) -> None:
        # $4 is the configuration, beside which the cache is
        install = install or ': > "${4%/*}/cache/archives/python3.deb"'
        programs = {
            "qemu-aarch64": QEMU.replace("{minor}", str(minor)),
            "apt-get": APT.replace("{update}", update).replace("{install}", install),
            "dpkg-deb": unpack,
        }
        for name, text in programs.items():
            (bin_folder / name).write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
            (bin_folder / name).chmod(0o755)

    return write


@pytest.fixture
def wheels(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What pip was asked for; it brings folders that say what they are."""
    asked = []

    def fetch(requirement: str, machine: str, python: userland.Python, folder: Path) -> None:
        asked.append(requirement)
        name, version = requirement.split("==")
        information = folder / f"{name}-{version}.dist-info"
        information.mkdir(parents=True)
        (information / "METADATA").write_text(f"Name: {name}\nVersion: {version}\n", encoding="utf-8")

    monkeypatch.setattr(userland, "_fetch_wheels", fetch)
    monkeypatch.setattr(
        userland, "_here", lambda runtime: ["9.9-broken" if runtime == "onnxruntime" else "9.9"]
    )
    return asked


def prepare(folder: Path, machine: str = "aarch64", apt_sources: Path | None = None) -> str:
    said: list[str] = []
    userland.prepare(machine, folder, apt_sources=apt_sources, say=said.append)
    return "\n".join(said)


def failure(folder: Path) -> str:
    """What prepare says when it fails; nothing may be left, an earlier environment but as it was."""
    before = sorted(folder.parent.rglob("*")) if folder.parent.exists() else []
    with pytest.raises(EmulatorError) as caught:
        prepare(folder)
    assert (sorted(folder.parent.rglob("*")) if before else list(folder.parent.iterdir())) == before
    return str(caught.value)


def test_without_an_environment_the_answer_is_the_command_that_makes_one(pretend: Pretend) -> None:
    pretend()
    for isa in ("armv8-a", "armv8.2-dotprod"):
        interpreter, how = emulators.availability(isa, "onnxruntime-cpu")
        assert interpreter is None
        assert "`edgecomp prepare emulator aarch64` makes one" in how


def test_a_prepared_environment_is_found_and_answers_for_each_runtime(
    pretend: Pretend, wheels: list[str], tmp_path: Path
) -> None:
    pretend()
    folder = emulators.environment("aarch64")
    assert folder == tmp_path / "cache" / "edgecomp" / "aarch64"
    said = prepare(folder)
    assert wheels == ["onnxruntime==9.9-broken", "onnxruntime==1.27.0", "openvino==9.9"]
    assert "onnxruntime 9.9-broken: no: it cannot be imported (Segmentation fault)" in said
    assert "onnxruntime 1.27.0: imported" in said
    assert [path.name for path in folder.parent.iterdir()] == ["aarch64"]

    interpreter, how = emulators.availability("armv8-a", "onnxruntime-cpu")
    assert interpreter is not None
    assert interpreter.command[1:5] == ["-cpu", "cortex-a72", "-L", str(folder)]
    assert interpreter.packages == []
    assert how == "qemu-aarch64 version 9.0, -cpu cortex-a72, python3, onnxruntime 1.27.0"
    interpreter, how = emulators.availability("armv8-a", "pytorch-cpu")
    assert interpreter is None
    assert "holds no torch for aarch64" in how


def test_an_environment_of_the_users_own_is_named_by_a_variable(
    pretend: Pretend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend()
    root = tmp_path / "exported"
    (root / "usr/local/bin").mkdir(parents=True)
    (root / "usr/local/bin/python3.12").touch()
    (root / "usr/local/bin/python3").symlink_to("python3.12")
    monkeypatch.setenv("EDGECOMP_AARCH64", str(root))
    interpreter, how = emulators.availability("armv8.2-dotprod")
    assert interpreter is not None
    assert interpreter.command[-1] == str(root / "usr/local/bin/python3.12")
    assert how.endswith("-cpu neoverse-n1, python3.12")


def test_an_arm_host_runs_its_own_python_as_another_arm_core(
    pretend: Pretend, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend()
    monkeypatch.setattr(emulators.platform, "machine", lambda: "aarch64")
    interpreter, _ = emulators.availability("armv8-a", "onnxruntime-cpu")
    assert interpreter is not None
    assert interpreter.command[-1] == os.path.realpath(sys.executable)
    assert "install qemu-user" in emulators.availability("x86-64-avx2")[1]


def test_a_link_out_of_an_environment_is_no_interpreter_of_it(tmp_path: Path) -> None:
    (tmp_path / "usr/bin").mkdir(parents=True)
    (tmp_path / "usr/bin/python3").symlink_to(sys.executable)
    assert emulators.python_of(tmp_path) is None


def test_what_cannot_be_carried_out_is_refused_before_anything_is_fetched(
    bin_folder: Path, pretend: Pretend, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="no emulated machine is called 'arm'"):
        prepare(tmp_path / "new", "arm")
    with pytest.raises(UsageError, match="install qemu-user"):
        prepare(tmp_path / "new")
    pretend()
    with pytest.raises(UsageError, match="no such file of apt sources"):
        prepare(tmp_path / "new", apt_sources=tmp_path / "none.list")
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter").touch()
    with pytest.raises(UsageError, match="is no environment of edgecomp's"):
        prepare(tmp_path / "thesis")
    (bin_folder / "apt-get").unlink()
    with pytest.raises(UsageError, match="apt-get not found: this takes Debian or Ubuntu") as caught:
        prepare(tmp_path / "new")
    assert "EDGECOMP_AARCH64" in str(caught.value)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"update": "echo 'E: Failed to fetch InRelease' >&2; exit 100"}, "E: Failed to fetch InRelease"),
        ({"install": "echo 'E: Hash Sum mismatch' >&2; exit 100"}, "E: Hash Sum mismatch"),
        ({"install": "echo 'E: Unable to locate package python3'; exit 100"}, "--apt-sources FILE"),
        ({"unpack": "echo 'not a Debian format archive' >&2; exit 2"}, "python3.deb could not be unpacked"),
        ({"unpack": "/bin/mkdir $3"}, "hold no usr/bin/python3"),
        ({"minor": 10}, "apt's Python is 3.10"),
    ],
)
@pytest.mark.usefixtures("wheels")
def test_nothing_half_made_is_left_and_an_earlier_environment_stays(
    wrong: dict[str, object], said: str, pretend: Pretend, tmp_path: Path
) -> None:
    pretend(**wrong)
    assert said in failure(tmp_path / "made" / "aarch64")
    pretend()
    prepare(tmp_path / "made" / "aarch64")
    pretend(**wrong)
    assert said in failure(tmp_path / "made" / "aarch64")


@pytest.mark.usefixtures("wheels")
def test_an_environment_without_a_runtime_is_none(
    pretend: Pretend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend()
    monkeypatch.setattr(userland, "FALLBACKS", {"onnxruntime": ()})
    assert "no runtime can be imported under qemu-aarch64" in failure(tmp_path / "made" / "aarch64")


@pytest.mark.skipif(shutil.which("apt-get") is None, reason="needs apt-get")
def test_apt_itself_refuses_a_package_with_another_digest(tmp_path: Path) -> None:
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    stanzas = []
    for name in userland.PACKAGES:
        (mirror / f"{name}.deb").write_bytes(b"something else")
        stanzas.append(f"Package: {name}\nVersion: 1\nArchitecture: arm64\nFilename: ./{name}.deb\nSize: 14\n"
                       f"SHA256: {'0' * 64}\nDescription: test\n")  # fmt: skip
    (mirror / "Packages").write_text("\n".join(stanzas), encoding="utf-8")
    sources = tmp_path / "sources.list"
    sources.write_text(f"deb [trusted=yes] copy:{mirror} ./\n", encoding="utf-8")
    before = subprocess.run(["dpkg", "--print-foreign-architectures"], capture_output=True, check=True).stdout
    with pytest.raises(EmulatorError, match="Hash Sum mismatch"):
        userland._download("aarch64", tmp_path / "apt", sources)
    after = subprocess.run(["dpkg", "--print-foreign-architectures"], capture_output=True, check=True).stdout
    assert after == before
