"""What a pack says besides its verdict document: report, statements and ML-BOM, each held to that document."""

from collections.abc import Iterator, Mapping
from typing import Any

from edgecomp.artifacts.run_folder import Manifest
from edgecomp.config.job import Job
from edgecomp.errors import FileError
from edgecomp.evidence.documents import bom, card, compliance, statements
from edgecomp.evidence.documents.compliance import Facts
from edgecomp.evidence.manifest import digests
from edgecomp.files.json_files import parse_json
from edgecomp.gate.document import VerdictDocument, upgraded
from edgecomp.gate.rederived import differences

REPORT = "report/report.json"


def flaws(
    content: Mapping[str, bytes], job: Job, run: Manifest, kept: VerdictDocument, same: bool
) -> Iterator[str]:
    """What does not say the same as the verdict beside it, in words. content: of the pack, by name; job, run, kept: its job, the run's
    manifest, and its verdict, which has been derived again; same: whether this version made it, so that all can be made again."""
    report = _mapping(content, REPORT)
    told = upgraded({**_part(report, "verdict"), "figures": report.get("figures")})
    yield from (
        f"{REPORT} is not of the verdict beside it: {said}" for said in differences(told, kept.as_json())
    )
    expected = statements.statements(job, run, kept, digests(content))
    for name in expected.keys() & content.keys():
        try:
            found = statements.opened(content[name])
        except (ValueError, KeyError, TypeError) as error:
            yield f"{name} is no statement ({type(error).__name__}: {error})"
            continue
        result = _part(found, "predicate").get("result") == expected[name]["predicate"].get("result")
        if not result or (same and found != expected[name]):
            yield f"{name} is not of the verdict beside it"
    component = (
        _part(_part(_mapping(content, bom.BOM), "metadata"), "component") if bom.BOM in content else {}
    )
    if component and same and component.get("modelCard") != bom.model_card(job, kept):
        yield f"{bom.BOM} is not of the verdict beside it"
    facts = Facts(job, run, kept)
    for name, made in ((compliance.PAGE, compliance.page), (card.CARD, card.card)) if same else ():
        if name in content and content[name] != made(facts):
            yield f"{name} is not of the verdict beside it"


def _mapping(content: Mapping[str, bytes], name: str) -> dict[str, Any]:
    try:
        found = parse_json(content.get(name, b""), name)
    except FileError:
        return {}
    return found if isinstance(found, dict) else {}


def _part(whole: Mapping[str, Any], key: str) -> dict[str, Any]:
    found = whole.get(key)
    return found if isinstance(found, dict) else {}
