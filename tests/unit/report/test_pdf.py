"""A page as PDF: nothing is loaded from elsewhere, and what is missing is said."""

import socket
import sys
from pathlib import Path

import pytest

from edgecomp.errors import FileError, RuntimeUnavailableError
from edgecomp.report.page.pdf import write_pdf

PAGE = """<!doctype html><title>digits</title><link rel="stylesheet" href="http://127.0.0.1:{port}/x.css"><img src="http://127.0.0.1:{port}/x.png"
alt="x"><img src="file:///etc/hostname" alt="y"><details><summary>Fold</summary><p>In it</p></details><svg width="9" height="9">
<rect width="9" height="9" style="fill: var(--ink, #123456)"/></svg>"""


@pytest.fixture
def installed() -> None:
    try:
        import weasyprint  # noqa: F401  # whether it can be imported is all that is asked
    except (ImportError, OSError) as error:
        pytest.skip(f"WeasyPrint is not installed, or not what it draws with: {error}")


@pytest.mark.usefixtures("installed")
@pytest.mark.filterwarnings("default")
def test_a_page_becomes_a_pdf_and_asks_nobody(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        (tmp_path / "page.html").write_text(PAGE.format(port=server.getsockname()[1]), encoding="utf-8")
        write_pdf(tmp_path / "page.html", tmp_path / "page.pdf")
        with pytest.raises(TimeoutError):
            server.accept()
    assert (tmp_path / "page.pdf").read_bytes().startswith(b"%PDF-")
    (tmp_path / "taken").mkdir()
    with pytest.raises(FileError, match="taken cannot be written"):
        write_pdf(tmp_path / "page.html", tmp_path / "taken")
    with pytest.raises(FileError, match=r"cannot be written from .*none"):
        write_pdf(tmp_path / "none.html", tmp_path / "x.pdf")


def test_without_its_extra_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "weasyprint", None)
    with pytest.raises(RuntimeUnavailableError, match=r"pip install 'edgecomp\[pdf\]'"):
        write_pdf(tmp_path / "page.html", tmp_path / "page.pdf")
