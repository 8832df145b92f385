"""Flower itself asks clients, each a process with data of its own, and a student learns from what they answered (`tox run -e federated`)."""

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

import edgecomp
from edgecomp.api.operations import flower_app

RECIPE = """name: public
data: { source: numpy, path: public.npz, inputs: values, label: label }
teacher: { network: mlp, arguments: { layers: 1, width: 16 }, epochs: 1 }
student: { network: mlp, arguments: { layers: 1, width: 32 } }
distill: { epochs: 40, learning_rate: 0.01, hard_label_weight: 0 }
quantize: { method: none }
targets: [onnxruntime-cpu]
thresholds: {}
"""
TAUGHT = "teachers={weight: 0, others: {clients: {soft_labels: federation/answers.npz}}}"
ANSWERS = '''"""Least squares of the classes on this client's own examples, which stay here."""
from pathlib import Path

import numpy as np

own = np.load(Path(__file__).with_suffix(".npz"))


def answers(values, classes):
    ones = lambda x: np.hstack([x.reshape(len(x), -1), np.ones((len(x), 1))])
    x, y = ones(own["values"]), (own["label"][:, None] == np.arange(len(classes))).astype(float)
    weights = np.linalg.solve(x.T @ x + 10 * np.eye(x.shape[1]), x.T @ y)
    return 5 * ones(np.asarray(values)) @ weights


def fails(values, classes):
    raise RuntimeError(f"of a client: {own['values'][0]}")
'''
SHARES = ([0, 1, 2, 3, 4, 5], [4, 5, 6, 7, 8, 9], [0, 2, 4, 6, 8, 9, 1, 3])
"""The classes that each client has examples of."""


