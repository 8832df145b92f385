"""edgecomp: small int8 models, distilled while they are quantised, measured and gated.

Nothing is imported here: a benchmark worker imports this package and must stay as small as its runtime.
"""

__version__ = "0.2.0"


def release() -> tuple[int, int]:
    """The version's first two numbers."""
    first, second = __version__.split(".")[:2]
    return int(first), int(second)
