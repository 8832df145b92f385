"""A real Triton serves what `prepare server` has written, and `bench` measures it as a plain client does."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import psutil
import pytest
from triton_server import Served, triton

import edgecomp
from edgecomp import serving_folder
from edgecomp.benchmark import result
from edgecomp.benchmark.hosts.process import Place
from edgecomp.benchmark.scenarios import served as scenario
from edgecomp.config.target import load_target
from edgecomp.errors import EdgecompError, ModelFileError
from edgecomp.files.array_files import read_npy
from edgecomp.inputs import save
from edgecomp.runtimes import adapter, endpoints
from edgecomp.runtimes.kserve import Control

ROUNDS = 24  # of a load that is judged: p50 over 459 requests varies by 6 % from round to round, of two plain clients side by side
SHOWN = 6  # of one that is shown
REQUESTS = 459


class Asked(NamedTuple):
    """place, model: of our client; folder: with its inputs; images: the plain one's; capacity: requests a second."""

    place: Place
    model: Path
    folder: Path
    images: Path
    capacity: float


@pytest.mark.parametrize("grpc", [False, True])
@pytest.mark.parametrize("name", ["pictures", "others"])
def test_it_answers_as_the_deployed_model_does(
    server: Served, deployed: Path, name: str, grpc: bool, tmp_path: Path
) -> None:
    images = read_npy(deployed / "sample.npy")
    session = adapter("kserve").load(
        endpoints.written(server.model(name, grpc), tmp_path), threads=1, options={}
    )
    found = session.run({"image": images})
    session.close()
    own = adapter("onnxruntime-cpu").load(deployed / "model.onnx", threads=1, options={})
    expected = own.run(
        {"input": ((images.astype(np.float32) / np.float32(255)) - np.float32(0.5)) / np.float32(0.25)}
    )["logits"]
    np.testing.assert_allclose(found["logits"], expected, rtol=1e-4, atol=1e-4)
    labels = (deployed / "labels.txt").read_text(encoding="utf-8").split()
    assert found["label"].ravel().tolist() == [labels[place] for place in expected.argmax(axis=1)]
    assert adapter("kserve").versions()["triton"].startswith("2.")


