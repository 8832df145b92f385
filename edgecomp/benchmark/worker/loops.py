"""What a worker does while the clock runs, in MLPerf's terms (Reddi et al. 2020, arXiv:1911.02549).

Nothing is known here of a model, a runtime or a device; clocks are arguments, so that a simulation runs these very loops.
"""

import threading
import time
from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from edgecomp.errors import EdgecompError

Feed = Mapping[str, Any]
Run = Callable[[Feed], Mapping[str, Any]]

SPIN_NS = 200_000  # a sleep is not trusted to end closer than that


class Clocks(NamedTuple):
    """wall, cpu: nanoseconds; sleep: seconds."""

    wall: Callable[[], int] = time.perf_counter_ns
    cpu: Callable[[], int] = time.process_time_ns
    sleep: Callable[[float], None] = time.sleep


REAL = Clocks()


def single_stream(
    run: Run, feeds: Sequence[Feed], count: int, clocks: Clocks = REAL, first: int = 0
) -> tuple[list[int], list[int], Mapping[str, Any]]:
    """One example after another: wall_ns and cpu_ns of each, and the last one's outputs. run: the model;
    feeds: taken in turn, `count` times, beginning with the one at the place `first`; clocks: to read.

    The CPU clock is read once a call, for a reading is a system call of 0.8 µs: a call's CPU time begins
    where the last one's ended.
    """
    wall, cpu, _ = clocks
    walls, cpus = [0] * count, [0] * count
    outputs: Mapping[str, Any] = run(
        feeds[(first - 1) % len(feeds)]
    )  # after a switch of processes; not recorded
    cpu_begin = cpu()
    for index in range(count):
        feed = feeds[(first + index) % len(feeds)]
        begin = wall()
        outputs = run(feed)
        end = wall()
        cpu_end = cpu()
        walls[index], cpus[index] = end - begin, cpu_end - cpu_begin
        cpu_begin = cpu_end
    return walls, cpus, outputs


def queries(run: Run, feed: Feed, count: int, clocks: Clocks = REAL) -> tuple[list[int], list[int]]:
    """wall_ns and cpu_ns of each of `count` queries of one batch, `feed`, of the model `run`, by `clocks`:
    offline, and multi stream."""
    walls, cpus, _ = single_stream(run, [feed], count, clocks)
    return walls, cpus


def harness_ns(count: int = 2000, clocks: Clocks = REAL) -> float:
    """What a call costs in `single_stream` over a bare loop, of a model that does nothing, by `clocks`: the
    mean of `count` calls. It is recorded, and subtracted from nothing."""

    def nothing(feed: Feed) -> Feed:
        return feed

    feeds: list[Feed] = [{}]
    begin = clocks.wall()
    single_stream(nothing, feeds, count, clocks)
    middle = clocks.wall()
    for _ in range(count):
        nothing(feeds[0])
    return ((middle - begin) - (clocks.wall() - middle)) / count


class Served(NamedTuple):
    """latency_ns of each request from its arrival to its answer, in order; `batches` are how many were answered at once."""

    latency_ns: list[int]
    batches: list[int]
    elapsed_ns: int


def serve(
    run: Run,
    feed_of: Callable[[int], Feed],
    arrivals_ns: Sequence[int],
    *,
    most: int = 1,
    delay_ns: int = 0,
    clocks: Clocks = REAL,
) -> Served:
    """An open loop: requests come when they come, whether or not the last one is answered (MLPerf's server
    scenario).

    run: the model; feed_of: a number of requests → what it is fed for them; arrivals_ns: since the start, in
    order. One queue, first come first served. With `most` over 1 what waits is answered together, at most so
    many; a batch that is not full waits up to `delay_ns` after its first request (dynamic batching). clocks:
    to read, and to sleep by.
    """
    wall, _, sleep = clocks
    latencies, batches = [0] * len(arrivals_ns), []
    origin, first, total = wall(), 0, len(arrivals_ns)
    while first < total:
        due = arrivals_ns[first]
        if most > 1 and delay_ns:
            full = arrivals_ns[min(first + most, total) - 1]
            due = min(full, due + delay_ns)
        while (now := wall() - origin) < due:
            if due - now > 2 * SPIN_NS:
                sleep((due - now - SPIN_NS) / 1e9)
        last = first + 1
        while last < min(first + most, total) and arrivals_ns[last] <= now:
            last += 1
        run(feed_of(last - first))
        end = wall() - origin
        for index in range(first, last):
            latencies[index] = end - arrivals_ns[index]
        batches.append(last - first)
        first = last
    return Served(latencies, batches, wall() - origin)


class Sent(NamedTuple):
    """latency_ns of each request from its arrival to its answer, in order, -1 of one that failed; late_ns: how much later than it came each was
    sent; wrong: answers that are not the single client's; errors: how often each was met; most_at_once: requests that were under way together."""

    latency_ns: list[int]
    late_ns: list[int]
    wrong: int
    errors: dict[str, int]
    most_at_once: int
    elapsed_ns: int


