"""What a device is and may cost: profiles read from targets/*.yaml."""

import math
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from edgecomp.config.policy import Threshold, refuse_newer
from edgecomp.config.schema import FORMAT, Schema, find, names_in, parse, shipped
from edgecomp.errors import ModelFileError, RecipeError, RuntimeUnavailableError, UsageError, nearest
from edgecomp.files.yaml_files import read_yaml
from edgecomp.machine import ISAS, saturates, usable_cores
from edgecomp.metrics.registry import METRICS, PEAK
from edgecomp.metrics.units import parse_quantity
from edgecomp.runtimes import TABLE, adapter

NAME = re.compile("[A-Za-z0-9][A-Za-z0-9._-]{0,99}")

MOST_AT_ONCE = 2**16  # examples


class Shapes(Schema):
    """Lengths of the axes that a model leaves open, where its inputs are generated; `batch` is how many examples are asked at
    once. `axes` are lengths by the name that a file has for an axis (or INPUT.PLACE of one without), `ranges` are LOW:HIGH of an
    input's values by its name; both go before the rest."""

    batch: int = Field(1, ge=1, le=MOST_AT_ONCE)  # examples at once
    sequence_length: int = Field(128, ge=1)  # of an axis of tokens or steps, where the file leaves it free
    image_size: int = Field(224, ge=1)  # of height and width, likewise
    axes: dict[str, Annotated[int, Field(ge=1)]] = {}  # a length by the axis's name, or INPUT.PLACE
    ranges: dict[str, str] = {}  # LOW:HIGH by the input's name

    @field_validator("ranges")
    @classmethod
    def _ranges_make_sense(cls, ranges: dict[str, str]) -> dict[str, str]:
        for text in ranges.values():
            parse_range(text)
        return ranges


def parse_range(text: str) -> tuple[float, float]:
    """`text`, LOW:HIGH, as two finite numbers; both ends are among the values. Raises ValueError."""
    low, _, high = text.partition(":")
    try:
        found = float(low), float(high)
    except ValueError:
        raise ValueError(f"{text!r} is no range: write LOW:HIGH, for example 0:11") from None
    if not (math.isfinite(found[0]) and math.isfinite(found[1]) and found[0] <= found[1]):
        raise ValueError(f"{text!r} is no range: its ends are numbers, and the first is not over the second")
    return found


class Target(Schema):
    """A device profile; `extends: NAME` takes another one's settings first.

    An `isa` that is named is executed here as that CPU, if it can be: its answers are gated, its timings are the host's.
    `isa: host` is any CPU: what is made for it gives the same answers on all of them, whichever made it.
    `runtime` is a row of edgecomp.runtimes.TABLE, `options` are that runtime's own, checked by its adapter.
    `cores` are those it may use, `memory` is what it may hold: both are enforced while it is measured, the memory where this
    machine's kernel can. `budget` maps a metric to its limit: `latency_p99_ms: 50 ms`.
    """

    # of the file; 1 is the only one
    format: Literal[1] = FORMAT  # type: ignore[assignment]
    name: str = Field(pattern=f"^{NAME.pattern}$")  # of folders, too
    description: str = ""  # a line for lists and reports
    runtime: str  # a row of edgecomp.runtimes.TABLE
    options: dict[str, str | int | float | bool] = {}  # the runtime's own, checked by its adapter
    host: str | None = None  # of the device, as ssh names it: pi@kitchen; this machine where none is named
    isa: str = "host"  # the device's kind of CPU; host: any
    cores: int | None = Field(None, ge=1, le=1024)  # that it may use, kept by affinity
    threads: int = Field(1, ge=1, le=256)  # of the runtime
    memory: str | None = None  # what it may hold, such as `512 MiB`; enforced where the kernel can
    shapes: Shapes | None = None  # lengths and ranges, where inputs are made up
    # which integers weights and activations take on
    scheme: Literal["cpu-u8", "cpu-u8-narrow", "gpu-s8", "weights", "none"] = "cpu-u8-narrow"
    budget: dict[str, str] = {}  # metric → limit; each is a check

    @field_validator("budget")
    @classmethod
    def _limits_make_sense(cls, budget: dict[str, str]) -> dict[str, str]:
        for metric in budget:
            if metric not in METRICS:
                raise ValueError(f"no such metric: {metric!r}{nearest(metric, METRICS)}")
        for row in budget_rows(budget).values():
            Threshold.model_validate(row)
        return budget

    @field_validator("runtime")
    @classmethod
    def _is_known(cls, runtime: str) -> str:
        if runtime not in TABLE:
            raise ValueError(
                f"no such runtime: {runtime!r}{nearest(runtime, TABLE)}; there are {', '.join(TABLE)}"
            )
        return runtime

    @field_validator("isa")
    @classmethod
    def _is_a_kind_of_cpu(cls, isa: str) -> str:
        if isa not in ("host", *ISAS):
            raise ValueError(
                f"no such isa: {isa!r}{nearest(isa, ISAS)}; there are host (any CPU), {', '.join(ISAS)}"
            )
        return isa

    @field_validator("memory")
    @classmethod
    def _is_a_size(cls, memory: str | None) -> str | None:
        if memory is not None and parse_quantity(memory).dimension != "bytes":
            raise ValueError(f"{memory!r} is not a size: write for example '512 MiB'")
        return memory

    @model_validator(mode="after")
    def _threads_have_cores(self) -> "Target":
        if self.cores is not None and self.threads > self.cores:
            raise ValueError(
                f"{self.threads} threads on {self.cores} cores wait for each other: give it as many cores, or fewer threads"
            )
        return self

    @model_validator(mode="after")
    def _the_runtime_executes_the_scheme(self) -> "Target":
        executed = TABLE[self.runtime].schemes
        if self.scheme not in executed:
            raise ValueError(f"scheme {self.scheme!r} does not go together with {self.runtime}, which would run its "
                             f"layers in float: it takes {' or '.join(executed)}")  # fmt: skip
        return self

    @property
    def is_for_cpus(self) -> bool:
        """Whether what is made for it is int8 that CPUs multiply."""
        return self.scheme in ("cpu-u8", "cpu-u8-narrow")

    @property
    def must_be_portable(self) -> bool:
        """Whether that has to give the same answers on every CPU: none is named."""
        return self.isa == "host" and self.is_for_cpus

    @property
    def memory_bytes(self) -> int | None:
        return None if self.memory is None else int(parse_quantity(self.memory).value)

    @property
    def peak_bytes(self) -> int | None:
        """What its budget allows a process at its peak; None where it says nothing of that, or only beside another model."""
        asked = parse_quantity(self.budget[PEAK]) if self.budget.get(PEAK) else None
        return int(asked.value) if asked is not None and asked.dimension == "bytes" else None

    def budget_rows(self) -> dict[str, Threshold]:
        return {name: Threshold.model_validate(row) for name, row in budget_rows(self.budget).items()}


