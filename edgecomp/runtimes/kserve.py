"""A model behind a server as a session, over KServe's Open Inference Protocol v2 (HTTP and gRPC), by NVIDIA's tritonclient.

https://github.com/kserve/open-inference-protocol. Its client may be used by the thread alone that made it.
"""

import http.client
import importlib
import threading
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from edgecomp.errors import (
    DeviceError,
    EdgecompError,
    InferenceError,
    ModelFileError,
    RuntimeUnavailableError,
    nearest,
)
from edgecomp.runtimes import endpoints
from edgecomp.runtimes.base import (
    Array,
    Options,
    Port,
    Runtime,
    Signature,
    check_options,
    from_bfloat16,
    reason_of,
)
from edgecomp.runtimes.endpoints import Endpoint

TIMEOUT_S = 60.0  # of an answer
REFUSED = {"400", "404", "StatusCode.INVALID_ARGUMENT", "StatusCode.NOT_FOUND"}
"""Statuses that say what was wrong with the request; all else is the server's."""

TYPES = {
    "FP64": "float64", "FP32": "float32", "FP16": "float16", "BF16": "bfloat16", "INT64": "int64", "INT32": "int32", "INT16": "int16",
    "INT8": "int8", "UINT64": "uint64", "UINT32": "uint32", "UINT16": "uint16", "UINT8": "uint8", "BOOL": "bool", "BYTES": "string",
}  # fmt: skip
"""numpy's name of a data type of the protocol."""

DATATYPES = {name: datatype for datatype, name in TYPES.items()}


