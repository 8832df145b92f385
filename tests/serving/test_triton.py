"""A real Triton serves what `prepare server` has written, and `bench` measures it as a plain client does."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from triton_server import Served

import edgecomp
from edgecomp.benchmark.hosts.process import Place
from edgecomp.benchmark.scenarios import served as scenario
from edgecomp.config.target import load_target
from edgecomp.files.array_files import read_npy
from edgecomp.inputs import save
from edgecomp.runtimes import adapter, endpoints

ROUNDS, REQUESTS = 7, 459


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
        scenarios=["server"],
        inputs="images.npz",
        restarts=1,
        max_time_s=10,
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


def of_plain(address: str, images: Path, due_ns: Any, folder: Path) -> Any:
    """Latencies, ns, of the plain client, in a process and session of its own as a worker is: the kernel shares CPU time by session (autogroup)."""
    np.save(folder / "due.npy", due_ns)
    script = Path(__file__).with_name("plain_client.py")
    files = [str(one) for one in (images, folder / "due.npy", folder / "latencies.npy")]
    subprocess.run(
        [sys.executable, str(script), address, "pictures", *files], check=True, start_new_session=True
    )
    return np.load(folder / "latencies.npy")


def test_its_open_loop_finds_what_a_plain_one_finds(server: Served, deployed: Path, tmp_path: Path) -> None:
    """By turns, with the same arrivals: at 50 and 80 % of the capacity the p50 within 5 %, and the intervals of the p99 overlap; at 95 % it is only shown."""
    images = read_npy(deployed / "sample.npy")
    save({"image": images}, tmp_path / "inputs")
    model = endpoints.written(server.model("pictures"), tmp_path / "endpoint")
    place = Place.of(load_target("kserve"), 120.0)
    with place.host.start(place, model, tmp_path / "inputs", 1) as worker:
        alone_ms = float(np.median(worker.ask("single_stream", count=200)["wall_ns"])) / 1e6
        file, seconds = tmp_path / "stress.npz", 5.0
        worker.ask("stress", clients=4, seconds=seconds, every_s=1.0, to=str(file), within_s=60)
        with np.load(file) as content:
            capacity = sum(len(content[f"wall_ns.{client}"]) for client in range(4)) / seconds
    print(f"\nalone {alone_ms:.2f} ms, capacity {capacity:.0f}/s (four clients without a pause)")
    bad = []
    for share in (50, 80, 95):
        rate = share / 100 * capacity
        found: dict[str, list[Any]] = {"ours": [], "plain": []}
        for turn in range(ROUNDS):
            for who in ("ours", "plain") if turn % 2 else ("plain", "ours"):
                if who == "plain":
                    due = np.cumsum(
                        np.random.default_rng([share, turn]).exponential(1e9 / rate, REQUESTS)
                    ).astype(np.int64)
                    latencies = of_plain(server.http, deployed / "sample.npy", due, tmp_path)
                else:
                    with place.host.start(place, model, tmp_path / "inputs", 1) as worker:
                        reply = scenario.load(
                            worker, rate, REQUESTS, np.random.default_rng([share, turn]), tmp_path
                        )
                    assert not reply["errors"]
                    assert not reply["wrong"]
                    latencies = np.asarray(reply["latency_ns"])
                found[who].append(np.percentile(latencies, [50, 99]) / 1e6)
        ours, plain = (np.asarray(found[who]) for who in ("ours", "plain"))
        p50 = [float(np.median(of[:, 0])) for of in (ours, plain)]
        p99 = [(float(of[:, 1].min()), float(of[:, 1].max())) for of in (ours, plain)]
        print(f"{share} %, {rate:.0f}/s: p50 {p50[0]:.2f} ms, plain {p50[1]:.2f} ms ({100 * (p50[0] / p50[1] - 1):+.1f} %); "
              f"p99 {p99[0][0]:.1f} to {p99[0][1]:.1f} ms, plain {p99[1][0]:.1f} to {p99[1][1]:.1f} ms")  # fmt: skip
        overlap = p99[0][0] <= p99[1][1] and p99[1][0] <= p99[0][1]
        if share < 95 and not (abs(p50[0] / p50[1] - 1) <= 0.05 and overlap):
            bad.append(share)
    assert not bad
