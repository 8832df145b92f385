"""Work of a run by a Ray cluster of two nodes on this machine: what one process makes, whatever is killed on the way."""

import json
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from running import TINY, command, environment
from triton_server import free_ports

from edgecomp.artifacts.run_folder import RunFolder
from edgecomp.config.job import load_job, on_this_machine
from edgecomp.errors import EdgecompError, UsageError
from edgecomp.pipeline import execution
from edgecomp.pipeline.fingerprints import fingerprinted
from edgecomp.pipeline.loaders import Run
from edgecomp.pipeline.stages import cluster as module
from edgecomp.pipeline.stages import labelling, learning
from edgecomp.pipeline.stages.cluster import Cluster
from edgecomp.progress import silent
from edgecomp.shrink.candidates import load_all

pytestmark = pytest.mark.slow
# Read when Ray is imported, and by what it starts.
os.environ |= {
    "RAY_raylet_start_wait_time_s": "45",
    "RAY_agent_register_timeout_ms": "300000",
    "RAY_USAGE_STATS_ENABLED": "0",
}
ray = pytest.importorskip("ray", reason="Ray is not installed: the extra ray")
SMALL = ["teacher.epochs=1", "data.views=16", "data.limit=120", "threads=1"]


def started(node: Callable[[], Any]) -> Any:
    """A node of Ray's, which gives its agents a quarter of a minute to start, whatever they are told: on a busy machine it is tried again."""
    for left in reversed(range(8)):
        try:
            return node()
        except Exception as error:  # Ray's own kinds differ by what timed out: it says so in its words
            if "timed out during startup" not in str(error) or not left:
                raise
    raise AssertionError("a node starts, or the last error is raised")


class Nodes:
    """A cluster of two nodes, a core each. address: as `ray start` would say it; second: a node that may be taken away."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster as Local

        head = self.own() | {"include_dashboard": False}
        self.all = started(lambda: Local(initialize_head=True, head_node_args=head))
        self.second: Any = None
        self.join()

    @staticmethod
    def own() -> dict[str, int]:
        """Of a node. Ports are named, for Ray waits a quarter of a minute for those that its agents choose."""
        agents = (
            "metrics_agent_port",
            "metrics_export_port",
            "dashboard_agent_listen_port",
            "runtime_env_agent_port",
        )
        return {
            "num_cpus": 1,
            "object_store_memory": 100 << 20,
            **dict(zip(agents, free_ports(4), strict=True)),
        }

    def join(self) -> None:
        self.second = started(lambda: self.all.add_node(**self.own()))
        self.all.wait_for_nodes()

    @property
    def address(self) -> str:
        return str(self.all.address)

    def working(self) -> list[psutil.Process]:
        """Processes of Ray that do a part."""
        found = []
        for one in psutil.process_iter():
            with suppress(psutil.Error):
                found += [one] if "ray::_do" in " ".join(one.cmdline()) else []
        return found


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    found = Nodes()
    yield found
    found.all.shutdown()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Data and a teacher, in a run folder; sixteen views, each a shard."""
    folder = tmp_path_factory.mktemp("labels") / "run"
    job = on_this_machine(fingerprinted(load_job("digits", SMALL)))
    made = Run(job, folder, silent)
    for name, make in (("data", learning.data), ("teacher", learning.teacher)):
        (folder / name).mkdir(parents=True)
        make(made, folder / name, folder / f".{name}")
    execution.save_job(job, RunFolder(folder))
    return made


