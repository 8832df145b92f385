"""A pack, held against itself and against a key that the reader has: its form, its digests, its signature, and its verdict, derived again
from the raw samples in it. Nothing that it names is imported or executed.
"""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from edgecomp import __version__
from edgecomp.artifacts import run_folder
from edgecomp.config.job import Job, read_job
from edgecomp.errors import EdgecompError, FileError
from edgecomp.evidence import archive, manifest, members, signature
from edgecomp.evidence.documents import said
from edgecomp.evidence.manifest import PackManifest, altered
from edgecomp.files.json_files import parse_json
from edgecomp.gate.document import VerdictDocument, from_json, upgraded
from edgecomp.gate.rederived import differences
from edgecomp.pipeline.loaders import Run
from edgecomp.pipeline.stages.judging import derived
from edgecomp.progress import silent

RUN, VERDICT = "run.json", "gate/verdict.json"
NOT_DERIVED = "report.html and report.md say what whoever made the pack wrote there; what is shown here is derived from its samples"


@dataclass(frozen=True)
class Held:
    """A pack that holds. document: the verdict, as its samples give it here; is_signed: by the key that it was held against; notes: what
    else is to be said."""

    manifest: PackManifest
    job: Job
    document: VerdictDocument
    is_signed: bool
    notes: tuple[str, ...]


def verify(pack: Path, key: Path | None) -> Held:
    """What the file `pack` holds, where all of it holds. key: the signer's public one, None where the reader has none. Raises FileError
    where it is no pack or a newer one, AlteredError where it does not hold, UsageError where `key` is no key."""
    contents = archive.read(pack)
    return held(pack, manifest.read(pack, contents), contents.members, key)


def held(pack: Path, about: PackManifest, content: Mapping[str, bytes], key: Path | None) -> Held:
    """As `verify` gives it, of members that fit their digests. pack: what messages name; about: the manifest; content: by name; key: as
    for `verify`."""
    _check_version(pack, about)
    with _unpacked(content) as (folder, signed):
        _check_signature(pack, content, folder, signed, key)
        job, found = _derived(pack, about, folder)
    run = _run(pack, content, job)
    if run.recipe != about.recipe or job.recipe.name != about.recipe:
        raise altered(
            pack, f"its manifest is of the recipe {about.recipe!r}, and its job of {job.recipe.name!r}"
        )
    notes = (
        _check_kept(pack, about, content, job, run, found),
        *_expired(job),
        *(() if key else (NOT_DERIVED,)),
    )
    return Held(about, job, found, key is not None, tuple(filter(None, notes)))


def _check_version(pack: Path, about: PackManifest) -> None:
    try:
        newer = [int(part) for part in about.edgecomp.split(".")[:2]] > [
            int(part) for part in __version__.split(".")[:2]
        ]
    except ValueError:
        newer = True
    if newer:
        raise FileError(
            f"{pack}: was made by edgecomp {about.edgecomp}, and this is {__version__}: upgrade edgecomp"
        )


@contextmanager
def _unpacked(content: Mapping[str, bytes]) -> Iterator[tuple[Path, Path]]:
    """A folder with all members but the signature, whose file lies elsewhere, until the block ends."""
    with tempfile.TemporaryDirectory(prefix="edgecomp-pack-") as place:
        folder, signed = Path(place, "pack"), Path(place, manifest.SIGNATURE)
        for name, held in content.items():
            file = signed if name == manifest.SIGNATURE else folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(held)
        yield folder, signed


def _check_signature(
    pack: Path, content: Mapping[str, bytes], folder: Path, signed: Path, key: Path | None
) -> None:
    if signed.is_file():
        try:
            listed = signature.listed(content[manifest.SIGNATURE])
        except (ValueError, KeyError, TypeError) as error:
            raise altered(
                pack, f"{manifest.SIGNATURE} is no signature ({type(error).__name__}: {error})"
            ) from error
        if listed != {
            name: manifest.member(one).sha256 for name, one in content.items() if name != manifest.SIGNATURE
        }:
            raise altered(pack, "what was signed is not what it holds")
    if key is None:
        return
    flaw = signature.flaw(folder, signed, key) if signed.is_file() else "it is not signed at all"
    if flaw:
        raise altered(pack, flaw)


