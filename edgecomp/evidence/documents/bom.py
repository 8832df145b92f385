"""bom.json: a CycloneDX ML-BOM: the model with its card, the data, and the libraries that made it, with their licences.

The card is written into the JSON after the library has written the rest: the library has no class for it, and drops it when it reads one.
"""

import datetime
import json
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

from edgecomp.arms import judged
from edgecomp.artifacts.run_folder import Manifest
from edgecomp.config.declared import Declared
from edgecomp.config.job import Job
from edgecomp.evidence.libraries import library
from edgecomp.evidence.members import NOT_DECLARED
from edgecomp.gate.document import VerdictDocument
from edgecomp.stats.figure import Figure

BOM = "bom.json"
DATA, MODEL = "data", "model"
OURS = "edgecomp:"  # before the names of properties

Json = dict[str, Any]
Licences = Mapping[str, Mapping[str, str]]


def bom(job: Job, run: Manifest, document: VerdictDocument, licences: Licences) -> bytes:
    """The ML-BOM of a run, in the newest version that the library validates. job, run, document: what was asked for, its manifest and
    verdict; licences: name → version and licence, of libraries."""
    found = json.loads(_listed(job, run, licences))
    found["metadata"]["component"]["modelCard"] = model_card(job, document)
    return (json.dumps(found, indent=1) + "\n").encode()


def flaw(content: bytes | str) -> str:
    """What CycloneDX's own validator finds wrong with a BOM, its `content`, strictly; empty where nothing is."""
    validators, schema = library("cyclonedx.validation.json"), library("cyclonedx.schema")
    text = content.decode() if isinstance(content, bytes) else content
    found = validators.JsonStrictValidator(schema.SchemaVersion.V1_7).validate_str(text)
    return "" if found is None else " ".join(str(getattr(found, "data", found)).split())[:500]


def model_card(job: Job, document: VerdictDocument) -> Json:
    """What CycloneDX calls a model's card, of the student that is judged: its figures with their bounds, by target and slice, and what
    speaks against it. job, document: what was asked for, and the verdict."""
    recipe, student = job.recipe, judged(job.recipe.quantize).name
    figures = {target.name: document.figures.get(target.name, {}).get(student, {}) for target in job.targets}
    return {
        "bom-ref": "card",
        "modelParameters": {
            "approach": {"type": "self-supervised" if recipe.task == "outputs" else "supervised"},
            "task": recipe.task,
            "architectureFamily": recipe.student.network,
            "modelArchitecture": json.dumps(
                {"network": recipe.student.network, **recipe.student.arguments}, default=str
            ),
            "datasets": [{"ref": DATA}],
        },
        "quantitativeAnalysis": {
            "performanceMetrics": [
                *(
                    _metric(target, metric, one)
                    for target, of in figures.items()
                    for metric, one in of.items()
                ),
                *_by_slice(document),
            ]
        },
        "considerations": {
            **_considered(recipe.declared or Declared()),
            "technicalLimitations": [one.sentence for one in document.checks if one.verdict != "PASS"]
            or ["every check passed"],
            "performanceTradeoffs": [
                f"{one.limit}: {one.sentence}" for one in document.checks if " vs " in one.limit
            ]
            or [NOT_DECLARED],
        },
        "properties": [
            {"name": f"{OURS}verdict", "value": str(document.verdict)},
            *({"name": f"{OURS}{metric}", "value": _unit(one)} for metric, one in _once(figures).items()),
        ],
    }


def _considered(declared: Declared) -> Json:
    """What the user declares of it."""
    return {
        "users": [declared.users or NOT_DECLARED],
        "useCases": [declared.intended_use or NOT_DECLARED],
        "ethicalConsiderations": [{"name": "risks", "mitigationStrategy": declared.risks or NOT_DECLARED}],
        "fairnessAssessments": [{"harms": declared.fairness or NOT_DECLARED}],
    }


