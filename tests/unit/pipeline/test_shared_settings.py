"""What decides a step's artifacts is in its key: nothing that changed is taken for up to date."""

import sys
from pathlib import Path
from typing import Any

import pytest

from edgecomp.artifacts.rerun import Step
from edgecomp.config.job import Host, Job, load_job, on_this_machine
from edgecomp.files.writing import digest_of
from edgecomp.pipeline.fingerprints import digests_by_path, fingerprinted
from edgecomp.pipeline.loaders import Run
from edgecomp.pipeline.steps import steps
from edgecomp.progress import silent

WIDE = "extends: onnxruntime-cpu\nname: wide\nisa: x86-64-avx512-vnni\nscheme: cpu-u8\n"
FACTORY = "from functools import partial\n\nfrom edgecomp.models.networks.resnet import ResNet\n\nbuild = partial(ResNet{})\n"


def keys(job: Job) -> dict[str, Any]:
    """What each step is told, by its name."""
    made: list[Step] = steps(Run(job, Path("nowhere"), silent))
    return {step.name: step.settings for step in made}


def changed(before: Job, after: Job) -> set[str]:
    old, new = keys(before), keys(after)
    return {name for name in old.keys() & new.keys() if old[name] != new[name]}


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delitem(sys.modules, "my_network", raising=False)  # of another test's folder
    (tmp_path / "my_network.py").write_text(FACTORY.format(""), encoding="utf-8")
    path = tmp_path / "mine.yaml"
    path.write_text("defaults: [digits, _self_]\nname: mine\n", encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("override", "made_again"),
    [
        ("precision=bf16", {"teacher", "soft_labels", "distill", "quantize"}),
        ("threads=1", {"data", "teacher", "soft_labels", "distill", "quantize"}),
        ("targets=[wide.yaml]", {"quantize"}),
        ("targets=[onnxruntime-avx2]", set()),
    ],
)
def test_what_decides_the_training_is_in_its_keys_and_nothing_else(
    override: str, made_again: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "wide.yaml").write_text(WIDE, encoding="utf-8")
    found = changed(load_job("digits", []), load_job("digits", [override]))
    assert found & {"data", "teacher", "soft_labels", "distill", "quantize"} == made_again


