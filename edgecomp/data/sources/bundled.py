"""The small data sets that come with scikit-learn."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgecomp.data.sources.examples import Examples, Source, Wanted, refuse_unused
from edgecomp.data.sources.images import fitted


def files(wanted: Wanted, folder: Path) -> dict[str, list[Path]]:
    """None: they are installed. wanted: of this set, and nothing that names files or columns; folder: not
    looked at. Raises DataError."""
    refuse_unused(wanted, "path", "files", "inputs", "label", "slice")
    return {}


def digits(wanted: Wanted, folder: Path) -> Source:
    """1,797 handwritten digits (UCI, Alpaydin & Kaynak 1998), grey, 8×8 or resized.

    wanted: of this set, and nothing that names files or columns; folder: not looked at. Raises DataError.
    """
    from sklearn.datasets import load_digits

    refuse_unused(wanted, "path", "files", "inputs", "label", "slice")
    bundle = load_digits()
    grey = np.rint(bundle.images * (255 / 16)).astype(np.uint8)
    return _source(wanted, bundle, fitted(grey[:, None], wanted.image_size, wanted.mode, "digits"))


def iris(wanted: Wanted, folder: Path) -> Source:
    """150 flowers of three species, four measures (Fisher 1936).

    wanted: of this set, and nothing that names files or columns; folder: not looked at. Raises DataError.
    """
    from sklearn.datasets import load_iris

    return _features(wanted, load_iris)


def wine(wanted: Wanted, folder: Path) -> Source:
    """178 wines of three growers, 13 measures (UCI, Aeberhard & Forina 1991).

    wanted: of this set, and nothing that names files or columns; folder: not looked at. Raises DataError.
    """
    from sklearn.datasets import load_wine

    return _features(wanted, load_wine)


def breast_cancer(wanted: Wanted, folder: Path) -> Source:
    """569 tumours, malignant or benign, 30 measures (UCI, Wolberg et al. 1995).

    wanted: of this set, and nothing that names files or columns; folder: not looked at. Raises DataError.
    """
    from sklearn.datasets import load_breast_cancer

    return _features(wanted, load_breast_cancer)


def diabetes(wanted: Wanted, folder: Path) -> Source:
    """442 patients, ten measures, and how far their diabetes had come a year later, a number (Efron et al.
    2004).

    wanted: of this set, and nothing that names files or columns; folder: not looked at. Raises DataError.
    """
    from sklearn.datasets import load_diabetes

    return _features(wanted, load_diabetes)


def _features(wanted: Wanted, load: Callable[[], Any]) -> Source:
    refuse_unused(wanted, "path", "files", "inputs", "label", "slice")
    bundle = load()
    return _source(wanted, bundle, bundle.data.astype(np.float32), bundle.feature_names)


def _source(wanted: Wanted, bundle: Any, values: Any, columns: Sequence[str] = ()) -> Source:
    names = tuple(str(name) for name in bundle.get("target_names", ())) or None
    labels, classes = wanted.meaning.encode({"train": bundle.target.tolist()}, names, wanted.source)
    return Source(
        splits={"train": Examples(values, labels["train"])},
        classes=classes,
        columns=tuple(str(name) for name in columns),
    )
