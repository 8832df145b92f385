"""What is read of the machine, from files that only pretend to be the kernel's."""

import pytest

from edgecomp import machine
from edgecomp.config.job import load_job, on_this_machine
from edgecomp.pipeline.execution import notes


@pytest.mark.parametrize(
    ("wanting", "idle"),
    [
        (["1/9"] * 5, True),
        (["3/9"] * 5, False),
        (["1/9", "4/9", "1/9", "1/9", "2/9"], True),
        (["2/9", "4/9", "1/9", "1/9", "2/9"], False),
        (["none"] * 5, False),
    ],
)
def test_a_machine_is_idle_where_nothing_else_wants_to_run(
    monkeypatch: pytest.MonkeyPatch, wanting: list[str], idle: bool
) -> None:
    said = iter(wanting)
    monkeypatch.setattr(machine, "_lines", lambda path: [f"0.1 0.2 0.3 {next(said)} 77"])
    assert machine.is_idle(every_s=0.0) is idle


def test_without_the_kernels_word_a_machine_is_not_taken_for_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_lines", lambda path: [])
    assert machine.is_idle(every_s=0.0) is False


@pytest.mark.parametrize(
    ("flags", "has"),
    [
        ("avx2 fma", False),
        ("avx512f avx512_bf16", True),
        ("amx_bf16", True),
        ("asimd bf16", True),
        ("", False),
    ],
)
def test_bf16_is_taken_by_the_flags(monkeypatch: pytest.MonkeyPatch, flags: str, has: bool) -> None:
    monkeypatch.setattr(machine, "cpu_flags", lambda: frozenset(flags.split()))
    assert machine.has_bf16() is has


@pytest.mark.parametrize(
    ("asked", "has", "trained", "said"),
    [
        ("auto", True, "bf16", 0),
        ("auto", False, "fp32", 0),
        ("bf16", True, "bf16", 0),
        ("bf16", False, "bf16", 1),
        ("fp32", True, "fp32", 0),
    ],
)
def test_bf16_by_name_is_done_and_said_what_it_costs(
    monkeypatch: pytest.MonkeyPatch, asked: str, has: bool, trained: str, said: int
) -> None:
    for room in ("edgecomp.config.job", "edgecomp.pipeline.execution"):
        monkeypatch.setattr(f"{room}.has_bf16", lambda: has)
    job = on_this_machine(load_job("digits", [f"precision={asked}"]))
    assert job.precision == trained
    found = notes(job)
    assert len(found) == said
    assert not found or "some five times fp32's" in found[0]


def test_auto_is_the_default_of_every_recipe_that_does_not_say_why_not() -> None:
    for name in ("cifar10", "sst2"):
        assert load_job(name, []).recipe.precision == "auto"
