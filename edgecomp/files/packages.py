"""What installed Python packages carry besides code: `package:NAME/PATH`. A package is found, and never imported."""

import importlib.util
from pathlib import Path

PACKAGE = "package:"


def folder_of(name: str) -> Path | None:
    """The folder of the installed package `name`; None where there is none."""
    try:
        spec = importlib.util.find_spec(name)
    except ValueError:  # __main__, and what else is loaded without a spec
        return None
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(next(iter(spec.submodule_search_locations)))


def inside(reference: str) -> tuple[Path, Path]:
    """The folder of a package, and what `reference`, NAME/PATH, means in it, which need not exist.

    Raises ValueError, with the reason, where it names no package, one that is not installed, or what lies outside of it.
    """
    name, _, path = reference.partition("/")
    if not name.isidentifier():
        raise ValueError(f"{name!r} is no name of a Python package; write {PACKAGE}NAME/PATH")
    root = folder_of(name)
    if root is None:
        raise ValueError(f"package {name!r} is not installed: pip install {name}")
    found = (root / path).resolve()
    if not found.is_relative_to(root.resolve()):
        raise ValueError(f"it leads out of the package's folder, {root}")
    return root, found
