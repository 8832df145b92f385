"""A deployed folder whose model is encrypted at rest: opened by its script, by bench and by compare, and by nothing else."""

import json
import os
import runpy
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from unit.package.test_deploy import deployed, model  # noqa: F401 - a fixture

from edgecomp import encrypt
from edgecomp.benchmark.hosts.process import Place, Worker
from edgecomp.comparison.sides import given
from edgecomp.config.target import load_target
from edgecomp.errors import FileError, ModelFileError, RuntimeUnavailableError, UsageError
from edgecomp.files import sealed
from edgecomp.runtimes import TABLE
from edgecomp.runtimes.formats import deployed_in, parts_of

KEY, ANOTHER = "11" * 32, "22" * 32
RUNTIMES = ("onnxruntime-cpu", "openvino-cpu")


@pytest.fixture(autouse=True)
def with_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(sealed.KEY_FILE, raising=False)
    monkeypatch.setenv(sealed.KEY, KEY)


@pytest.fixture(params=RUNTIMES)
def encrypted(request: pytest.FixtureRequest, model: Path) -> tuple[str, Path]:  # noqa: F811
    folder = deployed(model, request.param)
    return request.param, encrypt(folder, folder.with_name("encrypted"))


def answers(folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setattr(sys, "argv", ["infer.py"])
    runpy.run_path(str(folder / "infer.py"))
    return capsys.readouterr().out.split()


def test_its_script_answers_as_before(encrypted, capsys, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    _, folder = encrypted
    assert answers(folder, capsys, monkeypatch) == ["c", "a", "b"]
    monkeypatch.setenv(sealed.KEY, ANOTHER)
    with pytest.raises(SystemExit, match="another key, or it was changed"):
        answers(folder, capsys, monkeypatch)


def test_nothing_of_the_model_is_in_the_folder(encrypted: tuple[str, Path]) -> None:
    runtime, folder = encrypted
    plain = deployed_in(folder.with_name("deployed"), runtime)
    for file in (plain, *parts_of(plain)):
        assert not (folder / file.name).exists()
        content, begin = (folder / f"{file.name}.aes").read_bytes(), file.read_bytes()[:64]
        assert begin not in content or not begin  # the weights of this one are empty
        assert b"logits" not in content
    assert KEY not in "".join(file.read_text(errors="replace") for file in folder.iterdir())


def test_the_same_file_is_never_the_same_bytes_twice(encrypted: tuple[str, Path]) -> None:
    runtime, folder = encrypted
    again = encrypt(folder.with_name("deployed"), folder.with_name("again"))
    name = deployed_in(folder, runtime).name
    assert (folder / name).read_bytes() != (again / name).read_bytes()


def test_a_worker_gets_it_by_pipe_and_leaves_no_file(encrypted: tuple[str, Path], tmp_path: Path) -> None:
    runtime, folder = encrypted
    before = {path for path in tmp_path.rglob("*")}
    with Worker(Place(runtime, {}, threads=1), model=deployed_in(folder, runtime), inputs=None) as worker:
        assert [port["name"] for port in worker.ready["signature"][0]] == ["input"]
        environment = Path(f"/proc/{worker.pid}/environ").read_bytes()
        assert KEY.encode() not in environment + Path(f"/proc/{worker.pid}/cmdline").read_bytes()
    assert {path for path in tmp_path.rglob("*")} == before


def test_compare_takes_the_folder(encrypted: tuple[str, Path]) -> None:
    runtime, folder = encrypted
    side = given(folder, load_target(runtime))
    assert side.model.name == f"{TABLE[runtime].model_file}.aes"
    assert side.deployed == folder


def opened(file: Path) -> list[bytes]:
    return sealed.opened_release(file, parts_of(file), file.with_name("contract.json"))


def test_any_changed_byte_is_found(encrypted: tuple[str, Path]) -> None:
    runtime, folder = encrypted
    file = deployed_in(folder, runtime)
    content = bytearray(file.read_bytes())
    for place in np.random.default_rng(0).permutation(len(content))[:200]:
        changed = content.copy()
        changed[place] ^= 1 + int(place) % 255
        file.write_bytes(changed)
        with pytest.raises(FileError):
            opened(file)
    file.write_bytes(content)
    assert opened(file)[0] == deployed_in(folder.with_name("deployed"), runtime).read_bytes()


def test_a_file_of_another_release_target_or_name_is_refused(
    encrypted: tuple[str, Path], tmp_path: Path
) -> None:
    runtime, folder = encrypted
    file = deployed_in(folder, runtime)
    contract = json.loads((folder / "contract.json").read_text())
    for name, value in (("release", "0" * 64), ("target", "another")):
        about = contract["encryption"] | {"name": sealed.plain_name(file), name: value}
        plain = opened(file)[0]
        kept = file.read_bytes()
        file.write_bytes(sealed.seal(plain, about, sealed.key()))
        with pytest.raises(FileError, match=f"was sealed as the {name} '{value}'"):
            opened(file)
        file.write_bytes(kept)
    other = folder / "other.onnx.aes"
    shutil.copy(file, other)
    with pytest.raises(FileError, match="was sealed as the name"):
        sealed.opened_release(other, [], folder / "contract.json")


def test_a_key_is_asked_for_and_never_told(
    encrypted: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime, folder = encrypted
    file = deployed_in(folder, runtime)
    monkeypatch.delenv(sealed.KEY)
    with pytest.raises(UsageError, match="there is no key: set EDGECOMP_KEY"):
        opened(file)
    monkeypatch.setenv(sealed.KEY, "not-a-secret-of-64-digits")
    with pytest.raises(UsageError, match="is not 64 hexadecimal digits") as told:
        opened(file)
    assert "not-a-secret" not in str(told.value)
    monkeypatch.delenv(sealed.KEY)
    monkeypatch.setenv(sealed.KEY_FILE, str(tmp_path / "missing"))
    with pytest.raises(UsageError, match="cannot be read"):
        opened(file)
    (tmp_path / "key").write_text(KEY + "\n")
    monkeypatch.setenv(sealed.KEY_FILE, str(tmp_path / "key"))
    assert opened(file)
    monkeypatch.setenv(sealed.KEY, KEY)
    with pytest.raises(UsageError, match="both"):
        opened(file)


def test_what_cannot_be_encrypted_is_refused(model: Path, tmp_path: Path) -> None:  # noqa: F811
    with pytest.raises(UsageError, match="name a folder that a run deployed"):
        encrypt(tmp_path, tmp_path / "out")
    folder = deployed(model, "pytorch-cpu")
    with pytest.raises(UsageError, match="pytorch-cpu, which reads a model from a file alone"):
        encrypt(folder, tmp_path / "out")
    shutil.rmtree(folder)
    folder = deployed(model, "onnxruntime-cpu")
    made = encrypt(folder, tmp_path / "out")
    with pytest.raises(UsageError, match="is there already"):
        encrypt(folder, made)
    with pytest.raises(UsageError, match="encrypted already"):
        encrypt(made, tmp_path / "twice")
    (folder / "labels.txt").unlink()  # which the contract does not name
    (folder / "model.onnx").rename(folder / "away")
    with pytest.raises(UsageError, match="is not the file"):
        encrypt(folder, tmp_path / "missing")
    (folder / "model.onnx").write_bytes(b"another")
    with pytest.raises(UsageError, match="is not the file"):
        encrypt(folder, tmp_path / "changed")
    assert not (tmp_path / "changed").exists()
    assert not [name for name in os.listdir(tmp_path) if name.endswith(".tmp")]


def test_a_part_that_is_missing_is_not_left_out(model: Path, tmp_path: Path) -> None:  # noqa: F811
    folder = deployed(model, "openvino-cpu")
    (folder / "model.bin").unlink()
    with pytest.raises(UsageError, match=r"model\.bin is not the file"):
        encrypt(folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "content", ["[]", "{}", '{"runtime": "no-such", "options": {}, "threads": 1, "files": {}}']
)
def test_a_contract_that_is_none_is_told(model: Path, tmp_path: Path, content: str) -> None:  # noqa: F811
    folder = deployed(model, "onnxruntime-cpu")
    made = encrypt(folder, tmp_path / "out")
    for one in (folder, made):
        (one / "contract.json").write_text(content)
    with pytest.raises(UsageError):
        encrypt(folder, tmp_path / "again")
    with pytest.raises(FileError):
        opened(made / "model.onnx.aes")


def test_without_the_library_it_is_said(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    made = encrypt(deployed(model, "onnxruntime-cpu"), tmp_path / "out")
    for name in [name for name in sys.modules if name.split(".")[0] == "cryptography"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "cryptography", None)
    with pytest.raises(RuntimeUnavailableError, match="pip install"):
        opened(made / "model.onnx.aes")


def test_its_script_says_what_does_not_open(model: Path, tmp_path: Path, capsys, monkeypatch) -> None:  # type: ignore[no-untyped-def]  # noqa: F811
    made = encrypt(deployed(model, "onnxruntime-cpu"), tmp_path / "out")
    (made / "model.onnx.aes").write_bytes(b"cut")
    with pytest.raises(SystemExit, match="does not open"):
        answers(made, capsys, monkeypatch)


def test_a_runtime_that_reads_files_alone_says_so(model: Path, tmp_path: Path) -> None:  # noqa: F811
    made = encrypt(deployed(model, "onnxruntime-cpu"), tmp_path / "out")
    with pytest.raises(ModelFileError, match="reads a model from a file alone"):
        Worker(Place("torchscript-cpu", {}, threads=1), model=made / "model.onnx.aes", inputs=None)
