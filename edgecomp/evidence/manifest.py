"""pack.json: what a pack is, and the digest of every member.

Format 1: the only one so far.
"""

import datetime
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal

from pydantic import Field, ValidationError

from edgecomp import __version__
from edgecomp.config.schema import Schema, explain
from edgecomp.errors import AlteredError, FileError
from edgecomp.evidence.archive import Contents
from edgecomp.files.json_files import parse_json

FORMAT_VERSION: Final = 1
MANIFEST, SIGNATURE = "pack.json", "pack.sig"
UNLISTED = (MANIFEST, SIGNATURE)  # what the manifest does not list


class Member(Schema):
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    size_bytes: int


class PackManifest(Schema):
    """edgecomp: the version that wrote it; judged_on: the day that waivers were held against; members: by name, of all but the manifest
    and its signature."""

    format: Literal[1] = FORMAT_VERSION
    edgecomp: str
    recipe: str
    judged_on: datetime.date
    members: dict[str, Member]

    def as_bytes(self) -> bytes:
        """What pack.json holds, in its only form."""
        return (json.dumps(self.model_dump(mode="json"), indent=1, sort_keys=True) + "\n").encode()


def manifest(members: Mapping[str, bytes], recipe: str, judged_on: datetime.date) -> PackManifest:
    """The manifest of `members`, name → content; recipe, judged_on: as in PackManifest."""
    listed = {name: member(content) for name, content in members.items()}
    return PackManifest(edgecomp=__version__, recipe=recipe, judged_on=judged_on, members=listed)


def member(content: bytes) -> Member:
    """What a manifest says of a member that holds `content`."""
    return Member(sha256=hashlib.sha256(content).hexdigest(), size_bytes=len(content))


def digests(content: Mapping[str, bytes]) -> dict[str, str]:
    """By name, the sha256 of each member in `content`."""
    return {name: hashlib.sha256(one).hexdigest() for name, one in content.items()}


def altered(path: Path, what: str) -> AlteredError:
    """Of the pack at `path`, that it does not hold, and `what` shows it."""
    return AlteredError(
        f"INVALID, altered: {path}: {what}; nothing that it says is evidence: ask for the pack again"
    )


def read(path: Path, contents: Contents) -> PackManifest:
    """The manifest of a pack, to which every member has been held. path, contents: of the pack. Raises FileError where it is no pack,
    or a newer one, AlteredError where it is not as it was written."""
    if MANIFEST not in contents.names:
        raise FileError(f"{path}: has no {MANIFEST}: it is no pack; `edgecomp pack RUN` makes one")
    content = _parsed(path, contents)
    found = content.get("format") if isinstance(content, dict) else None
    if isinstance(found, int) and found > FORMAT_VERSION:
        raise FileError(
            f"{path}: is a pack of format {found}, newer than this edgecomp reads ({FORMAT_VERSION}): upgrade edgecomp"
        )
    if contents.flaw:
        raise altered(path, contents.flaw)
    try:
        read = PackManifest.model_validate(content)
    except ValidationError as error:
        raise FileError(f"{path}: {MANIFEST}: {explain(error, PackManifest)[0]}: it is no pack") from None
    if read.as_bytes() != contents.members[MANIFEST]:
        raise altered(path, f"{MANIFEST} is not as it is written")
    _check_members(path, contents, read)
    return read


def _parsed(path: Path, contents: Contents) -> object:
    try:
        if MANIFEST in contents.members:
            return parse_json(contents.members[MANIFEST], f"{path}: {MANIFEST}")
    except FileError:
        if not contents.flaw:
            raise
    return None


def _check_members(path: Path, contents: Contents, manifest: PackManifest) -> None:
    there = contents.members.keys() - set(UNLISTED)
    for name in sorted(manifest.members.keys() ^ there):
        raise altered(path, f"{name!r} {'is not listed in its manifest' if name in there else 'is missing'}")
    for name, said in manifest.members.items():
        if member(contents.members[name]) != said:
            raise altered(path, f"{name!r} is not what its manifest says (its sha256 differs)")
