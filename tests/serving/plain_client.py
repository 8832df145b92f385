"""Another open loop, of the standard library alone, to hold `bench`'s against: 64 connections, each of which takes the next arrival.

python plain_client.py HOST:PORT MODEL IMAGES.npy ARRIVALS.npy LATENCIES.npy

Says `ready` when it is connected, begins when a line comes, and says at the end what its requests took of a CPU, in seconds.
"""

import http.client
import json
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np


def plainly(address: str, model: str, images: Any, due_ns: Any, begin: Callable[[], object]) -> Any:
    """Another open loop, of the standard library alone: 64 connections, each of which takes the next arrival. Returns latencies, ns, from when each came.
    begin: is called once all are connected, and returns when the first second begins."""
    host, port = address.split(":")
    header = {"inputs": [{"name": "image", "datatype": "UINT8", "shape": [1, *images.shape[1:]], "parameters": {"binary_data_size": images[:1].nbytes}}],
              "parameters": {"binary_data_output": True}}  # fmt: skip
    text = json.dumps(header).encode()
    bodies = [text + images[place : place + 1].tobytes() for place in range(len(images))]
    headers = {"Inference-Header-Content-Length": str(len(text))}
    places, lock = iter(range(len(due_ns))), threading.Lock()
    latencies = np.zeros(len(due_ns), np.int64)
    ready, origin = threading.Barrier(65), [0]

    def work() -> None:
        connection = http.client.HTTPConnection(host, int(port))
        connection.connect()
        ready.wait()
        ready.wait()
        while True:
            with lock:
                place = next(places, None)
            if place is None:
                break
            due = origin[0] + int(due_ns[place])
            while (left := due - time.perf_counter_ns()) > 0:
                time.sleep(left / 1e9)
            connection.request("POST", f"/v2/models/{model}/infer", bodies[place % len(bodies)], headers)
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 200
            latencies[place] = time.perf_counter_ns() - due
        connection.close()

    threads = [threading.Thread(target=work, daemon=True) for _ in range(64)]
    for thread in threads:
        thread.start()
    ready.wait()
    begin()
    origin[0] = time.perf_counter_ns()
    ready.wait()
    for thread in threads:
        thread.join()
    return latencies


def begun() -> None:
    print("ready", flush=True)
    sys.stdin.readline()


if __name__ == "__main__":
    address, model, images, arrivals, latencies = sys.argv[1:]
    before = time.process_time()
    np.save(latencies, plainly(address, model, np.load(images), np.load(arrivals), begun))
    print(time.process_time() - before, flush=True)
