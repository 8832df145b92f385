"""pack.sig: a signature of every member, as OpenSSF Model Signing writes it: a Sigstore bundle, made and checked offline with the
user's own elliptic-curve key. `model_signing verify key FOLDER` checks an unpacked pack as well.
"""

import base64
import contextlib
import io
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgecomp.errors import UsageError
from edgecomp.evidence.libraries import library

PASSWORD = "EDGECOMP_KEY_PASSWORD"
WANTED = "PEM, on the curve P-256, P-384 or P-521"
MAKE_ONE = "`openssl ecparam -name prime256v1 -genkey -noout -out signer.key` makes one"
MAKE_PUBLIC = "`openssl ec -in signer.key -pubout -out signer.pub` gives it"


def signed(folder: Path, key: Path, scratch: Path) -> bytes:
    """The signature of every file in `folder`. key: the private key; scratch: a folder elsewhere. Raises UsageError where `key` is
    none, RuntimeUnavailableError."""
    signing, hashing = library("model_signing.signing"), library("model_signing.hashing")
    try:
        signer = signing.Config().use_elliptic_key_signer(private_key=key, password=password())
    except Exception as error:  # of cryptography, for any file that is no such key
        raise _no_key(key, error) from error
    signer.set_hashing_config(_of_all(hashing)).sign(folder, scratch / "signature")
    return (scratch / "signature").read_bytes()


def enveloped(payload: bytes, payload_type: str, key: Path) -> bytes:
    """A DSSE envelope of `payload`, signed by the private key in the file `key`; payload_type: what it is of. Raises UsageError where it
    is none."""
    dsse, signer = library("securesystemslib.dsse"), library("securesystemslib.signer")
    serialization = library("cryptography.hazmat.primitives.serialization")
    envelope = dsse.Envelope(payload, payload_type, {})
    try:
        envelope.sign(signer.CryptoSigner(serialization.load_pem_private_key(key.read_bytes(), password())))
    except Exception as error:  # of cryptography, for any file that is no such key
        raise _no_key(key, error) from error
    return (json.dumps(envelope.to_dict(), indent=1) + "\n").encode()


def _no_key(key: Path, error: Exception) -> UsageError:
    return UsageError(f"--key {key}: cannot sign ({_said(error)}): it takes a private key, {WANTED}, whose password, if it has one, is in "
                      f"${PASSWORD}; {MAKE_ONE}")  # fmt: skip


def flaw(folder: Path, signature: Path, key: Path) -> str:
    """Why `signature`, a file, is no signature of what is in `folder` with the private key of the public one in `key`; empty where it
    is. Raises UsageError where `key` is none, RuntimeUnavailableError."""
    verifying, hashing = library("model_signing.verifying"), library("model_signing.hashing")
    try:
        verifier = verifying.Config().use_elliptic_key_verifier(public_key=key)
    except Exception as error:  # of cryptography, for any file that is no such key
        raise UsageError(f"--key {key}: nothing can be verified with it ({_said(error)}): it takes the signer's public key, {WANTED}; "
                         f"{MAKE_PUBLIC}") from error  # fmt: skip
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # the library prints its doubts
            verifier.set_hashing_config(_of_all(hashing)).verify(folder, signature)
    except Exception as error:  # noqa: BLE001 - of bytes that anybody may have written: whatever it is, nothing is signed
        return f"it is not signed by {key} ({_said(error)})"
    return ""


def listed(signature: bytes) -> Mapping[str, str]:
    """Of what `signature` says that it is: file → sha256, whoever signed it. Raises ValueError, KeyError, TypeError where it is none."""
    statement = json.loads(base64.b64decode(json.loads(signature)["dsseEnvelope"]["payload"]))
    return {
        one["name"]: one["digest"]
        for one in statement["predicate"]["resources"]
        if one["algorithm"] == "sha256"
    }


def password() -> Any:
    """The password of the user's key, None where it has none; bytes, for the library hands it on as it is."""
    return os.environ.get(PASSWORD, "").encode() or None


def _of_all(hashing: Any) -> Any:
    """No file is left out, as those of git are by default."""
    return hashing.Config().set_ignored_paths(paths=[], ignore_git_paths=False)


def _said(error: Exception) -> str:
    return " ".join(f"{error or type(error).__name__}".split())[:200]
