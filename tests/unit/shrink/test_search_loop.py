"""A search with students whose cost and score are known: what is tried, what is trained, and when it ends."""

import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from edgecomp.errors import UsageError
from edgecomp.metrics.registry import LATENCY_P50
from edgecomp.progress import Silent
from edgecomp.shrink import study as of_study
from edgecomp.shrink.budget import Limit
from edgecomp.shrink.candidates import ENDED, FAILED, OVER, TRAINED, Candidate, Cost, load_all, place_of
from edgecomp.shrink.front import chosen, front, is_exhausted
from edgecomp.shrink.spaces import Point, Space
from edgecomp.shrink.study import IsWeak, Study
from edgecomp.shrink.trials import WORK, Asking, Trained, Trials, Weak

optuna = pytest.importorskip("optuna", reason="pip install 'edgecomp[search]'")

TARGET, EPOCHS = "device", 9
WIDTH, BLOCKS = "arguments.width", "arguments.blocks"
SPACE = Space(
    {"network": "resnet", "arguments": {"width": 6, "blocks": 2}},
    {WIDTH: list(range(1, 13)), BLOCKS: [1, 2, 3, 4]},
)


class Known:
    """width·blocks ms of latency, and a score that grows with the width, and up to two blocks with them."""

    def __init__(
        self,
        dies_at: int | None = None,
        broken: tuple[int, ...] = (),
        cut_at: int | None = None,
        is_foretold: bool = False,
    ) -> None:
        self.measurements: list[tuple[int, int]] = []
        self.trainings: list[tuple[int, int]] = []
        self.counted: list[tuple[int, int]] = []
        self.epochs = 0
        self._dies_at, self._broken, self._cut_at = dies_at, broken, cut_at
        self._is_foretold = is_foretold

    def measured(self, student: Mapping[str, Any], folder: Path) -> Cost:
        width, blocks = student["arguments"]["width"], student["arguments"]["blocks"]
        self.measurements.append((width, blocks))
        if len(self.measurements) == self._dies_at:
            raise KeyboardInterrupt
        if width in self._broken:
            raise UsageError(f"width {width} cannot be built")
        assert folder.is_dir()
        known = self.work(student, folder) if self._is_foretold else {}
        return Cost(width, {TARGET: {LATENCY_P50: float(width * blocks)}}, seconds=1.0, work=known)

    def work(self, student: Mapping[str, Any], folder: Path) -> dict[str, list[float]]:
        width, blocks = student["arguments"]["width"], student["arguments"]["blocks"]
        assert folder.is_dir()  # what all candidates share is linked into it
        self.counted.append((width, blocks))
        return {"convolution": [float(blocks), float(width * blocks), 0.0]}

    def scored(self, student: Mapping[str, Any], folder: Path, is_weak: IsWeak | None = None) -> float:
        width, blocks = student["arguments"]["width"], student["arguments"]["blocks"]
        self.trainings.append((width, blocks))
        score = 50.0 + width + 3.0 * min(blocks, 2)
        for done in range(1, EPOCHS + 1):
            self.epochs += 1
            if is_weak is not None and is_weak(done, score - 10 / done):
                raise Weak(done, score - 10 / done)
            if self.epochs == self._cut_at:  # told to the study, and not kept
                raise KeyboardInterrupt
        return score


def limit(most_ms: float) -> Limit:
    return Limit(TARGET, LATENCY_P50, "max", most_ms, f"≤ {most_ms:g} ms")


def study(folder: Path, sampler: str = "tpe", seed: int = 0, within: int | None = None) -> Study:
    folder.mkdir(exist_ok=True)
    return Study(folder / "study.db", SPACE, sampler=sampler, seed=seed, target=TARGET, pruned_within=within)


def search(
    folder: Path,
    work: Known,
    *,
    most_ms: float = 20,
    trials: int = 16,
    patience: int = 99,
    sampler: str = "tpe",
    within: int | None = None,
) -> str:
    asked = study(folder, sampler, within=within)
    return Trials(folder, SPACE, [limit(most_ms)], asked, work, Silent()).until(trials, patience, None)


def points(folder: Path) -> list[Point]:
    return [one.point for one in load_all(folder)]


def test_what_is_over_the_budget_is_measured_and_not_trained(tmp_path: Path) -> None:
    work = Known()
    said = search(tmp_path, work)
    found = load_all(tmp_path)
    assert len(found) == 16
    assert said.startswith("16 candidates were tried")
    over = [one for one in found if one.became == OVER]
    assert over
    assert all("ms on device, ≤ 20 ms" in one.why for one in over)
    assert {(one.point[WIDTH], one.point[BLOCKS]) for one in over}.isdisjoint(work.trainings)
    assert len(work.measurements) == len(set(work.measurements)) == 16  # no point twice
    assert all(width * blocks <= 20 for width, blocks in work.trainings)


