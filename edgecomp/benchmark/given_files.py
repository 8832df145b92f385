"""Model files that a command is given: whether they are whole, of a kind that the runtime takes, and trusted to run code."""

from collections.abc import Sequence
from pathlib import Path

from edgecomp.config.target import Target
from edgecomp.errors import ModelFileError, UsageError, nearest_there
from edgecomp.runtimes import formats
from edgecomp.runtimes.formats import RUNS_CODE, format_of


def check_file(model: Path, target: Target) -> None:
    """Raises ModelFileError where `model` is not there whole, or not of a kind that the runtime of `target`
    takes."""
    if not model.is_file():
        raise ModelFileError(f"no such model file: {model}{nearest_there(model)}")
    takes = format_of(target.runtime).reads
    if (suffix := formats.suffix_of(model)) not in takes:
        raise ModelFileError(f"{model}: {target.runtime} takes {' or '.join(takes)}, not {suffix or 'a file without a suffix'}: "
                             "name another target with --target")  # fmt: skip
    for part in (part for part in formats.parts_of(model) if not part.is_file()):
        raise ModelFileError(f"{model}: its weights, {part.name}, are not beside it")


def check_trust(trust: Sequence[Path | str], models: Sequence[Path]) -> None:
    """Raises UsageError where a file of `trust` is none of the `models`, or of a kind that cannot run code."""
    for file in trust:
        if not any(is_trusted(model, [file]) for model in models):
            raise UsageError(f"--trust {file} is none of the models: {', '.join(map(str, models))}")
        if Path(file).suffix not in RUNS_CODE:
            raise UsageError(
                f"--trust {file}: only {', '.join(RUNS_CODE)} files can run code, and this is none: leave it out"
            )


def is_trusted(model: Path, trust: Sequence[Path | str]) -> bool:
    """Whether `model` is one of the files of `trust`, which may run code."""
    return any(Path(file).resolve() == model.resolve() for file in trust)


def name_of(what: Path) -> str:
    """What the results of `what`, a model file or a folder, are called: `model.onnx` alone would be any
    model."""
    if what.is_dir():
        return what.resolve().name
    return what.stem if what.stem != "model" else what.resolve().parent.name
