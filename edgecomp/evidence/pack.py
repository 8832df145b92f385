"""A run's pack: its members, their manifest, the signature; written once it holds."""

import datetime
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path

from edgecomp.artifacts.places import check_writable
from edgecomp.artifacts.run_folder import Manifest, RunFolder
from edgecomp.config.job import Job, read_job
from edgecomp.errors import EdgecompError, RunFolderError, UsageError
from edgecomp.evidence import archive, manifest, members, signature
from edgecomp.evidence.documents import bom, card, compliance, statements
from edgecomp.evidence.documents.compliance import Facts
from edgecomp.evidence.verify import Held, held
from edgecomp.files.scratch import replacing
from edgecomp.gate.document import from_json
from edgecomp.pipeline.loaders import Run
from edgecomp.pipeline.stages.judging import check_evidence, check_labels, checked
from edgecomp.progress import silent


def pack(run: Path, out: Path, key: Path | None) -> Held:
    """Writes the pack of the run folder `run` to the file `out`, and returns what it holds. key: the private key that signs it, None for
    none. Raises RunFolderError where the run has no verdict that is up to date, AlteredError where its evidence does not hold, UsageError
    where `out` cannot be written, or `key` cannot sign; nothing is written then."""
    job, folder = read_job(run), RunFolder(run)
    check_writable(out, "--out", [run, *([key] if key else [])])
    made = folder.manifest()
    if made is None or not {"gate", "report"} <= made.steps.keys():
        raise RunFolderError(f"{run} has no verdict and report yet: `edgecomp run {run}` makes them")
    asked = Run(job, run, silent, today=_day(made))
    check_evidence(folder, made.steps)
    check_labels(asked)
    _, note = checked(asked)
    if note:
        raise RunFolderError(f"{note}: `edgecomp run {run} --only gate` does so; then pack it")
    content = members.of_run(run, job, made)
    content |= _said(job, made, content, key)
    about = manifest.manifest(content, job.recipe.name, asked.today)
    content[manifest.MANIFEST] = about.as_bytes()
    if key is not None:
        content[manifest.SIGNATURE] = _signature(content, key)
    found = held(run, about, content, None)
    _write(out, content)
    return found


def _said(job: Job, made: Manifest, content: Mapping[str, bytes], key: Path | None) -> dict[str, bytes]:
    """The ML-BOM, the auditor's page and the model card, and where somebody signs them the statements. Raises EdgecompError where their own validators find fault."""
    document = from_json(json.loads(content["gate/verdict.json"]), "gate/verdict.json")
    found = {bom.BOM: bom.bom(job, made, document, json.loads(content[members.LICENCES]))}
    facts = Facts(job, made, document)
    found |= {compliance.PAGE: compliance.page(facts), card.CARD: card.card(facts)}
    flaws = {bom.BOM: bom.flaw(found[bom.BOM]), card.CARD: card.flaw(found[card.CARD])}
    if key is not None:
        said = statements.statements(job, made, document, manifest.digests(content))
        flaws |= {name: statements.flaw(name, one) for name, one in said.items()}
        found |= {
            name: signature.enveloped(statements.as_bytes(one), statements.PAYLOAD, key)
            for name, one in said.items()
        }
    for name, flaw in flaws.items():
        if flaw:
            raise EdgecompError(f"{name} would not be valid: {flaw}")
    return found


def _day(made: Manifest) -> datetime.date:
    """When the gate was done: the day that its waivers were held against."""
    return datetime.date.fromisoformat(made.steps["gate"].finished[:10])


def _signature(content: dict[str, bytes], key: Path) -> bytes:
    with tempfile.TemporaryDirectory(prefix="edgecomp-pack-") as place:
        folder = Path(place, "pack")
        for name, one in content.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(one)
        return signature.signed(folder, key, Path(place))


def _write(out: Path, content: dict[str, bytes]) -> None:
    try:
        pieces = archive.written(content)
        with replacing(out) as temporary, temporary.open("wb") as file:
            file.writelines(pieces)
    except ValueError as error:
        raise UsageError(f"{out}: it would hold {error}") from error
    except OSError as error:
        raise EdgecompError(f"{out} could not be written: {error.strerror or error}") from error
