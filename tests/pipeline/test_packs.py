"""Packs of a real run: untouched, altered, forged and signed again, and what verifying them does not do."""

import json
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from packing import Members, changed, keys, made_to_fit, members_of, unsigned, write
from running import Cli, environment
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import SSlibKey

import edgecomp
from edgecomp.errors import AlteredError, FileError, RunFolderError, UsageError
from edgecomp.evidence import manifest, signature
from edgecomp.evidence.documents import bom, statements

pytestmark = pytest.mark.slow
SAMPLES, VERDICT = "bench/openvino-cpu/samples.npz", "gate/verdict.json"


@pytest.fixture(scope="module")
def signer(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return keys(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return keys(tmp_path_factory.mktemp("keys"), "stranger")


@pytest.fixture(scope="module")
def packed(tiny_run: Path, signer: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("pack") / "digits.zip"
    edgecomp.pack(tiny_run, file, key=signer[0])
    return file


def without(members: Members, name: str) -> Members:
    return {key: one for key, one in members.items() if key != name}


def refused(file: Path, key: Path | None = None) -> str:
    """Why a pack does not hold."""
    with pytest.raises(AlteredError) as error:
        edgecomp.verify(file, key=key)
    return str(error.value)


def test_a_pack_holds_for_whoever_has_the_signers_key(
    cli: Cli, packed: Path, tiny_run: Path, signer: tuple[Path, Path]
) -> None:
    done = cli("verify", str(packed), "--key", str(signer[1]), "--json")
    assert done.code == done.json["exit_code"] == 0, done.err
    kept = json.loads((tiny_run / VERDICT).read_text(encoding="utf-8"))
    assert done.json["verdict"] == kept["verdict"] in ("FAIL", "INCONCLUSIVE")
    assert done.json["signer"] == "known"
    nobody = cli("verify", str(packed), "--json")
    assert nobody.code == nobody.json["exit_code"] == 3
    assert nobody.json["signer"] == "unknown"
    assert "Consistent, signer unknown" in nobody.err


def test_two_packs_of_one_run_are_the_same_bytes(tiny_run: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        edgecomp.pack(tiny_run, tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_it_holds_scores_and_no_example_and_no_path_of_the_machine(packed: Path, tiny_run: Path) -> None:
    members = members_of(packed)
    assert {name.partition("/")[0] for name in members} == {
        *("attestations", "bench", "gate", "model-card", "parity", "portable", "report", "compliance.md"),
        *("bom.json", "job.json", "licences.json", "pack.json", "pack.sig", "run.json"),
    }
    assert {name.rpartition("/")[2] for name in members if name.startswith("bench/openvino-cpu/")} == {
        *("measurements.json", "samples.npz", "outputs.npz", "layers.json"),
    }
    folder = json.loads((tiny_run / "job.json").read_text(encoding="utf-8"))["folder"]
    assert json.loads(members["job.json"])["folder"] == "."
    assert not [name for name, content in members.items() if folder.encode() in content]
    licences = json.loads(members["licences.json"])
    assert licences["edgecomp"] == {"version": edgecomp.__version__, "licence": "Apache-2.0"}
    assert {"numpy", "onnxruntime", "openvino", "scipy", "torch"} <= set(licences)


def test_its_statements_are_valid_and_signed(packed: Path, signer: tuple[Path, Path]) -> None:
    members, key = members_of(packed), SSlibKey.from_crypto(load_pem_public_key(signer[1].read_bytes()))
    for name, (predicate_type, *_) in statements.PREDICATES.items():
        statement = statements.opened(members[name])
        assert statement["predicateType"] == predicate_type
        assert statements.flaw(name, statement) == ""
        envelope = Envelope.from_dict(json.loads(members[name]))
        assert envelope.verify([key], 1)
        envelope.payload += b" "
        with pytest.raises(VerificationError):
            envelope.verify([key], 1)
    said = statements.opened(members[statements.TEST_RESULT])
    assert said["predicate"]["result"] == "FAILED"
    assert said["predicate"]["configuration"][1]["annotations"]["verdict"] in ("FAIL", "INCONCLUSIVE")
    assert {one["name"] for one in said["subject"]} >= {
        "deploy/openvino-cpu/model.xml",
        "deploy/onnxruntime-cpu/model.onnx",
    }


@pytest.mark.parametrize(
    "plant",
    [
        lambda said: said.update(_type="https://in-toto.io/Statement/v9"),
        lambda said: said["subject"][0].pop("digest"),
        lambda said: said["subject"].clear(),
        lambda said: said["predicate"].clear(),
        lambda said: said["predicate"].update(nobodyKnows=1),
        lambda said: said.update(predicateType="https://example.org/else"),
    ],
)
@pytest.mark.parametrize("name", statements.PREDICATES)
def test_an_error_in_a_statement_is_found(packed: Path, name: str, plant: Callable[[Any], object]) -> None:
    statement = statements.opened(members_of(packed)[name])
    plant(statement)
    assert statements.flaw(name, statement)


def test_its_bom_is_strictly_valid_and_has_the_models_card(packed: Path, tiny_run: Path) -> None:
    members = members_of(packed)
    assert bom.flaw(members["bom.json"]) == ""
    found = json.loads(members["bom.json"])
    assert found["specVersion"] == "1.7"
    card = found["metadata"]["component"]["modelCard"]
    figures = json.loads((tiny_run / VERDICT).read_text(encoding="utf-8"))["figures"]["openvino-cpu"][
        "student_int8"
    ]
    (accuracy,) = [
        one
        for one in card["quantitativeAnalysis"]["performanceMetrics"]
        if (one["type"], one["slice"]) == ("accuracy_pct", "openvino-cpu")
    ]
    assert float(accuracy["value"]) == pytest.approx(figures["accuracy_pct"]["value"], rel=1e-8)
    assert float(accuracy["confidenceInterval"]["lowerBound"]) == pytest.approx(
        figures["accuracy_pct"]["lower"], rel=1e-8
    )
    assert {one["name"] for one in found["components"]} >= {
        "digits",
        "edgecomp",
        "numpy",
        "onnxruntime",
        "openvino",
        "torch",
    }


@pytest.mark.parametrize(
    "plant",
    [
        lambda card: card.update(modelParametres={}),
        lambda card: card["quantitativeAnalysis"]["performanceMetrics"][0].update(value=1.5),
        lambda card: card["quantitativeAnalysis"]["performanceMetrics"][0].update(confidence="95 %"),
        lambda card: card["modelParameters"]["approach"].update(type="distilled"),
    ],
)
def test_an_error_in_the_card_is_found(packed: Path, plant: Callable[[Any], object]) -> None:
    found = json.loads(members_of(packed)["bom.json"])
    plant(found["metadata"]["component"]["modelCard"])
    assert bom.flaw(json.dumps(found))


def test_every_one_of_a_thousand_changed_bytes_is_refused(packed: Path, tmp_path: Path) -> None:
    content, draw, file = packed.read_bytes(), random.Random(1), tmp_path / "pack.zip"
    for _ in range(1000):
        place = draw.randrange(len(content))
        one = bytes([content[place] ^ draw.randrange(1, 256)])
        file.write_bytes(content[:place] + one + content[place + 1 :])
        with pytest.raises((AlteredError, FileError)):
            edgecomp.verify(file)


def slower(members: Members) -> Members:
    """Raw samples that say something else; the verdict was FAIL or INCONCLUSIVE, and stays as it was written."""
    import io

    with np.load(io.BytesIO(members[SAMPLES])) as held:
        arrays = {name: held[name] * (2 if "single_stream" in name else 1) for name in held.files}
    written = io.BytesIO()
    np.savez(written, **arrays)
    return members | {SAMPLES: written.getvalue()}


def passing(verdict: dict[str, Any]) -> None:
    verdict |= {"verdict": "PASS", "unwaived": "PASS", "exit_code": 0}
    for row in verdict["gates"]:
        row |= {"verdict": "PASS", "reason": "within_limit"}


def by_an_earlier_version(verdict: dict[str, Any]) -> None:
    passing(verdict)
    verdict["made_with"]["edgecomp"] = "0.1.9"


def waived(job: dict[str, Any]) -> None:
    job["policy"]["waivers"] = [
        {"check": name, "owner": "ann", "reason": "x", "expires": "2999-01-01"}
        for name in job["rows"]["openvino-cpu"]
    ]


def loosened(job: dict[str, Any]) -> None:
    for rows in job["rows"].values():
        rows["macro_f1_pct"]["margin"] = "99 pt"


FORGED: dict[str, tuple[Callable[[Members], Members], str]] = {
    "a sample": (slower, "does not follow from the samples beside it"),
    "the verdict": (lambda members: changed(members, VERDICT, passing), "does not follow"),
    "the verdict, as of an earlier version": (lambda members: changed(members, VERDICT, by_an_earlier_version), "by the rules of edgecomp"),
    "a waiver": (lambda members: changed(members, "job.json", waived), "does not follow"),
    "a threshold": (lambda members: changed(members, "job.json", loosened), "does not follow"),
    "the report": (lambda members: changed(members, "report/report.json", lambda report: passing(report["verdict"])), "is not of the verdict"),
    "the ML-BOM": (lambda members: changed(members, "bom.json", lambda found: found["metadata"]["component"]["modelCard"].update(considerations={})), "bom.json is not of the verdict"),
    "the auditor's page": (lambda members: members | {"compliance.md": members["compliance.md"].replace(b"FAIL", b"PASS")}, "compliance.md is not of the verdict"),
    "the model card": (lambda members: members | {"model-card/README.md": members["model-card/README.md"].replace(b"value: ", b"value: 9")}, "README.md is not of the verdict"),
    "no sample": (lambda members: without(members, SAMPLES), "no verdict can be derived"),
    "no job": (lambda members: without(members, "job.json"), "no verdict can be derived"),
    "another recipe": (lambda members: changed(members, "job.json", lambda job: job["recipe"].update(name="other")), "its job of 'other'"),
}  # fmt: skip


@pytest.mark.parametrize("what", FORGED)
def test_what_does_not_follow_is_refused_whoever_signed_it(
    packed: Path, tmp_path: Path, stranger: tuple[Path, Path], what: str
) -> None:
    """All digests made to fit, so that only the samples speak against it."""
    change, said = FORGED[what]
    forged = change(members_of(packed))
    file = write(tmp_path / "pack.zip", forged)
    assert refused(file)  # its digests alone
    assert said in refused(write(file, made_to_fit(unsigned(forged))))
    assert said in refused(write(file, made_to_fit(forged, stranger[0])), stranger[1])


def test_a_statement_of_another_verdict_is_refused(
    packed: Path, tmp_path: Path, stranger: tuple[Path, Path]
) -> None:
    members = members_of(packed)
    statement = statements.opened(members[statements.TEST_RESULT])
    statement["predicate"]["result"] = "PASSED"
    content = statements.as_bytes(statement)
    members[statements.TEST_RESULT] = signature.enveloped(content, statements.PAYLOAD, stranger[0])
    about = manifest.PackManifest.model_validate_json(members[manifest.MANIFEST])
    listed = {name: manifest.member(members[name]) for name in about.members}
    members[manifest.MANIFEST] = about.model_copy(update={"members": listed}).as_bytes()
    assert "test-result.dsse.json is not of the verdict" in refused(
        write(tmp_path / "pack.zip", unsigned(members))
    )


def test_consistent_lies_are_told_by_the_signature_alone(
    packed: Path, tmp_path: Path, signer: tuple[Path, Path], stranger: tuple[Path, Path]
) -> None:
    """A setting of the job that no figure depends on."""
    lie = changed(members_of(packed), "job.json", lambda job: job["recipe"]["bench"].update(timeout_s=1.0))
    file = write(tmp_path / "pack.zip", made_to_fit(lie))
    assert "what was signed is not what it holds" in refused(file)
    assert "what was signed is not what it holds" in refused(file, signer[1])
    write(file, made_to_fit(unsigned(lie)))
    assert edgecomp.verify(file).exit_code == 3
    assert "not signed at all" in refused(file, signer[1])
    write(file, made_to_fit(lie, stranger[0]))
    assert edgecomp.verify(file).exit_code == 3
    assert edgecomp.verify(file, key=stranger[1]).exit_code == 0
    assert "not signed by" in refused(file, signer[1])


def test_a_key_inside_a_pack_is_never_trusted(
    packed: Path, tmp_path: Path, stranger: tuple[Path, Path]
) -> None:
    inside = members_of(packed) | {"signer.pub": stranger[1].read_bytes()}
    about = changed(inside, manifest.MANIFEST, lambda about: about["members"].update({"signer.pub": {}}))
    about[manifest.MANIFEST] = inside[manifest.MANIFEST]
    file = write(tmp_path / "pack.zip", made_to_fit(about, stranger[0]))
    assert edgecomp.verify(file).exit_code == 3


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda members: without(members, SAMPLES), "is missing"),
        (lambda members: members | {"more": b""}, "is not listed"),
        (lambda members: members | {"licences.json": b"{}\n"}, "is not what its manifest says"),
        (lambda members: members | {"../../x": b""}, "no plain path"),
        (lambda members: members | {"pack.json": members["pack.json"] + b"\n"}, "not as it is written"),
        (lambda members: members | {"pack.sig": b"{}"}, "is no signature"),
    ],
)
def test_members_that_do_not_fit_their_manifest_are_refused(
    packed: Path, tmp_path: Path, change: Callable[[Members], Members], said: str
) -> None:
    assert said in refused(write(tmp_path / "pack.zip", change(members_of(packed))))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda members: without(members, "pack.json"), "it is no pack"),
        (lambda members: changed(members, "pack.json", lambda about: about.update(format=2)), "newer than this edgecomp reads"),
        (lambda members: changed(members, "pack.json", lambda about: about.update(edgecomp="99.0.0")), "altered"),
        (lambda members: changed(members, "pack.json", lambda about: about.pop("recipe")), "it is no pack"),
        (lambda members: members | {"pack.json": b"["}, "is not JSON"),
    ],
)  # fmt: skip
def test_what_is_no_pack_or_a_newer_one_is_refused(
    cli: Cli, packed: Path, tmp_path: Path, change: Callable[[Members], Members], said: str
) -> None:
    done = cli("verify", str(write(tmp_path / "pack.zip", change(members_of(packed)))))
    assert done.code == (4 if said == "altered" else 2), done.err
    assert said in " ".join(done.err.split())
    assert "Traceback" not in done.err


