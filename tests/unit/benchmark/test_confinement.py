"""A memory budget that the kernel keeps."""

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from edgecomp.benchmark.hosts.confinement import MemoryLimit
from edgecomp.metrics.units import parse_quantity

LIMIT = 64 * 2**20
HOLD = "b = b'x' * ({} * 2**20); print('held', flush=True)"


def run(limited: MemoryLimit, mebibytes: int) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", HOLD.format(mebibytes)]
    return subprocess.run(limited.wrap(command), capture_output=True, text=True, check=False)


def test_no_limit_is_measured_only() -> None:
    with MemoryLimit(None) as limited:
        assert (limited.how, limited.wrap(["a"])) == ("measured only", ["a"])
        assert not limited.killed()
        assert limited.anonymous_bytes() is None


@pytest.fixture
def cgroup() -> MemoryLimit:
    limited = MemoryLimit(LIMIT)
    if not limited.certain:
        pytest.skip(f"no cgroup can be made here: {limited.why}")
    return limited


def test_a_cgroup_kills_what_does_not_fit_and_leaves_what_does(cgroup: MemoryLimit) -> None:
    with cgroup:
        assert run(cgroup, 16).stdout == "held\n"
        assert not cgroup.killed()
        done = run(cgroup, 256)
        assert done.returncode == -9
        assert not done.stdout
        assert cgroup.killed()
        folder = cgroup._folder
        assert folder is not None
        assert folder.is_dir()
    assert not folder.exists()


def test_a_cgroup_says_what_is_held_inside(cgroup: MemoryLimit) -> None:
    code = "b = b'x' * (32 * 2**20); print('held', flush=True); input()"
    with (
        cgroup,
        subprocess.Popen(
            cgroup.wrap([sys.executable, "-c", code]),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process,
    ):
        assert process.stdout is not None
        process.stdout.readline()
        held = cgroup.anonymous_bytes()
        assert held is not None
        assert 32 * 2**20 <= held <= 48 * 2**20
        process.communicate("\n")


def test_without_a_cgroup_the_data_segment_is_limited(tmp_path: Path) -> None:
    with MemoryLimit(LIMIT, root=tmp_path) as limited:
        assert (limited.how, limited.certain) == ("RLIMIT_DATA", False)
        assert "cgroup v1: not mounted" in limited.why
        assert run(limited, 16).stdout == "held\n"
        done = run(limited, 256)
        assert done.returncode == 1
        assert "MemoryError" in done.stderr
    assert resource.getrlimit(resource.RLIMIT_DATA)[0] == resource.RLIM_INFINITY


def unified(root: Path, controllers: str) -> Path:
    """A tree as cgroup v2 has it, for a process whose group is /user/me."""
    (root / "cgroup.controllers").write_text("cpu memory")
    own = root / "user" / "me"
    own.mkdir(parents=True)
    (own / "cgroup.subtree_control").write_text("")
    (own.parent / "cgroup.subtree_control").write_text(controllers)
    (root / "own").write_text("0::/user/me\n")
    return own


def test_with_cgroup_v2_a_group_is_made_beside_this_process(tmp_path: Path) -> None:
    """The kernel's part is not run here: where its files are is."""
    own = unified(tmp_path, "cpu memory")
    limited = MemoryLimit(LIMIT, root=tmp_path, own=tmp_path / "own")
    assert limited.how == "cgroup v2"
    (folder,) = own.parent.glob("edgecomp-*")
    assert (folder / "memory.max").read_text() == str(LIMIT)
    assert (folder / "memory.swap.max").read_text() == "0"
    assert str(folder / "cgroup.procs") in limited.wrap(["program"])
    (folder / "memory.events").write_text("low 0\noom 1\noom_kill 0\n")
    assert not limited.killed()
    (folder / "memory.events").write_text("low 0\noom 1\noom_kill 1\n")
    assert limited.killed()
    (folder / "memory.stat").write_text("anon 12345\nfile 99\n")
    assert limited.anonymous_bytes() == 12345
    for file in folder.iterdir():
        file.unlink()
    limited.__exit__(None, None, None)
    assert not folder.exists()


def test_a_controller_that_is_not_handed_down_is_said(tmp_path: Path) -> None:
    unified(tmp_path, "cpu")
    with MemoryLimit(LIMIT, root=tmp_path, own=tmp_path / "own") as limited:
        assert limited.how == "RLIMIT_DATA"
        assert "cgroup v2: the memory controller is not handed down" in limited.why


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_tree_that_is_not_writable_is_said(tmp_path: Path) -> None:
    own = unified(tmp_path, "memory")
    own.parent.chmod(0o500)
    with MemoryLimit(LIMIT, root=tmp_path, own=tmp_path / "own") as limited:
        assert limited.how == "RLIMIT_DATA"
        assert "Permission denied" in limited.why


def test_sizes_are_read_as_the_kernel_counts() -> None:
    assert parse_quantity("512 MiB").value == 512 * 2**20