@pytest.fixture(scope="module")
def whole(run: Run, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return labelled(run, tmp_path_factory.mktemp("whole"))


def labelled(run: Run, out: Path, cluster: Cluster | None = None) -> dict[str, bytes]:
    labelling.in_shards(run, out, out / "shards", workers=1, top=0, cluster=cluster)
    return {file.name: file.read_bytes() for file in out.iterdir() if file.is_file()}


def when_working(nodes: Nodes, do: Callable[[psutil.Process], object], count: int) -> threading.Thread:
    """Does it to a process that does a part, so often, while a test goes on."""

    def kill() -> None:
        deadline, done = time.monotonic() + 120, 0
        while done < count and time.monotonic() < deadline:
            for one in nodes.working()[:1]:
                with suppress(psutil.Error):
                    do(one)
                    done += 1
                    one.wait(timeout=10)
            time.sleep(0.05)

    thread = threading.Thread(target=kill)
    thread.start()
    return thread


def test_the_shards_are_those_of_one_process(
    run: Run, whole: dict[str, bytes], nodes: Nodes, tmp_path: Path
) -> None:
    with Cluster(nodes.address) as cluster:
        assert cluster.cores == 2
        assert labelled(run, tmp_path, cluster) == whole


def test_killed_workers_and_a_lost_node_change_no_byte(
    run: Run, whole: dict[str, bytes], nodes: Nodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed: list[int] = []

    def kill(one: psutil.Process) -> None:
        one.kill()
        killed.append(one.pid)

    with Cluster(nodes.address) as cluster:
        killing = when_working(nodes, kill, 2)
        lost = threading.Timer(3.0, lambda: nodes.all.remove_node(nodes.second, allow_graceful=False))
        lost.start()
        found = labelled(run, tmp_path, cluster)
        killing.join()
        lost.join()
    nodes.join()
    assert len(killed) == 2
    assert found == whole


def test_a_part_that_fails_is_told_and_what_is_finished_stays(run: Run, nodes: Nodes, tmp_path: Path) -> None:
    teacher = run.folder / "teacher" / "teacher.safetensors"
    content = teacher.read_bytes()
    shards = tmp_path / "shards"

    def broken(items: Iterator[Any], what: str, total: int) -> Iterator[Any]:
        teacher.write_bytes(content[:1000])  # as it is sent, once the layout is known
        return items

    try:
        with Cluster(nodes.address) as cluster, pytest.raises(EdgecompError, match=r"teacher\.safetensors"):
            labelling.in_shards(
                Run(run.job, run.folder, broken), tmp_path, shards, workers=1, top=0, cluster=cluster
            )
    finally:
        teacher.write_bytes(content)


def test_cells_of_a_table_are_made_by_it_and_one_that_fails_is_told(
    nodes: Nodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    import filling as cells

    monkeypatch.setattr(cells, "CORES", 1)
    monkeypatch.setattr(cells, "KEPT", tmp_path / "kept")
    script = tmp_path / "scripts" / "table" / "cell.py"
    script.parent.mkdir(parents=True)
    (script.parent / "beside.py").write_text("TEN = 10", encoding="utf-8")
    script.write_text(
        "import sys\nfrom beside import TEN\nname, runs, file = sys.argv[1:]\nprint('made', name)\n"
        "open(file, 'w').write(str(TEN // int(name)))",
        encoding="utf-8",
    )
    wanted = [cells.Cell(tmp_path / "cells" / f"{name}.json", [str(name)]) for name in (1, 2, 0, 5)]
    written: list[str] = []
    cells.fill(script, wanted, tmp_path / "runs", lambda: written.append(""), nodes.address)
    assert {file.stem: file.read_text() for file in (tmp_path / "cells").iterdir()} == {
        "1": "10", "2": "5", "5": "2"
    }  # fmt: skip
    assert len(written) == 3
    said = capsys.readouterr().out
    assert "1: made 1" in said
    assert "0: ZeroDivisionError: integer division or modulo by zero" in said
    assert '0: exit code 1; it stays "not run"' in said


def test_a_machine_of_other_versions_is_refused(
    run: Run, nodes: Nodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "facts", lambda: {**other(), "torch": "1.0"})
    with Cluster(nodes.address) as cluster, pytest.raises(UsageError, match=r"has torch .*, and here 1\.0"):
        labelled(run, tmp_path, cluster)


other = module.facts


def test_no_cluster_too_few_cores_and_a_clients_address_are_told(run: Run, nodes: Nodes) -> None:
    with pytest.raises(UsageError, match=r"--ray 127\.0\.0\.1:1: no cluster answers there"):
        Cluster("127.0.0.1:1")
    with pytest.raises(UsageError, match="HOST:PORT is asked for"):
        Cluster("ray://127.0.0.1:1")
    with Cluster(nodes.address) as cluster, pytest.raises(UsageError, match="a part takes 3 threads"):
        list(cluster.done(labelling._shard, run, (), [1], threads=3))


def test_the_command_labels_by_a_cluster_and_a_run_goes_on(nodes: Nodes, tmp_path: Path) -> None:
    def label(out: str, *more: str) -> Any:
        asked = command("data", "label", "digits", *SMALL, "--out", out, "--json", *more)
        return subprocess.run(
            asked, cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False
        )

    done = label("r", "--ray", nodes.address)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["views"] == 16
    refused = label("s", "--ray", nodes.address, "--workers", "2")
    assert refused.returncode == 2
    assert "leave out one or the other" in " ".join(refused.stderr.split())


def test_a_search_trains_its_candidates_on_the_cluster_and_measures_them_here(
    nodes: Nodes, tmp_path: Path
) -> None:
    """The score is that of a training here, whichever process of the cluster was killed."""
    pytest.importorskip("optuna", reason="pip install 'edgecomp[search]'")
    small = [
        *TINY,
        "threads=1",
        "quantize.calibration_batches=2",
        "targets=[onnxruntime-cpu]",
        "+search.epochs=1",
        "+search.restarts=1",
        "+search.space={arguments.width: [2, 3, 4]}",
    ]

    def search(out: str, *more: str) -> dict[int, float | None]:
        asked = command("search", "digits", *small, "--trials", "3", "--out", out, "--json", *more)
        done = subprocess.run(
            asked, cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return {one.point["arguments.width"]: one.score for one in load_all(tmp_path / out)}

    here = search("here")
    killing = when_working(nodes, lambda one: one.kill(), 1)
    there = search("there", "--ray", nodes.address)
    killing.join()
    assert len(here) == 3
    assert there == here
