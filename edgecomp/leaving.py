"""How the command line ends: a message, a line of JSON where that was asked for, an exit code; and no later than it is told to."""

import json
import os
import signal
import sys
import threading
from typing import NoReturn

KEPT = "what was finished is kept: run the same command again to go on"
GRACE_S = 5.0  # for what a termination unwinds; CI services kill after ten


class Terminated(BaseException):
    """SIGTERM, raised where the main thread is, so that what holds a worker, a lock or a scratch folder lets go of it."""


def ended(how: str) -> str:
    """How the command ended, and of `run`, which alone goes on from there, what is kept."""
    return f"{how}; {KEPT}" if sys.argv[1:2] == ["run"] else how


def terminate(*_: object) -> NoReturn:
    """SIGTERM's handler: unwinds, and leaves in any case when the grace is over, for a thread that is waited for may hang."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # timeout(1) sends it twice
    end = threading.Timer(GRACE_S, leave, (ended("terminated"), 143))
    end.daemon = True
    end.start()
    raise Terminated


def leave(message: str, code: int) -> NoReturn:
    """Says why on standard error, in JSON too where that was asked for, and ends."""
    if message:
        sys.stderr.write(f"edgecomp: {message}\n")
    if "--json" in sys.argv:
        sys.stdout.write(json.dumps({"verdict": None, "exit_code": code, "error": message or "usage"}) + "\n")
    sys.stdout.flush()
    sys.stderr.flush()
    if code in (130, 143):
        os._exit(code)  # torch's threads would keep a plain exit waiting; the lock goes with the process
    sys.exit(code)
