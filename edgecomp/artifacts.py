"""What passes between stages: a run folder with a manifest, and nothing half-written in it.

A step works in a scratch folder. When it is done, its files are fsynced, the scratch folder becomes the
step's folder by one rename, and the manifest, itself replaced by a rename, records every file's digest and
the key of what it was made from. A process killed anywhere leaves either the old state or the new one.
"""

import datetime
import hashlib
import json
import os
import platform
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from edgecomp import __version__
from edgecomp.errors import EdgecompError, RunFolderBusy, RunFolderError, UsageError
from edgecomp.machine import cpu_isa
from edgecomp.schema import Schema

FORMAT_VERSION = 1
"""Version of run folders. 1: first release."""

MANIFEST = "manifest.json"
SCRATCH = ".scratch"
NOT_RUN = "not-run.txt"  # in a step's folder: why it made nothing, so that the next run tries again
CHECKPOINTS = ".checkpoints"


@dataclass(frozen=True)
class Step:
    """One function that reads artifacts and writes new ones.

    `name` is the folder it writes (`bench/openvino-cpu`), `stage` the command that runs it alone (`bench`).
    `inputs` are the names of the steps it reads, `settings` all it is told, `libraries` those whose version
    changes what it makes. `make(scratch, checkpoints)` writes its files into `scratch`; a long one keeps what
    it needs to resume in the folder `checkpoints`, which only ever belongs to this very key.
    """

    name: str
    stage: str
    make: Callable[[Path, Path], None]
    settings: Any
    inputs: tuple[str, ...] = ()
    libraries: tuple[str, ...] = ()
    executes: bool = field(default=False)  # trains, runs or measures: the machine is part of the key
    threads: int | None = (
        None  # that train, on this machine: sums are added up in another order with another number
    )
    means: Mapping[str, str] = field(
        default_factory=dict
    )  # by name, what else this machine has to make it with


def installed(library: str) -> str:
    """Its version, or that there is none: a GPU's runtime is not installed where there is no GPU."""
    try:
        return version(library)
    except PackageNotFoundError:
        return "not installed"


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


