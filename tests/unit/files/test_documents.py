"""What the README points at is there: a clone is where it is read."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
LINKS = re.findall(r"\]\(([^)#:]+)\)", (ROOT / "README.md").read_text(encoding="utf-8"))


def test_there_are_links() -> None:
    assert len(LINKS) >= 5


@pytest.mark.parametrize("link", sorted(set(LINKS)))
def test_a_link_leads_somewhere(link: str) -> None:
    assert (ROOT / link).exists()
