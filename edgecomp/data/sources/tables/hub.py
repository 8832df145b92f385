"""Data sets of the Hugging Face hub, through the `datasets` library."""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from edgecomp.data.sources.examples import SPLITS, Wanted
from edgecomp.data.sources.paths import VARIABLE
from edgecomp.errors import DataError, nearest

# How data sets of the hub call the splits.
_USUAL = {"train": ("train",), "validation": ("validation", "valid", "val", "dev"), "test": ("test",)}

_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?")


def is_name(path: str) -> bool:
    """Whether `path` could be a data set of the hub: `name` or `owner/name`."""
    return _NAME.fullmatch(path) is not None


def hub_splits(name: str, wanted: Wanted, looked: str) -> dict[str, Any]:
    """Split → datasets.Dataset, of the hub's data set `name`, as `chosen` for what is `wanted`. Fetched into
    the library's own cache, or found there. Raises DataError.

    `looked`: where else the data was looked for, for the message.
    """
    import datasets
    from datasets.exceptions import DatasetsError

    try:
        with _quiet():
            fetched = datasets.load_dataset(name)
    except ConnectionError as error:
        raise DataError(
            f"data.path: {looked}, and the Hugging Face hub cannot be reached for a data set of that name; where there "
            f"is a network: hf download --repo-type dataset {name} --local-dir {name.rpartition('/')[2]}, then name "
            f"that folder in data.path, or put it into the folder that ${VARIABLE} names"
        ) from error
    except (DatasetsError, OSError, ValueError, RuntimeError) as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise DataError(f"data.path: {looked}; and of the hub's data set {name!r}: {first} (where it has several "
                        "configurations, download it and name the folder of one in data.path)") from error  # fmt: skip
    return chosen(fetched, wanted, name)


def chosen(fetched: Any, wanted: Wanted, name: str) -> dict[str, Any]:
    """The splits of `fetched`, datasets by the hub's names, that the `files` that are `wanted` name, or those
    of the usual names. Raises DataError, which calls the data set `name`."""
    there = list(fetched)
    if wanted.files:
        for split, own in wanted.files.items():
            if own not in there:
                raise DataError(f"data.files.{split}: {name} has no split {own!r}{nearest(own, there)}; "
                                f"it has {', '.join(there)}")  # fmt: skip
        return {split: fetched[wanted.files[split]] for split in SPLITS if split in wanted.files}
    usual = {split: next((own for own in _USUAL[split] if own in there), None) for split in SPLITS}
    if usual["train"] is None:
        raise DataError(f"{name} has no split train; it has {', '.join(there)}: name them in data.files")
    return {split: fetched[own] for split, own in usual.items() if own is not None}


def arrow_table(dataset: Any, columns: list[str]) -> Any:
    """The `columns` of `dataset`, a datasets.Dataset, as a pyarrow.Table with their features in its schema;
    images as bytes, not as paths."""
    from datasets.table import embed_table_storage

    return embed_table_storage(dataset.select_columns(columns).with_format("arrow")[:])


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the libraries' progress bars, warnings and notes of retries."""
    import datasets
    from huggingface_hub.utils.tqdm import (
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
    )

    bars = (
        (
            datasets.are_progress_bars_disabled(),
            datasets.disable_progress_bars,
            datasets.enable_progress_bars,
        ),
        (are_progress_bars_disabled(), disable_progress_bars, enable_progress_bars),
    )
    loggers = [logging.getLogger(name) for name in ("datasets", "huggingface_hub")]
    levels = [logger.level for logger in loggers]
    for _, disable, _ in bars:
        disable()
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        for were_disabled, _, enable in bars:
            if not were_disabled:
                enable()