def _derived(pack: Path, about: PackManifest, folder: Path) -> tuple[Job, VerdictDocument]:
    """The job in a pack, and the verdict that its samples give on the day that it was judged."""
    try:
        job = read_job(folder)
        return job, derived(Run(job, folder, silent, today=about.judged_on))
    except EdgecompError as error:
        what = str(error).replace(f"{folder}/", "").replace(str(folder), "the pack")
        raise altered(pack, f"no verdict can be derived from it: {what}") from error


def _run(pack: Path, content: Mapping[str, bytes], job: Job) -> run_folder.Manifest:
    """The manifest of the run, which lists what the pack holds of it."""
    try:
        found = run_folder.Manifest.model_validate(_json(pack, content, RUN))
    except ValidationError as error:
        raise altered(pack, f"{RUN} is no manifest of a run") from error
    for path, digest in members.listed(job, found):
        if path not in content or manifest.member(content[path]).sha256 != digest.sha256:
            raise altered(pack, f"{path!r} is not what the run has written (its sha256 differs)")
    return found


def _check_kept(
    pack: Path,
    about: PackManifest,
    content: Mapping[str, bytes],
    job: Job,
    run: run_folder.Manifest,
    found: VerdictDocument,
) -> str:
    """A note on the versions; raises AlteredError where the verdict that the pack holds is another than `found`, or what else it says is
    of another than that."""
    kept = upgraded(_json(pack, content, VERDICT))
    if not isinstance(kept, dict):
        raise altered(pack, f"{VERDICT} is no verdict document")
    note = _check_verdict(pack, kept, found.as_json())
    try:
        document = from_json(kept, VERDICT)
    except FileError as error:
        raise altered(pack, str(error)) from error
    for flaw in said.flaws(content, job, run, document, about.edgecomp == __version__):
        raise altered(pack, flaw)
    return note


def _check_verdict(pack: Path, kept: Mapping[str, Any], again: Mapping[str, Any]) -> str:
    if kept.get("made_with") == again["made_with"]:
        for difference in differences(kept, again):
            raise altered(pack, f"{VERDICT} does not follow from the samples beside it: {difference}")
        return ""
    for difference in differences(_verdicts(kept), _verdicts(again)):
        raise altered(pack, f"{VERDICT} does not follow from the samples beside it by the rules of edgecomp {__version__}: {difference} (it "
                            f"says that {_made_with(kept)} made it: if that came to something else, verify it with that)")  # fmt: skip
    return f"judged with {_made_with(kept)}, and again here with {_made_with(again)}: the same verdicts"


def _verdicts(document: Mapping[str, Any]) -> dict[str, Any]:
    """What any version must come to: the verdict, and that of each check."""
    gates = document.get("gates")
    rows = [row for row in gates if isinstance(row, dict)] if isinstance(gates, list) else []
    checks = {f"{row.get('name')} on {row.get('target')}": row.get("verdict") for row in rows}
    return {key: document.get(key) for key in ("verdict", "unwaived", "exit_code")} | {"checks": checks}


def _made_with(document: Mapping[str, Any]) -> str:
    return (
        ", ".join(f"{name} {version}" for name, version in _mapping(document.get("made_with")).items())
        or "an earlier edgecomp"
    )


def _expired(job: Job) -> Iterator[str]:
    today = Run(job, Path(), silent).today
    for waiver in job.policy.waivers:
        if waiver.has_expired(today):
            yield f"the waiver of {waiver.check} ({waiver.owner}) has expired on {waiver.expires}; the verdict is of the day it was given"


def _json(pack: Path, content: Mapping[str, bytes], name: str) -> dict[str, Any]:
    if name not in content:
        raise altered(pack, f"{name!r} is missing")
    try:
        return _mapping(parse_json(content[name], name))
    except FileError as error:
        raise altered(pack, str(error)) from error


def _mapping(content: object) -> dict[str, Any]:
    return content if isinstance(content, dict) else {}
