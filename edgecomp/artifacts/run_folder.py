"""What passes between stages: a run folder with a manifest, and nothing half-written in it.

A step works in a scratch folder. When it is done, its files are fsynced, the manifest, itself replaced by a rename,
records every file's digest and the key of what they were made from, and they are moved into the step's folder. A process
killed anywhere leaves the old state, the new one, or files that do not fit their digests, and are made again. What the
manifest does not list is never deleted.
"""

import os
import re
import shutil
import threading
import time
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError, model_validator

from edgecomp import __version__
from edgecomp.artifacts import rerun, run_lock, step_files
from edgecomp.artifacts.rerun import Step
from edgecomp.config.schema import Schema
from edgecomp.errors import EdgecompError, FileError, RunFolderError
from edgecomp.files import epoch_table
from edgecomp.files.json_files import read_json
from edgecomp.files.scratch import fsync
from edgecomp.files.writing import digest_of, sha256, write_json

FORMAT_VERSION = 1
"""Version of run folders. 1: first release."""

MANIFEST, JOB = "manifest.json", "job.json"
NOT_RUN = "not-run.txt"  # in a step's folder: why it made nothing, so that the next run tries again
CHECKPOINTS = ".checkpoints"
SHARED = "shared"  # a checkpoint that several steps make of the same, and go on from
CLOCK = ".seconds"  # beside a step's checkpoints: how long it ran
KEPT = "what was finished before is kept"
FULL_BYTES = 2**20  # free, at most, on a disk that is said to be full
OWN = (MANIFEST, JOB, run_lock.LOCK, run_lock.OWNER, run_lock.SCRATCH, CHECKPOINTS)
JOB_KEYS = {"recipe", "folder", "targets", "policy", "rows"}  # of every job.json so far


class Digest(Schema):
    sha256: str
    size_bytes: int


class Record(Schema):
    """What the manifest says of a finished step."""

    key: str
    made_from: dict[str, str]
    outputs: dict[str, Digest]
    finished: str
    seconds: float  # of every sitting that its checkpoints are from, but those that were killed at once

    @property
    def made(self) -> str:
        """One digest of all its outputs, which is what a step that reads them was made from."""
        return digest_of({path: output.sha256 for path, output in self.outputs.items()})


class Manifest(Schema):
    format: Literal[1] = FORMAT_VERSION  # type: ignore[assignment]
    edgecomp: str
    recipe: str
    steps: dict[str, Record] = {}

    @model_validator(mode="after")
    def _stays_in_its_folder(self) -> "Manifest":
        """What it lists may be deleted."""
        for name, record in self.steps.items():
            own = all(step_files.is_within(path, f"{name}/") for path in record.outputs)
            if not (own and step_files.is_within(name)) or name.startswith("."):
                raise ValueError(f"step {name!r} lists files that are not in its folder")
        return self