def test_a_pack_of_a_newer_edgecomp_is_refused_as_such(packed: Path, tmp_path: Path) -> None:
    newer = changed(members_of(packed), "pack.json", lambda about: about.update(edgecomp="99.0.0"))
    with pytest.raises(FileError, match=r"was made by edgecomp 99\.0\.0"):
        edgecomp.verify(write(tmp_path / "pack.zip", made_to_fit(unsigned(newer))))


def test_a_pack_of_the_last_version_still_holds(
    packed: Path, tmp_path: Path, signer: tuple[Path, Path]
) -> None:
    def older(verdict: dict[str, Any]) -> None:
        verdict["made_with"]["edgecomp"] = "0.1.9"

    members = changed(members_of(packed), VERDICT, older)
    members = changed(members, "report/report.json", lambda report: older(report["verdict"]))
    members = changed(members, "pack.json", lambda about: about.update(edgecomp="0.1.9"))
    file = write(tmp_path / "pack.zip", made_to_fit(members, signer[0]))
    found = edgecomp.verify(file, key=signer[1])
    assert found.exit_code == 0
    assert "judged with edgecomp 0.1.9" in found.notes[0]


def test_the_day_of_a_pack_is_that_of_its_verdict(packed: Path, tiny_run: Path) -> None:
    """Waivers are held against it, and one that has expired since is told."""
    finished = json.loads((tiny_run / "manifest.json").read_text(encoding="utf-8"))["steps"]["gate"][
        "finished"
    ]
    assert str(edgecomp.verify(packed).judged_on) == finished[:10]


