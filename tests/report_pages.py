"""A report's page as a test reads it: its tables, texts and alternative texts, by the standard library's parser."""

from html.parser import HTMLParser
from typing import NamedTuple

VOID = {"meta", "link", "br", "img", "input", "path", "rect", "line", "circle", "use"}


class Row(NamedTuple):
    """cells: their texts, in order; labels: what each says of itself where rows are stacked."""

    cells: list[str]
    labels: list[str]


class Page(HTMLParser):
    """tables: by caption, the heads and the rows; said: alternative texts; scripts: their texts; texts: of elements by their class."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tables: dict[str, tuple[list[str], list[Row]]] = {}
        self.said: list[str] = []
        self.texts: dict[str, list[str]] = {}
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._open: list[tuple[str, dict[str, str | None], int]] = []
        self._caption = ""
        self._heads: list[str] = []
        self._rows: list[Row] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = dict(attrs)
        self.tags.append((tag, known))
        if known.get("role") == "img":
            self.said.append(known.get("aria-label") or "")
        if tag == "table":
            self._caption, self._heads, self._rows = "", [], []
        if tag == "tr":
            self._rows.append(Row([], []))
        if tag == "br":
            self.text += " "
        if tag not in VOID:
            self._open.append((tag, known, len(self.text)))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        while self._open:
            name, known, start = self._open.pop()
            text = " ".join(self.text[start:].split())
            for one in (known.get("class") or "").split():
                self.texts.setdefault(one, []).append(text)
            inside = [other for other, _, _ in self._open]
            if name == "caption":
                self._caption = text
            elif name in ("th", "td") and "table" in inside:
                if known.get("scope") == "col":
                    self._heads.append(text)
                else:
                    self._rows[-1].cells.append(text)
                    self._rows[-1].labels.append(known.get("data-label") or "")
            elif name == "table":
                assert self._caption not in self.tables, f"two tables are called {self._caption}"
                self.tables[self._caption] = (self._heads, [row for row in self._rows if row.cells])
            if name == tag:
                return

    def handle_data(self, data: str) -> None:
        self.text += data