def test_what_is_foretold_to_be_over_the_budget_is_not_measured(tmp_path: Path) -> None:
    """From the eighth student on, here without an error; nothing is foretold of those whose work was not kept."""
    plain, work = Known(), Known(is_foretold=True)
    search(tmp_path / "plain", plain, trials=30)
    search(tmp_path / "one", work, trials=30)
    assert any(width * blocks > 20 for width, blocks in plain.measurements[8:])
    assert all(width * blocks <= 20 for width, blocks in work.measurements[8:])
    assert not plain.counted
    aside = study(tmp_path / "one").put_aside
    over = {(width, blocks) for width, blocks in work.counted if width * blocks > 20} - {*work.measurements}
    assert aside == len(over) > 0
    assert len(work.measurements) == 30 or "every point was tried" in search(
        tmp_path / "one", work, trials=30
    )


def test_where_nothing_else_is_left_what_is_foretold_is_measured_all_the_same(tmp_path: Path) -> None:
    """The measurement decides: every so often one that is foretold to be over."""
    asked, points = study(tmp_path / "one"), list[Point]()
    while (one := asked.ask(lambda _: {"time": 1.0} if points else {})) is not None:
        points.append(one.point)
        asked.tell(one, Candidate(one.number, one.point, None, why="over"), {"time": 1.0})
    assert asked.put_aside + len(points) == len(SPACE)
    assert len(points) == -(-len(SPACE) // (of_study.PROPOSALS + 1))


def test_the_cheapest_comes_first_and_then_the_recipes_own(tmp_path: Path) -> None:
    work = Known()
    search(tmp_path, work, trials=3)
    assert work.measurements[:2] == [(1, 1), (6, 2)]


@pytest.mark.parametrize("sampler", ["tpe", "gp", "nsga2"])
def test_it_finds_better_students_than_chance_would_leave(tmp_path: Path, sampler: str) -> None:
    """Of 48 points the best within 20 ms is 10 wide with 2 blocks."""
    search(tmp_path, Known(), trials=24, sampler=sampler)
    best = chosen(load_all(tmp_path), TARGET)
    assert best is not None
    assert best.score is not None
    assert best.score >= 64.0


def test_weak_candidates_end_early_and_the_best_is_found_all_the_same(tmp_path: Path) -> None:
    whole, pruned = Known(), Known()
    search(tmp_path / "whole", whole, trials=24)
    search(tmp_path / "pruned", pruned, trials=24, within=EPOCHS)
    assert whole.epochs == EPOCHS * len(whole.trainings)
    assert pruned.epochs < 0.8 * EPOCHS * len(pruned.trainings)
    found = load_all(tmp_path / "pruned")
    ended = [one for one in found if one.became == ENDED]
    assert ended
    for one in ended:
        assert 0 < one.epochs < EPOCHS
        assert one.score is None
        assert f"after {one.epochs} epoch" in one.why
    best = chosen(found, TARGET)
    assert best is not None
    assert best.score is not None
    assert best.score >= 64.0
    stored = optuna.load_study(study_name="students", storage=f"sqlite:///{tmp_path / 'pruned' / 'study.db'}")
    by_number = {one.number: one for one in stored.get_trials()}
    assert all(max(by_number[one.number].intermediate_values) == one.epochs for one in ended)


@pytest.mark.parametrize("dies", [{"dies_at": 9}, {"cut_at": 22}])
def test_a_search_that_ends_weak_ones_and_was_killed_is_the_same(
    tmp_path: Path, dies: dict[str, int]
) -> None:
    search(tmp_path / "one", Known(), within=EPOCHS)
    with pytest.raises(KeyboardInterrupt):
        search(tmp_path / "two", Known(**dies), within=EPOCHS)  # type: ignore[arg-type]  # a mapping of two keywords
    search(tmp_path / "two", Known(), within=EPOCHS)
    told = [
        [(one.point, one.became, one.epochs) for one in load_all(tmp_path / name)] for name in ("one", "two")
    ]
    assert told[0] == told[1]


def test_the_same_seed_gives_the_same_search_and_another_seed_another(tmp_path: Path) -> None:
    for name in ("one", "two"):
        search(tmp_path / name, Known())
    assert points(tmp_path / "one") == points(tmp_path / "two")
    other = Trials(
        tmp_path / "three", SPACE, [limit(20)], study(tmp_path / "three", seed=1), Known(), Silent()
    )
    other.until(16, 99, None)
    assert points(tmp_path / "three") != points(tmp_path / "one")


@pytest.mark.parametrize(
    ("sampler", "ended", "is_foretold"),
    [
        ("tpe", True, False),
        ("gp", True, False),
        ("nsga2", True, False),
        ("tpe", False, False),
        ("tpe", True, True),
    ],
)
def test_a_search_that_was_killed_is_the_one_that_was_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sampler: str, ended: bool, is_foretold: bool
) -> None:
    search(tmp_path / "whole", Known(is_foretold=is_foretold), sampler=sampler)
    with pytest.raises(KeyboardInterrupt):
        search(tmp_path / "killed", Known(is_foretold=is_foretold, dies_at=11), sampler=sampler)
    assert len(points(tmp_path / "killed")) == 10
    if ended:  # else it is the same process, as in a notebook
        monkeypatch.setattr(of_study, "owner", lambda: "another")
        monkeypatch.setattr(of_study, "is_dead", lambda name: name != "another")
    work = Known(is_foretold=is_foretold)
    search(tmp_path / "killed", work, sampler=sampler)
    assert points(tmp_path / "killed") == points(tmp_path / "whole")
    assert len(work.measurements) == 6  # what was known was not measured again


