"""The manual's pages: short, linked, complete."""

import re
from pathlib import Path

import pytest
import yaml
from manual import DOCS, ROOT, WRITTEN, generated

from edgecomp.metrics.registry import METRICS

GENERATED = generated().pages()
LINK = re.compile(r"(?<!\!)\[[^\]]*\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)")


def test_the_readme_is_a_page() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


def without_code(text: str) -> str:
    return re.sub(r"`[^`\n]+`", "", re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE))


def text_of(place: Path) -> str | None:
    """A page's text, written or generated; None where there is none."""
    if place.is_relative_to(DOCS) and (made := GENERATED.get(place.relative_to(DOCS).as_posix())):
        return str(made)
    return place.read_text(encoding="utf-8") if place.is_file() else None


def anchors(text: str) -> set[str]:
    """What its headings are called in links, as Python-Markdown and GitHub have it."""
    body = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    titles = (re.sub(r"[`*]", "", title) for title in re.findall(r"^#+ (.+)$", body, re.MULTILINE))
    return {re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", title).strip().lower()) for title in titles}


LINKS = sorted(
    {
        (file, "".join(link))
        for file in WRITTEN
        for link in LINK.findall(without_code(file.read_text(encoding="utf-8")))
    }
)


def test_there_are_links() -> None:
    assert len(LINKS) >= 60


@pytest.mark.parametrize(
    ("file", "link"), LINKS, ids=[f"{file.relative_to(ROOT)} → {link}" for file, link in LINKS]
)
def test_a_link_leads_somewhere(file: Path, link: str) -> None:
    if link.startswith("https://"):
        return
    path, _, anchor = link.partition("#")
    place = (file.parent / path).resolve() if path else file
    if place.suffix != ".md":
        assert place.exists()
        return
    text = text_of(place)
    assert text is not None
    assert not anchor or anchor in anchors(text)


PLACES = ("edgecomp", "tests", "benchmarks", "reports", "targets", "examples", "docs")


@pytest.mark.parametrize("file", WRITTEN, ids=lambda file: file.relative_to(ROOT).as_posix())
def test_files_that_are_named_are_there(file: Path) -> None:
    text = re.sub(r"^```.*?^```", "", file.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    named = re.findall(rf"`((?:{'|'.join(PLACES)})/[\w./-]+)`", text)
    own = {"docs/decisions/NNN-name.md"}
    assert [one for one in named if one not in own and not (ROOT / one).exists()] == []


def test_every_page_is_in_the_navigation() -> None:
    nav = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:\n")[2]
    listed = set(re.findall(r"[\w/.-]+\.md", nav))
    pages = {file.relative_to(DOCS).as_posix() for file in DOCS.rglob("*.md")} | set(GENERATED)
    assert listed == pages


def test_nothing_is_loaded_from_a_network() -> None:
    settings = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    assert settings["theme"]["font"] is False
    assert "repo_url" not in settings  # its stars would be asked for
    assert all(not str(one).startswith("http") for one in settings.get("extra_css", []))
    for file in WRITTEN:
        found = LINK.findall(file.read_text(encoding="utf-8"))
        assert all(not picture.startswith("http") for _, picture in found), file


def rows(page: str) -> list[list[str]]:
    """The cells of a generated page's tables, without their headings."""
    found = [line for line in GENERATED[page].splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in found]


@pytest.mark.parametrize("page", ["reference/recipe.md", "reference/target.md", "reference/policy.md"])
def test_every_key_says_what_it_means(page: str) -> None:
    assert [row[0] for row in rows(page) if len(row) == 4 and not row[3]] == []


def test_every_option_says_what_it_is() -> None:
    assert [row[0] for row in rows("reference/cli.md") if not row[1]] == []


def test_every_reason_says_what_it_means() -> None:
    assert [row[0] for row in rows("reference/exit-codes.md") if not row[-1]] == []


def test_every_metric_is_listed() -> None:
    assert {row[0].strip("`") for row in rows("reference/metrics.md")} == set(METRICS)


def test_every_decision_is_listed() -> None:
    records = sorted(file.name for file in (DOCS / "decisions").glob("0*.md"))
    listed = re.findall(r"\((0[\w-]+\.md)\)", (DOCS / "decisions" / "index.md").read_text(encoding="utf-8"))
    assert records == listed
    for name in records:
        text = (DOCS / "decisions" / name).read_text(encoding="utf-8")
        assert [
            part
            for part in ("**Question.**", "**Decision.**", "**Evidence.**", "**What follows.**")
            if part not in text
        ] == []
