"""A small KServe v2 server in this process, of a model that doubles its input: for what a real server does rarely. It speaks HTTP, JSON and binary data."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np


@dataclass
class Behaviour:
    """How it misbehaves. Of a request, by its number from 1 on: busy: answered 503; cut: the connection is closed without an answer; wrong: answered
    otherwise; shape: an output with a row too many; nonsense: no JSON. slow_s: before each answer. takes: as its metadata says it."""

    busy: Any = ()
    cut: Any = ()
    wrong: Any = ()
    shape: Any = ()
    nonsense: Any = ()
    slow_s: float = 0.0
    takes: str = "x"
    version: str = "1"
    ready: bool = True
    count: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


class Every:
    """Contains every number from `first` on."""

    def __init__(self, first: int = 1) -> None:
        self.first = first

    def __contains__(self, number: int) -> bool:
        return number >= self.first


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    behaviour: Behaviour

    def log_message(self, *_: Any) -> None:
        pass

    def say(self, content: Any, status: int = 200, binary: bytes = b"") -> None:
        text = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text) + len(binary)))
        if binary:
            self.send_header("Inference-Header-Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text + binary)

    def do_GET(self) -> None:
        told = self.behaviour
        if self.path == "/v2":
            self.say({"name": "fake", "version": "1", "extensions": []})
        elif self.path.startswith("/v2/models/double") and told.ready:
            ports = {"datatype": "FP32", "shape": [-1, 4]}
            self.say({"name": "double", "versions": [told.version], "platform": "fake",
                      "inputs": [{"name": told.takes, **ports}], "outputs": [{"name": "y", **ports}]})  # fmt: skip
        else:
            self.say({"error": "Request for unknown model"}, 404)

    def do_POST(self) -> None:
        told, body = self.behaviour, self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/v2/repository/index":
            self.say([{"name": "double", "version": "1", "state": "READY"}])
            return
        header = int(self.headers.get("Inference-Header-Content-Length", len(body)))
        asked = json.loads(body[:header])["inputs"][0]
        with told.lock:
            told.count += 1
            number = told.count
        time.sleep(told.slow_s)
        if number in told.busy:
            self.say({"error": "overloaded"}, 503)
        elif number in told.cut:
            self.close_connection = True
            self.connection.close()
        elif number in told.nonsense:
            self.say(b"<html>")
        elif asked["name"] != told.takes:
            self.say({"error": f"unexpected inference input '{asked['name']}'"}, 400)
        else:
            values = np.frombuffer(body[header:], np.float32).reshape(asked["shape"]) * (
                3 if number in told.wrong else 2
            )
            rows = values.shape[0] + (1 if number in told.shape else 0)
            output = {
                "name": "y",
                "datatype": "FP32",
                "shape": [rows, 4],
                "parameters": {"binary_data_size": values.nbytes},
            }
            self.say(
                {"model_name": "double", "model_version": told.version, "outputs": [output]},
                binary=values.astype(np.float32).tobytes(),
            )


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = (
        128  # of five, the default, many clients that connect at once are reset on a busy machine
    )


@contextmanager
def serving(behaviour: Behaviour | None = None) -> Iterator[tuple[str, Behaviour]]:
    """The address of the model `double`, and how it behaves, which may be changed meanwhile."""
    told = behaviour or Behaviour()

    class Own(Handler):
        pass

    Own.behaviour = told
    with Server(("127.0.0.1", 0), Own) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/v2/models/double", told
        finally:
            server.shutdown()
            thread.join()
