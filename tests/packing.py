"""Packs forged as somebody would who knows how they are made: digests made to fit, and signed again by a key of their own."""

import json
import subprocess
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import edgecomp
from edgecomp.evidence import archive, manifest, signature

Members = dict[str, bytes]


def keys(folder: Path, name: str = "signer") -> tuple[Path, Path]:
    """A private and a public key, as a user makes them."""
    private, public = folder / f"{name}.key", folder / f"{name}.pub"
    subprocess.run(
        ["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", str(private)], check=True
    )
    subprocess.run(
        ["openssl", "ec", "-in", str(private), "-pubout", "-out", str(public)],
        check=True,
        capture_output=True,
    )
    return private, public


def holds(run: Path) -> None:
    """A pack of the run can be made, and verified by whoever has the key."""
    with tempfile.TemporaryDirectory() as place:
        (private, public), file = keys(Path(place)), Path(place, "pack.zip")
        packed = edgecomp.pack(run, file, key=private)
        verified = edgecomp.verify(file, key=public)
        assert verified.exit_code == 0
        assert verified.verdict == packed.verdict


def members_of(pack: Path) -> Members:
    with zipfile.ZipFile(pack) as found:
        return {name: found.read(name) for name in found.namelist()}


def write(file: Path, members: Members) -> Path:
    file.write_bytes(b"".join(archive.written(members)))
    return file


def changed(members: Members, name: str, change: Callable[[Any], object]) -> Members:
    """With the JSON of a member changed in place."""
    content = json.loads(members[name])
    change(content)
    return members | {name: json.dumps(content, indent=1).encode()}


def made_to_fit(members: Members, key: Path | None = None) -> Members:
    """With every digest, in the run's manifest and the pack's, of what the members are now; signed by `key`, or with the signature of
    before; without the statements, which say the digest of the job."""
    members = {name: one for name, one in members.items() if not name.startswith("attestations/")}
    run = json.loads(members["run.json"])
    for record in run["steps"].values():
        for path in record["outputs"].keys() & members.keys():
            record["outputs"][path] = manifest.member(members[path]).model_dump()
    found = members | {"run.json": json.dumps(run).encode()}
    about = json.loads(found[manifest.MANIFEST])
    listed = {name: manifest.member(one) for name, one in found.items() if name not in manifest.UNLISTED}
    found[manifest.MANIFEST] = manifest.PackManifest.model_validate(about | {"members": listed}).as_bytes()
    if key is not None:
        with tempfile.TemporaryDirectory() as place:
            for name, one in found.items():
                if name != manifest.SIGNATURE:
                    (Path(place, "pack") / name).parent.mkdir(parents=True, exist_ok=True)
                    (Path(place, "pack") / name).write_bytes(one)
            found[manifest.SIGNATURE] = signature.signed(Path(place, "pack"), key, Path(place))
    return found


def unsigned(members: Members) -> Members:
    return {name: one for name, one in members.items() if name != manifest.SIGNATURE}
