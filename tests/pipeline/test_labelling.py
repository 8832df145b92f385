"""Labelling by several processes ends with the same bytes, whatever their number, and whenever they are killed."""

import os
import random
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

import edgecomp
from edgecomp.artifacts.run_folder import RunFolder
from edgecomp.config.job import load_job, on_this_machine
from edgecomp.data.label_store import ShardedLabels
from edgecomp.errors import EdgecompError, UsageError
from edgecomp.files.writing import sha256, write_json
from edgecomp.pipeline import execution, loaders
from edgecomp.pipeline.fingerprints import fingerprinted
from edgecomp.pipeline.loaders import Run
from edgecomp.pipeline.stages import labelling, learning
from edgecomp.progress import silent
from edgecomp.training.loop import logits_of

KILLS = int(os.environ.get("EDGECOMP_KILLS", "2"))

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Data and a teacher, in a run folder; sixteen views, each a shard."""
    folder = tmp_path_factory.mktemp("labels") / "run"
    small = ["teacher.epochs=1", "data.views=16", "data.limit=120", "threads=1"]
    job = on_this_machine(fingerprinted(load_job("digits", small)))
    made = Run(job, folder, silent)
    for name, make in (("data", learning.data), ("teacher", learning.teacher)):
        (folder / name).mkdir(parents=True)
        make(made, folder / name, folder / f".{name}")
    execution.save_job(job, RunFolder(folder))
    return made


@pytest.fixture(scope="module")
def whole(run: Run, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    out = tmp_path_factory.mktemp("whole")
    labelling.in_shards(run, out, out / "shards", workers=1, top=0)
    return {file.name: file.read_bytes() for file in out.iterdir() if file.is_file()}


def test_they_are_the_teachers_answers(run: Run, whole: dict[str, bytes], tmp_path: Path) -> None:
    for name, content in whole.items():
        (tmp_path / name).write_bytes(content)
    store, own = ShardedLabels(tmp_path), loaders.views(run)
    assert store.views == 16
    network = loaders.trained_teacher(run)
    for index in (0, 7):
        np.testing.assert_allclose(store.view(index), logits_of(network, own.view(index)), atol=2e-2)
    np.testing.assert_allclose(store.validation(), logits_of(network, own.held_out()), atol=2e-2)
    assert store.layout.teacher_sha256 == sha256(run.folder / "teacher" / "teacher.safetensors")


def test_killed_at_any_moment_they_end_with_the_same_bytes(
    run: Run, whole: dict[str, bytes], tmp_path: Path
) -> None:
    workers = 2
    shards, draw = tmp_path / "shards", random.Random(workers)
    shards.mkdir()
    write_json(shards / labelling.LAYOUT, asdict(labelling.layout_of(run, 0)))
    module = [sys.executable, "-m", "edgecomp.pipeline.stages.labelling", str(run.folder), str(shards)]
    for _ in range(KILLS):
        process = subprocess.Popen([*module, str(draw.randrange(workers)), str(workers)])
        before, wanted = len(list(shards.iterdir())), draw.randrange(1, 4)
        while process.poll() is None and len(list(shards.iterdir())) < before + wanted:
            pass  # until it has come so far: not a time, which a busy machine would stretch
        process.kill()
        process.wait()
    out = tmp_path / "out"
    out.mkdir()
    labelling.in_shards(run, out, shards, workers=4, top=0)
    assert {file.name: file.read_bytes() for file in out.iterdir()} == whole


def test_a_worker_that_fails_says_why_and_what_is_finished_stays(run: Run, tmp_path: Path) -> None:
    teacher = run.folder / "teacher" / "teacher.safetensors"
    content = teacher.read_bytes()
    shards = tmp_path / "shards"

    def broken(items: Iterator[str], what: str, total: int) -> Iterator[str]:
        teacher.write_bytes(content[:1000])
        return items

    try:
        with pytest.raises(
            EdgecompError, match=r"soft labels: a worker ended with 1: .*teacher\.safetensors"
        ):
            labelling.in_shards(Run(run.job, run.folder, broken), tmp_path, shards, workers=1, top=0)
    finally:
        teacher.write_bytes(content)


def test_a_top_that_cannot_be_is_told(run: Run, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--top 10: a row has 10 logits"):
        labelling.in_shards(run, tmp_path, tmp_path / "shards", workers=1, top=10)


IRIS = """name: iris
threads: 1
data: { source: iris }
teacher: { network: mlp, arguments: { layers: 1, width: 8 }, epochs: 1 }
student: { network: mlp, arguments: { layers: 1, width: 4 } }
distill: { epochs: 1 }
targets: [onnxruntime-cpu]
"""


def test_another_number_of_logits_is_labelled_again_and_the_same_is_not(tmp_path: Path) -> None:
    (tmp_path / "iris.yaml").write_text(IRIS)

    def labelled(top: int) -> tuple[bool, int]:
        found = edgecomp.label(tmp_path / "iris.yaml", workers=1, top=top, out=tmp_path / "run")
        return "soft_labels" in found.made, ShardedLabels(found.store).layout.top

    assert [labelled(top) for top in (2, 2, 1, 0, 0)] == [
        (True, 2),
        (False, 2),
        (True, 1),
        (True, 0),
        (False, 0),
    ]
