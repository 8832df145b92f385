"""The history: written by many at once, by one that is killed, and read again."""

import json
import math
import os
import signal
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import judging
import pytest
from running import Cli

from edgecomp.artifacts.rerun import Step
from edgecomp.artifacts.run_folder import RunFolder
from edgecomp.errors import UsageError
from edgecomp.history import store as history
from edgecomp.history.record import drifted, of_run, remember
from edgecomp.history.store import Entry, Result, append, drift, identity, results
from edgecomp.history.trend import write_trend

MARGIN = math.log(1.025)


def release(
    model: str, baseline: str | None, slower: float, *, half: float = 0.002, target: str = "t"
) -> Result:
    """A comparison of a model with the one before it."""
    ratio = math.log1p(slower)
    over = judging.figure(ratio, ratio - half, ratio + half, "log_ratio", confidence=0.99)
    figure = Entry("cpu_p50_ms", over, MARGIN, "PASS")
    own = Entry("cpu_p50_ms", judging.figure(1.5, 1.4, 1.6))
    return Result(
        "compare",
        target,
        model,
        model,
        f"runs/{model}",
        (figure, own),
        "PASS",
        baseline,
        "2026-11-21T10:00:00+00:00",
    )


def test_what_was_appended_is_read_back_in_order(tmp_path: Path) -> None:
    store = tmp_path / "deep" / "h.sqlite"
    written = [release("b", "a", 0.01), release("c", "b", 0.0, target="u")]
    for one in written:
        append(one, store)
    assert results(store) == written
    assert [one.model for one in results(store, target="u")] == ["c"]
    assert [one.model for one in results(store, last=1)] == ["c"]


def test_a_figure_that_is_not_finite_is_left_out(tmp_path: Path) -> None:
    append(
        replace(release("b", "a", 0), figures=(Entry("cpu_p50_ms", judging.figure(math.nan, None, None)),)),
        tmp_path / "h",
    )
    assert results(tmp_path / "h")[0].figures == ()


def spoilt(store: Path, table: str, **values: object) -> None:
    """The last row of a table, with those values in it."""
    with sqlite3.connect(store) as database:
        for name, value in values.items():
            database.execute(
                f"UPDATE {table} SET {name} = ? WHERE rowid = (SELECT max(rowid) FROM {table})", (value,)
            )
    database.close()


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"value": math.inf}, "cpu_p50_ms is inf"),
        ({"value": "fast"}, "cpu_p50_ms is 'fast'"),
        ({"lower": b"\0"}, "cpu_p50_ms is b'"),
        ({"upper": -math.inf}, "cpu_p50_ms is -inf"),
        ({"margin": "wide"}, "cpu_p50_ms is 'wide'"),
        ({"metric": "beauty"}, "there is no metric 'beauty'"),
        ({"metric": b"cpu"}, "there is no metric b'cpu'"),
        ({"dimension": "bytes"}, "cpu_p50_ms is no 'bytes'"),
        ({"verdict": b"PASS"}, "the verdict on cpu_p50_ms is b'PASS'"),
        ({"confidence": 7}, "the confidence of cpu_p50_ms is 7"),
        ({"sided": "three"}, "the bounds of cpu_p50_ms are 'three'-sided"),
        ({"count": "many"}, "cpu_p50_ms is from 'many'"),
        ({"unit": b"x"}, "cpu_p50_ms is from b'x'"),
    ],
)
def test_a_figure_that_nobody_wrote_is_left_out_and_told(
    cli: Cli, tmp_path: Path, values: dict[str, object], words: str
) -> None:
    store = tmp_path / "h"
    for one in (release("b", "a", 0.01), release("c", "b", 0.01)):
        append(one, store)
    spoilt(store, "figures", **values)
    told: list[str] = []
    first, second = results(store, refused=told.append)
    assert (len(first.figures), len(second.figures)) == (2, 1)
    (line,) = told
    assert line.startswith(f"{store}: a figure of result 2 is left out: {words}")
    assert drifted(release("d", "c", 0.02), store) != drifted(release("d", "x", 0.02), store)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"at": 7}, "at is 7"),
        ({"target": b"board"}, "target is b'board'"),
        ({"model": 1.5, "verdict": b"PASS"}, "model is 1.5, verdict is b'PASS'"),
    ],
)
def test_a_result_that_nobody_wrote_is_left_out_and_told(
    tmp_path: Path, values: dict[str, object], words: str
) -> None:
    store = tmp_path / "h"
    for one in (release("b", "a", 0.01), release("c", "b", 0.01)):
        append(one, store)
    with sqlite3.connect(store) as database:  # SQLite turns a number in a column of texts into one
        database.execute("CREATE TABLE any AS SELECT * FROM results")
        database.execute("DROP TABLE results")
        columns = "id INTEGER PRIMARY KEY, at, kind, target, model, sha256, baseline_sha256, verdict, source, edgecomp"
        database.execute(f"CREATE TABLE results ({columns})")
        database.execute("INSERT INTO results SELECT * FROM any")
    database.close()
    spoilt(store, "results", **values)
    told: list[str] = []
    assert [one.model for one in results(store, refused=told.append)] == ["b"]
    assert told == [f"{store}: result 2 is left out: {words}, where a text belongs"]


