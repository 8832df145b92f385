"""A service on 127.0.0.1 that speaks OpenAI's protocol, and misbehaves where a test says so."""

import json
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Service:
    """Speaks OpenAI's protocol on 127.0.0.1. `misbehave` is given the number of the request and its content, and returns what goes wrong, or nothing."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.headers: list[Mapping[str, str]] = []
        self.misbehave: Callable[[int, dict[str, Any]], str | None] = lambda number, content: None
        self.model = "small-1"
        self.says: Callable[[str], str] = lambda prompt: "good" if "is good" in prompt else "bad"
        self.ends: Callable[[str], str] = lambda said: "stop"
        self._lock = threading.Lock()
        service = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: Any) -> None:
                pass

            def do_POST(self) -> None:
                content = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with service._lock:
                    number = len(service.asked)
                    service.asked.append(content)
                    service.headers.append(dict(self.headers))
                self.answer(service.misbehave(number, content), content)

            def answer(self, wrong: str | None, content: dict[str, Any]) -> None:
                if wrong is not None and wrong.isdigit():
                    header = (
                        {"Retry-After": "7"}
                        if wrong == "429"
                        else {"Location": "http://127.0.0.1:9/"}
                        if wrong == "307"
                        else {}
                    )
                    self.send(
                        int(wrong),
                        json.dumps({"error": {"message": f"no, {self.headers['Authorization']}"}}).encode(),
                        header,
                    )
                elif wrong == "cut":
                    self.send_response(200)
                    self.send_header("Content-Length", "5000")
                    self.end_headers()
                    self.wfile.write(b'{"choices": [')
                elif wrong == "gone":
                    self.connection.close()
                elif wrong == "garbage":
                    self.send(200, b"<html>try again</html>")
                elif wrong == "slow":
                    threading.Event().wait(0.5)
                else:
                    self.send(200, json.dumps(service.content(content, wrong)).encode())

            def send(self, status: int, body: bytes, header: Mapping[str, str] | None = None) -> None:
                self.send_response(status)
                for name, value in (header or {}).items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        class Server(ThreadingHTTPServer):
            request_queue_size = (
                128  # of five, the default, clients that connect at once are reset on a busy machine
            )

        self.server = Server(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"
        threading.Thread(
            target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
        ).start()

    def content(self, asked: dict[str, Any], wrong: str | None) -> Any:
        if wrong == "list":
            return []
        prompt = asked["messages"][-1]["content"] if "messages" in asked else str(asked.get("prompt"))
        said = self.says(prompt)
        choice: dict[str, Any] = {
            "message": {"content": said},
            "text": said,
            "finish_reason": self.ends(said),
        }
        if "top_logprobs" in asked and wrong != "no logprobs":
            top = [
                {"token": " " + said[:2], "logprob": -0.1},
                {"token": "ba" if said == "good" else "go", "logprob": -2.4},
                {"token": "x", "logprob": -5.0},
            ]
            choice["logprobs"] = {"content": [{"top_logprobs": top}]}
        choices = {"two": [choice, choice], "none": []}.get(wrong or "", [choice])
        return {
            "model": self.model,
            "choices": choices,
            "usage": {"prompt_tokens": 10, "completion_tokens": 1},
        }
