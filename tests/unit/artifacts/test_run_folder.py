import json
import os
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from edgecomp.artifacts.rerun import Step
from edgecomp.artifacts.run_folder import NOT_RUN, RunFolder
from edgecomp.errors import EdgecompError, RunFolderError
from edgecomp.files.scratch import replacing
from edgecomp.files.writing import digest_of, write_json


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


def test_a_checkpoint_outlives_other_steps_until_its_own_is_made(folder: RunFolder) -> None:
    ends: list[type[BaseException]] = [KeyboardInterrupt]

    def make(out: Path, checkpoints: Path) -> None:
        write_json(checkpoints / "state.json", {})
        if ends:
            raise ends.pop()

    kept = folder.path / ".checkpoints"
    with pytest.raises(KeyboardInterrupt):
        folder.run(Step("cpu-u8/quantize", "distill", make, "long"), "r")
    for other in (step("export"), step("quantize")):  # of its scheme, and of its name
        folder.run(other, "r")
        folder.clear_checkpoints()
        assert [one.name.rpartition("-")[0] for one in kept.iterdir() if one.is_dir()] == ["cpu-u8-quantize"]
    folder.run(
        Step("cpu-u8/quantize", "distill", make, "short"), "r"
    )  # what it is made of otherwise needs the old one no more
    assert not kept.exists()


@pytest.mark.parametrize(("kept", "seconds"), [(True, 70), (False, 40)])
def test_a_step_that_went_on_from_a_checkpoint_took_as_long_as_all_its_sittings(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch, kept: bool, seconds: int
) -> None:
    clock = iter([0, 10, 100, 120, 1000, 1040])
    monkeypatch.setattr("edgecomp.artifacts.run_folder.time", SimpleNamespace(monotonic=lambda: next(clock)))
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


@pytest.mark.parametrize(
    ("free", "words"), [(4096, "the disk is full, 4,096 bytes are left"), (2**30, "enforce fail")]
)
def test_a_library_that_fails_on_a_full_disk_is_explained(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch, free: int, words: str
) -> None:
    def make(out: Path, checkpoints: Path) -> None:
        raise RuntimeError("[enforce fail at inline_container.cc:672]")

    monkeypatch.setattr(
        "edgecomp.artifacts.run_folder.shutil.disk_usage", lambda _: SimpleNamespace(free=free)
    )
    with pytest.raises((EdgecompError, RuntimeError), match=words) as told:
        folder.run(Step("export", "export", make, {}), "r")
    assert isinstance(told.value, EdgecompError) is (free == 4096)


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


# Whose folder it is


JOB = {"recipe": {"name": "r"}, "folder": ".", "targets": [], "beside": [], "policy": {}, "rows": {}}
RECORD = {"key": "k", "made_from": {}, "outputs": {}, "finished": "now", "seconds": 0.0}
DIGEST = {"sha256": "0" * 64, "size_bytes": 1}


def listing(name: str, *files: str) -> dict[str, object]:
    """A manifest of a step that made these files."""
    record = RECORD | {"outputs": dict.fromkeys(files, DIGEST)}
    return {"format": 1, "edgecomp": "0.1.0", "recipe": "r", "steps": {name: record}}


def test_a_file_is_no_run_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunFolderError, match="is a file"):
        RunFolder(tmp_path / "file").admit("r")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("manifest.json", {}),
        ("manifest.json", {"name": "my extension", "manifest_version": 3}),
        ("manifest.json", {"recipe": "r", "files": ["a"]}),
        ("manifest.json", [1, 2]),
        ("manifest.json", listing("data", "../data/thesis.tex")),
        ("manifest.json", listing("data", "thesis.tex")),
        ("manifest.json", listing("..", "../x")),
        ("job.json", {"job": "of a queue"}),
        ("job.json", {"recipe": "r"} | {key: 0 for key in JOB if key != "recipe"}),
        ("notes.txt", "mine"),
        (".git", "mine"),
    ],
)
def test_a_folder_that_merely_holds_such_a_file_is_refused(
    tmp_path: Path, name: str, content: object
) -> None:
    (tmp_path / name).write_text(json.dumps(content))
    (tmp_path / "data").mkdir()
    with pytest.raises(RunFolderError, match=r"it is not a run folder, and nothing is written into it"):
        RunFolder(tmp_path).admit("r")


@pytest.mark.parametrize(
    ("left", "content"),
    [
        ({}, {}),
        ({".lock": "", ".owner.json": "{}", ".job.json.1-2-0123abcd.tmp": "{"}, {}),
        ({"job.json": json.dumps(JOB), ".lock": ""}, {}),
        ({"job.json": json.dumps(JOB), "manifest.json": '{"form'}, {}),
        ({"manifest.json": json.dumps(listing("data", "data/a.npz"))}, {"format": 1}),
    ],
)
def test_a_run_that_was_killed_early_and_one_of_before_are_taken_up(
    tmp_path: Path, left: dict[str, str], content: dict[str, object]
) -> None:
    for name, text in left.items():
        (tmp_path / name).write_text(text)
    RunFolder(tmp_path).admit("r")
    if any(name in left for name in ("job.json", "manifest.json")):
        with pytest.raises(RunFolderError, match="belongs to recipe 'r', not 'other'"):
            RunFolder(tmp_path).admit("other")


def test_a_run_folder_within_another_is_refused(folder: RunFolder) -> None:
    folder.run(step("data"), "r")
    with pytest.raises(RunFolderError, match=r"sub lies in the run folder .*run: choose another folder"):
        RunFolder(folder.path / "data" / "sub").admit("r")