@pytest.fixture
def flower(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> "Iterator[Flower]":
    environment = os.environ.get("EDGECOMP_FLOWER")
    if not environment:
        pytest.skip("EDGECOMP_FLOWER names no environment with flwr: tox run -e federated")
    monkeypatch.chdir(tmp_path)
    made = Flower(Path(environment) / "bin", tmp_path / "home")
    yield made
    made.stop()


class Flower:
    """A SuperLink and its nodes, of processes of their own on free ports."""

    def __init__(self, programs: Path, home: Path) -> None:
        self.programs, self.home, self.port = programs, home, free_port()
        home.mkdir()
        (home / "config.toml").write_text(
            f'[superlink]\ndefault = "here"\n[superlink.here]\naddress = "127.0.0.1:{self.port}"\ninsecure = true\n'
        )
        self.environment = os.environ | {
            "FLWR_HOME": str(home),
            "FLWR_TELEMETRY_ENABLED": "0",
            "NO_COLOR": "1",
            "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        }
        self.started: list[subprocess.Popen[bytes]] = []
        self.start("flower-superlink", "--host", "127.0.0.1", "--port", str(self.port), "--disable-runtime-dependency-installation")  # fmt: skip
        wait_for(self.port)

    def start(self, program: str, *words: str) -> None:
        words = (str(self.programs / program), "--insecure", *words)
        with (self.home / f"{len(self.started)}.log").open("wb") as log:
            self.started.append(
                subprocess.Popen(words, stdout=log, stderr=log, env=self.environment, start_new_session=True)
            )

    def client(self, answers: str) -> None:
        self.start("flower-supernode", "--superlink", f"127.0.0.1:{self.port}", "--port", str(free_port()),
                   "--node-config", f'answers="{answers}"')  # fmt: skip

    def run(self, app: Path) -> str:
        done = subprocess.run(
            [str(self.programs / "flwr"), "run", str(app), "--stream"],
            env=self.environment, capture_output=True, text=True, check=False, timeout=300,
        )  # fmt: skip
        return done.stdout + done.stderr

    def stop(self) -> None:
        for one in self.started:
            os.killpg(one.pid, signal.SIGTERM)
        for one in self.started:
            one.wait(30)


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def wait_for(port: int) -> None:
    for _ in range(240):
        with socket.socket() as one:
            if one.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.5)
    raise AssertionError(f"nothing listens at {port}")


def parts(folder: Path) -> list[Path]:
    """public.npz and public.yaml, whose labels nobody is sent, and of each client its data and its function, which this returns."""
    values, label = (np.asarray(one, np.float32) for one in load_digits(return_X_y=True))
    label = label.astype(np.int64)
    order = np.random.default_rng(0).permutation(len(label))
    np.savez(folder / "public.npz", values=values[order[:900]], label=label[order[:900]])
    (folder / "public.yaml").write_text(RECIPE)
    found = []
    for number, classes in enumerate(SHARES):
        rest = order[900 + 299 * number : 900 + 299 * (number + 1)]
        rest = rest[np.isin(label[rest], classes)]
        np.savez(folder / f"client_{number}.npz", values=values[rest], label=label[rest])
        found.append(folder / f"client_{number}.py")
        found[-1].write_text(ANSWERS)
    return found


def test_a_student_learns_what_no_client_could_teach_alone(flower: Flower, tmp_path: Path) -> None:
    clients = parts(tmp_path)
    for one in clients:
        flower.client(f"{one}:answers")
    flower_app("public.yaml", clients=3, to="federation")
    said = flower.run(tmp_path / "federation")
    assert "900 examples, answered by 3 clients" in said
    with np.load("federation/answers.npz") as file, np.load("public.npz") as public:
        right = (file["train"].argmax(axis=1) == public["label"]).mean()
        assert list(file["classes"]) == [str(one) for one in range(10)]
    assert right > 0.8  # each client alone knows 6, 6 and 8 of the ten classes
    again = flower.run(tmp_path / "federation")
    assert "answers.npz is there" in again
    result = edgecomp.run("public.yaml", [TAUGHT], out="runs/taught")
    teachers = json.loads((result.folder / "soft_labels" / "teachers.json").read_text())["teachers"]
    assert teachers["clients"]["weight"] == 1
    learnt = json.loads((result.folder / "distill" / "history.json").read_text())["student_fp32"]
    assert learnt[-1]["validation_score_pct"] > 80
    private = np.load("client_0.npz")["values"][0].tobytes()
    for file in (tmp_path / "home").rglob("*"):
        assert not file.is_file() or private not in file.read_bytes(), file


def test_votes_under_noise_are_all_that_is_kept(flower: Flower, tmp_path: Path) -> None:
    clients = parts(tmp_path)
    for one in clients:
        flower.client(f"{one}:answers")
    made = flower_app("public.yaml", clients=3, epsilon=100.0, to="federation")
    flower.run(tmp_path / "federation")
    with np.load("federation/answers.npz") as file:
        found = file["train"]
    assert sorted(np.unique(found)) == [0, 10]
    assert (found.sum(axis=1) == 10).all()
    assert made.kept is not None
    with np.load("public.npz") as public:  # of three clients hardly more than chance is left at any ε
        assert 0.1 <= (found.argmax(axis=1) == public["label"]).mean() <= made.kept + 0.05


def test_a_client_that_fails_or_is_missing_leaves_nothing_behind(flower: Flower, tmp_path: Path) -> None:
    one, other, _ = parts(tmp_path)
    flower_app("public.yaml", clients=2, wait_s=3, to="federation")
    flower.client(f"{one}:answers")
    assert "1 of 2 clients were there after 3 s" in flower.run(tmp_path / "federation")
    flower.client(f"{other}:fails")
    said = flower.run(tmp_path / "federation")
    assert "1 of 2 clients did not answer, and nothing was kept" in said
    assert "the function of this client failed: RuntimeError" in said
    assert "of a client" not in said
    assert not (tmp_path / "federation" / "answers.npz").exists()


ROUND_TRIP = """
import json, sys
sys.path.insert(0, sys.argv[1])
import numpy as np
from federation.client import examples_of
from federation.server import packed

texts = ["naïve", "", "two\\nlines \\u2028", "x" * 300]
given = {"train/texts": np.asarray(texts, str), "validation/input/a": np.ones((2, 3), np.float32), "validation/input/b/c": np.zeros((2,), np.int64)}
sent = packed(given)
assert examples_of(sent, "train") == texts
found = examples_of(sent, "validation")
assert sorted(found) == ["a", "b/c"] and found["a"].shape == (2, 3) and found["b/c"].dtype == np.int64
"""


def test_texts_and_inputs_by_name_arrive_as_they_were_sent(tmp_path: Path) -> None:
    environment = os.environ.get("EDGECOMP_FLOWER")
    if not environment:
        pytest.skip("EDGECOMP_FLOWER names no environment with flwr: tox run -e federated")
    flower_app("digits", clients=2, to=tmp_path / "app")
    python = Path(environment) / "bin" / "python"
    done = subprocess.run(
        [python, "-c", ROUND_TRIP, tmp_path / "app"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