def test_the_command_shows_the_rest_of_a_spoilt_history(cli: Cli, tmp_path: Path) -> None:
    store = tmp_path / "h"
    for one in (release("b", "a", 0.01), release("c", "b", 0.01)):
        append(one, store)
    spoilt(store, "figures", value=math.inf)
    spoilt(store, "results", model="\x1b[31m[/]\udcff".encode("utf-8", "surrogatepass"))
    done = cli(
        "history",
        "--store",
        str(store),
        "--plot",
        str(tmp_path / "t.svg"),
        "--json",
        "-m",
        "cpu_p50_ms",
        "-m",
        "export_sqnr_db",
    )
    assert done.code == 0, done.err
    assert "a figure of result 2 is left out: cpu_p50_ms is inf" in " ".join(done.err.split())
    assert "1.5 ms (+1.00 %)" in done.err
    for name in (store, tmp_path / "h-wal"):
        before = store.read_bytes()
        refused = cli("history", "--store", str(store), "--plot", str(name))
        assert refused.code == 2, refused.err
        assert "would overwrite" in refused.err
        assert store.read_bytes() == before


def test_a_history_in_a_run_folder_is_refused(tmp_path: Path) -> None:
    RunFolder(tmp_path).run(Step("gate", "gate", lambda out, _: None, {}), "r")
    with pytest.raises(UsageError, match="lies in the run folder"):
        append(release("b", "a", 0), tmp_path / "h.sqlite")


def test_many_writers_lose_nothing(tmp_path: Path) -> None:
    store = tmp_path / "h.sqlite"
    script = f"from test_store import *\nfor i in range(25): append(release(f'{{sys.argv[1]}}-{{i}}', 'a', 0), Path({str(store)!r}))"
    paths = os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parents[2]), *sys.path])

    def write(name: int) -> int:
        return subprocess.run(
            [sys.executable, "-c", script, str(name)], env=os.environ | {"PYTHONPATH": paths}, check=False
        ).returncode

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(write, range(4))) == [0] * 4
    found = results(store)
    assert len(found) == 100
    assert {one.model for one in found} == {f"{name}-{i}" for name in range(4) for i in range(25)}
    assert all(len(one.figures) == 2 for one in found)


@pytest.mark.parametrize("wait", [0.05, 0.2, 0.5])
def test_a_writer_that_is_killed_leaves_whole_results(tmp_path: Path, wait: float) -> None:
    store = tmp_path / "h.sqlite"
    script = f"from test_store import *\ni = 0\nwhile True: append(release(str(i), 'a', 0), Path({str(store)!r})); i += 1"
    paths = os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parents[2]), *sys.path])
    with subprocess.Popen([sys.executable, "-c", script], env=os.environ | {"PYTHONPATH": paths}) as writer:
        while not store.is_file() or store.stat().st_size == 0:
            time.sleep(0.01)
        time.sleep(wait)
        writer.send_signal(signal.SIGKILL)
    found = results(store)
    assert [one.model for one in found] == [str(i) for i in range(len(found))]
    assert all(len(one.figures) == 2 for one in found)
    append(release("after", "a", 0), store)
    assert results(store)[-1].model == "after"


def test_what_is_no_history_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("not a database, but long enough to be looked at\n" * 40)
    with pytest.raises(UsageError, match="is no history of edgecomp's"):
        results(tmp_path / "text")
    with pytest.raises(UsageError, match="no history in"):
        results(tmp_path / "nothing")
    append(release("b", "a", 0), tmp_path / "newer")
    with sqlite3.connect(tmp_path / "newer") as database:
        database.execute(f"PRAGMA user_version = {history.FORMAT_VERSION + 1}")
    database.close()
    with pytest.raises(UsageError, match="newer than this edgecomp reads"):
        results(tmp_path / "newer")


