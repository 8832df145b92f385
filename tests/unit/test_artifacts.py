import json
import os
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from edgecomp.artifacts import NOT_RUN, RunFolder, Step, check_writable, digest_of, replacing, write_json
from edgecomp.errors import EdgecompError, RunFolderError, UsageError


def step(name: str, text: str = "made", inputs: tuple[str, ...] = ()) -> Step:
    def make(out: Path, checkpoints: Path) -> None:
        (out / "file.txt").write_text(text, encoding="utf-8")

    return Step(name, name, make, {"text": text}, inputs)


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    (tmp_path / "run").mkdir()
    return RunFolder(tmp_path / "run")


def fresh(folder: RunFolder) -> RunFolder:
    """The folder as a new process sees it."""
    return RunFolder(folder.path)


def test_a_finished_step_does_not_run_again(folder: RunFolder) -> None:
    assert folder.reason_to_run(step("data")) == "new"
    folder.run(step("data"), "r")
    assert fresh(folder).reason_to_run(step("data")) is None


def test_a_changed_setting_is_a_reason_to_run(folder: RunFolder) -> None:
    folder.run(step("data"), "r")
    assert fresh(folder).reason_to_run(step("data", "other")) == "changed: settings"


def test_a_changed_input_is_a_reason_to_run_and_the_same_bytes_are_none(folder: RunFolder) -> None:
    folder.run(step("data"), "r")
    folder.run(step("teacher", inputs=("data",)), "r")
    folder.run(step("data"), "r")
    assert fresh(folder).reason_to_run(step("teacher", inputs=("data",))) is None
    folder.run(step("data", "other"), "r")
    assert fresh(folder).reason_to_run(step("teacher", inputs=("data",))) == "changed: data"


@pytest.mark.parametrize("damage", ["flipped", "truncated", "gone"])
def test_a_damaged_artifact_is_named_and_is_a_reason_to_run(folder: RunFolder, damage: str) -> None:
    folder.run(step("data"), "r")
    file = folder.path / "data" / "file.txt"
    if damage == "gone":
        file.unlink()
    else:
        file.write_text("nade" if damage == "flipped" else "mad", encoding="utf-8")
    again = fresh(folder)
    reason = again.reason_to_run(step("data"))
    assert reason is not None
    assert "data/file.txt" in reason
    assert again.notes == [reason]


@pytest.mark.parametrize("content", ["", "{", '{"format": 1}', '{"format": "one", "recipe": "r"}'])
def test_a_damaged_manifest_means_that_everything_is_made_again(folder: RunFolder, content: str) -> None:
    folder.run(step("data"), "r")
    (folder.path / "manifest.json").write_text(content, encoding="utf-8")
    reason = fresh(folder).reason_to_run(step("data"))
    assert reason is not None
    assert reason.startswith("manifest.json")


def test_a_step_that_fails_leaves_the_old_artifacts(folder: RunFolder) -> None:
    def make(out: Path, checkpoints: Path) -> None:
        (out / "file.txt").write_text("half", encoding="utf-8")
        raise ZeroDivisionError

    folder.run(step("data"), "r")
    with pytest.raises(ZeroDivisionError):
        folder.run(Step("data", "data", make, {}), "r")
    assert (folder.path / "data" / "file.txt").read_text(encoding="utf-8") == "made"
    assert fresh(folder).reason_to_run(step("data")) is None


def test_a_checkpoint_is_only_seen_by_the_key_it_was_made_for(folder: RunFolder) -> None:
    seen = []

    def make(out: Path, checkpoints: Path) -> None:
        seen.append(sorted(path.name for path in checkpoints.glob("*")))
        write_json(checkpoints / "state.json", {})
        if len(seen) < 3:
            raise KeyboardInterrupt

    for settings in ("a", "a", "b"):
        try:
            folder.run(Step("teacher", "teacher", make, settings), "r")
        except KeyboardInterrupt:
            continue
    assert seen == [[], ["state.json"], []]


@pytest.mark.parametrize(("kept", "seconds"), [(True, 70), (False, 40)])
def test_a_step_that_went_on_from_a_checkpoint_took_as_long_as_all_its_sittings(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch, kept: bool, seconds: int
) -> None:
    clock = iter([0, 10, 100, 120, 1000, 1040])
    monkeypatch.setattr("edgecomp.artifacts.time", SimpleNamespace(monotonic=lambda: next(clock)))
    sittings = iter([KeyboardInterrupt, ZeroDivisionError, None])

    def make(out: Path, checkpoints: Path) -> None:
        if kept:
            write_json(checkpoints / "state.json", {})
        if ends := next(sittings):
            raise ends

    for _ in range(3):
        with suppress(KeyboardInterrupt, ZeroDivisionError):
            folder.run(Step("teacher", "teacher", make, {}), "r")
    manifest = folder.manifest()
    assert manifest is not None
    assert manifest.steps["teacher"].seconds == seconds


