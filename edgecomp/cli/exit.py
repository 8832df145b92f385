"""How the command line ends: a message, a line of JSON where that was asked for, an exit code; and no later than it is told to.

SIGTERM unwinds, by a handler in Python. That cannot run while native code spins, nor can another thread while that code holds
the interpreter's lock. So a second process is told of the signal by a pipe, into which Python's own handler in C writes at
once, and waits for as long as unwinding may take. Then it sends a message to a queue of the first process, whose C library
starts a thread for it that calls _exit(143): no Python is needed for that. A signal would end it as well, but with 137.
"""

import ctypes
import errno
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, NoReturn, TextIO

from edgecomp.errors import AlteredError, EdgecompError, Terminated
from edgecomp.exit_codes import INTERNAL, INTERRUPTED, TERMINATED, USAGE
from edgecomp.files.scratch import leave_the_folder
from edgecomp.text import json_line, lines

KEPT = "what was finished is kept: run the same command again to go on"
GRACE_S = 5.0  # for what a termination unwinds; CI services kill after ten
HUNG_S = GRACE_S + 0.5  # when nothing of ours runs any more

# Of a path that was given: it is not there, may not be read or written, or cannot be a path.
OF_THE_REQUEST = {
    errno.EACCES, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.ENOENT, errno.ENOTDIR, errno.EPERM, errno.EROFS,
}  # fmt: skip

PR_SET_PDEATHSIG = 1  # prctl(2)
SIGEV_THREAD = 2  # sigevent(3type)


def ended(how: str) -> str:
    """How the command ended, `how`, and of `run`, which alone goes on from there, what is kept."""
    return f"{how}; {KEPT}" if sys.argv[1:2] == ["run"] else how


def why(error: BaseException) -> tuple[str, int]:
    """What is said of an error that nothing else has dealt with, and the exit code."""
    from edgecomp.models.own_code import users_line

    if isinstance(error, EdgecompError):
        return str(error), error.exit_code
    line, said = users_line(error), f"{type(error).__name__}: {error}"
    if line:
        return ended(
            f"your own code, {line}, raised {said}: mend it, and run the same command again"
        ), INTERNAL
    if isinstance(error, SystemExit) and isinstance(error.__context__, BrokenPipeError):  # as click leaves
        return "nobody reads any more what is said", INTERNAL
    if isinstance(error, SystemExit):
        return ended(
            f"something that was called wanted to exit with {error.code!r}, and gave no result"
        ), INTERNAL
    if isinstance(error, OSError) and error.errno in OF_THE_REQUEST:
        return f"{str(error.filename)[:200]}: {error.strerror}: name another file or folder", USAGE
    if isinstance(error, OSError):  # of no step and no file that knows what it is for
        which = error.filename or "a file, or standard output"
        return ended(f"{which}: {error.strerror or error} (--debug shows where)"), INTERNAL
    if isinstance(error, MemoryError):
        return ended(f"there is not enough memory: {error or 'no more could be had'}"), INTERNAL
    return ended(f"internal error: {said} (--debug shows where)"), INTERNAL


def end_when_terminated() -> None:
    """From now on SIGTERM ends this process within its grace, whatever it is doing. Before any thread is started."""
    if sys.platform == "linux":
        _be_watched()
    signal.signal(signal.SIGTERM, terminate)


