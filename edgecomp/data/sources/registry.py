"""Data sources by name: a literal table of functions that read every split a source has.

To add one: a file here, a row of TABLE and of FILES, and its name in the Literal of `Data.source` in edgecomp/config/parts/data.py.
"""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from edgecomp.data.sources import bundled, generated, image_folder, mask_folders, numpy_files
from edgecomp.data.sources.examples import Source, Wanted, check_files, check_source
from edgecomp.data.sources.tables import hugging_face
from edgecomp.errors import DataError, nearest
from edgecomp.tasks import SeveralOutputs

TABLE: dict[str, Callable[[Wanted, Path], Source]] = {
    "digits": bundled.digits,
    "iris": bundled.iris,
    "wine": bundled.wine,
    "breast_cancer": bundled.breast_cancer,
    "diabetes": bundled.diabetes,
    "canvases": generated.canvases,
    "catalogue": generated.catalogue,
    "loans": generated.loans,
    "huggingface": hugging_face.read,
    "images": lambda wanted, folder: _of_images(wanted).read(wanted, folder),
    "numpy": numpy_files.read,
}

FILES: dict[str, Callable[[Wanted, Path], dict[str, list[Path]]]] = {
    "digits": bundled.files,
    "iris": bundled.files,
    "wine": bundled.files,
    "breast_cancer": bundled.files,
    "diabetes": bundled.files,
    "canvases": bundled.files,
    "catalogue": bundled.files,
    "loans": bundled.files,
    "huggingface": hugging_face.files,
    "images": lambda wanted, folder: _of_images(wanted).files(wanted, folder),
    "numpy": numpy_files.files,
}

OF_SEVERAL = ("huggingface", "numpy")  # whose columns or arrays are labels of several outputs


def read(wanted: Wanted, folder: Path) -> Source:
    """Every split of the source that is `wanted`. folder: the recipe's, for a relative path. Raises
    DataError."""
    _check(wanted)
    source = TABLE[wanted.source](wanted, folder)
    check_source(source, wanted)
    return source


def source_files(wanted: Wanted, folder: Path) -> list[Path]:
    """The local files that `read` would read for the same `wanted` and `folder`, sorted; none for bundled
    sets and hub names. Raises DataError."""
    _check(wanted)
    return sorted(path for paths in FILES[wanted.source](wanted, folder).values() for path in paths)


def _of_images(wanted: Wanted) -> ModuleType:
    """What reads folders of images: those of classes, or those with masks."""
    return mask_folders if wanted.meaning.of_each == "pixel" else image_folder


def _check(wanted: Wanted) -> None:
    if wanted.source not in TABLE:
        raise DataError(f"no such data source: {wanted.source!r}{nearest(wanted.source, TABLE)}; "
                        f"sources are {', '.join(TABLE)}")  # fmt: skip
    if wanted.mode not in (None, "L", "RGB"):
        raise DataError(f"data.mode: {wanted.mode!r} is not L (grey) or RGB")
    if wanted.image_size is not None and wanted.image_size < 1:
        raise DataError(f"data.image_size: {wanted.image_size} is less than one pixel")
    if isinstance(wanted.meaning, SeveralOutputs) and wanted.source not in OF_SEVERAL:
        raise DataError(f"source {wanted.source!r} has one label an example, and tasks names {', '.join(wanted.meaning.widths)}: "
                        f"labels of several outputs are in the columns or arrays of {' and '.join(OF_SEVERAL)}")  # fmt: skip
    check_files(wanted)
