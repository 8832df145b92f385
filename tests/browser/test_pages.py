"""The pages as a browser shows them: on a wide and a narrow screen, in both themes, with the keyboard, without script, and printed."""

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from running import Cli

MODULES = os.environ.get("EDGECOMP_NODE_MODULES", "")
"""A folder with playwright-core and axe-core, as `tox run -e browser` makes one."""
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not MODULES or not (Path(MODULES) / "playwright-core").is_dir(),
        reason="EDGECOMP_NODE_MODULES names no folder with playwright-core: tox run -e browser",
    ),
]
PAGES = ("report", "side-by-side", "index", "compare", "bench")
LOOKS = [(page, width, theme) for page in PAGES for width in (1280, 700, 390) for theme in ("light", "dark")]


@pytest.fixture(scope="module")
def seen(tiny_run: Path, cli: Cli, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What the browser has found of each page, and last what it did with the first."""
    browser, node = shutil.which("chromium") or shutil.which("google-chrome"), shutil.which("node")
    if not browser or not node:
        pytest.skip(f"no {'node' if browser else 'chromium'} is installed")
    folder = tmp_path_factory.mktemp("pages")
    runs = [Path(shutil.copytree(tiny_run, folder / "runs" / name)) for name in ("a", "b")]
    together = folder / "side-by-side.html"
    assert cli("report", *map(str, runs), "-o", str(together)).code == 0
    assert cli("report", str(folder / "runs")).code == 0
    files = [str(runs[0] / "export" / "onnx" / f"{arm}.onnx") for arm in ("student_fp32", "student_int8")]
    x = np.random.default_rng(0).random((64, 1, 16, 16), np.float32)
    np.savez(folder / "examples.npz", input=x, label=np.arange(64) % 10)
    shown = ("-t", "onnxruntime-cpu", "--data", str(folder / "examples.npz"), "--max-time", "20")
    done = cli("compare", *files, *shown, "--out", str(folder / "compared"), "--store", str(folder / "h"))
    assert (folder / "compared" / "compare.html").is_file(), done.err
    few = ("--restarts", "2", "--max-time", "4", "--profile", "-t", "onnxruntime-cpu")
    done = cli("bench", str(runs[0]), *few, "--out", str(folder / "benched"), "--store", str(folder / "h"))
    (benched,) = [*(folder / "benched").rglob("bench.html")] or [done.err]
    pages = (
        runs[0] / "report" / "report.html",
        together,
        folder / "runs" / "index.html",
        folder / "compared" / "compare.html",
        benched,
    )
    done = subprocess.run(
        [node, str(Path(__file__).with_name("look.cjs")), browser, *map(str, pages)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "NODE_PATH": MODULES},
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(params=range(len(LOOKS)), ids=lambda place: "-".join(map(str, LOOKS[place])))
def look(request: pytest.FixtureRequest, seen: list[dict[str, Any]]) -> Mapping[str, Any]:
    found = seen[request.param]
    assert (found["width"], found["theme"]) == LOOKS[request.param][1:]
    return found


def test_nothing_is_complained_of_and_nobody_is_asked(look: Mapping[str, Any]) -> None:
    assert look["heard"] == []
    assert look["asked"] == []


def test_nothing_lies_beside_the_screen(look: Mapping[str, Any]) -> None:
    assert (look["overflow"], look["overflowOpen"], look["beyond"]) == (0, 0, 0)


def test_axe_finds_nothing_serious(look: Mapping[str, Any]) -> None:
    assert look["violations"] == []


def test_the_theme_is_the_readers(look: Mapping[str, Any]) -> None:
    assert look["background"] == ("rgb(255, 255, 255)" if look["theme"] == "light" else "rgb(20, 23, 27)")


def test_what_a_page_is_for_is_on_it(look: Mapping[str, Any]) -> None:
    found = look["elements"]
    assert found["h1"] == 1
    if look["file"].endswith("report.html"):
        assert found[".verdict b"] == 1
        assert found[".strip"] == 2
        assert found["svg.interval"] == 26
        assert found["svg[role=img]"] >= 45
        assert found["table.matrix"] == 4
        assert found[".toc a"] >= 12
    elif look["file"].endswith("side-by-side.html"):
        assert found[".verdict b"] == 2
    elif look["file"].endswith("index.html"):
        assert found["table.sorts"] == 1
    else:
        assert found[".verdict b"] == 1
        assert found["table.stack"] >= (1 if look["file"].endswith("compare.html") else 4)
        assert found["table.facts"] == 1
        assert found["svg[role=img]"] >= (2 if look["file"].endswith("compare.html") else 0)


def test_a_table_is_sorted_with_the_keyboard(seen: list[dict[str, Any]]) -> None:
    found = seen[-1]["sorted"]
    assert found["up"]["heads"].count("ascending") == 1
    assert found["up"]["heads"][1] == "ascending"
    assert found["down"]["heads"][1] == "descending"
    assert sorted(found["before"]) == sorted(found["up"]["column"])
    assert found["up"]["column"] == found["down"]["column"][::-1] != found["before"]
    assert found["up"]["column"] == sorted(found["before"], key=str.casefold)


def test_the_page_is_whole_without_script(seen: list[dict[str, Any]]) -> None:
    found = seen[-1]["withoutScript"]
    assert found["rows"] > 100
    assert found["buttons"] == 0, "none that would do nothing"


def test_it_is_printed_light_and_with_its_folds_open(seen: list[dict[str, Any]]) -> None:
    found = seen[-1]["printed"]
    assert found["folds"] > 5
    assert (found["background"], found["hidden"]) == ("rgb(255, 255, 255)", 0)
    assert found["ink"] == "rgb(28, 33, 39)"
