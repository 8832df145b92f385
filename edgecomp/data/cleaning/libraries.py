"""The libraries of the extra `data`, imported where they are needed."""

import importlib
from typing import Any

from edgecomp.errors import RuntimeUnavailableError


def library(name: str) -> Any:
    """The module `name`. Raises RuntimeUnavailableError where it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise RuntimeUnavailableError(
            f"near duplicates, label errors and languages are found with the extra `data` ({error}): pip install 'edgecomp[data]'"
        ) from error