def _metric(target: str, metric: str, figure: Figure) -> Json:
    found: Json = {"type": metric, "value": _number(figure.estimate), "slice": target}
    if figure.is_bounded:
        found["confidenceInterval"] = {"lowerBound": _number(figure.low), "upperBound": _number(figure.high)}
    return found


def _by_slice(document: VerdictDocument) -> Iterator[Json]:
    """By slice of the data, how much better or worse than its reference the student is, in points."""
    for target, found in document.answers.items():
        for one in found.slices:
            middle, lower, upper = (_number(value) for value in one.difference_pt)
            bounds = {"lowerBound": lower, "upperBound": upper}
            yield {"type": f"right answers, points over {found.reference}", "value": middle, "slice": f"{target}, {one.name}", "confidenceInterval": bounds}  # fmt: skip


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.9g}"


def _unit(figure: Figure) -> str:
    return f"{figure.dimension}; bounds {figure.confidence_text}"


def _once(figures: Mapping[str, Mapping[str, Figure]]) -> dict[str, Figure]:
    return {metric: one for of in figures.values() for metric, one in of.items()}


def _listed(job: Job, run: Manifest, licences: Licences) -> str:
    """All but the card, as the library writes it: no day but the run's, and a number that follows from what was made."""
    parts, made = library("cyclonedx.model.component"), library("cyclonedx.model.bom")
    model, kind = library("cyclonedx.model"), parts.ComponentType
    deployed = [
        parts.Component(name=path, type=kind.FILE, bom_ref=path, hashes=[_sha256(model, digest.sha256)])
        for target in job.targets
        for path, digest in (
            run.steps[f"deploy/{target.name}"].outputs if f"deploy/{target.name}" in run.steps else {}
        ).items()
    ]
    declared = job.recipe.declared or Declared()
    whole = parts.Component(
        **_licensed(declared.student_licence or NOT_DECLARED, model),
        name=job.recipe.name,
        type=kind.MACHINE_LEARNING_MODEL,
        bom_ref=MODEL,
        components=deployed,
        description=job.recipe.description or None,
    )
    data = parts.Component(
        name=job.recipe.data.path or job.recipe.data.source,
        type=kind.DATA,
        bom_ref=DATA,
        components=[
            parts.Component(name=path, type=kind.FILE, bom_ref=f"{DATA}/{path}", hashes=[_sha256(model, one)])
            for path, one in job.data_files.items()
        ],
        **_licensed(declared.data_licence or NOT_DECLARED, model),
    )
    used = [_library(name, one, parts, model) for name, one in licences.items()]
    found = made.Bom(
        components=[data, *used],
        serial_number=uuid.uuid5(uuid.NAMESPACE_URL, f"urn:edgecomp:run:{run.steps['gate'].key}"),
    )
    found.metadata.component = whole
    found.metadata.timestamp = datetime.datetime.fromisoformat(run.steps["gate"].finished)
    found.register_dependency(whole, [data, *used])
    return str(library("cyclonedx.output.json").JsonV1Dot7(found).output_as_string())


def _library(name: str, about: Mapping[str, str], parts: Any, model: Any) -> Any:
    return parts.Component(
        name=name,
        version=about["version"],
        type=parts.ComponentType.LIBRARY,
        bom_ref=f"pkg:{name}",
        purl=library("packageurl").PackageURL("pypi", name=name, version=about["version"]),
        **_licensed(about["licence"], model),
    )


def _licensed(said: str, model: Any) -> dict[str, Any]:
    """A component's licence, or that none is declared."""
    if said.startswith(NOT_DECLARED):
        return {"properties": [model.Property(name=f"{OURS}licence", value=said)]}
    return {
        "licenses": [library("cyclonedx.contrib.license.factories").LicenseFactory().make_from_string(said)]
    }


def _sha256(model: Any, digest: str) -> Any:
    return model.HashType(alg=model.HashAlgorithm.SHA_256, content=digest)