EVIL = "from pathlib import Path\nPath({!r}).touch()\ndef made(*arguments, **named): raise SystemExit(9)\n"
VERIFYING = """
import sys
import edgecomp
found = edgecomp.verify(sys.argv[1], key=sys.argv[2] if len(sys.argv) > 2 else None)
print(found.exit_code, *sorted(sys.modules))
"""


def test_verifying_runs_nothing_that_a_pack_names_and_no_runtime(
    packed: Path, tmp_path: Path, stranger: tuple[Path, Path]
) -> None:
    ran = tmp_path / "ran"
    (tmp_path / "evil.py").write_text(EVIL.format(str(ran)), encoding="utf-8")

    def named(job: dict[str, Any]) -> None:
        job["folder"] = str(tmp_path)
        job["recipe"]["teacher"]["network"] = job["recipe"]["student"]["network"] = "evil:made"
        job["recipe"]["score"] = f"{tmp_path / 'evil.py'}:made"

    members = changed(members_of(packed), "job.json", named)
    for name in (
        "bom.json",
        "compliance.md",
        "model-card/README.md",
    ):  # which say what the networks are called
        members = without(members, name)
    file = write(tmp_path / "pack.zip", made_to_fit(members, stranger[0]))
    command = [sys.executable, "-c", VERIFYING, str(file), str(stranger[1])]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, env=environment() | {"PYTHONPATH": f"{tmp_path}:{Path(edgecomp.__file__).parents[1]}"})  # fmt: skip
    assert done.returncode == 0, done.stderr
    code, *modules = done.stdout.split()
    assert code == "0"
    assert not ran.exists()
    heavy = {"torch", "onnxruntime", "openvino", "onnx", "sklearn", "hydra", "evil"}
    assert sorted(heavy & {name.partition(".")[0] for name in modules}) == []


