"""Where a command may write, and how long it may take: checked before anything is measured, by every option that says so."""

import os
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from edgecomp.artifacts.run_folder import RunFolder
from edgecomp.errors import UsageError

MOST_S = 30 * 86400.0  # that anything is measured for


def check_duration(seconds: float, option: str, unit_s: float = 1.0) -> None:
    """Raises UsageError where `seconds` is not a time that ends within 30 days. option: what gave it, such as
    `--minutes`; unit_s: what the option counts in."""
    if not 0 < seconds <= MOST_S:
        unit = "seconds" if unit_s == 1 else "minutes"
        raise UsageError(f"{option} {seconds / unit_s:g}: write {unit}, up to {MOST_S / unit_s:,.0f}")


def check_writable(output: Path, option: str, inputs: Iterable[Path] = ()) -> None:
    """Raises UsageError where no file or folder can be made at `output`, which `option` names, or as
    `check_apart` does with the `inputs`; nothing is left there."""
    check_apart(output, option, inputs)
    near = next(folder for folder in output.resolve().parents if folder.exists())
    why = "" if near.is_dir() else f"{near} is a file"
    if output.exists() and not output.is_file():
        why = (
            "it is a folder"
            if output.is_dir()
            else "it is a device or a pipe, which a file would take the place of"
        )
    if not why:
        try:
            tempfile.TemporaryFile(dir=near).close()
        except OSError as error:
            why = f"{near}: {error.strerror}"
    if why:
        raise UsageError(f"{option} {output} cannot be written: {why}; name another place with {option}")


def check_apart(output: Path, option: str, inputs: Iterable[Path] = ()) -> None:
    """Raises UsageError where `output` is one of the `inputs`, by whatever name, or of the files in one, or
    lies in a run folder. option: what names the output."""
    place = output.resolve()
    for given in inputs:
        if place == given.resolve() or _is_same(output, given) or (place.exists() and _lies_in(place, given)):
            raise UsageError(
                f"{option} {output} would overwrite {given}, which is read: name another place with {option}"
            )
    if (run := RunFolder(output).around()) is not None:
        raise UsageError(
            f"{option} {output} lies in the run folder {run}, and nothing else is written there: name another place with {option}"
        )


def check_outputs(outputs: Mapping[str, Path | None], inputs: Iterable[Path]) -> None:
    """`check_writable` for several options, each of which names a place of its own. Raises UsageError.

    outputs: by option, the place that it names, None where it was not given; inputs: what is read, and must
    stay.
    """
    taken: dict[str, Path] = {}
    for option, output in outputs.items():
        if output is None:
            continue
        check_writable(output, option, inputs)
        for other, there in taken.items():
            if there.resolve() == output.resolve():
                raise UsageError(f"{option} {output} is what {other} names: name another place with {option}")
        taken[option] = output


def _is_same(output: Path, given: Path) -> bool:
    """Whether they are one file under two names, such as hard links."""
    try:
        return os.path.samefile(output, given)
    except OSError:  # one of them is not there
        return False


def _lies_in(place: Path, given: Path) -> bool:
    return given.is_dir() and given.resolve() in place.parents