def test_a_full_disk_is_said_with_the_file(folder: RunFolder) -> None:
    def make(out: Path, checkpoints: Path) -> None:
        raise OSError(28, "No space left on device", str(out / "file.txt"))

    with pytest.raises(
        EdgecompError, match=r"data: .*file\.txt: No space left on device; what was finished before is kept"
    ):
        folder.run(Step("data", "data", make, {}), "r")


def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"a": 1})

    def fail_half_way() -> None:
        with replacing(path) as temporary:
            temporary.write_text("half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_half_way()
    with pytest.raises(ValueError, match="Out of range float"):
        write_json(path, {"a": float("nan")})
    assert json.loads(path.read_text()) == {"a": 1}
    assert os.listdir(tmp_path) == ["a.json"]


def test_what_a_killed_writer_left_is_cleared(folder: RunFolder) -> None:
    (folder.path / ".manifest.json.123.tmp").write_text("{")
    with folder.locked():
        pass
    assert not list(folder.path.glob(".*.tmp"))


def test_a_file_is_no_run_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunFolderError, match="is a file"):
        RunFolder(tmp_path / "file").admit("r")


def test_a_digest_does_not_depend_on_the_order_of_keys() -> None:
    assert digest_of({"a": 1, "b": [2.5]}) == digest_of({"b": [2.5], "a": 1}) != digest_of({"a": 1, "b": [2]})


def test_what_was_not_run_is_tried_again_and_is_no_reason_against_judging_it(folder: RunFolder) -> None:
    def make(out: Path, checkpoints: Path) -> None:
        (out / NOT_RUN).write_text("no GPU here\n", encoding="utf-8")

    without = Step("bench/gpu", "bench", make, {})
    folder.run(without, "r")
    assert fresh(folder).reason_to_run(without) == "not run before: no GPU here"
    assert fresh(folder).reason_to_run(without, here=False) is None


def test_another_machines_artifacts_are_made_again_but_may_be_judged(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measured(settings: int = 0) -> Step:
        return Step("bench", "bench", lambda out, _: None, settings, libraries=("numpy",), executes=True)

    folder.run(measured(), "r")
    monkeypatch.setattr("edgecomp.artifacts.installed", lambda library: "another")
    monkeypatch.setattr("edgecomp.artifacts.cpu_isa", lambda: ("another",))
    assert fresh(folder).reason_to_run(measured()) == "changed: numpy, cpu"
    assert fresh(folder).reason_to_run(measured(), here=False) is None
    assert fresh(folder).reason_to_run(measured(1), here=False) == "changed: settings"


def test_what_was_made_with_other_means_is_made_again_but_may_be_judged(folder: RunFolder) -> None:
    def executed(how: str) -> Step:
        return replace(step("portable"), means={"as x86-64-avx2": how})

    folder.run(executed("not run"), "r")
    assert fresh(folder).reason_to_run(executed("not run")) is None
    assert fresh(folder).reason_to_run(executed("masked")) == "changed: as x86-64-avx2"
    assert fresh(folder).reason_to_run(executed("masked"), here=False) is None


def test_a_link_stays_and_what_it_links_to_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    (tmp_path / "near.json").symlink_to(tmp_path / "far" / "real.json")
    write_json(tmp_path / "near.json", 1)
    assert (tmp_path / "near.json").is_symlink()
    assert (tmp_path / "far" / "real.json").read_text() == "1\n"


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("file/x/j.xml", "file is a file"),
        ("folder", "it is a folder"),
        ("/proc/x/j.xml", "/proc: No such file"),
    ],
)
def test_a_place_where_nothing_can_be_written_is_told(tmp_path: Path, path: str, words: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=rf"--junit {tmp_path / path} cannot be written: .*{words}"):
        check_writable(tmp_path / path, "--junit")


def test_asking_whether_a_place_can_be_written_leaves_nothing(tmp_path: Path) -> None:
    check_writable(tmp_path / "new" / "folder" / "j.xml", "--junit")
    assert list(tmp_path.iterdir()) == []