def test_the_database_of_another_program_is_refused_and_left_as_it_was(tmp_path: Path) -> None:
    for name, pragma in (
        ("first", "user_version = 0"),
        ("second", "user_version = 1"),
        ("third", "application_id = 7"),
    ):
        store = tmp_path / name
        with sqlite3.connect(store) as database:
            database.execute("CREATE TABLE songs (title TEXT)")
            database.execute(f"PRAGMA {pragma}")
        database.close()
        before = store.read_bytes()
        with pytest.raises(UsageError, match=r"another program's database .*songs.*--store"):
            append(release("b", "a", 0), store)
        with pytest.raises(UsageError, match="another program's database"):
            results(store)
        assert store.read_bytes() == before


def test_a_history_of_before_it_was_marked_goes_on(tmp_path: Path) -> None:
    store = tmp_path / "h"
    append(release("b", "a", 0), store)
    with sqlite3.connect(store) as database:
        assert database.execute("PRAGMA application_id").fetchone() == (history.APPLICATION,)
        database.execute("PRAGMA application_id = 0")
    database.close()
    append(release("c", "b", 0), store)
    assert [one.model for one in results(store)] == ["b", "c"]


def test_a_target_without_results_is_refused_with_those_that_have_some(tmp_path: Path) -> None:
    store = tmp_path / "h"
    for target in ("board", "phone"):
        append(release("b", "a", 0, target=target), store)
    with pytest.raises(
        UsageError, match=r"no results for target 'bord' in .*'board'.*; there are board, phone"
    ):
        results(store, target="bord")


def test_each_target_is_remembered_with_the_verdict_of_its_own_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiver = {"check": "latency_p50_ms", "owner": "ann", "reason": "r", "expires": "2999-01-01"}
    waived, warns = {"waiver": waiver}, {"severity": "warn"}
    rows = [
        ("a", "PASS", {}),
        ("a", "FAIL", waived),
        ("a", "FAIL", warns),
        ("b", "INCONCLUSIVE", {}),
        ("c", "FAIL", waived),
        ("d", "INCONCLUSIVE", {}),  # a CPU stood in for it: its answers are not the device's
    ]
    gates = [judging.check(target=target, verdict=verdict, **more) for target, verdict, more in rows]
    verdict = judging.verdict(*gates, figures={key: {} for key in "abcd"}, stand_ins={"d": "no GPU"})
    arm = SimpleNamespace(file_sha256={"model.onnx": "1"})
    measured = SimpleNamespace(student="student_int8", arms={"student_int8": arm})
    monkeypatch.setattr("edgecomp.history.record.Measurements.load", lambda _: measured)
    found = [(one.target, one.verdict) for one in of_run(verdict, tmp_path, "r")]
    assert found == [("a", "PASS"), ("b", "INCONCLUSIVE"), ("c", None)]


