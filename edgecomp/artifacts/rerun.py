"""What makes a step run again: what it was made from, by name, and what of that has changed.

Besides this, a step runs again whose files are not what was written, and one that could not run here before (`RunFolder.reason_to_run`). Which
settings a step is told is said in edgecomp/pipeline/steps.py, and those that several share in shared_settings.py.
"""

import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgecomp import __version__
from edgecomp.files.writing import digest_of
from edgecomp.machine import cpu_isa, installed
from edgecomp.progress import Stop


@dataclass(frozen=True)
class Step:
    """One function that reads artifacts and writes new ones.

    `name` is the folder it writes (`bench/openvino-cpu`), `stage` the command that runs it alone (`bench`).
    `inputs` are the names of the steps it reads, `settings` all it is told, `libraries` those whose version
    changes what it makes. `make(scratch, checkpoints)` writes its files into `scratch`; a long one keeps what
    it needs to resume in the folder `checkpoints`, which only ever belongs to this very key.
    """

    name: str
    stage: str
    make: Callable[[Path, Path], None]
    settings: Any
    inputs: tuple[str, ...] = ()
    libraries: tuple[str, ...] = ()
    executes: bool = field(default=False)  # trains, runs or measures: the machine is part of the key
    threads: int | None = (
        None  # that train, on this machine: sums are added up in another order with another number
    )
    means: Mapping[str, str] = field(
        default_factory=dict
    )  # by name, what else this machine has to make it with
    away: "Away | None" = None  # from this machine, which waits meanwhile


@dataclass(frozen=True)
class Away:
    """Where a step is busy: at the device `host`, beside which others may be; `stop` ends it before its time."""

    host: str
    stop: Stop


def made_from(step: Step, made: Mapping[str, str], version: int) -> dict[str, str]:
    """All that decides what `step` makes, by name, each as text short enough to compare.

    made: the digest of all that each step has made; version: of run folders.
    """
    facts = {
        "settings": digest_of(step.settings),
        "format": str(version),
        "edgecomp": __version__,
        **step.means,
    }
    facts |= {name: made.get(name, "not there") for name in step.inputs}
    facts |= {library: installed(library) for library in step.libraries}
    if step.executes:
        facts["cpu"] = f"{platform.machine()} {' '.join(cpu_isa())}"
    if step.threads is not None:
        facts["threads"] = str(step.threads)
    return facts


def changed(step: Step, before: Mapping[str, str], now: Mapping[str, str], *, here: bool) -> list[str]:
    """The names of what is not as it was when `step` ran. before, now: as `made_from` gave them.

    here: this machine's kind and versions count as well; else what was asked for alone.
    """
    elsewhere = set() if here else {"cpu", "threads", "edgecomp", *step.libraries, *step.means}
    names = dict.fromkeys((*now, *before))
    return [name for name in names if name not in elsewhere and before.get(name) != now.get(name)]
