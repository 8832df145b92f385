"""A hot update of a real Triton under load: the new version serves, or the old one as before, and no request is lost or answered wrong."""

import json
import os
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from serving.conftest import deploy, network
from triton_server import Served, triton

from edgecomp import serving_folder, update
from edgecomp.files.array_files import read_npy
from edgecomp.operations import update as module
from edgecomp.runtimes import adapter

NAME, CLIENTS = "pictures", 3


def redeployed(seed: int, folder: Path, off: float = 0.0) -> Path:
    """The network drawn by `seed`, with a last layer that is a little `off`, deployed in a new `folder`."""
    made = network(seed)
    (head,) = (one for one in made.graph.initializer if one.name == "head")
    head.CopyFrom(
        numpy_helper.from_array((numpy_helper.to_array(head) * (1 + off)).astype(np.float32), "head")
    )
    found = deploy(seed, folder)
    onnx.save(made, found / "model.onnx")
    contract = json.loads((found / "contract.json").read_text(encoding="utf-8"))
    from edgecomp.files.writing import sha256

    contract["files"]["model.onnx"] = sha256(found / "model.onnx")
    (found / "contract.json").write_text(json.dumps(contract), encoding="utf-8")
    return found


def answers(deployed: Path) -> Any:
    images = read_npy(deployed / "sample.npy").astype(np.float32)
    session = adapter("onnxruntime-cpu").load(deployed / "model.onnx", threads=1, options={})
    return session.run({"input": ((images / np.float32(255)) - np.float32(0.5)) / np.float32(0.25)})["logits"]


@contextmanager
def load(served: Served, images: Any, right: dict[str, Any]) -> Iterator[Counter[str]]:
    """Clients without a pause, while the block runs. right: logits by version. Counts answers by version, lost ones and wrong ones."""
    import tritonclient.http as client

    counts: Counter[str] = Counter()
    lock, stop = threading.Lock(), threading.Event()

    def ask(first: int) -> None:
        connection = client.InferenceServerClient(served.http)
        place = first
        while not stop.is_set():
            place = (place + 1) % len(images)
            asked = client.InferInput("image", [1, *images.shape[1:]], "UINT8")
            asked.set_data_from_numpy(images[place : place + 1])
            try:
                found = connection.infer(NAME, [asked])
                version, logits = found.get_response()["model_version"], found.as_numpy("logits")[0]
                what = (
                    version
                    if version in right and np.allclose(logits, right[version][place], rtol=1e-3, atol=1e-3)
                    else "wrong"
                )
            except Exception as error:  # noqa: BLE001 - whatever it is, the request is lost
                what = "lost"
                print(f"lost: {type(error).__name__}: {error}")
            with lock:
                counts[what] += 1

    threads = [threading.Thread(target=ask, args=(place,), daemon=True) for place in range(CLIENTS)]
    for thread in threads:
        thread.start()
    try:
        time.sleep(1)
        yield counts
        time.sleep(1)
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_a_new_version_serves_and_a_wrong_one_does_not(
    deployed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    repository = tmp_path / "models"
    serving_folder(deployed, repository, name=NAME, backend="python")
    good, wrong = redeployed(1, tmp_path / "good", off=0.01), redeployed(2, tmp_path / "wrong")
    better = redeployed(1, tmp_path / "better", off=0.02)
    images = read_npy(deployed / "sample.npy")
    np.savez("keys.npz", image=images)
    right = {"1": answers(deployed), "2": answers(good), "3": answers(better)}
    assert (right["2"].argmax(axis=1) == right["1"].argmax(axis=1)).all()
    assert (answers(wrong).argmax(axis=1) != right["1"].argmax(axis=1)).any()
    (tmp_path / "server").mkdir()
    figures = {}
    with triton(repository, tmp_path / "server", NAME) as served:
        url = served.model(NAME)

        def updated(what: Path, name: str) -> Any:
            with load(served, images, right) as counts:
                began = time.monotonic()
                result = update(what, url, repository, "keys.npz")
                seconds = time.monotonic() - began
            figures[name] = {
                "verdict": result.verdict,
                "seconds": round(seconds, 1),
                "requests": sum(counts.values()),
                "lost": counts["lost"],
                "wrong": counts["wrong"],
                "by_version": {name: count for name, count in sorted(counts.items()) if name.isdecimal()},
            }
            print(f"\n{name}: {figures[name]}; {result.checks[0].sentence}")
            assert not counts["lost"]
            assert not counts["wrong"]
            return result, counts

        result, counts = updated(good, "to a good version")
        assert (result.verdict, result.exit_code) == ("PASS", 0)
        assert counts["1"] > 0
        assert counts["2"] > 0
        result, counts = updated(wrong, "to a wrong version")
        assert (result.verdict, result.exit_code) == ("FAIL", 1)
        assert set(counts) <= {"2", "lost", "wrong"}
        assert "not switched to" in result.checks[0].sentence
        judged = module._lost
        found = iter(["", "planted"])
        monkeypatch.setattr(module, "_lost", lambda *given: judged(*given) or next(found))
        result, counts = updated(better, "to a version that fails once it is switched to")
        assert result.verdict == "FAIL"
        assert "taken back: planted" in result.checks[0].sentence
        assert counts["2"] > 0
        assert counts["3"] > 0
        with load(served, images, right) as counts:
            pass
        assert set(counts) == {"2"}
    assert sorted(one.name for one in (repository / NAME).iterdir()) == ["1", "2", "config.pbtxt", "warmup"]
    assert [one.name for one in repository.iterdir()] == [NAME]
    to = Path(os.environ.get("EDGECOMP_FIGURES", tmp_path)) / "update.json"
    to.write_text(
        json.dumps({"server": "triton 2.51", "clients": CLIENTS, "updates": figures}, indent=1) + "\n",
        encoding="utf-8",
    )