def terminate(*_: object) -> NoReturn:
    """SIGTERM's handler: unwinds, and leaves in any case when the grace is over, for a thread that is waited for may hang."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # timeout(1) sends it twice
    end = threading.Timer(GRACE_S, leave, (ended("terminated"), TERMINATED))
    end.daemon = True
    end.start()
    raise Terminated


def leave(message: str, code: int) -> NoReturn:
    """Says why, `message`, on standard error, in JSON too where that was asked for, and ends with the exit
    code `code`."""
    _say(message, code)
    if code in (INTERNAL, INTERRUPTED, TERMINATED):
        leave_the_folder()
        # torch's threads would keep a plain exit waiting, and what it had half written aborts; the lock goes with the process
        os._exit(code)
    sys.exit(code)


def end(code: int) -> NoReturn:
    """Ends with what a command came to, the exit code `code`, once that has been said."""
    try:
        sys.stdout.flush()
    except OSError as error:
        leave(
            f"standard output cannot be written: {error.strerror}; it would have ended with {code}", INTERNAL
        )
    sys.exit(code)


def _say(message: str, code: int) -> None:
    if message:
        _write(sys.stderr, f"edgecomp: {lines(message)}\n")
    told = ""
    if "--json" in sys.argv:
        content = {"verdict": None, "exit_code": code, "error": message or "usage"}
        if code == AlteredError.exit_code:  # the only error that is a verdict
            content |= {"verdict": "INVALID", "reason": AlteredError.reason}
        told = json_line(json.dumps(content)) + "\n"
    _write(sys.stdout, told)


def _write(stream: TextIO, text: str) -> None:
    """What cannot be written is left, and not tried again when Python ends, which would change the exit code."""
    try:
        stream.write(text)
        stream.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _be_watched() -> None:
    """Starts the second process. What the system does not offer is done without: a hang is then ended with 137."""
    watched, (told, tells) = os.getpid(), os.pipe()
    queue = _Queue()
    if os.fork() == 0:
        os.close(tells)
        _watch(watched, told, queue)
    os.close(told)
    os.set_blocking(tells, False)
    signal.set_wakeup_fd(tells, warn_on_full_buffer=False)
    # A signal to a fork of this process is none to this one.
    os.register_at_fork(after_in_child=lambda: signal.set_wakeup_fd(-1))
    queue.exit_on_message(TERMINATED)


def _watch(watched: int, told: int, queue: "_Queue") -> NoReturn:
    """The second process: dies with the first, and ends it when that hangs after SIGTERM."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)  # a terminal, or timeout(1), sends them to both
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    while os.getppid() == watched and (numbers := os.read(told, 512)):
        if signal.SIGTERM in numbers:
            time.sleep(HUNG_S)
            _say(ended("terminated: it hung, and was ended from outside"), TERMINATED)
            queue.send()
            time.sleep(1.0)
            os.kill(watched, signal.SIGKILL)
    os._exit(0)


class _Event(ctypes.Structure):
    """struct sigevent, with SIGEV_THREAD."""

    _fields_ = [
        ("value", ctypes.c_void_p),
        ("signal", ctypes.c_int),
        ("notify", ctypes.c_int),
        ("function", ctypes.c_void_p),
        ("attributes", ctypes.c_void_p),
        ("rest", ctypes.c_byte * 64),
    ]


class _Limits(ctypes.Structure):
    """struct mq_attr."""

    _fields_ = [(name, ctypes.c_long) for name in ("flags", "messages", "size", "waiting")] + [
        ("rest", ctypes.c_long * 4)
    ]


class _Queue:
    """A POSIX message queue without a name, shared by the forks of this process; nothing where the system has none."""

    def __init__(self) -> None:
        name = f"/edgecomp-{os.getpid()}".encode()
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        self._queue = _called("mq_open", name, flags, 0o600, ctypes.byref(_Limits(0, 1, 1)))
        _called("mq_unlink", name)

    def exit_on_message(self, code: int) -> None:
        """A message ends this process with `code`, by a thread of the C library's."""
        function = ctypes.cast(ctypes.CDLL(None)._exit, ctypes.c_void_p)
        _called("mq_notify", self._queue, ctypes.byref(_Event(code, 0, SIGEV_THREAD, function)))

    def send(self) -> None:
        _called("mq_send", self._queue, b"!", 1, 0)


def _called(name: str, *arguments: Any) -> int:
    """What a function of the C library returns; -1 where it is not there."""
    function: Callable[..., int] = getattr(ctypes.CDLL(None), name, lambda *_: -1)
    return function(*arguments)
