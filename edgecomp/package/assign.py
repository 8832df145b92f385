"""Which version serves a key, for an A/B test: the same key has the same version on every machine, in every language with SHA-256.

    python assign.py SALT v1=0.9,v2=0.1 KEY...

The first 8 bytes of sha256("SALT:KEY") as a big-endian number over 2**64 lie in [0, 1); versions take their shares of that in the order they are
written in. Another SALT divides the keys anew: one for each test. Standard library only; `edgecomp compare --log` judges what was served.
"""

import hashlib
import sys


def version_of(key: str, versions: "dict[str, float]", salt: str) -> str:
    """The version of a `key`. versions: shares by name, in order; salt: of this test."""
    whole = sum(versions.values())
    if not versions or whole <= 0 or min(versions.values()) < 0:
        raise ValueError(f"shares are {versions}: one above 0 for each version")
    place = int.from_bytes(hashlib.sha256(f"{salt}:{key}".encode()).digest()[:8], "big") / 2**64 * whole
    for name, share in versions.items():
        place -= share
        if place < 0:
            return name
    return next(name for name in reversed(versions) if versions[name] > 0)


if __name__ == "__main__":
    shares = {name: float(share) for name, _, share in (one.partition("=") for one in sys.argv[2].split(","))}
    for one in sys.argv[3:]:
        sys.stdout.write(f"{one} {version_of(one, shares, sys.argv[1])}\n")
