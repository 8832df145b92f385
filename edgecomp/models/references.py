"""Where a Hugging Face reference of a recipe leads, found without importing transformers."""

import re
from pathlib import Path

from edgecomp.errors import UsageError, nearest
from edgecomp.files.packages import PACKAGE, folder_of, inside

PREFIX = "hf:"
GGUF = ".gguf"
"""The suffix of a file that is a whole language model."""
EXTRA = "pip install 'edgecomp[text]'"

# What the hub takes for a name: NAME or OWNER/NAME.
HUB_NAME = re.compile(r"(?!.*(?:--|\.\.))\w(?:[\w.-]{0,94}\w)?(?:/\w(?:[\w.-]{0,94}\w)?)?", re.ASCII)


def check_reference(reference: str, folder: Path) -> None:
    """Raises UsageError where a network cannot come of `reference`, as far as this machine's files can tell.
    folder: where a relative one is looked for."""
    missing = [name for name in ("transformers", "optimum", "requests") if not folder_of(name)]
    if missing:
        raise UsageError(f"{PREFIX}{reference} needs {', '.join(missing)}, which is not installed: {EXTRA}")
    source = Path(resolve(reference, folder))
    if source.is_dir() and not (source / "config.json").is_file():
        held = sorted(path.name for path in source.iterdir())
        raise UsageError(
            f"{PREFIX}{reference}: {source} has no config.json, so it is no Hugging Face model; it holds "
            f"{', '.join(held[:8]) or 'nothing'}{nearest('config.json', held)}"
        )


def resolve(reference: str, folder: Path) -> str:
    """The absolute path of the local folder that is meant, or of a GGUF file, or else a hub name. Raises UsageError.

    reference: `package:NAME/SUBFOLDER` of an installed Python package, a folder (absolute, relative to `folder`, or to
    the current one), or a name on the hub.
    """
    if reference.startswith(PACKAGE):
        return str(_in_package(reference.removeprefix(PACKAGE)))
    looked_in = list(dict.fromkeys([folder.absolute(), Path.cwd()]))
    path = Path(reference).expanduser()
    for parent in looked_in:
        found = parent / path
        if reference and found.is_dir():
            return str(found.resolve())
        if found.suffix == GGUF and found.is_file():
            return str(found.resolve())
        if reference and found.is_file():
            raise UsageError(f"{found} is a file; name the folder that holds config.json and the weights")
    if not HUB_NAME.fullmatch(reference):
        places = "" if path.is_absolute() else f" in {' or in '.join(str(place) for place in looked_in)}"
        raise UsageError(
            f"no folder {reference!r}{places}, and that is no name on the hub (NAME or OWNER/NAME) either"
        )
    return reference


def files_of(reference: str, folder: Path) -> list[Path]:
    """The files of the local folder that `reference` leads to; none for a name on the hub. Raises UsageError."""
    source = Path(resolve(reference, folder))
    if source.suffix == GGUF and source.is_file():
        return [source]
    inside = (
        [path.relative_to(source) for path in source.rglob("*") if path.is_file()] if source.is_dir() else []
    )
    kept = (path for path in inside if not any(part.startswith((".", "__pycache__")) for part in path.parts))
    return sorted(source / path for path in kept)


def _in_package(reference: str) -> Path:
    try:
        root, found = inside(reference)
    except ValueError as error:
        raise UsageError(f"{PACKAGE}{reference}: {error}") from error
    if found.suffix == GGUF and found.is_file():
        return found
    if not found.is_dir():
        folders = sorted(str(path.relative_to(root).parent) for path in root.rglob("config.json"))
        raise UsageError(
            f"{PACKAGE}{reference}: {root} has no folder {found.name!r}; folders with a config.json: "
            f"{', '.join(folders) or 'none'}{nearest(found.name, folders)}"
        )
    return found