@pytest.mark.parametrize("name", ["data", "bench", ".scratch", ".lock", "job.json"])
def test_what_is_a_link_is_refused_and_never_followed(folder: RunFolder, tmp_path: Path, name: str) -> None:
    for one in ("data", "bench/cpu"):
        folder.run(step(one), "r")
    elsewhere = tmp_path / "thesis"
    (elsewhere / "cpu").mkdir(parents=True)
    for place in (elsewhere, elsewhere / "cpu"):
        (place / "file.txt").write_text("mine")
    place = folder.path / name
    if place.is_dir():
        place.rename(folder.path / ".away")
    place.symlink_to(elsewhere)
    with pytest.raises(RunFolderError, match=f"{name} is a link"):
        fresh(folder).admit("r")
    if name in ("data", "bench"):
        with pytest.raises(RunFolderError, match=f"{name} is a link"):
            fresh(folder).run(step("data" if name == "data" else "bench/cpu", "other"), "r")
    assert {path.read_text() for path in elsewhere.rglob("file.txt")} == {"mine"}


def test_what_no_manifest_lists_is_kept_when_a_step_is_made_again(folder: RunFolder) -> None:
    def made(*names: str) -> Step:
        def make(out: Path, checkpoints: Path) -> None:
            for name in names:
                (out / name).parent.mkdir(parents=True, exist_ok=True)
                (out / name).write_text("made")

        return Step("gate", "gate", make, names)

    folder.run(made("verdict.json", "old/a.txt", "old/b.txt"), "r")
    gate = folder.path / "gate"
    for name in ("notes.txt", "old/notes.txt", "new.json", "deep"):
        (gate / name).write_text("mine")
    (gate / "plots").symlink_to(folder.path)
    assert folder.not_its_own("gate") == [
        "gate/deep",
        "gate/new.json",
        "gate/notes.txt",
        "gate/plots",
        "gate/old/notes.txt",
    ]
    fresh(folder).run(made("verdict.json", "new.json", "deep/in.txt"), "r")
    kept = {path.relative_to(gate).as_posix(): path.read_text() for path in gate.rglob("*") if path.is_file()}
    assert kept == {
        "verdict.json": "made", "new.json": "made", "deep/in.txt": "made",
        "notes.txt": "mine", "old/notes.txt": "mine", "new.json.kept": "mine", "deep.kept": "mine",
    }  # fmt: skip
    assert (gate / "plots").is_symlink()
    assert fresh(folder).reason_to_run(made("verdict.json", "new.json", "deep/in.txt")) is None
    fresh(folder).run(made("verdict.json"), "r")
    assert {path.name for path in gate.iterdir()} == {
        "verdict.json",
        "notes.txt",
        "old",
        "new.json.kept",
        "deep.kept",
        "plots",
    }


@pytest.mark.parametrize("killed_in", ["_record", "put"])
def test_a_step_that_was_killed_while_it_was_put_in_place_is_made_again_and_leaves_nothing(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch, killed_in: str
) -> None:
    place = (
        "edgecomp.artifacts.run_folder.RunFolder._record"
        if killed_in == "_record"
        else "edgecomp.artifacts.step_files.put"
    )

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    folder.run(step("data", "first"), "r")
    with monkeypatch.context() as patched:
        patched.setattr(place, killed)
        with suppress(KeyboardInterrupt):
            fresh(folder).run(step("data", "second"), "r")
    assert fresh(folder).reason_to_run(step("data", "second")) is not None
    fresh(folder).run(step("data", "second"), "r")
    assert [path.name for path in (folder.path / "data").iterdir()] == ["file.txt"]
    assert (folder.path / "data" / "file.txt").read_text() == "second"


def test_with_a_damaged_manifest_what_is_there_is_kept_unless_it_is_the_same(folder: RunFolder) -> None:
    folder.run(step("data"), "r")
    folder.run(step("teacher"), "r")
    (folder.path / "manifest.json").write_text("{")
    fresh(folder).run(step("data"), "r")
    fresh(folder).run(step("teacher", "other"), "r")
    files = {
        path.relative_to(folder.path).as_posix(): path.read_text() for path in folder.path.rglob("*.txt*")
    }
    assert files == {"data/file.txt": "made", "teacher/file.txt": "other", "teacher/file.txt.kept": "made"}


def test_a_lock_that_is_a_folder_is_told(folder: RunFolder) -> None:
    (folder.path / ".lock").mkdir()
    with pytest.raises(RunFolderError, match=r"\.lock cannot be written: "), folder.locked():
        pass


def test_what_a_kill_left_of_a_step_goes_with_the_next_start(folder: RunFolder) -> None:
    (folder.path / ".scratch" / "data").mkdir(parents=True)
    (folder.path / ".manifest.json.1-2-0123abcd.tmp").write_text("{")
    (folder.path / ".mine.1-2-0123abcd.tmp").write_text("mine")
    with folder.locked():
        assert list((folder.path / ".scratch").iterdir()) == []
    assert {path.name for path in folder.path.iterdir()} <= {".lock", ".mine.1-2-0123abcd.tmp"}


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
    monkeypatch.setattr("edgecomp.artifacts.rerun.installed", lambda library: "another")
    monkeypatch.setattr("edgecomp.artifacts.rerun.cpu_isa", lambda: ("another",))
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


def test_a_device_or_a_pipe_is_not_replaced_by_a_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="it is no file"):
        write_json(tmp_path / "pipe", 1)
    assert [path.name for path in tmp_path.iterdir()] == ["pipe"]
    assert (tmp_path / "pipe").is_fifo()


def test_a_link_stays_and_what_it_links_to_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    (tmp_path / "near.json").symlink_to(tmp_path / "far" / "real.json")
    write_json(tmp_path / "near.json", 1)
    assert (tmp_path / "near.json").is_symlink()
    assert (tmp_path / "far" / "real.json").read_text() == "1\n"
