"""A model behind a server, by its address: http://HOST[:PORT]/v2/models/NAME[/versions/N] (KServe's Open Inference Protocol v2), or grpc:// likewise.

Whatever takes a model file takes an endpoint as one: a file NAME.kserve that holds the address.
"""

import re
from pathlib import Path
from typing import NamedTuple

from edgecomp.errors import ModelFileError, UsageError

SUFFIX = ".kserve"
SCHEMES = {"http": False, "https": True, "grpc": False, "grpcs": True}
"""By scheme, whether the connection is encrypted."""

ADDRESS = re.compile(
    r"(?P<scheme>[a-z]+)://(?P<host>[^/@\s]+)/v2/models/(?P<model>[^/\s]+?)(/versions/(?P<version>[^/\s]+))?/?"
)
FORM = "http://HOST:PORT/v2/models/NAME or grpc://HOST:PORT/v2/models/NAME, and /versions/N behind it where one is meant"


class Endpoint(NamedTuple):
    """host: with its port; version: empty for the one that the server gives."""

    scheme: str
    host: str
    model: str
    version: str = ""

    @property
    def is_grpc(self) -> bool:
        return self.scheme.startswith("grpc")

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.host}/v2/models/{self.model}" + (
            f"/versions/{self.version}" if self.version else ""
        )


def is_url(what: object) -> bool:
    """Whether `what` is an address and no path."""
    return isinstance(what, str) and re.match(r"[a-z]+://", what) is not None


def parsed(url: str) -> Endpoint:
    """The endpoint at `url`. Raises UsageError where it is none."""
    found = ADDRESS.fullmatch(url.strip())
    if "@" in url.partition("//")[2].partition("/")[0]:
        raise UsageError(
            "an address with a user and a password in it would stand in every result: leave them out"
        )
    if found is None or found["scheme"] not in SCHEMES:
        raise UsageError(f"{url} is no address of a model: write {FORM}")
    return Endpoint(found["scheme"], found["host"], found["model"], found["version"] or "")


def written(url: str, folder: Path) -> Path:
    """The file in `folder` that stands for the endpoint at `url`. Raises UsageError."""
    endpoint = parsed(url)
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{endpoint.model}{SUFFIX}"
    file.write_text(endpoint.url + "\n", encoding="utf-8")
    return file


def read(file: Path) -> Endpoint:
    """The endpoint that `file` stands for. Raises ModelFileError where it holds no address."""
    if not file.is_file():
        raise ModelFileError(f"no such model file: {file}")
    try:
        return parsed(file.read_text(encoding="utf-8").strip()[:2000])
    except (UsageError, UnicodeDecodeError) as error:
        raise ModelFileError(f"{file}: {error}") from error


def shown(model: Path) -> str:
    """What a result calls the `model`: its path, and of an endpoint the address."""
    return read(model).url if model.suffix == SUFFIX else str(model)