def test_a_history_that_cannot_be_written_costs_a_note_only(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("not a database, but long enough to be looked at\n" * 40)
    notes: list[str] = []
    remember(release("b", "a", 0), tmp_path / "text", notes.append)
    assert drifted(release("b", "a", 0), tmp_path / "text") == []
    assert "not in the history" in notes[0]


def test_a_model_is_known_by_its_bytes_and_not_by_its_name() -> None:
    assert identity({"model.onnx": "1"}) == identity({"other.onnx": "1"}) == "1"
    assert (
        identity({"a.bin": "1", "a.xml": "2"})
        == identity({"b.bin": "1", "b.xml": "2"})
        != identity({"a.bin": "2", "a.xml": "1"})
    )


def as_format_1_left_it(store: Path) -> None:
    with sqlite3.connect(store) as database:
        for column in ("confidence", "sided", "count", "unit"):
            database.execute(f"ALTER TABLE figures DROP COLUMN {column}")
        database.execute("PRAGMA user_version = 1")
    database.close()


def test_a_history_of_format_1_is_read_and_goes_on_with_both_kinds_of_bounds(tmp_path: Path) -> None:
    store = tmp_path / "h"
    bench = replace(
        release("c", None, 0), kind="bench", figures=(Entry("cpu_p50_ms", judging.figure(1.5, 1.4, 1.6)),)
    )
    for one in (release("b", "a", 0.01), bench):
        append(one, store)
    as_format_1_left_it(store)
    before = store.read_bytes()

    def kept() -> list[list[tuple[float | None, str]]]:
        return [[(e.figure.confidence, e.figure.sided) for e in one.figures] for one in results(store)]

    told = [[(None, "one"), (0.95, "one")], [(0.95, "two")]]  # a check's confidence was not kept
    assert kept() == told
    assert store.read_bytes() == before
    two = judging.figure(1.5, 1.4, 1.6, confidence=0.9, sided="two", count=9)
    append(replace(bench, figures=(Entry("cpu_p50_ms", two),)), store)
    assert kept() == [*told, [(0.9, "two")]]
    assert results(store)[-1].figures[0].figure == two


def test_the_trend_says_how_sure_its_bars_are(tmp_path: Path) -> None:
    two = Entry("cpu_p50_ms", judging.figure(1.5, 1.4, 1.6, sided="two"))
    found = [release("b", "a", 0.01), replace(release("c", None, 0), kind="bench", figures=(two,))]
    write_trend(found, ["cpu_p50_ms"], tmp_path / "t.svg")
    text = (tmp_path / "t.svg").read_text()
    assert "bars: 95 %, one-sided" in text
    assert "bars: 95 %, two-sided" in text


# Drift


def test_small_steps_that_add_up_are_told() -> None:
    past = [release("b", "a", 0.012), release("c", "b", 0.012)]
    newest = release("d", "c", 0.012)
    assert drift(newest, past[1:]) == []  # two steps of 1.2 % are within the margin
    (told,) = drift(newest, past)
    assert (
        "has gone up by +3.64 % (at least +3.28 %) over 3 releases, which no single margin of +2.50 % has shown"
        in told
    )


@pytest.mark.parametrize(
    ("past", "newest"),
    [
        ([], release("b", "a", 0.02)),  # a single step is the gate's own business
        ([release("b", "a", 0.012), release("c", "b", -0.012)], release("d", "c", 0.012)),  # there and back
        ([release("b", "a", 0.02), release("c", "b", 0.02)], release("e", "x", 0.02)),  # of other models
        ([release("b", "a", 0.02, target="u")], release("c", "b", 0.02)),  # on another target
        ([release("b", "a", 0.012, half=0.05)], release("c", "b", 0.02)),  # not for certain
        ([release("a", "b", 0.02)], release("b", "a", 0.02)),  # in a circle
    ],
)
def test_what_is_no_drift_is_not_told(past: list[Result], newest: Result) -> None:
    if newest.model == "b" and past:
        assert len(drift(newest, past)) <= 1  # and it ends
    else:
        assert drift(newest, past) == []


def test_a_model_beside_itself_is_no_step() -> None:
    past = [release("b", "a", 0.02), release("b", "b", 0.0), release("b", "b", 0.0)]
    (told,) = drift(release("c", "b", 0.02), past)
    assert "over 2 releases" in told


def test_the_command_lists_plots_and_warns(cli: Cli, tmp_path: Path) -> None:
    store = tmp_path / "h.sqlite"
    for one in (release("b", "a", 0.02), release("c", "b", 0.02)):
        append(one, store)
    done = cli(
        "history",
        "--store",
        str(store),
        "--plot",
        str(tmp_path / "new" / "t.svg"),
        "-m",
        "cpu_p50_ms",
        cwd=tmp_path,
    )
    assert done.code == 0, done.err
    assert "1.5 ms (+2.00 %)" in done.out
    assert "t: CPU time of one inference, median has gone up by +4.04 %" in " ".join(done.err.split())
    assert "<svg" in (tmp_path / "new" / "t.svg").read_text()
    folder = cli("history", "--store", str(store), "--plot", str(tmp_path / "new"), cwd=tmp_path)
    assert folder.code == 2
    assert "new cannot be written: it is a folder" in folder.err
    as_json = cli("history", "--store", str(store), "--json", cwd=tmp_path)
    content = json.loads(as_json.out.splitlines()[-1])
    assert [one["model"] for one in content["results"]] == ["b", "c"]
    assert len(content["drift"]) == 1
    wrong = cli("history", "--store", str(store), "-m", "cpu_p50", cwd=tmp_path)
    assert wrong.code == 2
    assert "did you mean 'cpu_p50_ms'" in wrong.err
    assert cli("history", "--store", str(tmp_path / "none"), cwd=tmp_path).code == 2


def test_what_is_read_is_not_written_to(tmp_path: Path) -> None:
    store = tmp_path / "h.sqlite"
    append(release("a", None, 0.0), store)
    with sqlite3.connect(store) as database:  # as the first histories were, and another program's change
        database.execute("PRAGMA application_id = 0")
        database.execute("PRAGMA journal_mode = DELETE")
    before = store.read_bytes()
    assert len(results(store)) == 1
    assert store.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["h.sqlite"]


def test_a_message_that_quotes_what_is_no_text_is_told(tmp_path: Path) -> None:
    store = tmp_path / "h.sqlite"
    append(release("a", None, 0.0), store)
    with sqlite3.connect(store) as database:
        database.execute("PRAGMA journal_mode = DELETE")
    store.write_bytes(store.read_bytes().replace(b"CREATE TABLE figures", b"CREATE TABL\xc5 figures"))
    with pytest.raises(UsageError, match="no history of edgecomp's"):
        results(store)
