"""The timed loops, against a runtime whose latency is known, on a clock that is its own."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from edgecomp.benchmark.worker.loops import Clocks, queries, serve, single_stream, stress
from edgecomp.errors import InferenceError
from edgecomp.runtimes.fake import Behaviour, FakeSession

X = {"x": np.ones((1, 4), np.float32)}


class Clock:
    """Time that passes only where it is spent."""

    def __init__(self, step_ns: int = 1) -> None:
        self.wall_ns, self.cpu_ns, self.step_ns = 0, 0, step_ns

    def spend(self, ns: int) -> None:
        self.wall_ns += ns
        self.cpu_ns += ns

    def sleep(self, seconds: float) -> None:
        self.wall_ns += round(seconds * 1e9)

    def wall(self) -> int:
        self.wall_ns += self.step_ns  # reading it takes time as well
        return self.wall_ns

    @property
    def clocks(self) -> Clocks:
        return Clocks(self.wall, lambda: self.cpu_ns, self.sleep)


def test_single_stream_records_each_latency_and_not_the_first_after_a_switch() -> None:
    clock, spent = Clock(), iter([10**9, *range(1000, 6000, 1000)])

    def run(feed: Mapping[str, Any]) -> Mapping[str, Any]:
        clock.spend(next(spent))
        return {"y": feed["place"]}

    feeds = [{"place": place} for place in range(3)]
    walls, cpus, outputs = single_stream(run, feeds, 5, clock.clocks, first=2)
    assert cpus == [1000, 2000, 3000, 4000, 5000]
    assert [wall - cpu for wall, cpu in zip(walls, cpus, strict=True)] == [1] * 5
    assert outputs == {"y": (2 + 4) % 3}


def test_a_wait_is_wall_time_and_not_cpu_time() -> None:
    clock = Clock()
    session = FakeSession(Behaviour(latency_ns=5000), lambda ns: clock.sleep(ns / 1e9))
    walls, cpus = queries(session.run, X, 4, clock.clocks)
    assert cpus == [0] * 4
    assert walls == [5001] * 4


class TestServer:
    def served(self, arrivals: list[int], latency_ns: int, step_ns: int = 1, **how: Any) -> Any:
        clock = Clock(step_ns)
        session = FakeSession(Behaviour(latency_ns=latency_ns), clock.spend)
        return serve(
            session.run,
            lambda size: {"x": np.ones((size, 4), np.float32)},
            arrivals,
            clocks=clock.clocks,
            **how,
        )

    def test_a_request_that_waits_counts_from_its_arrival(self) -> None:
        """Three at once, each of 1 ms: 1, 2 and 3 ms. One alone, later: 1 ms."""
        served = self.served([0, 0, 0, 10_000_000], 1_000_000)
        assert np.round(np.array(served.latency_ns) / 1e6, 2).tolist() == [1, 2, 3, 1]
        assert served.batches == [1, 1, 1, 1]

    def test_an_idle_server_does_not_answer_before_a_request_comes(self) -> None:
        served = self.served([5_000_000], 1_000_000)
        assert served.latency_ns[0] == pytest.approx(1_000_000, abs=100)
        assert served.elapsed_ns >= 6_000_000

    def test_what_waits_is_answered_together(self) -> None:
        served = self.served([0, 100, 200, 300, 400], 1_000_000, most=4)
        assert served.batches == [1, 4]
        assert max(served.latency_ns) == pytest.approx(2_000_000, rel=0.01)

    def test_a_batch_waits_for_its_delay_or_until_it_is_full(self) -> None:
        waiting = self.served([0, 1_000_000], 10_000, most=2, delay_ns=5_000_000)
        assert waiting.batches == [2]
        assert waiting.latency_ns[0] == pytest.approx(1_010_000, rel=0.01)
        given_up = self.served([0, 50_000_000], 10_000, most=2, delay_ns=5_000_000)
        assert given_up.batches == [1, 1]
        assert given_up.latency_ns[0] == pytest.approx(5_010_000, rel=0.01)

    def test_the_mean_wait_is_that_of_queueing_theory(self) -> None:
        """M/D/1 at a load of .5: half a service time (Pollaczek 1930, Khinchine 1932)."""
        random = np.random.default_rng(0)
        arrivals = np.cumsum(random.exponential(2_000_000, 20_000)).astype(int).tolist()
        served = self.served(arrivals, 1_000_000, step_ns=5000)
        wait = np.mean(served.latency_ns) - 1_000_000
        assert wait == pytest.approx(500_000, rel=0.05)


class TestStress:
    def run(self, behaviour: Behaviour, clients: int = 3, seconds: float = 0.3) -> Any:
        session = FakeSession(behaviour, lambda ns: None)
        return stress(
            [session.run] * clients,
            [X],
            lambda place, outputs: bool((outputs["y"] == 2).all()),
            seconds,
            lambda: session.leaked,
            0.01,
        )

    def test_right_answers_are_not_complained_of(self) -> None:
        clients, held = self.run(Behaviour())
        assert all(len(client.wall_ns) > 10 and not client.wrong and not client.errors for client in clients)
        assert held[-1][1] == sum(len(client.wall_ns) for client in clients)

    def test_a_race_shows(self) -> None:
        clients, _ = self.run(Behaviour(wrong_after=50))
        assert sum(client.wrong for client in clients) > 0

    def test_memory_is_sampled_beside_the_requests(self) -> None:
        _, held = self.run(Behaviour(leak_bytes=1000))
        _, requests, leaked = held[-1]
        assert leaked >= 1000 * requests > 0

    def test_a_client_that_only_meets_errors_stops(self) -> None:
        def run(feed: Mapping[str, Any]) -> Mapping[str, Any]:
            raise InferenceError("no")

        clients, _ = stress([run], [X], lambda *_: True, 5.0, lambda: 0, 0.01)
        assert clients[0].errors == ["InferenceError: no"] * 10
