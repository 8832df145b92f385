"""A run folder from a stranger: its digests fit, and still nothing that it holds or names is executed."""

import hashlib
import json
import shutil
import zipfile
from pathlib import Path

import pytest
import torch
from running import TINY, Cli, Opened

pytestmark = pytest.mark.slow


@pytest.fixture
def stranger(pytorch_run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(pytorch_run, tmp_path / "run"))


def forged(run: Path, file: Path, content: bytes) -> None:
    """Replaces a file and makes the manifest fit, as whoever wrote both would: of its step, and of those made from that."""
    file.write_bytes(content)
    manifest = json.loads((run / "manifest.json").read_text())
    before = {name: made(record) for name, record in manifest["steps"].items()}
    name = file.relative_to(run).as_posix()
    (step,) = (record for record in manifest["steps"].values() if name in record["outputs"])
    step["outputs"][name] = {"sha256": hashlib.sha256(content).hexdigest(), "size_bytes": len(content)}
    after = {before[one]: made(record) for one, record in manifest["steps"].items()}
    for record in manifest["steps"].values():
        record["made_from"] = {one: after.get(digest, digest) for one, digest in record["made_from"].items()}
    (run / "manifest.json").write_text(json.dumps(manifest))


def made(record: dict) -> str:
    digests = {path: output["sha256"] for path, output in record["outputs"].items()}
    return hashlib.sha256(json.dumps(digests, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def hostile(file: Path, ran: Path, member: str) -> bytes:
    """The archive with a pickle more, or in place of a member."""
    with zipfile.ZipFile(file) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    root = next(iter(members)).partition("/")[0]
    pickle = ran.with_suffix(".pickle")
    torch.save(Opened(ran), pickle)
    with zipfile.ZipFile(file.with_suffix(".new"), "w") as archive:
        for name, content in (members | {f"{root}/{member}": pickle.read_bytes()}).items():
            archive.writestr(zipfile.ZipInfo(name), content)
    content = file.with_suffix(".new").read_bytes()
    file.with_suffix(".new").unlink()
    pickle.unlink()
    return content


def test_its_own_files_of_pytorch_s_are_measured(stranger: Path) -> None:
    for target in ("pytorch-cpu", "torchscript-cpu"):
        assert not (stranger / "bench" / target / "not-run.txt").exists()
        assert (stranger / "bench" / target / "samples.npz").is_file()


@pytest.mark.parametrize(
    ("name", "member", "words"),
    [
        ("teacher.pt2", "data/weights/model.pt", "is not loaded: it holds 'teacher/data/weights/model.pt'"),
        ("teacher.ts", "code/evil.py", "is not loaded: it has code in 'code/evil.py'"),
    ],
)
def test_files_of_pytorch_s_that_run_code_are_refused(
    cli: Cli, stranger: Path, tmp_path: Path, name: str, member: str, words: str
) -> None:
    ran, file = tmp_path / "ran", stranger / "pytorch" / name
    forged(stranger, file, hostile(file, ran, member))
    target = "pytorch-cpu" if name.endswith(".pt2") else "torchscript-cpu"
    done = cli(
        "run", "digits", *TINY, f"ungated_targets=[{target}]", "bench.warmup=3", "--out", str(stranger)
    )
    assert done.code == 2, done.err
    assert words in " ".join(done.err.split())
    assert not ran.exists()


def test_what_reads_it_runs_no_factory_that_it_names(cli: Cli, stranger: Path, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    (stranger / "evil.py").write_text(f"import os; os.mkdir({str(ran)!r})\ndef build(**_): ...\n")
    job = json.loads((stranger / "job.json").read_text())
    job["folder"] = str(stranger)
    for part in ("teacher", "student"):
        job["recipe"][part]["network"] = "evil:build"
    (stranger / "job.json").write_text(json.dumps(job))
    for arguments in (
        ["run", str(stranger), "--only", "gate"],
        ["report", str(stranger)],
        ["run", "digits", *TINY, "--plan", "--out", str(stranger)],
        ["compare", str(stranger), str(stranger), "-t", "onnxruntime-cpu", "--max-time", "1"],
        ["bench", str(stranger), "-t", "onnxruntime-cpu", "--restarts", "1", "--max-time", "1"],
        ["bench", str(stranger)],
    ):
        done = cli(*arguments, cwd=tmp_path)
        assert "Traceback" not in done.err
        assert "internal error" not in done.err
        assert not ran.exists(), arguments
