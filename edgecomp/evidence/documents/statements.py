"""in-toto statements of a run, for the tools of a software supply chain: its result as a test, and where it came from.

Each is signed by itself, in a DSSE envelope. No SLSA level is claimed: what the provenance says is what the run's own manifest says.
"""

import base64
import json
from collections.abc import Iterator, Mapping
from typing import Any

from edgecomp.artifacts.run_folder import Manifest
from edgecomp.config.job import Job
from edgecomp.evidence.libraries import library
from edgecomp.evidence.members import libraries
from edgecomp.gate.document import Check, VerdictDocument
from edgecomp.gate.verdict import Verdict

TEST_RESULT, PROVENANCE = "attestations/test-result.dsse.json", "attestations/provenance.dsse.json"
STATEMENT, PAYLOAD = "https://in-toto.io/Statement/v1", "application/vnd.in-toto+json"
PREDICATES = {
    TEST_RESULT: (
        "https://in-toto.io/attestation/test-result/v0.1",
        "test_result.v0.test_result_pb2",
        "TestResult",
    ),
    PROVENANCE: ("https://slsa.dev/provenance/v1", "provenance.v1.provenance_pb2", "Provenance"),
}
"""By member, the type of its predicate, and the class of the in-toto library that knows it."""
RUN, BUILDER = "urn:edgecomp:run:1", "urn:edgecomp:machine-of-the-run"

Json = dict[str, Any]


def statements(
    job: Job, run: Manifest, document: VerdictDocument, digests: Mapping[str, str]
) -> dict[str, Json]:
    """By member, each statement of a run. job, run, document: what was asked for, its manifest and verdict; digests: member → sha256."""
    subjects = list(_subjects(job, run)) or [_resource("gate/verdict.json", digests)]
    made = {TEST_RESULT: _test_result(document, digests), PROVENANCE: _provenance(job, run, digests)}
    return {
        name: {
            "_type": STATEMENT,
            "subject": subjects,
            "predicateType": PREDICATES[name][0],
            "predicate": predicate,
        }
        for name, predicate in made.items()
    }


def _subjects(job: Job, run: Manifest) -> Iterator[Json]:
    """What is sent to the devices."""
    for target in job.targets:
        record = run.steps.get(f"deploy/{target.name}")
        for path, digest in sorted(record.outputs.items()) if record else ():
            yield {"name": path, "digest": {"sha256": digest.sha256}}


def _test_result(document: VerdictDocument, digests: Mapping[str, str]) -> Json:
    passed, other = (
        [one for one in document.checks if one.verdict == "PASS"],
        [one for one in document.checks if one.verdict != "PASS"],
    )
    said = {"verdict": document.verdict, "unwaived": document.unwaived, "exitCode": str(document.exit_code)}
    return {
        "result": result(document),
        "configuration": [
            _resource("job.json", digests),
            _resource("gate/verdict.json", digests)
            | {"annotations": {key: str(value) for key, value in said.items()}},
        ],
        "passedTests": [_name(one) for one in passed],
        "warnedTests": [_name(one) for one in other if not one.decides],
        "failedTests": [_name(one) for one in other if one.decides],
    }


def result(document: VerdictDocument) -> str:
    """The verdict of `document` in in-toto's three words: what is not proven to pass has failed."""
    if document.unwaived is not Verdict.PASS:
        return "FAILED"
    return "PASSED" if document.verdict is Verdict.PASS else "WARNED"


def _name(check: Check) -> str:
    return f"{check.target}/{check.name}"


def _provenance(job: Job, run: Manifest, digests: Mapping[str, str]) -> Json:
    files = [
        {"name": f"data/{path}", "digest": {"sha256": one}} for path, one in sorted(job.data_files.items())
    ]
    outside = [
        {"name": name, "digest": {"sha256": one}, "annotations": {"digest": "of the digests of its files"}}
        for name, one in sorted(job.outside.items())
    ]
    used = [{"name": name, "annotations": {"version": version}} for name, version in libraries(run).items()]
    recipe = {
        "name": job.recipe.name,
        "task": job.recipe.task,
        "seed": str(job.recipe.seed),
        "job": _resource("job.json", digests),
    }
    return {
        "buildDefinition": {
            "buildType": RUN,
            "externalParameters": {"recipe": recipe, "targets": [target.name for target in job.targets]},
            "internalParameters": {"steps": {name: record.key for name, record in sorted(run.steps.items())}},
            "resolvedDependencies": [*files, *outside, *used],
        },
        "runDetails": {
            "builder": {"id": BUILDER, "version": {"edgecomp": run.edgecomp}},
            "metadata": {"invocationId": digests["run.json"], "finishedOn": run.steps["report"].finished},
            "byproducts": [
                _resource(name, digests) for name in ("run.json", "gate/verdict.json", "report/report.json")
            ],
        },
    }


def _resource(name: str, digests: Mapping[str, str]) -> Json:
    return {"name": name, "digest": {"sha256": digests[name]}}


def flaw(name: str, statement: Json) -> str:
    """What in-toto's own library finds wrong with a statement; empty where nothing is. name: its member."""
    parse, of = library("google.protobuf.json_format").ParseDict, library("in_toto_attestation.v1.statement")
    predicate_type, module, predicate = PREDICATES[name]
    known = getattr(library(f"in_toto_attestation.predicates.{module}"), predicate)
    try:
        of.Statement.copy_from_pb(parse(statement, of.spb.Statement())).validate()
        parse(statement["predicate"], known())
    except (ValueError, KeyError, TypeError, library("google.protobuf.json_format").ParseError) as error:
        return f"{type(error).__name__}: {error}"
    return (
        ""
        if statement["predicateType"] == predicate_type
        else f"its predicate is of {statement['predicateType']}"
    )


def as_bytes(statement: Json) -> bytes:
    """The payload of an envelope of `statement`."""
    return json.dumps(statement, sort_keys=True).encode()


def opened(envelope: bytes) -> Json:
    """The statement in an envelope, whoever signed it. Raises ValueError, KeyError, TypeError where there is none."""
    found = json.loads(base64.b64decode(json.loads(envelope)["payload"]))
    if not isinstance(found, dict):
        raise TypeError("its payload is no statement")
    return found