def saturating(target: Target) -> str | None:
    """Why the target's scheme is not for its CPU, with the arithmetic and the remedy; None where it is.

    An `isa` that this machine happens to be is not one that the target names.
    """
    if target.scheme != "cpu-u8" or not saturates(target.isa):
        return None
    which = (
        "it names no isa, and its files may meet an x86 CPU without VNNI"
        if target.isa == "host"
        else f"{target.isa} has no VNNI"
    )
    wide = ", ".join(name for name, isa in ISAS.items() if isa.wide)
    return (f"scheme cpu-u8 saturates: {which}, whose kernels add two u8×s8 products in 16 bits, and 255 · 127 + 255 · 127 = 64,770 is "
            "more than 32,767. Take scheme cpu-u8-narrow (weights -63..63: 255 · 63 + 255 · 63 = 32,130), or name the device's "
            f"isa where it is one of {wide}")  # fmt: skip


def budget_rows(budget: dict[str, str]) -> dict[str, dict[str, Any]]:
    """A profile's budget as threshold rows, named after their metrics."""
    return {
        metric: {"metric": metric, ("max" if METRICS[metric].better == "lower" else "min"): limit}
        for metric, limit in budget.items()
    }


def target_names() -> list[str]:
    return names_in(shipped("targets"))


def load_target(name: str) -> Target:
    """The profile of that name or path. Raises UsageError or RecipeError."""
    path = find(name, shipped("targets"), "target")
    return parse(Target, _composed(path, ()), path, list(_bases(path)))


def _bases(path: Path) -> Iterator[Path]:
    """The profiles that one extends, nearest first; all can be read, and none extends itself."""
    while isinstance(base := read_yaml(path).get("extends"), str):
        path = _base(path, base)
        yield path


def _base(path: Path, name: str) -> Path:
    """The profile of that name beside another, or the shipped one."""
    beside = path.with_name(f"{name}.yaml")
    return beside if beside.is_file() else find(name, shipped("targets"), "target")


def _composed(path: Path, seen: tuple[Path, ...]) -> dict[str, Any]:
    """A profile's settings over those of the one it extends; `null` takes an inherited one out."""
    if path in seen:
        raise RecipeError(str(path), [f"extends itself, by way of {' → '.join(one.stem for one in seen)}"])
    content = read_yaml(path)
    refuse_newer(content, str(path))
    base = content.pop("extends", None)
    if base is None:
        return content
    if not isinstance(base, str) or not NAME.fullmatch(base):
        raise RecipeError(
            str(path),
            [f"extends: {base!r:.100} is not the name of a profile that lies beside this one, or is shipped"],
        )
    inherited = _composed(_base(path, base), (*seen, path))
    for key, value in content.items():
        if isinstance(value, dict) and isinstance(inherited.get(key), dict):
            value = inherited[key] | value
            value = {name: setting for name, setting in value.items() if setting is not None}
        inherited[key] = value
    return {key: value for key, value in inherited.items() if value is not None}


def check_cores(target: Target) -> None:
    """Raises UsageError where a target asks for more cores than there are: its figures would be of something else. Of a device over SSH that is
    asked when it is reached."""
    if target.host is None:
        check_cores_of(target, "this machine", usable_cores())


def check_cores_of(target: Target, machine: str, usable: int) -> None:
    """Raises UsageError where a target asks for more cores than the `usable` ones of a `machine`, as messages call it."""
    if max(target.threads, target.cores or 1) > usable:
        what = f"{target.cores} cores" if (target.cores or 1) > usable else f"{target.threads} threads"
        raise UsageError(f"target {target.name} has {what}, {machine} {usable} usable "
                         "cores: lower the target's, or measure on a machine that has them")  # fmt: skip


def check_options(target: Target) -> None:
    """Raises RuntimeOptionError where the runtime of `target` does not know its options, which it says before
    it looks for a model. A runtime that is not here is not asked."""
    if target.options:
        with suppress(ModelFileError, RuntimeUnavailableError):
            adapter(target.runtime).load(Path("no.model"), threads=1, options=target.options)