class KServeSession:
    """A model behind a server; each thread that asks has a connection of its own. server: what it says of itself."""

    concurrent = True
    remote = True  # what takes time is elsewhere, and has a queue of its own

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        try:
            self._client = importlib.import_module(f"tritonclient.{'grpc' if endpoint.is_grpc else 'http'}")
        except ImportError as error:
            raise RuntimeUnavailableError(f"a model behind a server is asked by tritonclient, which cannot be imported ({error}): "
                                          "pip install 'edgecomp[serving]'") from error  # fmt: skip
        self._local = threading.local()
        self._more: dict[str, Any] = {"client_timeout": TIMEOUT_S} if endpoint.is_grpc else {}
        self._as_json: dict[str, Any] = {"as_json": True, **self._more} if endpoint.is_grpc else {}
        try:
            self.server = self._server.get_server_metadata(**self._as_json)
            told = self._server.get_model_metadata(endpoint.model, endpoint.version, **self._as_json)
        except Exception as error:  # noqa: BLE001 - whatever the client raises, it is told as ours
            self.tell(error, loading=True)
        self._signature = _signature(endpoint, told)
        self.versions = [str(one) for one in told.get("versions", [])]
        self._inputs = {port.name: port for port in self._signature.inputs}

    def signature(self) -> Signature:
        return self._signature

    def run(self, batch: Mapping[str, Array]) -> dict[str, Array]:
        """The server's answer. batch: as in `Session.run`. Raises InferenceError where it refuses the request or answers with nonsense, DeviceError
        where it cannot be reached, takes too long, or is overloaded."""
        return self.read(self.send(self.prepared(batch)))

    def prepared(self, batch: Mapping[str, Array]) -> Any:
        """What `send` takes, so that a load generator makes it once: `batch` as a request."""
        try:
            inputs = [self._input(name, values) for name, values in batch.items()]
            if self.endpoint.is_grpc:
                return inputs
            body, length = self._client.InferenceServerClient.generate_request_body(inputs)
        except Exception as error:  # noqa: BLE001 - whatever the client raises, it is told as ours
            self.tell(error)
        return body, {"Inference-Header-Content-Length": str(length)} if length is not None else {}

    def send(self, request: Any) -> Any:
        """The answer to a `request` that `prepared` has made, for `read`, when its last byte is here. Raises as `run` does."""
        try:
            if self.endpoint.is_grpc:
                return self._server.infer(self.endpoint.model, request, self.endpoint.version, **self._more)
            return self._posted(*request)
        except Exception as error:  # noqa: BLE001 - whatever the client raises, it is told as ours
            self.tell(error)

    def read(self, answer: Any) -> dict[str, Array]:
        """The outputs in an `answer` of `send`: any thread's. Raises as `run` does."""
        try:
            found = (
                answer
                if self.endpoint.is_grpc
                else self._client.InferenceServerClient.parse_response_body(
                    answer[0], header_length=answer[1]
                )
            )
            outputs = {port.name: found.as_numpy(port.name) for port in self._signature.outputs}
        except Exception as error:  # noqa: BLE001 - whatever the client raises, it is told as ours
            self.tell(error)
        for port in self._signature.outputs:
            values = outputs[port.name]
            if values is None:
                raise InferenceError(
                    f"{self.endpoint.url} gave no output {port.name!r}, which its metadata names"
                )
            if port.shape is not None and not _fits(values.shape, port.shape):
                raise InferenceError(f"{self.endpoint.url}: output {port.name!r} is of {list(values.shape)}, and its metadata says "
                                     f"{[-1 if size is None else size for size in port.shape]}")  # fmt: skip
        return {name: _plain(values) for name, values in outputs.items()}

    def _posted(self, body: bytes, headers: Mapping[str, str]) -> tuple[bytes, int | None]:
        """An answer, and how long its header is, over this thread's connection: the standard library's, which costs half of what tritonclient's (gevent) does, and a load
        generator's cost is the server's on one machine. A connection that the server closed while it was idle is opened once more."""
        for attempt in range(2):
            connection = self._connection()
            is_new = connection.sock is None
            try:
                connection.request("POST", f"{self._path}/infer", body, dict(headers))
                answer = connection.getresponse()
                content = answer.read()
                break
            except (ConnectionError, http.client.HTTPException):
                connection.close()
                if is_new or attempt:
                    raise
            except OSError:
                connection.close()
                raise
        if answer.status != 200:
            utils = importlib.import_module("tritonclient.utils")
            raise utils.InferenceServerException(
                content.decode(errors="replace")[:400], status=str(answer.status)
            )
        length = answer.headers.get("Inference-Header-Content-Length")
        return content, None if length is None else int(length)

    def _connection(self) -> http.client.HTTPConnection:
        found: http.client.HTTPConnection | None = getattr(self._local, "connection", None)
        if found is None:
            kind = (
                http.client.HTTPSConnection if self.endpoint.scheme == "https" else http.client.HTTPConnection
            )
            found = self._local.connection = kind(self.endpoint.host, timeout=TIMEOUT_S)
        return found

    @property
    def _path(self) -> str:
        return self.endpoint.url.partition(self.endpoint.host)[2]

    def connect(self) -> None:
        """Has this thread connected before its first request. Raises DeviceError."""
        try:
            if self.endpoint.is_grpc:
                self._server.is_server_live(**self._more)
            elif (connection := self._connection()).sock is None:
                connection.connect()
        except Exception as error:  # noqa: BLE001 - whatever the client raises, it is told as ours
            self.tell(error)

    def close(self) -> None:
        """Of this thread's connections; others' end with their threads."""
        self._server.close()
        if not self.endpoint.is_grpc:
            self._connection().close()

    @property
    def _server(self) -> Any:
        """This thread's client."""
        found = getattr(self._local, "client", None)
        if found is None:
            times = (
                {}
                if self.endpoint.is_grpc
                else {"connection_timeout": TIMEOUT_S, "network_timeout": TIMEOUT_S}
            )
            found = self._local.client = self.client_with(**times)
        return found

    def client_with(self, **times: float) -> Any:
        """Another client of tritonclient's to the same server. times: its timeouts, seconds."""
        encrypted = endpoints.SCHEMES[self.endpoint.scheme]
        return self._client.InferenceServerClient(self.endpoint.host, ssl=encrypted, **times)

    def _input(self, name: str, values: Array) -> Any:
        port = self._inputs.get(name)
        datatype = DATATYPES[port.dtype] if port is not None and port.dtype else DATATYPES[values.dtype.name]
        made = self._client.InferInput(name, list(values.shape), datatype)
        if datatype == "BYTES":
            values = values.astype(object)
        made.set_data_from_numpy(
            from_bfloat16(values) if datatype == "BF16" else np.ascontiguousarray(values)
        )
        return made

    def tell(self, error: Exception, loading: bool = False) -> NoReturn:
        """Raises what the client raised, `error`, as an error of ours; loading: a model's metadata were asked for."""
        if isinstance(error, EdgecompError):
            raise error
        status = getattr(error, "status", lambda: None)()
        where = self.endpoint.url
        if loading and status in ("404", "StatusCode.NOT_FOUND", "400"):
            raise ModelFileError(
                f"{where}: the server has no such model that is ready{self._others()}: {reason_of(error)}"
            ) from error
        if status in REFUSED:
            raise InferenceError(f"{where}: {reason_of(error)}") from error
        if isinstance(error, ValueError | KeyError | TypeError | IndexError):  # of what it read
            raise InferenceError(
                f"{where} answered what is no answer: {type(error).__name__}: {reason_of(error)}"
            ) from error
        what = "the server refused" if status else "no answer"
        raise DeviceError(f"{where}: {what} ({type(error).__name__}: {reason_of(error) or 'it said nothing'}): is it running, and not overloaded?") from error  # fmt: skip

    def _others(self) -> str:
        """What it has, where it tells."""
        try:
            found = self._server.get_model_repository_index(**self._as_json)
        except Exception:  # noqa: BLE001 - an extension of the protocol, and here a courtesy
            return ""
        models = found.get("models", []) if isinstance(found, dict) else found
        names = sorted({one["name"] for one in models})
        if self.endpoint.model in names:  # it is there: why it does not serve, the server says where it knows
            said = {
                " ".join(filter(None, (one.get("state"), one.get("reason"))))
                for one in models
                if one["name"] == self.endpoint.model
            }
            return f"; it is in its repository: {'; '.join(sorted(filter(None, said))) or 'not loaded'}"
        return f"{nearest(self.endpoint.model, names)}; it has {', '.join(names) or 'none'}"