class RunFolder:
    """A folder with the artifacts of one recipe's run."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.notes: list[str] = []  # what was found damaged, by name
        self._verified: dict[str, list[str]] = {}
        self._new = [one for one in (path, *path.parents) if not one.exists()]  # innermost first

    # -- who may write -------------------------------------------------------------------------------

    def admit(self, recipe: str) -> None:
        """Raises RunFolderError where the folder holds something else than a run of `recipe`."""
        if not self.path.exists():
            return
        if not self.path.is_dir():
            raise RunFolderError(f"{self.path} is a file: choose another folder with --out")
        content = self._raw_manifest()
        if content is None:
            alien = [path.name for path in self.path.iterdir() if not path.name.startswith(".")]
            if alien and MANIFEST not in alien and "job.json" not in alien:
                raise RunFolderError(f"{self.path} holds {alien[0]!r} and no {MANIFEST}: it is not a run folder. "
                                     "Choose another folder with --out")  # fmt: skip
            return
        found = content.get("format")
        if isinstance(found, int) and found > FORMAT_VERSION:
            raise RunFolderError(f"{self.path} has format version {found}, newer than this edgecomp reads "
                                 f"({FORMAT_VERSION}): upgrade edgecomp, or choose another folder with --out")  # fmt: skip
        if content.get("recipe") not in (None, recipe):
            raise RunFolderError(f"{self.path} belongs to recipe {content['recipe']!r}, not {recipe!r}: "
                                 "choose another folder with --out")  # fmt: skip

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Raises RunFolderBusy, with the other process and its start time, where one writes here already."""
        from filelock import FileLock, Timeout

        try:
            self.path.mkdir(parents=True, exist_ok=True)
            (self.path / SCRATCH).mkdir(exist_ok=True)
        except OSError as error:
            raise RunFolderError(
                f"{self.path} cannot be written: {error.strerror}; choose another folder with --out"
            ) from error
        owner = self.path / ".owner.json"
        lock = FileLock(self.path / ".lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise RunFolderBusy(f"{self.path} is being written by {_owner(owner)}: wait for it, "
                                "or choose another folder with --out") from None  # fmt: skip
        try:
            for leftover in self.path.glob(".*.tmp"):  # of a writer that was killed
                leftover.unlink()
            write_json(owner, {"pid": os.getpid(), "started": _now()})
            yield
        finally:
            owner.unlink(missing_ok=True)
            lock.release()

    def forget(self) -> None:
        """Of a run that has finished no step, in a folder that it made, nothing stays. Whoever calls holds the lock."""
        if self.path not in self._new or (self.path / MANIFEST).exists():
            return
        shutil.rmtree(self.path / SCRATCH, ignore_errors=True)
        with suppress(OSError):  # what somebody else has put there stays, with the folders around it
            for name in ("job.json", ".owner.json", ".lock"):
                (self.path / name).unlink(missing_ok=True)
            for one in self._new:
                one.rmdir()

    # -- what is there -------------------------------------------------------------------------------

    def manifest(self) -> Manifest | None:
        content = self._raw_manifest()
        if content is None:
            return None
        try:
            return Manifest.model_validate(content)
        except ValidationError:
            self._note(f"{MANIFEST} does not say what a manifest says; everything is made again")
            return None

    def _raw_manifest(self) -> dict[str, Any] | None:
        try:
            content = json.loads((self.path / MANIFEST).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError):
            self._note(f"{MANIFEST} cannot be read; everything is made again")
            return None
        return content if isinstance(content, dict) else None

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
        made_from = self.made_from(step)
        elsewhere = set() if here else {"cpu", "threads", "edgecomp", *step.libraries, *step.means}
        names = dict.fromkeys((*made_from, *record.made_from))
        changed = [
            name
            for name in names
            if name not in elsewhere and record.made_from.get(name) != made_from.get(name)
        ]
        if changed:
            return f"changed: {', '.join(changed)}"
        excuse = self.path / step.name / NOT_RUN
        return (
            f"not run before: {excuse.read_text(encoding='utf-8').strip()}"
            if here and excuse.is_file()
            else None
        )

    def _damage(self, name: str, record: Record) -> list[str]:
        """What is wrong with a step's files; each step's files are read once a process."""
        if name not in self._verified:
            found = []
            for path, digest in record.outputs.items():
                file = self.path / path
                if not file.is_file():
                    found.append(f"{path} is missing")
                elif file.stat().st_size != digest.size_bytes or sha256(file) != digest.sha256:
                    found.append(f"{path} is not what was written (its sha256 differs)")
            self._verified[name] = found
            for text in found:
                self._note(text)
        return self._verified[name]

    def _note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)

    def made_from(self, step: Step) -> dict[str, str]:
        """All that decides what `step` makes, by name, each as text short enough to compare."""
        manifest = self.manifest()
        facts = {
            "settings": digest_of(step.settings),
            "format": str(FORMAT_VERSION),
            "edgecomp": __version__,
            **step.means,
        }
        for name in step.inputs:
            record = manifest.steps.get(name) if manifest else None
            facts[name] = record.made if record else "not there"
        for library in step.libraries:
            facts[library] = installed(library)
        if step.executes:
            facts["cpu"] = f"{platform.machine()} {' '.join(cpu_isa())}"
        if step.threads is not None:
            facts["threads"] = str(step.threads)
        return facts

    # -- making --------------------------------------------------------------------------------------

    def run(self, step: Step, recipe: str) -> None:
        """Makes `step`'s artifacts and records them."""
        made_from = self.made_from(step)
        key = digest_of(made_from)
        scratch = self.path / SCRATCH / step.name
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)
        checkpoints = self.path / CHECKPOINTS / f"{step.name.replace('/', '-')}-{key[:16]}"
        clock = checkpoints.with_name(f"{checkpoints.name}.seconds")
        started = time.monotonic() - _spent(clock)
        try:
            step.make(scratch, checkpoints)
        except OSError as error:
            where = error.filename or self.path
            raise EdgecompError(
                f"{step.name}: {where}: {error.strerror or error}; what was finished before is kept"
            ) from error
        finally:
            seconds = time.monotonic() - started
            if checkpoints.is_dir():
                with suppress(OSError):  # a full disk has been told of
                    write_json(clock, seconds)
        outputs = {}
        for file in sorted(path for path in scratch.rglob("*") if path.is_file()):
            fsync(file)
            relative = f"{step.name}/{file.relative_to(scratch).as_posix()}"
            outputs[relative] = Digest(sha256=sha256(file), size_bytes=file.stat().st_size)
        final = self.path / step.name
        final.parent.mkdir(parents=True, exist_ok=True)
        if final.exists():
            shutil.rmtree(final)
        os.rename(scratch, final)
        fsync(final.parent)
        record = Record(
            key=key, made_from=made_from, outputs=outputs, finished=_now(), seconds=round(seconds, 3)
        )
        self._record(step.name, record, recipe)
        self._verified[step.name] = []
        shutil.rmtree(self.path / SCRATCH, ignore_errors=True)
        shutil.rmtree(self.path / CHECKPOINTS, ignore_errors=True)

    def _record(self, name: str, record: Record, recipe: str) -> None:
        manifest = self.manifest()
        steps = dict(manifest.steps) if manifest else {}
        steps[name] = record
        write_json(
            self.path / MANIFEST, Manifest(edgecomp=__version__, recipe=recipe, steps=steps).model_dump()
        )


def _spent(clock: Path) -> float:
    """Seconds of earlier sittings."""
    try:
        return float(clock.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return 0.0


def _owner(path: Path) -> str:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return f"process {content['pid']}, started {content['started']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` that replaces it (what it links to, if it does), fsynced, when the block ends well."""
    path = path.resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        fsync(temporary)
        os.replace(temporary, path)
        fsync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def check_writable(path: Path, option: str) -> None:
    """Raises UsageError where no file or folder can be made at `path`; nothing is left there."""
    near = next(folder for folder in path.resolve().parents if folder.exists())
    why = "it is a folder" if path.is_dir() else "" if near.is_dir() else f"{near} is a file"
    if not why:
        try:
            tempfile.TemporaryFile(dir=near).close()
        except OSError as error:
            why = f"{near}: {error.strerror}"
    if why:
        raise UsageError(f"{option} {path} cannot be written: {why}; name another place with {option}")


def write_json(path: Path, content: object) -> None:
    """Strict JSON (a NaN is refused), written whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest_of(content: Mapping[str, Any] | Any) -> str:
    """sha256 of a value's canonical JSON."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
