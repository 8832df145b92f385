"""What of a run goes into a pack: what its verdict is derived from, what was made of that, and no original example."""

import hashlib
import json
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from edgecomp.artifacts.run_folder import JOB, MANIFEST, Digest, Manifest
from edgecomp.config.job import Job
from edgecomp.errors import AlteredError, RunFolderError
from edgecomp.files import limits
from edgecomp.files.json_files import read_mapping

LICENCES = "licences.json"
NOT_DECLARED = "not declared"
HERE = "."  # instead of the folder of whoever ran it

STEPS = {
    "bench": {"measurements.json", "samples.npz", "outputs.npz", "layers.json"},
    "portable": {"portable.json"},
    "emulation": {"emulation.json", "test.npy", "probes.npy"},
    "health": {"health.json", "outputs.npz"},
    "parity": {"parity.json", "reference.npy"},
    "gate": {"verdict.json"},
    "report": {
        "report.html",
        "report.json",
        "report.md",
        "figures.csv",
        "junit.xml",
        "metrics.txt",
        "metrics.json",
    },
}
"""By step, the files that hold scores and digests. The data steps hold examples, and the deployed folder one."""


def of_run(folder: Path, job: Job, manifest: Manifest) -> dict[str, bytes]:
    """By name, the members that the run in `folder` gives. job, manifest: its own. Raises AlteredError where a file is not what was
    written, RunFolderError where it is not there."""
    content = read_mapping(folder / JOB)
    return {
        JOB: _json(content | {"folder": HERE}),
        "run.json": limits.read_bytes(folder / MANIFEST, limits.MIB * 64),
        LICENCES: _json(licences(manifest)),
        **{path: _written(folder, path, digest) for path, digest in listed(job, manifest)},
    }


def listed(job: Job, manifest: Manifest) -> Iterator[tuple[str, Digest]]:
    """The files of a run that a pack holds as they are, with their digests. job, manifest: of the run; what another target, no longer
    asked for, has left is none of them."""
    targets = {target.name for target in (*job.targets, *job.ungated_targets)}
    for name, record in manifest.steps.items():
        step, _, target = name.partition("/")
        if step in STEPS and (not target or target in targets):
            wanted = STEPS[step]
            yield from (
                (path, one) for path, one in record.outputs.items() if path.rpartition("/")[2] in wanted
            )


def _written(folder: Path, path: str, digest: Digest) -> bytes:
    if not (folder / path).is_file():
        raise RunFolderError(f"{folder / path} is missing: `edgecomp run {folder}` makes it again")
    content = limits.read_bytes(folder / path, limits.MIB * 1024)
    if hashlib.sha256(content).hexdigest() != digest.sha256:
        raise AlteredError(f"INVALID, altered: {folder / path} is not what was written (its sha256 differs); `edgecomp run {folder}` makes "
                           "again what was changed")  # fmt: skip
    return content


def licences(manifest: Manifest) -> dict[str, dict[str, str]]:
    """By name, version and licence of edgecomp and of the libraries that made what is in a run. manifest: the run's."""
    return {
        name: {"version": version, "licence": licence_of(name, version)}
        for name, version in libraries(manifest).items()
    }


def libraries(manifest: Manifest) -> dict[str, str]:
    """By name, the versions of what made a run: edgecomp, and the libraries that its steps name. manifest: the run's."""
    facts = {name: said for record in manifest.steps.values() for name, said in record.made_from.items()}
    return {"edgecomp": manifest.edgecomp} | {
        name: said
        for name, said in sorted(facts.items())
        if name not in manifest.steps and _version(name) is not None
    }


def licence_of(name: str, version: str) -> str:
    """What the installed library `name` says of its licence, where it is the `version` that was used."""
    if _version(name) != version:
        return f"{NOT_DECLARED}: version {version} is not installed where the pack was made"
    said = metadata.metadata(name)
    whole = _field(said, "License")
    short = whole.strip() if len(whole) <= 100 and "\n" not in whole.strip() else ""
    classes = [
        one.rpartition(" :: ")[2] for one in said.get_all("Classifier") or () if one.startswith("License ::")
    ]
    return _field(said, "License-Expression") or short or "; ".join(classes) or NOT_DECLARED


def _field(said: metadata.PackageMetadata, name: str) -> str:
    return str((said.get_all(name) or [""])[0])


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except (metadata.PackageNotFoundError, ValueError):
        return None


def _json(content: object) -> bytes:
    return (json.dumps(content, indent=1, allow_nan=False) + "\n").encode()
