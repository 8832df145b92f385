"""Packs: a run's evidence in one file, written and verified."""

from pathlib import Path

from edgecomp.api.results import Verified
from edgecomp.evidence.verify import Held


def pack(run: Path | str, out: Path | str, *, key: Path | str | None = None) -> Verified:
    """Writes the evidence of a run into one file, which `verify` checks, and returns what it holds.

    run: the run folder; out: the file; key: the private key that signs it, PEM, on an elliptic curve (its password, if it has one, in
    $EDGECOMP_KEY_PASSWORD), None for none. It holds scores and digests, and no example. Raises RunFolderError where the run has no verdict
    that is up to date, AlteredError where its evidence does not hold, UsageError; nothing is written then.
    """
    from edgecomp.evidence.pack import pack

    found = pack(Path(run), Path(out), None if key is None else Path(key))
    return _result(Path(out), found)


def verify(pack: Path | str, *, key: Path | str | None = None) -> Verified:
    """What a pack holds, where it holds: its form, digests and signature are checked, and its verdict is derived from its raw samples.

    pack: the file; key: the signer's public key, PEM, which you have from the signer and not from the pack; None where you have none.
    Nothing that the pack names is imported or executed. Raises FileError where it is no pack or a newer one, AlteredError where it does not
    hold, UsageError where `key` is no key.
    """
    from edgecomp.evidence.verify import verify

    return _result(Path(pack), verify(Path(pack), None if key is None else Path(key)))


def _result(file: Path, found: Held) -> Verified:
    return Verified(
        file,
        found.document,
        found.job,
        found.is_signed,
        found.manifest.edgecomp,
        found.manifest.judged_on,
        found.notes,
    )