def test_a_model_that_is_in_two_repositories_is_told_and_not_measured(
    deployed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody knows which of them serves."""
    monkeypatch.chdir(tmp_path)
    for folder, names in (("one", ("twice", "once")), ("other", ("twice",))):
        for name in names:
            serving_folder(deployed, tmp_path / folder, name=name, backend="python")
    (tmp_path / "server").mkdir()
    np.savez("keys.npz", image=read_npy(deployed / "sample.npy"))
    with triton(tmp_path / "one", tmp_path / "server", "once", more=(tmp_path / "other",)) as served:
        control = Control(endpoints.parsed(served.model("once")), 60.0)
        with pytest.raises(EdgecompError, match="twice") as refused:
            control.load("twice")
        print("\n", refused.value)
        result = edgecomp.bench(served.model("twice"), scenarios=["server"], restarts=1, history=None)
        (error,) = result.errors.values()
        assert isinstance(error, ModelFileError)
        assert "no such model that is ready; it is in its repository" in str(error)
        assert not result.results
        print("\n", error)


def test_bench_measures_it(
    server: Served, deployed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    np.savez("images.npz", image=read_npy(deployed / "sample.npy"))
    Path("slack.yaml").write_text(
        "extends: kserve\nname: slack\nbudget: { latency_p99_ms: 2 s }\n", encoding="utf-8"
    )
    result = edgecomp.bench(
        server.model("pictures"),
        ["slack.yaml"],
        scenarios=["server", "stress"],
        inputs="images.npz",
        restarts=1,
        max_time_s=10,
        minutes=0.25,
        clients=4,
        history=None,
    )
    (one,) = result.results
    print(
        json.dumps(
            {name: one.content["metrics"][name]["value"] for name in ("latency_p50_ms", "server_per_s")}
        ),
        one.content["versions"],
    )
    assert not result.doubts
    assert not result.errors
    assert one.content["metrics"]["server_per_s"]["value"] > 0
    rounds = one.content["scenarios"]["stress"]["rounds"]
    print(
        [
            (found["clients"], round(found["per_s"]), found["drift_pct_per_minute"]["value"])
            for found in rounds
        ]
    )
    assert [found["clients"] for found in rounds] == [1, 2, 4]
    assert all(found["requests"] and not found["wrong"] and not found["errors"] for found in rounds)
    assert all("leak" not in found for found in rounds)  # a server's memory is its own


@contextmanager
def plain(address: str, images: Path, due_ns: Any, folder: Path) -> Iterator["subprocess.Popen[str]"]:
    """The plain client, connected and waiting for a line, in a process and session of its own as a worker is: the kernel shares CPU time by session
    (autogroup)."""
    np.save(folder / "due.npy", due_ns)
    script = Path(__file__).with_name("plain_client.py")
    files = [str(one) for one in (images, folder / "due.npy", folder / "latencies.npy")]
    with subprocess.Popen(
        [sys.executable, str(script), address, "pictures", *files],
        start_new_session=True,
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process


def latencies_of(process: "subprocess.Popen[str]", folder: Path) -> tuple[Any, float]:
    """Latencies, ns, and seconds of CPU time, of a plain client that was told to begin."""
    out, _ = process.communicate(timeout=600)
    assert process.returncode == 0
    return np.load(folder / "latencies.npy"), float(out)


def drawn(rate: float, *seed: int) -> Any:
    """When requests come, ns."""
    return np.cumsum(np.random.default_rng(seed).exponential(1e9 / rate, REQUESTS)).astype(np.int64)


@pytest.fixture(scope="module")
def asked(server: Served, deployed: Path, tmp_path_factory: pytest.TempPathFactory) -> Asked:
    """What both clients ask, and how much of it the server answers in a second: four clients without a pause."""
    folder = tmp_path_factory.mktemp("asked")
    save({"image": read_npy(deployed / "sample.npy")}, folder / "inputs")
    model = endpoints.written(server.model("pictures"), folder / "endpoint")
    place = Place.of(load_target("kserve"), 120.0)
    with place.host.start(place, model, folder / "inputs", 1) as worker:
        alone_ms = float(np.median(worker.ask("single_stream", count=200)["wall_ns"])) / 1e6
        file, seconds = folder / "stress.npz", 5.0
        worker.ask("stress", clients=4, seconds=seconds, every_s=1.0, to=str(file), within_s=60)
        with np.load(file) as content:
            capacity = sum(len(content[f"wall_ns.{client}"]) for client in range(4)) / seconds
    print(f"\nalone {alone_ms:.2f} ms, capacity {capacity:.0f}/s (four clients without a pause)")
    return Asked(place, model, folder, deployed / "sample.npy", capacity)


class Both(NamedTuple):
    """By round, p50 and p99 (ms) of both clients, and CPU milliseconds a request."""

    ours: Any
    plain: Any
    cpu_ms: tuple[float, float]

    def told(self, share: int, how: str) -> dict[str, Any]:
        """Medians over rounds; the p50s' ratio is that of the same seconds; p99 with the bounds that a bench has over restarts."""
        ratios = self.ours[:, 0] / self.plain[:, 0]
        bounds = result.figure(ratios, "time", REQUESTS)
        p99 = [result.figure(of[:, 1], "time", REQUESTS) for of in (self.ours, self.plain)]
        found = {
            "share_pct": share,
            "how": how,
            "rounds": len(self.ours),
            "requests": REQUESTS,
            "p50_ms": [float(np.median(of[:, 0])) for of in (self.ours, self.plain)],
            "p50_off_pct": [100 * (one - 1) for one in (bounds.estimate, bounds.low, bounds.high)],
            "p99_ms": [[one.low, one.high] for one in p99],
            "cpu_ms_a_request": self.cpu_ms,
        }
        rounded: dict[str, Any] = json.loads(
            json.dumps(found), parse_float=lambda text: round(float(text), 2)
        )
        print(json.dumps(rounded))
        return rounded


def loaded(asked: Asked, server: Served, share: int, scratch: Path, *, together: bool, rounds: int) -> Both:
    """Both clients at a share of the capacity: together, with half of the arrivals each, or by turns."""
    rate = share / 100 * asked.capacity * (0.5 if together else 1.0)
    ours, others, cpu = [], [], [0.0, 0.0]
    for turn in range(rounds):
        seeds = (share, turn), (share, turn, 1) if together else (share, turn)
        with (
            plain(server.http, asked.images, drawn(rate, *seeds[1]), scratch) as client,
            asked.place.host.start(asked.place, asked.model, asked.folder / "inputs", 1) as worker,
        ):
            assert worker.pid is not None
            process = psutil.Process(worker.pid)

            def begin(client: "subprocess.Popen[str]" = client) -> None:
                assert client.stdin is not None
                client.stdin.write("\n")
                client.stdin.flush()

            def of_ours(worker: Any = worker, seed: Any = seeds[0], process: Any = process) -> Any:
                before = sum(process.cpu_times()[:2])
                reply = scenario.load(worker, rate, REQUESTS, np.random.default_rng(seed), scratch)
                cpu[0] += sum(process.cpu_times()[:2]) - before
                assert not reply["errors"]
                assert not reply["wrong"]
                return np.asarray(reply["latency_ns"])

            if together:
                begin()
                mine = of_ours()
                its, seconds = latencies_of(client, scratch)
            elif turn % 2:
                mine = of_ours()
                begin()
                its, seconds = latencies_of(client, scratch)
            else:
                begin()
                its, seconds = latencies_of(client, scratch)
                mine = of_ours()
        cpu[1] += seconds
        ours.append(np.percentile(mine, [50, 99]) / 1e6)
        others.append(np.percentile(its, [50, 99]) / 1e6)
    requests = rounds * REQUESTS / 1e3
    return Both(np.asarray(ours), np.asarray(others), (cpu[0] / requests, cpu[1] / requests))


def test_its_open_loop_finds_what_a_plain_one_finds(server: Served, asked: Asked, tmp_path: Path) -> None:
    """Poisson arrivals at a share of the capacity, dealt to both clients, so that they meet the same server in the same seconds, whatever else goes on:
    at 50 and 80 % the p50 within 5 %, and the intervals of the p99 overlap; at 95 % it is only shown.

    What either costs the other would not be seen so: a request costs ours no more of a CPU than half again of what it costs the plain one. Where the
    median ratio is over 5 % and its bounds are not, this machine is too busy to tell, which is no pass.
    """
    bad, undecided, kept = [], [], []
    for share in (50, 80, 95):
        rounds = ROUNDS if share < 95 else SHOWN
        both = loaded(asked, server, share, tmp_path, together=True, rounds=rounds)
        told = both.told(share, "together")
        kept.append(told)
        (low, high), (least, most) = told["p99_ms"]
        off, lower, upper = told["p50_off_pct"]
        if share < 95:
            assert both.cpu_ms[0] <= 1.5 * both.cpu_ms[1]
            if not (low <= most and least <= high) or lower > 5 or upper < -5:
                bad.append(told)
            elif abs(off) > 5:
                undecided.append(told)
    kept.append(loaded(asked, server, 50, tmp_path, together=False, rounds=SHOWN).told(50, "by turns"))
    if folder := os.environ.get("EDGECOMP_FIGURES"):
        figures = {"server": "triton 2.51", "capacity_per_s": asked.capacity, "loads": kept}
        (Path(folder) / "clients.json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    assert not bad
    if undecided:
        pytest.skip(f"undecided, for this machine is too busy: {undecided}")