class RunFolder:
    """A folder with the artifacts of one recipe's run."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.notes: list[str] = []  # what was found damaged, by name
        self._verified: dict[str, dict[str, str]] = {}
        self._recording = threading.Lock()  # steps of several devices end at any time
        self._new = [one for one in (path, *path.parents) if not os.path.lexists(one)]  # innermost first

    # -- who may write -------------------------------------------------------------------------------

    def admit(self, recipe: str) -> None:
        """Raises RunFolderError where the folder holds something else than a run of `recipe`, or lies in a run folder."""
        if (run := self.around()) is not None:
            raise RunFolderError(
                f"{self.path} lies in the run folder {run}: choose another folder with --out"
            )
        if not self.path.exists():
            return
        if not self.path.is_dir():
            raise RunFolderError(f"{self.path} is a file: choose another folder with --out")
        content = self._read(MANIFEST) or {}
        found = content.get("format")
        if isinstance(found, int) and found > FORMAT_VERSION:
            raise RunFolderError(f"{self.path} has format version {found}, newer than this edgecomp reads "
                                 f"({FORMAT_VERSION}): upgrade edgecomp, or choose another folder with --out")  # fmt: skip
        belongs = self.belongs_to()
        if belongs is None:
            if alien := run_lock.foreign(self.path, JOB):
                raise RunFolderError(f"{self.path} holds {alien!r} and no {MANIFEST} or {JOB} of a run: it is not a run folder, "
                                     "and nothing is written into it. Choose another folder with --out")  # fmt: skip
            return
        if belongs != recipe:
            raise RunFolderError(f"{self.path} belongs to recipe {belongs!r}, not {recipe!r}: "
                                 "choose another folder with --out")  # fmt: skip
        for name in OWN:
            if (self.path / name).is_symlink():
                raise RunFolderError(f"{self.path / name} is a link, and nothing of a run is written or deleted behind one: "
                                     f"{step_files.ADVICE}")  # fmt: skip
        manifest = self.manifest()
        for name in manifest.steps if manifest else ():
            step_files.check_no_link(self.path, name)

    def belongs_to(self) -> str | None:
        """The recipe whose run this is, by its manifest, or, before a first step has ended, by its job; None where it is no run folder."""
        manifest = self.manifest()
        if manifest is not None:
            return manifest.recipe
        job = self._read(JOB) or {}
        name = job["recipe"].get("name") if set(job) >= JOB_KEYS and isinstance(job["recipe"], dict) else None
        return name if isinstance(name, str) else None

    def around(self) -> Path | None:
        """The run folder that this place lies in."""
        return next((one for one in self.path.resolve().parents if RunFolder(one).belongs_to()), None)

    def locked(self) -> AbstractContextManager[None]:
        """Raises RunFolderBusy, with the other process and its start time, where one writes here already."""
        return run_lock.locked(self.path, (MANIFEST, JOB, epoch_table.TABLE))

    def forget(self) -> None:
        """Of a run that has finished no step, in a folder that it made, nothing stays. Whoever calls holds the lock."""
        if self.path in self._new and not (self.path / MANIFEST).exists():
            run_lock.forget(self.path, JOB, self._new)

    # -- what is there -------------------------------------------------------------------------------

    def manifest(self) -> Manifest | None:
        content = self._read(MANIFEST)
        if content is None:
            return None
        try:
            return Manifest.model_validate(content)
        except ValidationError:
            self._note(f"{MANIFEST} does not say what a manifest says; everything is made again")
            return None

    def _read(self, name: str) -> dict[str, Any] | None:
        """What the manifest or the job holds; None where that is nothing that a run has written."""
        file = self.path / name
        if not os.path.lexists(file):
            return None
        try:
            content = read_json(file) if file.is_file() else None
        except FileError:
            content = None
        if not isinstance(content, dict):
            self._note(f"{name} cannot be read; everything is made again")
            return None
        return content

    def reason_to_run(self, step: Step, *, here: bool = True) -> str | None:
        """Why `step` must run, or None where its artifacts are whole and of this very key.

        here: made with this machine's kind and versions, and run; else it is enough that they are what was asked for.
        """
        manifest = self.manifest()
        record = manifest.steps.get(step.name) if manifest else None
        if record is None:
            return next((note for note in self.notes if note.startswith(MANIFEST)), "new")
        damaged = self._damage(step.name, record)
        if damaged:
            return f"{', '.join(damaged)}"
        if changed := rerun.changed(step, record.made_from, self.made_from(step), here=here):
            return f"changed: {', '.join(changed)}"
        excuse = self.path / step.name / NOT_RUN
        return (
            f"not run before: {excuse.read_text(encoding='utf-8').strip()}"
            if here and excuse.is_file()
            else None
        )

    def _damage(self, name: str, record: Record) -> list[str]:
        """What is wrong with a step's files, in words; each step's files are read once a process."""
        if name not in self._verified:
            self._verified[name] = {
                path: f"{path} is not what was written (its sha256 differs)"
                if (self.path / path).is_file()
                else f"{path} is missing"
                for path, digest in record.outputs.items()
                if not self._is(path, digest)
            }
            for text in self._verified[name].values():
                self._note(text)
        return list(self._verified[name].values())

    def altered(self, name: str) -> list[str]:
        """The files of the step `name` that are there, and are not what was written."""
        manifest = self.manifest()
        record = manifest.steps.get(name) if manifest else None
        if record is None:
            return []
        self._damage(name, record)
        return [path for path in self._verified[name] if (self.path / path).is_file()]

    def _note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)

    def made_from(self, step: Step) -> dict[str, str]:
        """All that decides what `step` makes, by name, each as text short enough to compare."""
        manifest = self.manifest()
        made = {name: record.made for name, record in manifest.steps.items()} if manifest else {}
        return rerun.made_from(step, made, FORMAT_VERSION)

    # -- making --------------------------------------------------------------------------------------

    def run(self, step: Step, recipe: str) -> None:
        """Makes the artifacts of `step` and records them, in a new manifest as of `recipe`, by its name.
        Raises RunFolderError where its folder is a link, EdgecompError where a file cannot be written."""
        step_files.check_no_link(self.path, step.name)
        made_from = self.made_from(step)
        key = digest_of(made_from)
        scratch = self.path / run_lock.SCRATCH / step.name
        shutil.rmtree(scratch, ignore_errors=True)
        checkpoints = self.path / CHECKPOINTS / _checkpoints(step.name, key)
        clock = checkpoints.with_name(f"{checkpoints.name}{CLOCK}")
        started = time.monotonic() - _spent(clock)
        try:
            scratch.mkdir(parents=True)
            try:
                step.make(scratch, checkpoints)
            finally:
                seconds = round(time.monotonic() - started, 3)
                if checkpoints.is_dir():
                    with suppress(OSError):  # a full disk has been told of
                        write_json(clock, seconds)
            outputs = {}
            for file in sorted(path for path in scratch.rglob("*") if path.is_file()):
                fsync(file)
                relative = f"{step.name}/{file.relative_to(scratch).as_posix()}"
                outputs[relative] = Digest(sha256=sha256(file), size_bytes=file.stat().st_size)
            record = Record(
                key=key, made_from=made_from, outputs=outputs, finished=run_lock.now(), seconds=seconds
            )
            with self._recording:
                self._put_in_place(step.name, scratch, record, recipe)
        except OSError as error:
            where = error.filename or self.path
            raise EdgecompError(f"{step.name}: {where}: {error.strerror or error}; {KEPT}") from error
        except RuntimeError as error:  # what PyTorch and OpenVINO make of a full disk
            left = shutil.disk_usage(self.path).free
            if left > FULL_BYTES:
                raise
            raise EdgecompError(
                f"{step.name}: {self.path}: the disk is full, {left:,} bytes are left ({error}); {KEPT}"
            ) from error
        self._verified[step.name] = {}
        with self._recording:
            self._clear(rf"{re.escape(_plain(step.name))}-\w{{16}}")

    def clear_checkpoints(self) -> None:
        """Takes away what steps that are finished would have resumed from, and what they shared. One that is not, of other settings, may go on yet."""
        manifest = self.manifest()
        done = [_checkpoints(name, one.key) for name, one in manifest.steps.items()] if manifest else []
        self._clear("|".join([*map(re.escape, done), rf"{SHARED}-\w{{16}}"]))

    def _clear(self, names: str) -> None:
        """Checkpoints whose folders have such `names`, a pattern, with the times beside them."""
        place = self.path / CHECKPOINTS
        for one in list(place.iterdir()) if place.is_dir() else []:
            if re.fullmatch(names, one.name):
                shutil.rmtree(one, ignore_errors=True)
            elif re.fullmatch(names, one.name.removesuffix(CLOCK)):
                one.unlink(missing_ok=True)
        with suppress(OSError):  # where something is left, or nothing was
            place.rmdir()

    def not_its_own(self, name: str) -> list[str]:
        """Files in the folder of the step `name` that the manifest does not list: they are kept when the step
        is made again."""
        return step_files.unlisted(self.path, name, self._listed(name))

    def _listed(self, name: str) -> set[str]:
        manifest = self.manifest()
        return set(manifest.steps[name].outputs) if manifest and name in manifest.steps else set()

    def _put_in_place(self, name: str, scratch: Path, record: Record, recipe: str) -> None:
        """First what is in the way is moved aside, then the manifest lists the new files, then they are put there: at any
        moment each file that may be replaced is listed."""
        own = self._listed(name) | {path for path, digest in record.outputs.items() if self._is(path, digest)}
        step_files.clear_the_way(self.path, name, own, record.outputs)
        self._record(name, record, recipe)
        step_files.put(scratch, self.path / name)
        fsync(self.path / name)
        fsync((self.path / name).parent)

    def _is(self, path: str, digest: Digest) -> bool:
        """Whether a file is there, and is what its digest says."""
        file = self.path / path
        return file.is_file() and file.stat().st_size == digest.size_bytes and sha256(file) == digest.sha256

    def _record(self, name: str, record: Record, recipe: str) -> None:
        manifest = self.manifest()
        steps = dict(manifest.steps) if manifest else {}
        steps[name] = record
        write_json(
            self.path / MANIFEST, Manifest(edgecomp=__version__, recipe=recipe, steps=steps).model_dump()
        )


def _plain(step: str) -> str:
    return step.replace("/", "-")


def _checkpoints(step: str, key: str) -> str:
    return f"{_plain(step)}-{key[:16]}"


def _spent(clock: Path) -> float:
    """Seconds of earlier sittings."""
    try:
        return float(clock.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return 0.0
