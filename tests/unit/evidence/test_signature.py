"""Signatures: OpenSSF Model Signing, offline, with a key of one's own."""

import subprocess
import sys
from pathlib import Path

import pytest
from packing import keys

from edgecomp.errors import UsageError
from edgecomp.evidence import signature
from edgecomp.evidence.manifest import member


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "pack" / "bench").mkdir(parents=True)
    (tmp_path / "pack" / "bench" / "a").write_bytes(b"a")
    (tmp_path / "pack" / ".gitignore").write_bytes(b"b")  # no file is left out
    return tmp_path / "pack"


def signed(folder: Path, key: Path) -> Path:
    file = folder.parent / "pack.sig"
    file.write_bytes(signature.signed(folder, key, folder.parent))
    return file


def test_what_is_signed_is_every_file(folder: Path, tmp_path: Path) -> None:
    private, public = keys(tmp_path)
    file = signed(folder, private)
    assert signature.flaw(folder, file, public) == ""
    assert signature.listed(file.read_bytes()) == {
        "bench/a": member(b"a").sha256,
        ".gitignore": member(b"b").sha256,
    }


@pytest.mark.parametrize("name", ["bench/a", ".gitignore", "another"])
def test_a_file_that_changed_or_came_is_told(folder: Path, tmp_path: Path, name: str) -> None:
    private, public = keys(tmp_path)
    file = signed(folder, private)
    (folder / name).write_bytes(b"c")
    assert "not signed by" in signature.flaw(folder, file, public)


def test_another_key_has_not_signed_it(folder: Path, tmp_path: Path) -> None:
    file = signed(folder, keys(tmp_path)[0])
    assert "not signed by" in signature.flaw(folder, file, keys(tmp_path, "other")[1])


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b'{"dsseEnvelope": 1}', b"\xff"])
def test_what_is_no_signature_signs_nothing(folder: Path, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "pack.sig").write_bytes(content)
    assert "not signed by" in signature.flaw(folder, tmp_path / "pack.sig", keys(tmp_path)[1])
    with pytest.raises((ValueError, KeyError, TypeError)):
        signature.listed(content)


def test_the_librarys_own_command_verifies_it(folder: Path, tmp_path: Path) -> None:
    private, public = keys(tmp_path)
    (folder / ".gitignore").unlink()  # which that command leaves out
    file = signed(folder, private)
    command = [sys.executable, "-m", "model_signing", "verify", "key", str(folder), "--signature", str(file)]
    command += ["--public_key", str(public)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (folder / "bench" / "a").write_bytes(b"c")
    assert subprocess.run(command, capture_output=True, check=False).returncode != 0


def test_a_keys_password_is_taken_from_the_environment(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    private, public = keys(tmp_path)
    locked = tmp_path / "locked.key"
    command = ["openssl", "ec", "-aes256", "-passout", "pass:word", "-in", str(private), "-out", str(locked)]
    subprocess.run(command, check=True, capture_output=True)
    with pytest.raises(UsageError, match=signature.PASSWORD):
        signature.signed(folder, locked, tmp_path)
    monkeypatch.setenv(signature.PASSWORD, "word")
    assert signature.flaw(folder, signed(folder, locked), public) == ""


def test_what_is_no_key_is_refused(folder: Path, tmp_path: Path) -> None:
    private, public = keys(tmp_path)
    rsa, rsa_public = tmp_path / "rsa.key", tmp_path / "rsa.pub"
    subprocess.run(["openssl", "genrsa", "-out", str(rsa), "2048"], check=True, capture_output=True)
    subprocess.run(
        ["openssl", "rsa", "-in", str(rsa), "-pubout", "-out", str(rsa_public)],
        check=True,
        capture_output=True,
    )
    file = signed(folder, private)
    for wrong in (public, rsa, tmp_path, tmp_path / "nowhere", file):
        with pytest.raises(UsageError, match="it takes a private key"):
            signature.signed(folder, wrong, tmp_path)
    for wrong in (private, rsa_public, tmp_path, tmp_path / "nowhere", file):
        with pytest.raises(UsageError, match="signer's public key"):
            signature.flaw(folder, file, wrong)
