"""The parent's end of a worker, against real processes."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from edgecomp import inputs
from edgecomp.benchmark.hosts import bundle, process
from edgecomp.benchmark.hosts.confinement import MemoryLimit
from edgecomp.benchmark.hosts.process import Place, Worker, clean_environment
from edgecomp.benchmark.worker import answers, memory
from edgecomp.benchmark.worker.station import Station
from edgecomp.errors import (
    BudgetExceededError,
    InferenceError,
    ModelFileError,
    RuntimeUnavailableError,
    WorkerError,
)
from edgecomp.machine import usable_core_numbers


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A model that doubles four numbers, and ten examples."""
    folder = tmp_path_factory.mktemp("worker")
    shape = ["batch", 4]
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "x"], ["y"])],
        "double",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.save(model, folder / "double.onnx")
    inputs.save({"input": np.arange(40, dtype=np.float32).reshape(10, 4)}, folder / "inputs")
    return folder / "double.onnx", folder / "inputs"


def start(files: tuple[Path, Path], timeout_s: float = 30) -> Worker:
    model, asked = files
    return Worker(Place("onnxruntime-cpu", {}, threads=1, timeout_s=timeout_s), model=model, inputs=asked)


def test_a_worker_measures_and_answers(files: tuple[Path, Path], tmp_path: Path) -> None:
    with start(files) as worker:
        assert worker.cold_start_ns > worker.ready["load_ns"] > 0
        timed = worker.ask("single_stream", count=7)
        assert len(timed["wall_ns"]) == len(timed["cpu_ns"]) == 7
        assert min(timed["wall_ns"]) > 0
        assert len(worker.ask("offline", count=3, batch=5)["wall_ns"]) == 3
        target = tmp_path / "out.npz"
        worker.ask("outputs", inputs=str(files[1]), to=str(target), batch=4)
        (doubled,) = answers.load(target).values()
        np.testing.assert_array_equal(doubled, 2 * inputs.load(files[1])["input"])
        phases = worker.ready["memory"] | {"steady": worker.ask("memory")["memory"]}
        assert list(phases) == ["imports", "load", "first_run", "steady"]
        for held in phases.values():
            assert 0 < held["uss_bytes"] <= held["rss_bytes"] <= held["peak_bytes"]


def test_a_worker_that_cannot_load_says_why(tmp_path: Path, files: tuple[Path, Path]) -> None:
    (tmp_path / "broken.onnx").write_bytes(b"no model")
    with pytest.raises(
        ModelFileError, match=r"worker for broken\.onnx .*: ONNX Runtime cannot load .*broken\.onnx"
    ):
        start((tmp_path / "broken.onnx", files[1]))


def test_a_worker_that_is_killed_is_an_error_with_its_signal(files: tuple[Path, Path]) -> None:
    with start(files) as worker:
        os.kill(worker._process.pid, signal.SIGKILL)
        with pytest.raises(WorkerError, match=r"SIGKILL|died before"):
            worker.ask("single_stream", count=1)


def test_last_words_are_kept_without_colours(
    files: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        r"import os; os.write(2, b'\x1b[31mno\x00 good\x1b[0m\n50 %\r100 %\n\x1b[0m\n'); os._exit(9)",
        encoding="utf-8",
    )
    broken = f"{tmp_path}{os.pathsep}{clean_environment(1)['PYTHONPATH']}"
    monkeypatch.setattr(
        process, "clean_environment", lambda threads: clean_environment(threads) | {"PYTHONPATH": broken}
    )
    with pytest.raises(WorkerError, match=r"its last words: no good \| 50 % \| 100 %$"):
        start(files)


def test_a_worker_that_hangs_is_stopped_in_time(files: tuple[Path, Path]) -> None:
    with start(files, timeout_s=5) as worker:
        worker._timeout_s = 0.3
        os.kill(worker._process.pid, signal.SIGSTOP)
        begin = time.monotonic()
        with pytest.raises(WorkerError, match=r"did not answer in 0\.3 s \(single_stream\) and was stopped"):
            worker.ask("single_stream", count=1)
        assert time.monotonic() - begin < 3
        assert worker._process.poll() is not None


def test_a_worker_ends_with_its_parent(files: tuple[Path, Path]) -> None:
    worker = start(files)
    worker.close()
    assert worker._process.returncode == 0


