"""What `edgecomp selftest` found of a machine, to stand beside a verdict."""

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from edgecomp import machine
from edgecomp.config.schema import explain
from edgecomp.config.target import Target
from edgecomp.errors import FileError, UsageError
from edgecomp.files.json_files import read_json
from edgecomp.files.writing import sha256

SAME_MACHINE = ("cpu", "cores", "memory_bytes")
"""Facts by which a certificate is of the machine that a comparison runs on."""


class _Part(BaseModel):
    """What is shown of a record; it has more."""

    model_config = ConfigDict(extra="allow", strict=True)


class _Machine(_Part):
    cpu: str
    cores: int
    memory_bytes: int


class _Summary(_Part):
    advice: str


class _Record(_Part):
    format: Literal[1]
    target: str
    began: str
    machine: _Machine
    summary: _Summary


def read_certificate(file: Path, target: Target) -> dict[str, Any]:
    """The record `file` of `edgecomp selftest`, as a verdict keeps it. target: that is judged now. Raises
    UsageError where the file is none, or of another target."""
    try:
        record = _Record.model_validate(read_json(file))
    except ValidationError as error:
        raise UsageError(
            f"{file} is no record of `edgecomp selftest`: {explain(error, _Record)[0]}"
        ) from None
    except FileError as error:
        raise UsageError(
            f"{file} is no record of `edgecomp selftest`: {str(error).removeprefix(f'{file}: ')}"
        ) from None
    if record.target != target.name:
        raise UsageError(
            f"{file} is of target {record.target}, and this is {target.name}: run `edgecomp selftest --target {target.name}`"
        )
    content = record.model_dump()
    there = {name: content["machine"][name] for name in SAME_MACHINE}
    return {
        "file": str(file),
        "sha256": sha256(file),
        "began": record.began,
        "machine": content["machine"],
        "elsewhere": there != {name: machine.facts()[name] for name in SAME_MACHINE},
        "summary": content["summary"],
    }
