"""A benchmark process: one model, its runtime, numpy, and nothing else.

Started as `python -m edgecomp.benchmark.worker.main JOB` with a JSON job: runtime, model, threads, cores, options, inputs, rows (examples at once), trusted (the model's file
may run code), sealed (pipes that an encrypted model comes through, its file first and then its weights), slowdown (a share of extra work, for a trial of the measuring itself), parent (a pipe whose other end closes with whoever asks). It says which phase it enters (imports, load, first_run), answers once, says what that took, and then obeys one JSON command a line until
its input ends:

    single_stream  count                       → wall_ns and cpu_ns of each inference, one example at a time
    offline        count, batch                → wall_ns and cpu_ns of each batch
    stream         lines, how, seconds, to     → wall_ns and cpu_ns of each pass over the lines of a text file, which become inputs by max_bytes or tokenizer
    stream_arriving  lines, arrivals, most     → latency_ns of each line of an open loop
    serve          arrivals, most, delay_ns    → latency_ns of each request of an open loop (arrivals: a .npy file)
    stress         clients, seconds, every_s   → many at once: latencies, errors, wrong answers, memory (to: an .npz file)
    repeated       count                       → cpu_ns of each input asked again, and of fresh ones like it
    harness                                    → ns that a call costs in these loops, of a model that does nothing
    generate       count, tokens               → at_ns of each token of each text that is generated, of a language model
    forced         inputs, to                  → of each place of each text the log-probability of the token that comes, and the likeliest
    said           inputs, to                  → of each place the logits of all tokens
    outputs        inputs, to, batch, judged   → every output of every example, in a file of edgecomp.benchmark.worker.answers
    profile        runs                        → time by layer, by the runtime's own clock
    pin            cores                       → threads that work on a core each, from now on
    memory                                     → what the process holds now; the high-water mark begins anew

Replies go to the file descriptor the job names, so that no library's chatter can garble them.
"""

import fcntl
import json
import os
import select
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgecomp.benchmark.worker import memory
from edgecomp.benchmark.worker.station import Station, loaded
from edgecomp.errors import EdgecompError, InferenceError

DISTINCT_INPUTS = 16


def main() -> None:
    job = json.loads(sys.argv[1])
    _end_with(job["parent"])
    replies = os.fdopen(job["replies"], "w", buffering=1)

    def say(content: dict[str, Any]) -> None:
        replies.write(json.dumps(content) + "\n")

    try:
        _serve(job, say)
    except EdgecompError as error:
        say({"error": str(error), "kind": type(error).__name__})
        sys.exit(1)
    except MemoryError:
        say({"error": "out of memory", "kind": "MemoryError"})
        sys.exit(1)


def _end_with(parent: int) -> None:
    """Has the kernel kill this process, also where it hangs, when the pipe's other end closes (fcntl(2), F_SETSIG).

    PR_SET_PDEATHSIG would follow the thread that has started it, and a thread may end before.
    """
    fcntl.fcntl(parent, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(parent, fcntl.F_SETSIG, signal.SIGKILL)
    fcntl.fcntl(parent, fcntl.F_SETFL, os.O_ASYNC)
    if select.select([parent], [], [], 0)[0]:  # it was closed before
        sys.exit(1)


def _serve(job: dict[str, Any], say: Callable[[dict[str, Any]], None]) -> None:
    if job["cores"]:
        os.sched_setaffinity(0, job["cores"])
    say({"phase": "imports"})
    import numpy as np

    from edgecomp import inputs, runtimes

    runtime = runtimes.adapter(job["runtime"])
    imported = time.perf_counter_ns()
    held = {"imports": memory.snapshot()}

    say({"phase": "load"})
    begin = time.perf_counter_ns()
    session = loaded(runtime, job)
    load_ns = time.perf_counter_ns() - begin - getattr(session, "checked_ns", 0)
    held["load"] = memory.snapshot()

    signature = session.signature()
    names = [port.name for port in signature.inputs]
    told = {
        "imported_at_ns": imported,
        "load_ns": load_ns,
        "memory": held,
        "signature": [[port._asdict() for port in ports] for ports in signature],
        "versions": runtime.versions(),
        "cores": sorted(os.sched_getaffinity(0)),
    }
    if job["inputs"] is None:
        say(told)
        return
    rows = job["rows"]
    examples, axes = inputs.load(Path(job["inputs"])), inputs.load_axes(Path(job["inputs"]))
    lengths_are_free = all(
        port.shape is None or len(port.shape) < 2 or port.shape[1] is None for port in signature.inputs
    )

    def feed_of(examples: inputs.Inputs, chosen: Any, trimmed: bool = True) -> dict[str, Any]:
        """Some examples, without the padding they share where the file takes any length, under the names that this file has for its
        inputs, each as it takes it."""
        fed = inputs.some(examples, chosen)
        fed = inputs.trimmed(fed) if trimmed and lengths_are_free else fed
        known = fed if set(fed) == set(names) else dict(zip(names, fed.values(), strict=True))
        return {
            name: np.asarray(along(values, axes.get(name, 0)), order="C") for name, values in known.items()
        }

    def along(values: Any, axis: int | None) -> Any:
        return values[0] if axis is None else np.moveaxis(values, 0, axis) if axis else values

    distinct = min(DISTINCT_INPUTS, inputs.count(examples) // rows)
    feeds = [feed_of(examples, slice(rows * i, rows * (i + 1))) for i in range(distinct)]
    say({"phase": "first_run"})
    begin = time.perf_counter_ns()
    session.run(feeds[0])
    first_ns = time.perf_counter_ns() - begin
    held["first_run"] = memory.snapshot()
    if job["slowdown"]:
        from edgecomp.benchmark.worker.injected import Slowed

        session = Slowed(session, job["slowdown"])
    say(told | {"first_run_ns": first_ns, "phase": "steady"})
    station = Station(job, runtime, session, examples, feeds, feed_of, axes)
    for line in sys.stdin:
        command = json.loads(line)
        try:
            say(station.obey(command))
        except InferenceError as error:  # of what it was asked: it may be asked something else
            say({"error": str(error), "kind": type(error).__name__})
    session.close()


if __name__ == "__main__":
    main()
