"""One SSH connection to a device, by OpenSSH's own client: requests go there, replies and errors come back, and a connection that breaks is told
within seconds.

The user's ~/.ssh/config, agent, keys and jump hosts are used as they are. A host whose key is not known is refused.
"""

import base64
import contextlib
import hashlib
import itertools
import json
import queue
import shlex
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from edgecomp import errors
from edgecomp.benchmark.hosts.served import PREFIX
from edgecomp.errors import (
    BudgetExceededError,
    DeviceError,
    EdgecompError,
    RuntimeUnavailableError,
    UsageError,
    WorkerError,
)
from edgecomp.text import plain

VENV = ".edgecomp/venv"  # of `edgecomp prepare device`, in the device user's home
CONNECT_S = 20
ALIVE_S = 5.0
GRACE_S = 30.0  # beyond what a worker may take: then the connection is taken for lost
OF_SSH = 255  # the exit code of ssh's own errors
NO_PYTHON = (126, 127)
OLDEST = (3, 11)  # Python that serves
OPTIONS = {
    "BatchMode": "yes",
    "StrictHostKeyChecking": "yes",
    "ConnectTimeout": str(CONNECT_S),
    "ServerAliveInterval": "5",
    "ServerAliveCountMax": "3",
    "ClearAllForwardings": "yes",
}
PYTHON = f'p="$HOME/{VENV}/bin/python"; [ -x "$p" ] || p=python3'
"""In the device's shell: its Python as $p."""

# Reads a zip file of so many bytes from its input, unpacks it and goes on with what is in it.
BOOTSTRAP = f"""
import sys
if sys.version_info < {OLDEST}:
    print('{{"old": "%d.%d"}}' % sys.version_info[:2], flush=True); sys.exit(1)
import io, os, shutil, tempfile, zipfile
home = tempfile.mkdtemp(prefix="{PREFIX}")
try:
    zipfile.ZipFile(io.BytesIO(sys.stdin.buffer.read(SIZE))).extractall(home + "/code")
except BaseException:
    shutil.rmtree(home, ignore_errors=True); raise
sys.path.insert(0, home + "/code")
replies = os.fdopen(os.dup(1), "wb"); os.dup2(2, 1)
from edgecomp.benchmark.hosts import served
served.main(home, sys.stdin.buffer, replies)
"""


def command(host: str, remote: str, ssh: Sequence[str] = ("ssh",)) -> list[str]:
    """What runs a line of shell, `remote`, on `host`. ssh: the client."""
    given = [word for name, value in OPTIONS.items() for word in ("-o", f"{name}={value}")]
    return [*ssh, "-T", *given, "--", host, remote]


