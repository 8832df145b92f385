"""The pack in reports/digits, made on one machine with a key that is gone since: it holds wherever it is verified, on a CPU without VNNI too."""

from pathlib import Path

import pytest

import edgecomp
from edgecomp.errors import AlteredError

pytest.importorskip("model_signing", reason="needs the extra `evidence`")
DIGITS = Path(__file__).parents[3] / "reports" / "digits"
pytestmark = pytest.mark.skipif(not DIGITS.is_dir(), reason="reports/ is in the repository alone")


def test_it_holds_and_says_pass() -> None:
    found = edgecomp.verify(DIGITS / "digits.zip", key=DIGITS / "signer.pub")
    assert (found.exit_code, found.verdict) == (0, "PASS")
    assert found.document.verdict == "PASS"


def test_a_changed_byte_of_it_is_refused(tmp_path: Path) -> None:
    content = bytearray((DIGITS / "digits.zip").read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "changed.zip").write_bytes(content)
    with pytest.raises(AlteredError):
        edgecomp.verify(tmp_path / "changed.zip", key=DIGITS / "signer.pub")


def test_the_report_beside_it_is_the_one_in_it() -> None:
    report = (DIGITS / "report.md").read_bytes()
    assert report in (DIGITS / "digits.zip").read_bytes()  # nothing in a pack is compressed
