"""HTTP, without anything that an answer could lead to: no redirects, for they would take the key along, and no answer beyond a size."""

import http.client
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any, Protocol
from urllib.parse import urlsplit

from edgecomp.errors import UsageError

MOST_BYTES = 16 * 2**20  # of an answer


class Unanswered(Exception):  # noqa: N818 - it is what happened, and it is tried again
    """The connection failed, or was cut, or nothing came in time. The message says which."""


class Transport(Protocol):
    """Sends a request, and returns its status, its header and its body."""

    def post(
        self, url: str, header: Mapping[str, str], body: bytes, timeout_s: float
    ) -> tuple[int, Mapping[str, str], bytes]:
        """url: of the service; header, body: of the request; timeout_s: of every wait. Raises Unanswered."""
        ...


class _Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        """Nowhere: the redirect is the answer."""


class Http:
    """By the standard library, a connection a request."""

    def __init__(self) -> None:
        self._opener = urllib.request.build_opener(_Stay)

    def post(
        self, url: str, header: Mapping[str, str], body: bytes, timeout_s: float
    ) -> tuple[int, Mapping[str, str], bytes]:
        request = urllib.request.Request(url, body, dict(header), method="POST")
        try:
            with self._opener.open(request, timeout=timeout_s) as response:
                return response.status, dict(response.headers), _whole(response)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, dict(error.headers), _whole(error)
        except (urllib.error.URLError, http.client.HTTPException, OSError) as error:
            reason = getattr(error, "reason", None) or error
            raise Unanswered(
                f"{type(reason).__name__}: {reason}" if str(reason) else type(reason).__name__
            ) from None


def _whole(response: Any) -> bytes:
    try:
        body: bytes = response.read(MOST_BYTES + 1)
    except (http.client.HTTPException, OSError) as error:
        raise Unanswered(f"the answer was cut: {type(error).__name__}") from None
    length = response.headers.get("Content-Length")
    if len(body) > MOST_BYTES:
        raise Unanswered(f"the answer is longer than {MOST_BYTES:,} bytes")
    if length is not None and length.isdigit() and len(body) < int(length):
        raise Unanswered(f"the answer was cut: {len(body):,} of {int(length):,} bytes")
    return body


def check_url(url: str) -> None:
    """Raises UsageError where `url` is no HTTP address, or has a password in it."""
    try:
        parts = urlsplit(url)
        is_one = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        is_one = False
    if not is_one:
        raise UsageError(f"api.url: {url!r} is no address: write https://host/v1")
    if parts.password is not None or parts.query:
        raise UsageError(
            "api.url: has a password or a question mark in it, and would be written into records: name the key's variable in api.key"
        )
