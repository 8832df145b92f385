"""What a training takes of this machine and of its recipe: what is refused before it starts, and what is in its key."""

from pathlib import Path

import pytest

from edgecomp.config.job import Job, load_job, on_this_machine
from edgecomp.errors import UsageError
from edgecomp.pipeline import execution, practice, shared_settings, steps
from edgecomp.pipeline.loaders import Run
from edgecomp.progress import silent, unheard


def made_from(job: Job) -> dict[str, object]:
    return {step.name: (step.settings, step.means) for step in steps.steps(Run(job, Path("nowhere"), silent))}


def test_a_run_is_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UsageError, match="a run is one process, which measures alone, and 2 were started: leave out torchrun"):  # fmt: skip
        execution.check_machine(on_this_machine(load_job("digits", [])), unheard)


def test_half_precision_without_a_gpu_is_refused_before_anything_is_done(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(execution, "gpus", lambda: ())
    with pytest.raises(UsageError, match="precision: fp16 is trained on a GPU, and there is none here"):
        execution.check_machine(on_this_machine(load_job("digits", ["precision=fp16"])), unheard)


@pytest.mark.parametrize("part", ["teacher", "distill"])
def test_a_tracker_that_is_not_installed_is_named(part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(practice, "find_spec", lambda name: None)
    job = on_this_machine(load_job("digits", [f"+{part}.loop.trackers=[mlflow]"]))
    with pytest.raises(UsageError, match=r"mlflow is not installed: pip install 'edgecomp\[mlflow\]'"):
        execution.check_machine(job, unheard)
    assert practice.trackers(load_job("digits", []).recipe.distill.loop) == ()


def test_who_is_told_of_epochs_decides_nothing_and_all_else_of_the_loop_does() -> None:
    plain = made_from(load_job("digits", []))
    assert made_from(
        load_job("digits", ["+distill.loop.trackers=[]", "+teacher.loop.trackers=[]"])
    ) == plain | {
        "report": made_from(load_job("digits", ["+distill.loop.trackers=[]", "+teacher.loop.trackers=[]"]))[
            "report"
        ]
    }
    clipped = made_from(load_job("digits", ["+distill.loop.clip_norm=1"]))
    assert {name for name in plain if plain[name] != clipped[name]} == {
        "distill",
        "quantize",
        "precision",
        "report",
    }


def test_a_gpu_that_trains_is_in_the_keys_of_what_is_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_settings, "gpus", lambda: ("nvidia0",))
    monkeypatch.setattr(shared_settings, "installed", lambda name: "2.13.0")
    assert shared_settings.trained_on() == {"gpus": "1"}
    monkeypatch.setattr(shared_settings, "installed", lambda name: "2.13.0+cpu")
    assert shared_settings.trained_on() == {}
