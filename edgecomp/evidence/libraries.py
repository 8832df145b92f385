"""The libraries of the extra `evidence`, imported where they are needed."""

import importlib
from typing import Any

from edgecomp.errors import RuntimeUnavailableError


def library(name: str) -> Any:
    """The module `name`. Raises RuntimeUnavailableError where it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise RuntimeUnavailableError(
            f"packs are made and signed with the extra `evidence` ({error}): pip install 'edgecomp[evidence]'"
        ) from error