@pytest.mark.parametrize("changes", [SAMPLES, VERDICT, "report/report.html", "data/test.npz"])
def test_a_run_whose_evidence_does_not_hold_is_not_packed(
    cli: Cli, tiny_run: Path, tmp_path: Path, changes: str
) -> None:
    folder = Path(shutil.copytree(tiny_run, tmp_path / "run"))
    (folder / changes).write_bytes((folder / changes).read_bytes()[:-1] + b"x")
    done = cli("pack", str(folder), "-o", str(tmp_path / "pack.zip"), "--json")
    assert (done.code, done.json["reason"]) == (4, "altered"), done.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run"]


def test_a_run_without_a_verdict_is_not_packed(
    tiny_run: Path, tmp_path: Path, signer: tuple[Path, Path]
) -> None:
    folder = Path(shutil.copytree(tiny_run, tmp_path / "run"))
    content = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    del content["steps"]["gate"]
    (folder / "manifest.json").write_text(json.dumps(content), encoding="utf-8")
    for run, said in (
        (folder, "no verdict and report yet"),
        (tmp_path, "not a run folder"),
        (tmp_path / "no", "no such"),
    ):
        with pytest.raises(RunFolderError, match=said):
            edgecomp.pack(run, tmp_path / "pack.zip")
    for out, key in (
        (tiny_run / "pack.zip", None),
        (tmp_path, None),
        (signer[0], signer[0]),
        (tmp_path / "p", signer[1]),
    ):
        with pytest.raises(UsageError):
            edgecomp.pack(tiny_run, out, key=key)
    assert not (tmp_path / "p").exists()
