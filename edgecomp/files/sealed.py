"""Files encrypted at rest: AES-256-GCM (NIST SP 800-38D) with a fresh 96-bit nonce a file, and the key from the environment.

A sealed file begins with MAGIC and a line of JSON, in plain text, that says what it is: the name it had, the target it is for, the release it
belongs to. All of that is the cipher's associated data, so that a file given another name, or taken from another release, does not open.
It protects a file at rest, and not against whoever holds the device with its key.
"""

import json
import os
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edgecomp.errors import FileError, RuntimeUnavailableError, UsageError
from edgecomp.files import limits
from edgecomp.files.json_files import read_mapping

SUFFIX = ".aes"
MAGIC = b"edgecomp sealed 1\n"
NONCE_BYTES = 12
KEY_BYTES = 32
BOUND = ("target", "release")  # what a contract says of the encrypted files, and each of them of itself
MOST_HEADER = 4096  # bytes
KEY, KEY_FILE = "EDGECOMP_KEY", "EDGECOMP_KEY_FILE"
GIVE = f"set {KEY} to 64 hexadecimal digits, or {KEY_FILE} to a file that holds them (`openssl rand -hex 32` makes some)"


def is_sealed(file: Path) -> bool:
    """Whether `file` has the suffix of a sealed one."""
    return file.suffix == SUFFIX


def plain_name(file: Path) -> str:
    """What `file` is called without the suffix of a sealed one."""
    return file.name.removesuffix(SUFFIX)


def key() -> bytes:
    """The key, as the environment gives it. Raises UsageError; it never tells what it found."""
    given, place = os.environ.get(KEY), os.environ.get(KEY_FILE)
    if (given is None) == (place is None):
        raise UsageError(
            f"there is no key: {GIVE}" if given is None else f"both {KEY} and {KEY_FILE} are set: {GIVE}"
        )
    if place is not None:
        try:
            given = Path(place).read_text(encoding="ascii")
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is no text"
            raise UsageError(f"{KEY_FILE}: {place} cannot be read ({why}): {GIVE}") from error
    assert given is not None
    try:
        found = bytes.fromhex(given.strip())
    except ValueError:
        found = b""
    if len(found) != KEY_BYTES:
        raise UsageError(
            f"the key of {KEY_FILE if place is not None else KEY} is not {2 * KEY_BYTES} hexadecimal digits: {GIVE}"
        )
    return found


def seal(content: bytes, about: Mapping[str, str], secret: bytes) -> bytes:
    """The bytes of a sealed file. content: what is sealed; about: what it says of itself; secret: the key. Raises RuntimeUnavailableError."""
    header = MAGIC + json.dumps(dict(about), sort_keys=True).encode() + b"\n"
    nonce = secrets.token_bytes(NONCE_BYTES)
    sealed: bytes = _cipher(secret).encrypt(nonce, content, header)
    return header + nonce + sealed


def unseal(file: Path, about: Mapping[str, str], secret: bytes) -> bytes:
    """What was sealed in `file`, in memory alone. about: what it must say of itself, its name among it; secret: the key.

    Raises FileError where it is no sealed file, another than `about` says, not of this key, or was changed.
    """
    cipher = _cipher(secret)
    from cryptography.exceptions import InvalidTag

    header, rest = _parted(file)
    try:
        opened: bytes = cipher.decrypt(rest[:NONCE_BYTES], rest[NONCE_BYTES:], header)
    except (InvalidTag, ValueError) as error:
        raise FileError(
            f"{file}: does not open: the key is another, or the file was changed: copy it again, or look for its key"
        ) from error
    said = json.loads(header[len(MAGIC) :])
    for name, value in about.items():
        if said.get(name) != value:
            raise FileError(f"{file}: was sealed as the {name} {said.get(name)!r}, and here it stands for {value!r}: files of releases, targets or "
                            "names were mixed")  # fmt: skip
    return opened


def opened_release(model: Path, parts: Sequence[Path], contract: Path) -> list[bytes]:
    """What an encrypted `model` and the `parts` beside it hold, with the environment's key: all of one release, each under its own name, and the
    release that the `contract` names, where there is one. Raises UsageError, FileError, RuntimeUnavailableError."""
    secret = key()
    release = read_mapping(contract, "encryption")["encryption"] if contract.is_file() else header_of(model)
    if not isinstance(release, dict) or not {*BOUND} <= {*release}:
        raise FileError(
            f"{contract if contract.is_file() else model}: does not say which {' and '.join(BOUND)} it is of: copy the folder again"
        )
    about = {name: str(release[name]) for name in BOUND}
    return [unseal(file, about | {"name": plain_name(file)}, secret) for file in (model, *parts)]


def header_of(file: Path) -> dict[str, Any]:
    """What a sealed `file` says of itself, which is not to be believed before it was opened. Raises FileError."""
    try:
        found: dict[str, Any] = dict(json.loads(_parted(file)[0][len(MAGIC) :]))
    except (ValueError, TypeError) as error:
        raise FileError(f"{file}: what it says of itself cannot be read: copy it again") from error
    return found


def _parted(file: Path) -> tuple[bytes, bytes]:
    """The header and what follows."""
    with limits.told(file):
        content = file.read_bytes()
    end = content.find(b"\n", len(MAGIC), MOST_HEADER)
    if not content.startswith(MAGIC) or end < 0:
        raise FileError(f"{file}: is no file that edgecomp sealed: `edgecomp prepare encrypted` makes one")
    return content[: end + 1], content[end + 1 :]


def _cipher(secret: bytes) -> Any:
    try:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    except ImportError as error:
        raise RuntimeUnavailableError(
            "a sealed file needs cryptography: pip install 'edgecomp[encryption]'"
        ) from error
    return AESGCM(secret)