def sent(
    connect: Callable[[], Callable[[Any], Any]],
    read: Callable[[Any], Mapping[str, Any]],
    connections: int,
    feeds: Sequence[Any],
    same: Callable[[int, Mapping[str, Any]], bool],
    arrivals_ns: Sequence[int],
    clocks: Clocks = REAL,
) -> Sent:
    """An open loop against what has a queue of its own, a server: every request is sent when it comes, over a connection of its own.

    connect: opens one of so many `connections`, in the thread that uses it, before the first request comes; a request that finds none free waits
    for one, and its latency counts from when it came. read: the outputs in an answer, when all are there: what reading costs would be the server's
    latency, and on one machine its CPU; feeds: asked in turn;
    `same(feed's place, outputs)`: whether an answer is right; arrivals_ns: since the start, in order; clocks: to read, and to sleep by. Nothing
    spins: on one machine the server would lack that CPU.
    """
    wall, _, sleep = clocks
    count = len(arrivals_ns)
    latencies, late, errors = [-1] * count, [0] * count, dict[str, int]()
    lock, places = threading.Lock(), iter(range(count))
    under_way = most = origin = 0
    answered: list[tuple[int, int, Any]] = []  # looked at once the clock has stopped
    failures: list[Exception] = []

    def begin() -> None:
        nonlocal origin
        origin = wall()

    ready = threading.Barrier(connections, begin)

    def count_failure(error: Exception) -> None:
        said = f"{type(error).__name__}: {error}"[:300]
        if said in errors or len(errors) < 10:
            errors[said] = errors.get(said, 0) + 1

    def work() -> None:
        nonlocal under_way, most
        try:
            run = connect()
            ready.wait()
        except (
            EdgecompError,
            MemoryError,
            OSError,
            RuntimeError,
        ) as error:  # with fewer connections it would be another load
            failures.append(error)
            ready.abort()
            return
        while True:
            with lock:
                place = next(places, None)
            if place is None:
                return
            due, feed = origin + arrivals_ns[place], place % len(feeds)
            while (now := wall()) < due:
                sleep((due - now) / 1e9)
            late[place] = now - due
            with lock:
                under_way += 1
                most = max(most, under_way)
            failed: Exception | None = None
            answer = None
            try:
                answer = run(feeds[feed])
            except (EdgecompError, MemoryError) as error:
                failed = error
            end = wall()
            with lock:
                under_way -= 1
                if failed is None:
                    latencies[place] = end - due
                    answered.append((place, feed, answer))
                else:
                    count_failure(failed)

    threads = [threading.Thread(target=work, daemon=True) for _ in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    elapsed = wall() - origin
    wrong = 0
    for place, feed, answer in answered:
        try:
            wrong += not same(feed, read(answer))
        except EdgecompError as error:
            latencies[place] = -1
            count_failure(error)
    if failures:
        raise next(
            (one for one in failures if not isinstance(one, threading.BrokenBarrierError)), failures[0]
        )
    return Sent(latencies, late, wrong, errors, most, elapsed)


@dataclass
class Client:
    """What one client of a stress run saw. wrong: answers that are not the single client's."""

    wall_ns: "array[int]" = field(default_factory=lambda: array("q"))
    begin_ns: "array[int]" = field(default_factory=lambda: array("q"))
    wrong: int = 0
    errors: list[str] = field(default_factory=list)


def stress(
    runs: Sequence[Run],
    feeds: Sequence[Feed],
    same: Callable[[int, Mapping[str, Any]], bool],
    seconds: float,
    sample: Callable[[], int],
    every_s: float,
    clocks: Clocks = REAL,
) -> tuple[list[Client], list[tuple[int, int, int]]]:
    """As many clients at once as there are `runs`, each asking the `feeds` in turn without a pause for so
    many `seconds`, by `clocks`.

    `same(feed's place, outputs)` says whether an answer is right; `sample()` gives bytes of memory, taken
    every `every_s` seconds with the time (ns) and the requests so far. A client that meets an error goes on,
    up to ten errors.
    """
    wall, _, sleep = clocks
    clients = [Client() for _ in runs]
    origin = wall()
    stop = threading.Event()

    def work(client: Client, run: Run, place: int) -> None:
        while not stop.is_set() and len(client.errors) < 10:
            place = (place + 1) % len(feeds)
            begin = wall()
            try:
                outputs = run(feeds[place])
            except (EdgecompError, MemoryError) as error:
                client.errors.append(f"{type(error).__name__}: {error}"[:300])
                continue
            client.wall_ns.append(wall() - begin)
            client.begin_ns.append(begin - origin)
            client.wrong += not same(place, outputs)

    threads = [
        threading.Thread(target=work, args=(client, run, index), daemon=True)
        for index, (client, run) in enumerate(zip(clients, runs, strict=True))
    ]
    held = []
    for thread in threads:
        thread.start()
    while (now := wall() - origin) < seconds * 1e9 and any(thread.is_alive() for thread in threads):
        held.append((now, sum(len(client.wall_ns) for client in clients), sample()))
        sleep(every_s)
    stop.set()
    for thread in threads:
        thread.join()
    held.append((wall() - origin, sum(len(client.wall_ns) for client in clients), sample()))
    return clients, held