def test_recorded_measurements_stand_in_for_measuring(tmp_path: Path) -> None:
    search(tmp_path / "first", Known())
    shutil.copytree(tmp_path / "first" / "points", tmp_path / "again" / "points")
    for file in (tmp_path / "again" / "points").glob("*/candidate.json"):
        file.unlink()
    work = Known()
    search(tmp_path / "again", work)
    assert work.measurements == []
    assert points(tmp_path / "again") == points(tmp_path / "first")


def test_a_failure_is_kept_with_its_reason_and_the_search_goes_on(tmp_path: Path) -> None:
    search(tmp_path, Known(broken=(2, 3, 4)), trials=20)
    failed = [one for one in load_all(tmp_path) if one.became == FAILED]
    assert failed
    assert all("cannot be built" in one.why for one in failed)
    assert {TRAINED, FAILED} <= {one.became for one in load_all(tmp_path)}
    assert not any((place_of(tmp_path, one.point) / WORK).exists() for one in load_all(tmp_path))


def test_a_budget_that_the_cheapest_cannot_keep_ends_it_each_time(tmp_path: Path) -> None:
    for _ in range(2):
        work = Known()
        with pytest.raises(UsageError, match=r"the cheapest, width 1, blocks 1, .* 1 ms on device, ≤ 0.5 ms"):
            search(tmp_path, work, most_ms=0.5)
        assert not work.trainings
    assert len(points(tmp_path)) == 1


def test_every_point_of_a_small_space_is_tried_once(tmp_path: Path) -> None:
    work = Known()
    assert search(tmp_path, work, trials=1000, most_ms=999) == "every point was tried, 48 in all"
    assert len(set(work.measurements)) == len(work.measurements) == 48


def test_it_ends_when_the_last_ones_did_not_help(tmp_path: Path) -> None:
    said = search(tmp_path, Known(), trials=48, patience=4)
    assert said == "the last 4 candidates put none on the front (search.patience)"
    found = load_all(tmp_path)
    assert len(found) < 48
    assert is_exhausted(found, TARGET, 4)
    assert not is_exhausted(found[:-1], TARGET, 4)


def test_processes_share_a_search(tmp_path: Path) -> None:
    """Each has candidates of its own, and together they end."""
    study(tmp_path)
    script = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); from test_search_loop import *; search(Path({str(tmp_path)!r}), Known(), trials=12)"
    running = [subprocess.Popen([sys.executable, "-c", script]) for _ in range(2)]
    assert [process.wait() for process in running] == [0, 0]
    names = [one.name for one in load_all(tmp_path)]
    assert 12 <= len(names) <= 13  # the other may have begun one
    stored = optuna.load_study(study_name="students", storage=f"sqlite:///{tmp_path / 'study.db'}")
    told = [one.user_attrs["candidate"] for one in stored.trials if "candidate" in one.user_attrs]
    assert sorted(told) == sorted(names)  # none was tried by both


def test_the_front_has_what_nothing_beats() -> None:
    def trained(number: int, latency: float, score: float | None) -> Candidate:
        cost = Cost(1, {TARGET: {LATENCY_P50: latency}})
        return Candidate(number, {WIDTH: number}, cost, score, why="" if score else "over")

    found = [
        trained(0, 1.0, 60.0),
        trained(1, 2.0, 59.0),
        trained(2, 2.0, 70.0),
        trained(3, 3.0, 70.0),
        trained(4, 9.0, None),
    ]
    assert [one.number for one in front(found, TARGET)] == [0, 2]
    best = chosen(found, TARGET)
    assert best is not None
    assert best.number == 2
    assert chosen(found[4:], TARGET) is None


def test_several_at_once_are_all_measured_before_any_is_trained_and_told_in_their_order(
    tmp_path: Path,
) -> None:
    work, together = Known(), list[int]()

    def train(students: Sequence[Asking]) -> Iterator[tuple[int, Trained]]:
        together.append(len(students))
        measured = len(work.measurements)
        for index in reversed(range(len(students))):  # the last is ready first
            width = students[index][0]["arguments"]["width"]
            yield index, Trained(None, f"width {width} diverged") if width == 3 else Trained(50.0 + width)
        assert len(work.measurements) == measured

    def tried(name: str) -> list[Candidate]:
        loop = Trials(
            tmp_path / name, SPACE, [limit(20)], study(tmp_path / name), work, Silent(), train, at_once=4
        )
        assert loop.until(14, 99, None).startswith("14 candidates")
        return load_all(tmp_path / name)

    found = tried("one")
    assert len(work.measurements) == 14
    assert max(together) > 1
    assert sum(together) == sum(one.became != OVER for one in found)
    assert not work.trainings
    assert all(one.score == 50.0 + one.point[WIDTH] for one in found if one.became == TRAINED)
    assert all(one.became != TRAINED for one in found if one.point[WIDTH] == 3)
    assert tried("two") == found
