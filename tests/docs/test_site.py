"""The manual is built strictly, and no page of it loads anything from a network."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from manual import ROOT

pytest.importorskip("material", reason="needs the extra `docs`")

LOADS = re.compile(
    r"<(?:script|img|iframe|source|link)\b[^>]*\b(?:src|href)=\"?(?:https?:)?//[^\s\">]+", re.IGNORECASE
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_every_page_is_built(site: Path) -> None:
    pages = {file.relative_to(site).with_suffix(".md").as_posix() for file in site.rglob("*.html")}
    written = {file.relative_to(ROOT / "docs").as_posix() for file in (ROOT / "docs").rglob("*.md")}
    assert written < pages


def test_no_page_loads_anything_from_a_network(site: Path) -> None:
    for page in site.rglob("*.html"):
        assert LOADS.findall(page.read_text(encoding="utf-8")) == [], page
    for style in site.rglob("*.css"):
        assert not re.search(r"url\([\"']?https?://|@import", style.read_text(encoding="utf-8")), style


def test_the_reference_is_in_it(site: Path) -> None:
    assert "distill.temperature" in (site / "start" / "first-run.html").read_text(encoding="utf-8")
    assert "latency_p99_ms" in (site / "reference" / "metrics.html").read_text(encoding="utf-8")