class Control:
    """Loads and unloads the models of a server (the protocol's extension for model repositories). endpoint: of one of them; within_s: for each."""

    def __init__(self, endpoint: Endpoint, within_s: float) -> None:
        self._session = KServeSession(endpoint)
        times = {} if endpoint.is_grpc else {"connection_timeout": within_s, "network_timeout": within_s}
        self._more: dict[str, Any] = {"client_timeout": within_s} if endpoint.is_grpc else {}
        self._client = self._session.client_with(**times)

    def load(self, name: str) -> None:
        """Has the server load the model called `name`, its newest version; it is warm when this returns. Raises InferenceError, DeviceError."""
        self._ask(self._client.load_model, name)

    def unload(self, name: str) -> None:
        """Has the server unload the model called `name`, once what it was asked is answered. Raises as `load`."""
        self._ask(self._client.unload_model, name)

    def _ask(self, what: Any, name: str) -> None:
        try:
            what(name, **self._more)
        except Exception as error:  # noqa: BLE001 - whatever the client raises, it is told as ours
            self._session.tell(error)


def _signature(endpoint: Endpoint, told: Any) -> Signature:
    try:
        inputs, outputs = (tuple(_port(one) for one in told.get(kind, [])) for kind in ("inputs", "outputs"))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ModelFileError(
            f"{endpoint.url}: what the server says of the model is no metadata ({type(error).__name__}: {error})"
        ) from error
    return Signature(inputs, outputs)


def _port(told: Mapping[str, Any]) -> Port:
    sizes = [int(size) for size in told["shape"]]
    return Port(
        str(told["name"]), tuple(None if size < 0 else size for size in sizes), TYPES[told["datatype"]]
    )


def _fits(shape: tuple[int, ...], wanted: tuple[int | None, ...]) -> bool:
    return len(shape) == len(wanted) and all(
        want in (None, size) for size, want in zip(shape, wanted, strict=True)
    )


def _plain(values: Array) -> Array:
    """Texts as texts."""
    if values.dtype.kind != "O":
        return values
    return np.asarray(
        [one.decode(errors="replace") if isinstance(one, bytes) else str(one) for one in values.ravel()]
    ).reshape(values.shape)


class KServe:
    name = "kserve"

    def __init__(self) -> None:
        self._server: dict[str, str] = {}

    def load(self, model: Path, *, threads: int, device: str = "cpu", options: Options) -> KServeSession:
        """A connection to the endpoint that the file `model` stands for. threads, device: the server's own affair; options: none are known.
        Raises RuntimeOptionError, ModelFileError, RuntimeUnavailableError, DeviceError."""
        check_options(self.name, options, {})
        session = KServeSession(endpoints.read(model))
        told = session.server if isinstance(session.server, dict) else {}
        if "name" in told:
            self._server = {str(told["name"]): str(told.get("version", ""))}
        return session

    def versions(self) -> dict[str, str]:
        """Of the client, and of the server that was asked last."""
        return {"tritonclient": metadata.version("tritonclient"), **self._server}


RUNTIME: Runtime = KServe()
