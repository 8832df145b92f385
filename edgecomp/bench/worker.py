"""A benchmark process: one model, its runtime, numpy, and nothing else.

Started as `python -m edgecomp.bench.worker JOB` with a JSON job: runtime, model, threads, options, inputs.
It loads the model, answers once, says so, and then obeys one JSON command a line until its input ends:

    single_stream  count                → wall_ns and cpu_ns of each inference, one example at a time
    offline        count, batch         → wall_ns of each batch
    outputs        inputs, to, batch    → the first output of every example, in a .npy file
    memory                              → what the process holds now

Replies go to the file descriptor the job names, so that no library's chatter can garble them.
"""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any, TextIO

from edgecomp.bench.memory import snapshot
from edgecomp.errors import EdgecompError

DISTINCT_INPUTS = 16


def main() -> None:
    job = json.loads(sys.argv[1])
    replies = os.fdopen(job["replies"], "w", buffering=1)
    try:
        _serve(job, replies)
    except EdgecompError as error:
        _say(replies, {"error": str(error), "kind": type(error).__name__})
        sys.exit(1)
    except MemoryError:
        _say(replies, {"error": "out of memory", "kind": "MemoryError"})
        sys.exit(1)


def _serve(job: dict[str, Any], replies: TextIO) -> None:
    import numpy as np

    from edgecomp import inputs, runtimes

    runtime = runtimes.adapter(job["runtime"])
    imported = time.perf_counter_ns()
    memory = {"imports": snapshot()}
    examples = inputs.load(Path(job["inputs"]))

    begin = time.perf_counter_ns()
    session = runtime.load(Path(job["model"]), threads=job["threads"], options=job["options"])
    load_ns = time.perf_counter_ns() - begin
    memory["load"] = snapshot()

    signature = session.signature()
    names = [port.name for port in signature.inputs]

    def feed_of(examples: inputs.Inputs, chosen: Any) -> dict[str, Any]:
        """Some examples, without the padding they share, under the names that this file has for its inputs."""
        fed = inputs.trimmed(inputs.some(examples, chosen))
        known = fed if set(fed) == set(names) else dict(zip(names, fed.values(), strict=True))
        return {name: np.ascontiguousarray(values) for name, values in known.items()}

    feeds = [feed_of(examples, slice(i, i + 1)) for i in range(min(DISTINCT_INPUTS, inputs.count(examples)))]
    begin = time.perf_counter_ns()
    session.run(feeds[0])
    first_ns = time.perf_counter_ns() - begin
    memory["first_run"] = snapshot()
    _say(
        replies,
        {
            "imported_at_ns": imported,
            "load_ns": load_ns,
            "first_run_ns": first_ns,
            "memory": memory,
            "signature": [[port._asdict() for port in ports] for ports in signature],
            "versions": runtime.versions(),
        },
    )
    wall, cpu, run = time.perf_counter_ns, time.process_time_ns, session.run
    for line in sys.stdin:
        command = json.loads(line)
        action = command["do"]
        if action == "single_stream":
            walls, cpus = [], []
            run(feeds[0])  # after the switch from another worker; not recorded
            for index in range(command["count"]):
                feed = feeds[index % len(feeds)]
                cpu_begin = cpu()
                begin = wall()
                run(feed)
                walls.append(wall() - begin)
                cpus.append(cpu() - cpu_begin)
            _say(replies, {"wall_ns": walls, "cpu_ns": cpus})
        elif action == "offline":
            feed = feed_of(examples, np.arange(command["batch"]) % inputs.count(examples))
            walls = []
            run(feed)  # this shape's first run; not recorded
            for _ in range(command["count"]):
                begin = wall()
                run(feed)
                walls.append(wall() - begin)
            _say(replies, {"wall_ns": walls})
        elif action == "outputs":
            asked, size = inputs.load(Path(command["inputs"])), command["batch"]
            parts = [
                next(iter(run(feed_of(asked, slice(i, i + size))).values())).copy()
                for i in range(0, inputs.count(asked), size)
            ]
            np.save(command["to"], np.concatenate(parts))
            _say(replies, {})
        elif action == "memory":
            _say(replies, {"memory": snapshot()})
    session.close()


def _say(replies: TextIO, content: dict[str, Any]) -> None:
    replies.write(json.dumps(content) + "\n")


if __name__ == "__main__":
    main()
