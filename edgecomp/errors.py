"""Every error edgecomp raises on purpose, and the exit code each ends with.

    EdgecompError                   70  something failed that should not have
    ├── UsageError                   2  the request cannot be carried out as it stands
    │   ├── RecipeError              2  a recipe, target, policy or override is wrong; carries every problem
    │   ├── RunFolderError           2  the output folder is another recipe's, newer, or lacks a stage
    │   │   └── RunFolderBusy        2  another process writes there
    │   ├── ModelFileError           2  a model file cannot be read by its runtime
    │   └── FileError                2  a file cannot be read, is larger than its limit, or not what it should be
    ├── AlteredError                 4  evidence does not hold: a verdict does not follow from its samples, a digest does not fit
    ├── DataError                    2  a data set cannot serve: empty, one class, unreadable
    ├── CaptureError                 2  a network cannot be captured or quantised
    ├── RuntimeUnavailableError     70  a runtime is not installed, or its device is not here
    ├── RuntimeOptionError           2  an option the runtime does not know, or a value it refuses
    ├── InferenceError              70  a runtime failed while running a model
    ├── UserCodeError               70  a factory or a score function of the user's own raised something, or wanted to exit
    ├── EmulatorError               70  an emulated machine's environment could not be made
    ├── WorkerError                 70  a benchmark process died, hung or answered nonsense
    │   └── DeviceError             70  a device cannot be reached, is busy or full, or its connection broke
    ├── TeacherError                70  an API that teaches cannot be reached, refuses, or answers what cannot be an answer
    ├── SpentError                   3  what a teacher may cost is spent; what it has answered is kept
    ├── BudgetExceededError          1  a model did not fit into the memory of its target
    └── TimeIsUp                     3  what was to end within a time has not

The message says what happened, the value, the limit, and what to try.
"""

import difflib
from collections.abc import Iterable, Sequence
from pathlib import Path

from edgecomp import exit_codes


class EdgecompError(Exception):
    exit_code = exit_codes.INTERNAL
    phase = ""  # what a benchmark process was doing, where the error is from one


class UsageError(EdgecompError):
    exit_code = exit_codes.USAGE


class RecipeError(UsageError):
    """All the problems of one request, so that a user mends them in one go."""

    def __init__(self, where: str, problems: Sequence[str]) -> None:
        self.where = where
        self.problems = tuple(problems)
        if len(self.problems) == 1:
            message = f"{where}: {self.problems[0]}"
        else:
            lines = "".join(f"\n  - {problem}" for problem in self.problems)
            message = f"{where}: {len(self.problems)} problems{lines}"
        super().__init__(message)


class RunFolderError(UsageError):
    pass


class RunFolderBusy(RunFolderError):  # noqa: N818 - it is a state, and reads better as one
    pass


class ModelFileError(UsageError):
    pass


class FileError(UsageError):
    pass


class AlteredError(EdgecompError):
    """INVALID, before anything is judged. Raised where a verdict would be shown, and in its place."""

    exit_code = exit_codes.INVALID
    reason = "altered"


class DataError(EdgecompError):
    exit_code = exit_codes.USAGE


class CaptureError(EdgecompError):
    exit_code = exit_codes.USAGE


class RuntimeUnavailableError(EdgecompError):
    pass


class RuntimeOptionError(EdgecompError):
    exit_code = exit_codes.USAGE


class InferenceError(EdgecompError):
    pass


class UserCodeError(EdgecompError):
    pass


class EmulatorError(EdgecompError):
    pass


class WorkerError(EdgecompError):
    pass


class DeviceError(WorkerError):
    pass


class TeacherError(EdgecompError):
    pass


class SpentError(EdgecompError):
    exit_code = exit_codes.INCONCLUSIVE


class BudgetExceededError(EdgecompError):
    """`model` is its file, `phase` what it was doing, and `certain` whether the limit is one of what is really held."""

    exit_code = exit_codes.FAIL

    def __init__(self, message: str, *, model: str = "", phase: str = "", certain: bool = True) -> None:
        super().__init__(message)
        self.model, self.phase, self.certain = model, phase, certain
        # INCONCLUSIVE where what it died of counts more than it held.
        self.exit_code = exit_codes.FAIL if certain else exit_codes.INCONCLUSIVE


class TimeIsUp(EdgecompError):  # noqa: N818 - it is a state, and reads better as one
    exit_code = exit_codes.INCONCLUSIVE


class Terminated(BaseException):
    """SIGTERM, raised where the main thread is, so that what holds a worker, a lock or a scratch folder lets go of it."""


def nearest(word: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?`, or nothing where no known word is near."""
    folded = {name.lower(): name for name in known}
    close = difflib.get_close_matches(word.lower(), folded, n=3, cutoff=0.5)
    return f"; did you mean {' or '.join(repr(folded[name]) for name in close)}?" if close else ""


def nearest_there(path: Path) -> str:
    """`; did you mean 'x'?` of what lies in the folder that `path` should be in, or nothing."""
    try:
        return nearest(path.name, (entry.name for entry in path.parent.iterdir()))
    except OSError:  # no such folder, or none that may be read
        return ""