def has_ended(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_a_worker_that_hangs_ends_with_its_parent_however_that_ends(tmp_path: Path) -> None:
    """Started from a thread that has ended long before, as the workers of a comparison are."""
    model, asked = fake(tmp_path, hang_after=1)
    script = (
        "import sys; from concurrent.futures import ThreadPoolExecutor; from pathlib import Path\n"
        "from edgecomp.benchmark.hosts.process import Place, Worker\n"
        "model, asked = map(Path, sys.argv[1:])\n"
        "with ThreadPoolExecutor(1) as pool:\n"
        "    worker = pool.submit(Worker, Place('fake', {}, threads=1), model=model, inputs=asked).result()\n"
        "print(worker.ask('memory') and worker.pid, flush=True)\n"
        "worker.ask('single_stream', count=1)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(model), str(asked)], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        worker = int(parent.stdout.readline())
        time.sleep(0.3)  # it hangs in what it was asked
        parent.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 5
    while not has_ended(worker):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_worker_whose_parent_has_ended_before_does_not_begin(files: tuple[Path, Path]) -> None:
    parent, ours = os.pipe()
    os.close(ours)
    done = subprocess.run(
        [sys.executable, "-m", "edgecomp.benchmark.worker.main", json.dumps({"parent": parent})],
        pass_fds=[parent],
        env=clean_environment(1),
        capture_output=True,
        check=False,
    )
    os.close(parent)
    assert (done.returncode, done.stderr) == (1, b"")


@pytest.mark.parametrize(
    ("interpreter", "setting"), [(None, "bench.timeout_s"), ([sys.executable], "bench.emulation_timeout_s")]
)
def test_a_worker_that_hangs_names_the_setting_that_it_was_given(
    tmp_path: Path, interpreter: list[str] | None, setting: str
) -> None:
    model, asked = fake(tmp_path, hang_after=1)
    with Worker(Place("fake", {}, threads=1), model=model, inputs=asked, interpreter=interpreter) as worker:
        worker._timeout_s = 0.3
        with pytest.raises(WorkerError, match=f"look for a deadlock, or, in a recipe, raise {setting};"):
            worker.ask("single_stream", count=1)


def test_a_worker_inherits_nothing_that_steers_a_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORT_SECRET_SWITCH", "1")
    monkeypatch.setenv("OMP_NUM_THREADS", "64")
    environment = clean_environment(2)
    assert environment["OMP_NUM_THREADS"] == "2"
    assert set(environment) <= {*process.KEPT_VARIABLES, "PYTHONPATH", "OMP_NUM_THREADS", "PYTHONHASHSEED"}


def test_chatter_on_standard_output_does_not_garble_a_reply(
    files: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sitecustomize.py").write_text("import os; os.write(1, b'hello\\n')", encoding="utf-8")
    chatty = f"{tmp_path}{os.pathsep}{clean_environment(1)['PYTHONPATH']}"
    monkeypatch.setattr(
        process, "clean_environment", lambda threads: clean_environment(threads) | {"PYTHONPATH": chatty}
    )
    with start(files) as worker:
        assert worker.ask("single_stream", count=1)["wall_ns"]


def test_a_call_costs_two_microseconds_at_most_over_a_bare_loop(files: tuple[Path, Path]) -> None:
    """The least of a few, for a neighbour only adds to it."""
    with start(files) as worker:
        assert min(worker.ask("harness")["harness_ns"] for _ in range(5)) <= 2000


def test_a_worker_holds_three_mebibytes_at_most_over_its_runtime_and_numpy(files: tuple[Path, Path]) -> None:
    script = "import json, numpy, onnxruntime; from edgecomp.benchmark.worker.memory import snapshot; print(json.dumps(snapshot()))"
    bare = f"import sys; sys.modules.pop('edgecomp', None); {script}"
    done = subprocess.run(
        [os.path.realpath(sys.executable), "-s", "-P", "-c", bare],
        env=clean_environment(1),
        capture_output=True,
        text=True,
        check=True,
    )
    without = json.loads(done.stdout)["uss_bytes"]
    with start(files) as worker:
        assert worker.ready["memory"]["imports"]["uss_bytes"] - without <= 3 * 2**20


def test_a_worker_keeps_to_its_cores(files: tuple[Path, Path]) -> None:
    model, asked = files
    place = Place("onnxruntime-cpu", {}, threads=1, cores=1)
    with Worker(place, model=model, inputs=asked) as worker:
        assert worker.ready["cores"] == usable_core_numbers()[:1]


def fake(folder: Path, **behaviour: Any) -> tuple[Path, Path]:
    (folder / "fake.json").write_text(json.dumps(behaviour))
    inputs.save({"x": np.ones((20, 4), np.float32)}, folder / "inputs")
    return folder / "fake.json", folder / "inputs"


def test_a_model_over_the_memory_of_its_target_says_in_which_phase(tmp_path: Path) -> None:
    model, asked = fake(tmp_path, load_bytes=512 * 2**20)
    with pytest.raises(
        BudgetExceededError, match=r"over the target's memory of 128\.0 MiB \(.*\) in the phase load"
    ) as caught:
        Worker(Place("fake", {}, threads=1, memory_bytes=128 * 2**20), model=model, inputs=asked)
    assert caught.value.phase == "load"
    assert caught.value.exit_code == 1


def test_a_death_under_the_data_limit_is_not_certain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "MemoryLimit", lambda limit: MemoryLimit(limit, root=tmp_path))
    model, asked = fake(tmp_path, load_bytes=2 * 2**30)
    with pytest.raises(BudgetExceededError, match="RLIMIT_DATA") as caught:
        Worker(Place("fake", {}, threads=1, memory_bytes=512 * 2**20), model=model, inputs=asked)
    assert not caught.value.certain
    assert caught.value.exit_code == 3


def test_a_runtime_that_is_not_here_is_said_as_such(files: tuple[Path, Path]) -> None:
    model, asked = files
    with pytest.raises(RuntimeUnavailableError, match=r"^onnxruntime-cuda: no GPU here"):
        Worker(Place("onnxruntime-cuda", {}, threads=1), model=model, inputs=asked)


def test_a_crash_while_it_serves_says_in_what(tmp_path: Path) -> None:
    model, asked = fake(tmp_path, crash_after=5)
    with (
        Worker(Place("fake", {}, threads=1), model=model, inputs=asked) as worker,
        pytest.raises(WorkerError, match=r"ended with exit code 11 \(single_stream\)"),
    ):
        worker.ask("single_stream", count=10)


def test_a_worker_that_hangs_leaves_its_stack(tmp_path: Path) -> None:
    model, asked = fake(tmp_path, hang_after=1)
    with (
        Worker(Place("fake", {}, threads=1, timeout_s=5), model=model, inputs=asked) as worker,
        pytest.raises(WorkerError) as caught,
    ):
        worker.ask("single_stream", count=1)
    if process.py_spy() is None:
        assert "pip install py-spy" in str(caught.value)
    else:
        assert "fake.py" in str(caught.value)


CHILD = """
import json, subprocess, sys
from edgecomp.benchmark.worker import memory
before = memory.snapshot()
hold = "b = b'x' * (64 * 2**20); print('held', flush=True); input()"
with subprocess.Popen([sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
    child.stdout.readline()
    during = memory.snapshot()
    child.communicate("\\n")
print(json.dumps({name: during[name] - before[name] for name in during}))
"""


def test_memory_counts_children() -> None:
    """In a process that holds little: what this one left lying may be taken from it meanwhile, by a system that reclaims idle pages."""
    done = subprocess.run([sys.executable, "-c", CHILD], capture_output=True, text=True, check=True)
    more = json.loads(done.stdout)
    assert more["uss_bytes"] >= 64 * 2**20
    assert more["peak_bytes"] >= 64 * 2**20


def test_memory_follows_what_is_held() -> None:
    before = memory.snapshot()
    block = np.ones(64 * 2**20, np.uint8)
    during = memory.snapshot()
    assert during["uss_bytes"] - before["uss_bytes"] == pytest.approx(block.nbytes, rel=0.1)
    assert during["peak_bytes"] >= before["rss_bytes"] + 0.9 * block.nbytes


def test_what_is_asked_again_lies_no_warmer_in_the_caches_than_what_is_new() -> None:
    """A model that mostly reads its input was called one that answers from memory: .61 of the time over 3×512×512."""
    station = Station.__new__(Station)
    asked: list[tuple[int, bytes]] = []

    class Session:
        def run(self, feed: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
            asked.append((id(feed["x"]), feed["x"].tobytes()))
            return feed

    station.session, station.feeds, station.axes = Session(), [{"x": np.arange(6, dtype=np.float32)}], {}
    station.is_remote = False
    found = station.repeated(4)
    assert [len(times[0]) for times in found.values()] == [4, 4]
    again, fresh = asked[1:5], asked[6:]  # each after one that is not recorded
    assert len({content for _, content in again}) == 1
    assert len({content for _, content in fresh}) == 4
    assert len({place for place, _ in again}) == len({place for place, _ in fresh}) == 4


def test_what_was_never_seen_is_legal_where_it_is_no_measure() -> None:
    """A category takes another example's of its own column: a month is no weekday. What is given once stays as it is."""
    station = Station.__new__(Station)
    codes = np.stack([np.arange(12) % 7, 100 + np.arange(12)], axis=1)
    station.examples, station.axes, station.pool = {"codes": codes, "size": codes}, {"size": None}, None
    station.feeds, station.job = [{}] * 12, {"rows": 1}
    station.feed_of = lambda examples, chosen, trimmed: {"codes": examples["codes"][chosen]}
    random = np.random.default_rng(0)
    found = np.concatenate([station.unseen("codes", codes[:1], random) for _ in range(200)])
    assert set(found[:, 0]) == set(range(7))
    assert set(found[:, 1]) == set(range(100, 112))
    assert len(np.unique(found, axis=0)) > 12
    assert ((found != codes[0]).sum(1) == 1).mean() > 0.9  # one place: it costs a model what this input does
    np.testing.assert_array_equal(station.unseen("size", np.array([1.0, 4.0]), random), [1, 4])


def test_a_network_that_hands_on_what_it_is_unsure_of_is_not_taken_for_one_that_remembers() -> None:
    """Sure of what is nearly an example, and twenty times as slow with what is none."""
    station = Station.__new__(Station)
    lines = np.stack([np.arange(place, place + 32) for place in range(8)])

    class Cascade:
        def run(self, feed: dict[str, Any]) -> dict[str, Any]:
            steps = np.diff(feed["bytes"][0])
            end = time.process_time() + (0.0002 if (steps == 1).mean() > 0.8 else 0.004)
            while time.process_time() < end:
                pass
            return {"y": steps}

    station.session, station.axes, station.pool = Cascade(), {}, None
    station.is_remote, station.job, station.examples = False, {"rows": 1}, {"bytes": lines}
    station.feeds = [{"bytes": lines[place : place + 1]} for place in range(4)]
    station.feed_of = lambda examples, chosen, trimmed: {"bytes": examples["bytes"][chosen]}
    found = station.repeated(4)
    assert np.median(found["repeated_ns"]) > 0.7 * np.median(found["fresh_ns"])


def test_a_request_that_fails_leaves_a_worker_that_answers(files: tuple[Path, Path], tmp_path: Path) -> None:
    wrong = tmp_path / "wrong"
    inputs.save({"input": np.ones((4, 3), np.float32)}, wrong)
    with start(files) as worker:
        with pytest.raises(InferenceError) as refused:
            worker.ask("outputs", inputs=str(wrong), to=str(tmp_path / "out.npz"), batch=2)
        assert refused.value.phase == "outputs"
        assert worker.ask("single_stream", count=1)["wall_ns"]


@pytest.mark.parametrize("runtime", ["onnxruntime-cpu", "openvino-cpu"])
def test_a_device_needs_no_more_of_edgecomp_than_its_workers_files(
    files: tuple[Path, Path], tmp_path: Path, runtime: str
) -> None:
    """They are copied, and the copy alone can be imported: standard library, numpy and the runtime besides."""
    taken = bundle.worker_files(runtime)
    rooms = {"benchmark/worker", "runtimes", "runtimes/files", "runtimes/genai"}
    alone = {"__init__", "benchmark/__init__", "errors", "exit_codes", "inputs", "machine"}
    known = [file.relative_to("edgecomp") for file in taken]
    assert [
        file for file in known if str(file.parent) not in rooms and str(file.with_suffix("")) not in alone
    ] == []
    for file in taken:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(bundle.ROOT.parent / file, tmp_path / file)
    place = Place(runtime, {}, threads=1, timeout_s=30)
    # What is installed comes behind: a package is read from the first folder that has it, and from no other.
    path = [str(tmp_path), *process.own_packages()]
    with Worker(place, model=files[0], inputs=files[1], path=path) as worker:
        source = Path(f"/proc/{worker.pid}/environ").read_bytes()
        assert str(tmp_path).encode() in source
        assert worker.ask("single_stream", count=3)["wall_ns"]
        assert worker.ask("profile", runs=2) is not None
    assert not [
        file for file in (tmp_path / "edgecomp").rglob("*.py") if file.relative_to(tmp_path) not in taken
    ]
    assert (tmp_path / "edgecomp" / "__pycache__").is_dir(), "the copy was not what ran"
