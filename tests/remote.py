"""A device that is this machine: a real sshd, with keys and a client's configuration of its own."""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from edgecomp.benchmark.hosts.served import LOCK

SSHD = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:" + os.environ.get("PATH", ""))
needs_sshd = pytest.mark.skipif(SSHD is None, reason="there is no sshd here (Debian's openssh-server)")


@dataclass(frozen=True)
class Kitchen:
    """A device that is this machine: `ssh` is the client with its own configuration, `temporary` where it may write."""

    ssh: Path
    temporary: Path
    server: "subprocess.Popen[bytes]"

    def left_behind(self) -> list[str]:
        """A user's own shell may keep hidden files there."""
        return sorted(file.name for file in self.temporary.iterdir() if not file.name.startswith("."))

    def workers(self) -> list[psutil.Process]:
        """Processes of edgecomp that sshd has started."""
        found = []
        for one in psutil.Process(self.server.pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):  # it has just ended
                found += [one] if "python" in one.name() else []
        return found

    @property
    def client(self) -> dict[str, str]:
        """The variables of a process whose `ssh` knows it."""
        return {"PATH": f"{self.ssh.parent}:{os.environ['PATH']}"}

    def close(self) -> None:
        self.server.kill()
        self.server.wait()

    def cut(self) -> None:
        """The connection, and not what runs there."""
        for one in psutil.Process(self.server.pid).children():
            one.kill()


def with_a_lock_of_its_own(folder: Path) -> list[str]:
    """What a command is started by that sees another file in the lock's place. folder: of that file."""
    LOCK.touch()
    LOCK.chmod(0o666)
    (folder / "lock").touch()
    inside = f'mount --bind "$0" {LOCK} && exec "$@"'
    words = ["unshare", "--mount", "sh", "-c", inside, str(folder / "lock")]
    if subprocess.run([*words, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no mount namespace can be made here, and two devices of one machine would share a lock")
    return words


def both(folder: Path, *kitchens: Kitchen) -> dict[str, str]:
    """The variables of a process whose `ssh` knows all the kitchens. folder: a new one."""
    (folder / "bin").mkdir(parents=True)
    configurations = "\n".join(f"Include {one.ssh.parent.parent}/ssh_config" for one in kitchens)
    (folder / "ssh_config").write_text(configurations + "\n")
    ssh = folder / "bin" / "ssh"
    ssh.write_text(f'#!/bin/sh\nexec /usr/bin/ssh -F {folder}/ssh_config "$@"\n')
    ssh.chmod(0o755)
    return {"PATH": f"{ssh.parent}:{os.environ['PATH']}"}


def served_by(
    folder: Path, known: bool = True, name: str = "kitchen", apart: bool = False, **variables: str
) -> Kitchen:
    """An sshd of its own, whose sessions have these variables. folder: a new one, of all that is its; known: whether its key is; name: as ssh knows
    it; apart: whether it has a lock of its own, as another device has, which takes a mount namespace."""
    for key in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / key)], check=True)
    shutil.copy(folder / "user.pub", folder / "authorized")
    temporary, home = folder / "tmp", folder / "home"
    temporary.mkdir()
    home.mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    own = {
        "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
        "HOME": str(home),
        "TMPDIR": str(temporary),
    }
    settings = " ".join(f"{name}={value}" for name, value in (own | variables).items())
    (folder / "sshd_config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\nAuthorizedKeysFile {folder}/authorized\nStrictModes no\n"
        f"UsePAM no\nPidFile none\nPasswordAuthentication no\nPermitRootLogin yes\nSetEnv {settings}\n"
    )
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # sshd wants it
    (folder / "ssh_config").write_text(
        f"Host {name}\n  HostName 127.0.0.1\n  Port {port}\n  IdentityFile {folder}/user\n  IdentitiesOnly yes\n"
        f"  UserKnownHostsFile {folder}/known\n"
    )
    (folder / "known").write_text(f"[127.0.0.1]:{port} {(folder / 'host.pub').read_text()}" if known else "")
    ssh = folder / "bin" / "ssh"
    ssh.parent.mkdir()
    ssh.write_text(f'#!/bin/sh\nexec /usr/bin/ssh -F {folder}/ssh_config "$@"\n')
    ssh.chmod(0o755)
    serve = [str(SSHD), "-D", "-e", "-f", str(folder / "sshd_config")]
    server = subprocess.Popen(
        [*with_a_lock_of_its_own(folder), *serve] if apart else serve, stderr=subprocess.DEVNULL
    )
    for _ in range(100):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.1)
    asked = [str(ssh), "-o", "BatchMode=yes", "-o", "ConnectTimeout=10", name, "true"]
    if known and (said := subprocess.run(asked, capture_output=True, text=True, check=False)).returncode:
        server.kill()
        server.wait()
        pytest.skip(f"this machine's sshd lets this user in by no key: {said.stderr.strip()[-200:]}")
    return Kitchen(ssh, temporary, server)