def test_what_the_machine_decides_is_decided_once_and_part_of_the_keys(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("edgecomp.config.job.host_isa", lambda: "x86-64-avx2")
    monkeypatch.setattr("edgecomp.config.job.has_bf16", lambda: False)
    older = on_this_machine(load_job("digits", ["precision=auto"]))
    assert older.host == Host(isa="x86-64-avx2", precision="fp32")
    monkeypatch.setattr("edgecomp.config.job.host_isa", lambda: "x86-64-avx512-vnni")
    monkeypatch.setattr("edgecomp.config.job.has_bf16", lambda: True)
    read_again = Job.model_validate_json(older.model_dump_json())
    assert read_again.host == older.host, "reading decides nothing"
    newer = on_this_machine(load_job("digits", ["precision=auto"]))
    assert newer.precision == "bf16"
    assert changed(older, newer) >= {
        "teacher",
        "distill",
        "quantize",
        "bench/openvino-cpu",
        "portable/openvino-cpu",
    }
    asked = on_this_machine(load_job("digits", ["precision=fp32"]))
    assert asked.precision == "fp32"
    assert "teacher" not in changed(older, asked)


def test_what_another_machine_has_to_execute_cpus_with_changes_what_is_made_and_not_what_is_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def portable() -> Step:
        made: list[Step] = steps(Run(on_this_machine(load_job("digits", [])), Path("nowhere"), silent))
        return next(step for step in made if step.name == "portable/onnxruntime-cpu")

    here = portable()
    monkeypatch.setattr(
        "edgecomp.benchmark.hosts.emulators.availability", lambda isa, runtime: (None, "not here")
    )
    elsewhere = portable()
    assert here.settings == elsewhere.settings
    assert here.means != elsewhere.means
    assert here.means.keys() == elsewhere.means.keys() == {"as x86-64-avx2", "as armv8.2-dotprod"}


def test_a_run_that_was_made_before_the_machine_was_kept_is_what_it_was() -> None:
    before = load_job("digits", ["precision=bf16"])
    assert before.host is None
    assert before.precision == "bf16"
    assert not [name for name in keys(before) if name.startswith("portable/")]


def test_what_an_emulator_may_take_measures_nothing_again() -> None:
    overrides = ["bench.emulated_examples=100", "bench.portable_examples=9", "bench.emulation_timeout_s=60"]
    again = changed(load_job("digits", []), load_job("digits", overrides))
    assert {name for name in again if name.startswith("bench/")} == set()


def test_the_report_has_the_digests_of_the_files_that_are_there_now() -> None:
    job = load_job("digits", [])
    again = job.model_copy(update={"data_files": {"lines.csv": "0" * 64}})
    assert changed(job, again) == {"data", "report"}


@pytest.mark.parametrize("part", ["teacher", "student"])
def test_a_network_of_ones_own_that_is_edited_is_trained_again(recipe: Path, part: str) -> None:
    overrides = [f"{part}.network=my_network:build", f"~{part}.arguments"]
    before = fingerprinted(load_job(str(recipe), overrides))
    assert fingerprinted(load_job(str(recipe), overrides)) == before
    (recipe.parent / "my_network.py").write_text(FACTORY.format(", blocks=2"), encoding="utf-8")
    after = fingerprinted(load_job(str(recipe), overrides))
    wanted = {"teacher", "soft_labels"} if part == "teacher" else {"distill", "quantize"}
    assert wanted <= changed(before, after)
    assert "data" not in changed(before, after)


def test_what_a_network_of_ones_own_imports_and_reads_belongs_to_it(recipe: Path) -> None:
    folder = recipe.parent
    (folder / "own_blocks.py").write_text("BLOCKS = 1\n", encoding="utf-8")
    (folder / "own_nets.py").write_text(
        "import own_blocks\n" + FACTORY.format(", blocks=1, weights=None"), encoding="utf-8"
    )
    (folder / "weights.pt").write_bytes(b"one")
    overrides = ["teacher.network=own_nets:build", "teacher.arguments={weights: weights.pt}"]
    seen = [fingerprinted(load_job(str(recipe), overrides))]
    (folder / "own_blocks.py").write_text("BLOCKS = 2\n", encoding="utf-8")
    seen.append(fingerprinted(load_job(str(recipe), overrides)))
    (folder / "weights.pt").write_bytes(b"two")
    seen.append(fingerprinted(load_job(str(recipe), overrides)))
    assert "teacher" in changed(seen[0], seen[1])
    assert "teacher" in changed(seen[1], seen[2])


def test_a_models_folder_that_is_written_anew_is_another_model(tmp_path: Path) -> None:
    from edgecomp.models import own_files

    folder = tmp_path / "bert"
    (folder / ".cache").mkdir(parents=True)
    (folder / "config.json").write_text('{"model_type": "bert"}', encoding="utf-8")
    (folder / ".cache" / "when").write_text("yesterday", encoding="utf-8")
    before = digests_by_path(own_files("hf:bert", tmp_path))
    assert set(before) == {"config.json"}
    (folder / "config.json").write_text('{"model_type": "bert", "layers": 3}', encoding="utf-8")
    assert digests_by_path(own_files("hf:bert", tmp_path)) != before


def test_files_of_one_name_and_files_that_move_have_digests_of_their_own(tmp_path: Path) -> None:
    for name in ("cat/1.png", "dog/1.png", "dog/2.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name, encoding="utf-8")
    before = digests_by_path(sorted(tmp_path.rglob("*.png")))
    assert set(before) == {"cat/1.png", "dog/1.png", "dog/2.png"}
    (tmp_path / "dog" / "2.png").rename(tmp_path / "cat" / "2.png")
    assert digests_by_path(sorted(tmp_path.rglob("*.png"))) != before
    assert set(digests_by_path([tmp_path / "cat" / "1.png"])) == {"1.png"}


def test_what_is_trained_with_fewer_threads_is_trained_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sums are added up in another order; what another machine made can still be judged here."""

    def threads() -> dict[str, int | None]:
        made: list[Step] = steps(Run(load_job("digits", []), Path("nowhere"), silent))
        return {step.name: step.threads for step in made}

    monkeypatch.setattr("edgecomp.pipeline.loaders.usable_cores", lambda: 8)
    assert {threads()[name] for name in ("teacher", "soft_labels", "distill", "quantize", "export")} == {2}
    assert threads()["data"] is None
    monkeypatch.setattr("edgecomp.pipeline.loaders.usable_cores", lambda: 1)
    assert threads()["teacher"] == 1


# Of edgecomp 0.1.0, for its recipe digits on a CPU without VNNI: settings whose digest is another one would make `run FOLDER --only gate`
# refuse every folder that was made then.
FIRST = {
    "data": "bba13c9dc786d77a", "teacher": "d3f31f4eb6d44472", "soft_labels": "d3f31f4eb6d44472", "distill": "4afdfffeee132f95",
    "quantize": "1cceb39adab06e64", "precision": "5ac0bd52fc184a2d", "control": "4d77e3f8e50f1198", "export": "73f5a3db7f10ab1a",
    "parity/onnxruntime-cpu": "c0ac5aa115460853", "parity/openvino-cpu": "8d0d9a3bd7568428",
    "deploy/onnxruntime-cpu": "f0c348e7ed55bee6", "deploy/openvino-cpu": "4e160a1c056322e5",
    "bench/onnxruntime-cpu": "17e4bc0bdd39048d", "bench/openvino-cpu": "9ad08882fceba7c8",
    "portable/onnxruntime-cpu": "071fc23ac63a7c10", "portable/openvino-cpu": "8f65d7ae38d39036",
}  # fmt: skip


def test_a_run_of_the_first_version_is_still_what_was_asked_for() -> None:
    job = load_job("digits", ["quantize.baselines=[control,ptq-ort]"])
    job = job.model_copy(update={"host": Host(isa="x86-64-avx2", precision="fp32")})
    found = {step.name: digest_of(step.settings)[:16] for step in steps(Run(job, Path("x"), silent))}
    assert {name: found[name] for name in FIRST} == FIRST


@pytest.mark.parametrize("task", ["outputs", "probabilities"])
def test_a_student_that_is_to_answer_as_its_teacher_does_learns_from_answers_in_fp32(
    task: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgecomp.config.job.has_bf16", lambda: True)
    known = load_job("digits", ["precision=auto"])
    job = known.model_copy(update={"recipe": known.recipe.model_copy(update={"task": task})})
    assert on_this_machine(job).precision == "fp32"
    by_name = job.recipe.model_copy(update={"precision": "bf16"})
    assert on_this_machine(job.model_copy(update={"recipe": by_name})).precision == "bf16"