class Connection:
    """To `host`, as ssh names it, which is sent `code`, a zip file of what serves there. ssh: the client. Raises DeviceError, UsageError,
    RuntimeUnavailableError."""

    def __init__(self, host: str, code: bytes, ssh: Sequence[str] = ("ssh",)) -> None:
        self.host = host
        encoded = base64.b64encode(BOOTSTRAP.replace("SIZE", str(len(code))).encode()).decode()
        run = f"import base64; exec(base64.b64decode('{encoded}'))"
        self._process = subprocess.Popen(
            command(host, f'{PYTHON}; exec "$p" -u -c {shlex.quote(run)}', ssh),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        self._words: list[bytes] = []
        self._writing = threading.Lock()
        self._waiting: dict[int, queue.SimpleQueue[tuple[dict[str, Any], bytes] | None]] = {}
        self._numbers = itertools.count()
        self._is_lost = False
        self._listening: threading.Thread | None = None
        self._reading = threading.Thread(target=self._read_words, daemon=True)
        self._reading.start()
        try:
            with contextlib.suppress(BrokenPipeError):  # it says why
                self._write(code)
            self._greeted()
        except BaseException:
            self._process.kill()
            self.close()
            raise
        self._listening = threading.Thread(target=self._heard, daemon=True)
        self._listening.start()
        threading.Thread(target=self._say_alive, daemon=True).start()

    def close(self) -> None:
        """Ends the connection, and with it all that was started and written there."""
        stdin, *others = self._process.stdin, self._process.stdout, self._process.stderr
        with contextlib.suppress(OSError):
            _closed(stdin)
        try:
            self._process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._is_lost = True
        for thread in (self._reading, self._listening):
            if thread is not None:
                thread.join(timeout=5)
        for pipe in others:
            _closed(pipe)

    def cut(self) -> None:
        """Breaks the connection, without waiting: whoever waits for a reply is told so, and the device ends by itself."""
        self._process.kill()

    def call(
        self,
        name: str,
        details: Mapping[str, Any],
        *,
        within_s: float = 0.0,
        content: bytes = b"",
        model: Path | None = None,
    ) -> tuple[dict[str, Any], bytes]:
        """The device's reply to the call `name` (edgecomp.benchmark.hosts.served), and what it sent behind it.

        details, content: of the request; within_s: that it may take by its own clock; model: that it is of, for errors. Raises what was raised
        there, and DeviceError where no reply comes.
        """
        number, waiting = next(self._numbers), queue.SimpleQueue[tuple[dict[str, Any], bytes] | None]()
        self._waiting[number] = waiting
        request = {"id": number, "call": name, **details} | ({"bytes": len(content)} if content else {})
        try:
            if self._is_lost:
                raise self._lost(name)
            self._write(json.dumps(request).encode() + b"\n" + content)
            found = waiting.get(timeout=within_s + GRACE_S)
        except (OSError, ValueError, queue.Empty) as error:  # ValueError: its pipe is closed
            raise self._lost(name) from error
        finally:
            del self._waiting[number]
        if found is None:
            raise self._lost(name)
        reply, behind = found
        if "error" in reply:
            raise self._told(reply, model)
        if behind and hashlib.sha256(behind).hexdigest() != reply["reply"]["sha256"]:
            raise DeviceError(
                f"{self.host}: a file came back as another than was sent (its sha256 differs): try again"
            )
        return reply["reply"], behind

    def _told(self, reply: Mapping[str, Any], model: Path | None) -> EdgecompError:
        """An error there, as its class here."""
        kind, message = str(reply["kind"]), f"on {self.host}: {plain(str(reply['error']))}"
        if kind == "BudgetExceededError":
            of = str(model and model.resolve())
            return BudgetExceededError(
                message, model=of, phase=str(reply["phase"]), certain=bool(reply["certain"])
            )
        if kind == "OSError":
            return DeviceError(f"{message}: free room in its temporary folder, or name another in its TMPDIR")
        found = getattr(errors, kind, None)
        is_ours = (
            isinstance(found, type) and issubclass(found, EdgecompError) and found is not errors.RecipeError
        )
        error: EdgecompError = found(message) if is_ours and found else WorkerError(f"{kind}: {message}")
        error.phase = str(reply["phase"])
        return error

    def _lost(self, during: str) -> DeviceError:
        self._is_lost = True
        said = self._said().splitlines()
        words = f" ({said[-1][:200]})" if said else ""
        return DeviceError(
            f"{self.host}: the connection was lost during {during!r}{words}: what was measured over it is not used; try again"
        )

    def _said(self) -> str:
        """What ssh, and whatever runs there, wrote last."""
        return plain(b"".join(self._words).decode(errors="replace")).strip()

    def _write(self, message: bytes) -> None:
        assert self._process.stdin is not None
        with self._writing:
            self._process.stdin.write(message)
            self._process.stdin.flush()

    def _greeted(self) -> None:
        """Raises why the device does not serve."""
        line = self._first_line()
        try:
            said = json.loads(line)
        except ValueError:
            raise self._refused() from None
        if "busy" in said:
            raise DeviceError(
                f"{self.host} is busy: another measurement runs there ({said['busy']}): wait for its end"
            )
        if "old" in said:
            oldest = ".".join(map(str, OLDEST))
            raise RuntimeUnavailableError(
                f"{self.host} has Python {said['old']}, and {oldest} is the oldest that serves: install that there"
            )

    def _first_line(self) -> bytes:
        """Within the time that a connection and a slow device's start may take."""
        assert self._process.stdout is not None
        timer = threading.Timer(CONNECT_S + GRACE_S, self._process.kill)
        timer.start()
        try:
            return self._process.stdout.readline()
        finally:
            timer.cancel()

    def _refused(self) -> EdgecompError:
        code = self._process.wait()
        self._reading.join(timeout=5)
        words = self._said()
        last = words.splitlines()[-1][:300] if words else f"ssh ended with exit code {code}"
        if "Host key verification failed" in words or "host key is known" in words:
            return UsageError(f"{self.host}: its host key is not known here, or is another: run `ssh {self.host}` once by hand, compare the fingerprint "
                              "with the device's own (`ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` there), and accept it")  # fmt: skip
        if code in NO_PYTHON:
            return RuntimeUnavailableError(
                f"{self.host} has no python3: install Python 3.11 or newer there ({last})"
            )
        if code == OF_SSH:
            return DeviceError(
                f"{self.host} cannot be reached: {last}: `ssh {self.host}` has to work by a key, without a password"
            )
        return DeviceError(f"{self.host}: what was to serve there ended with exit code {code}: {last}")

    def _heard(self) -> None:
        """Hands each reply to whoever waits for it, and the end of the connection to all of them."""
        assert self._process.stdout is not None
        with contextlib.suppress(ValueError, OSError):
            for line in self._process.stdout:
                reply = json.loads(line)
                size = reply.pop("bytes", 0)
                behind = self._process.stdout.read(size) if size else b""
                if (waiting := self._waiting.get(reply["id"])) is not None:
                    waiting.put((reply, behind))
        self._is_lost = True
        for waiting in list(self._waiting.values()):
            waiting.put(None)

    def _read_words(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self._words = [*self._words[-20:], line]

    def _say_alive(self) -> None:
        while not self._is_lost:
            with contextlib.suppress(EdgecompError):
                self.call("alive", {})
            time.sleep(ALIVE_S)


def _closed(pipe: IO[bytes] | None) -> None:
    if pipe is not None:
        pipe.close()
