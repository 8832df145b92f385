"""Names that were chosen to be obeyed: by a terminal, a browser, a CI service, or a reader's eyes. Each goes through every writer."""

import ast
import functools
import io
import json
import sys
import tempfile
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path

import judging
import pytest
from comparing import FIGURE
from rich.table import Table

import edgecomp
from edgecomp.api.results import ComparisonResult
from edgecomp.api.run import Planned
from edgecomp.cli import exit, results
from edgecomp.cli.terminal import Console, Screen, line
from edgecomp.gate.document import VerdictDocument
from edgecomp.history import trend
from edgecomp.history.store import Entry, Result
from edgecomp.report.comparison_page import write_page
from edgecomp.report.in_ci import annotations, openmetrics, step_summary
from edgecomp.report.junit import junit
from edgecomp.report.stage import environment
from edgecomp.text import inline, plain

ESC, RLO, LRI = "\x1b", "\u202e", "\u2066"
NAMES = [
    "[/]", "[bold", "[/bold]", "[link=file:///etc/passwd]x[/link]", "\\[red]", "[@click=app.bell]x[/]", ":warning:",
    f"{ESC}[31mred{ESC}[0m", f"{ESC}]0;title\a", f"{ESC}]8;;http://example.org{ESC}\\x", f"{ESC}[2J{ESC}[H", "\x9b31m", "a\rPASS", "a\bb", "a\x00b",
    "a\x7fb", "::stop-commands::token", "x\n::stop-commands::token", "x\r\n::set-output name=a::b", ":::add-mask:::x", "##[error]x",
    "::error title=a::b", "a%0A::error::b", "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "</title><script>x</script>",
    "&lt;script&gt;", "&#60;script&#62;", '"><svg/onload=alert(1)>', "'onmouseover='x", "<!-- x", "--> x", "]]>", "<![CDATA[x", "{{ 7 * 7 }}",
    "{% raw %}", "| a | b |", "a\\|b", "`code`", "**PASS**", "[x](javascript:alert(1))", "![x](http://example.org/x.png)", "# PASS", "a\n\n# PASS",
    f"{RLO}SSAP", f"a{LRI}b\u2069", "a\u200b\u200eb", "\ufeffa", "\udc80a", "a\ufffeb", "a\u2028b", "$x^{", "\\frac{1}", "é😀 ✓", "x" * 300, " ", "",
]  # fmt: skip

OBEYED = set(map(chr, [*range(9), *range(11, 32), *range(127, 160), 0x200B, 0x200E, *range(0x2028, 0x202F), *range(0x2060, 0x2070), 0xFEFF, 0xFFFE, 0xDC80]))  # fmt: skip


def verdict(name: str, policy: str) -> VerdictDocument:
    owner = name if name.strip() else "nobody"  # a waiver without one is refused
    waiver = {"check": name, "owner": owner, "reason": owner, "expires": "2999-01-01", "limit": None}
    rows = [
        {"target": name, "name": name, "title": name, "limit": name, "metric": "latency_p50_ms", "estimate": FIGURE, "verdict": one,
         "reason": "over_limit", "sentence": f"{name}: {name}.", "waiver": held, "severity": severity, "limit_value": 0.1, "passes": "below"}
        for one, held, severity in (("FAIL", None, "block"), ("PASS", None, "block"), ("FAIL", waiver, "block"), ("INVALID", None, "warn"))
    ]  # fmt: skip
    side = {"given": name, "model": name, "files": {name: "0"}, "sha256": "0"}
    target = {"name": name, "description": name, "runtime": "fake", "threads": 1}
    content = {
        "format": 2, "verdict": "FAIL", "unwaived": "FAIL", "exit_code": 1, "next_step": name, "gates": rows, "figures": {name: {"candidate": {"latency_p50_ms": FIGURE}}},
        "policy": {"name": policy, "on_inconclusive": "block", "changes": [name], "sha256": "0" * 64, "warnings": [name]},
        "compared": {"baseline": side, "candidate": side, "target": target, "runtime_version": name, "began": "now", "elapsed_s": 1.0, "restarts": 5,
                     "examples": 3, "data": {"what": name, "file": name, "sha256": "0"}, "not_compared": name, "warnings": [name], "facts": {},
                     "certificate": {"began": name, "machine": {"cpu": name, "cores": 2}, "summary": {"advice": name}, "sha256": "0"},
                     "log_ratios": {name: {"candidate": [0.0], "again": [0.0]}}},
    }  # fmt: skip
    return VerdictDocument.model_validate(content)


def written_page(name: str, folder: Path) -> str:
    write_page(folder, verdict(name, name))
    return (folder / "compare.html").read_text(encoding="utf-8")


@functools.cache
def elements_of_a_page() -> set[str]:
    with tempfile.TemporaryDirectory() as folder:
        return set(Tags(written_page("plain", Path(folder))).found)


class Tags(HTMLParser):
    """The elements of a page, and their attributes; and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [tag, *(f"{tag}.{name}" for name, _ in attrs)]

    def handle_data(self, data: str) -> None:
        self.text += data


def obeyed(text: str) -> set[str]:
    return OBEYED & set(text)


@pytest.fixture(params=NAMES, ids=ascii)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def shown_on(stream: str, capsys: pytest.CaptureFixture[str]) -> str:
    return str(getattr(capsys.readouterr(), stream))


@pytest.mark.parametrize(("on_github", "width"), [(False, "80"), (True, "20")])
def test_a_terminal_shows_a_name_and_obeys_nothing(
    name: str,
    on_github: bool,
    width: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("COLUMNS", width)
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    monkeypatch.setattr(results, "_tell_github", lambda *_: None)
    if on_github:
        monkeypatch.setenv("GITHUB_ACTIONS", "true")
    screen = Screen(json=False)
    screen.started(name, name)
    screen.note(name)
    screen.say(name)
    screen.failed(name, "failed", name)
    list(screen.track(range(2), name, 2))
    results.show_plan(Planned(tmp_path / "x", {name: name}, 1), screen, False)
    results.show_comparison(ComparisonResult(tmp_path, verdict(name, name)), screen, False)
    told = capsys.readouterr()
    for text in (told.out, told.err):
        assert obeyed(text) == set()
        if on_github:
            starts = [one.lstrip()[:2] for one in text.splitlines()]
            assert "::" not in starts
            assert "##[" not in text
    letters = "".join(inline(name).replace("::", ": :").split()) if not on_github else ""
    assert letters[:10] in "".join(told.out.replace("::", ": :").split())


def test_json_on_standard_output_is_one_line_that_no_service_obeys(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "argv", ["edgecomp", "--json"])
    results.show_comparison(ComparisonResult(tmp_path, verdict(name, name)), Screen(json=True), True)
    last = capsys.readouterr().out
    assert json.loads(last)["gates"][0]["name"] == name
    exit._say(name, 2)
    told = capsys.readouterr()
    assert json.loads(told.out)["error"] == (name or "usage")
    for text in (last, told.out):
        assert "##[" not in text
        assert text.count("\n") == 1
    assert obeyed(told.err) == set()


def test_a_page_has_no_element_that_its_template_has_not(name: str, tmp_path: Path) -> None:
    page = written_page(name, tmp_path)
    assert obeyed(page) == set()
    assert set(Tags(page).found) <= elements_of_a_page()
    assert plain(name).strip() in Tags(page).text


def test_a_summary_and_a_report_in_markdown_stay_in_their_lines(name: str) -> None:
    def told(text: str) -> str:
        return step_summary(verdict(text, text), text, text)

    summary = told(name)
    assert obeyed(summary) == set()
    assert len(summary.splitlines()) == len(told("plain").splitlines())
    assert "<" not in summary.partition("Report: ")[0]  # a path is code, in which nothing is obeyed
    rows = [
        one.replace("\\\\", "").replace("\\|", "") for one in summary.splitlines() if one.startswith("| ")
    ]
    assert [one.count("|") for one in rows] == [6] * 6
    cell = environment().overlay(autoescape=False).from_string("{{ name }}").render(name=name)
    assert "\n" not in cell
    assert "<" not in cell
    assert "](" not in cell


def test_a_workflow_command_is_one_line_and_one_command(name: str) -> None:
    for command in annotations(verdict(name, name)):
        assert "\n" not in command
        kind, title, message = command.split("::", 2)[0], *command.split("::", 2)[1:]
        assert kind == ""
        assert title.startswith(("error title=", "warning title="))
        assert title.count(",") == 0
        assert obeyed(message) == set()


def test_junit_and_openmetrics_are_well_formed(name: str) -> None:
    text = junit(verdict(name, name), name)
    root = ET.fromstring(text.encode())
    assert obeyed(text) == set()
    assert {element.tag for element in root.iter()} <= {
        "testsuites", "properties", "property", "testsuite", "testcase", "failure", "error", "skipped", "system-out",
    }  # fmt: skip
    metrics = openmetrics(verdict(name, name), {name: "candidate"})
    assert obeyed(metrics) == set()
    for one in metrics.splitlines():
        assert one.startswith(("edgecomp_", "# "))


def test_a_picture_shows_any_target(name: str, tmp_path: Path) -> None:
    figure = Entry("cpu_p50_ms", judging.figure(1.0, 0.9, 1.1))
    trend.write_trend([Result("bench", name, name, "0", name, (figure,))], ["cpu_p50_ms"], tmp_path / "t.svg")
    text = (tmp_path / "t.svg").read_text(encoding="utf-8")
    assert obeyed(text) == set()
    assert "{http://www.w3.org/2000/svg}script" not in {element.tag for element in ET.fromstring(text).iter()}


def test_no_string_is_markup_wherever_it_stands() -> None:
    console = Console(file=io.StringIO(), width=200)
    table = Table("[red]header[/]", title="[bold]title[/]", caption="[/]")
    table.add_row("[/] :warning:")
    for one in (table, "[/]", line("[/]", ("[bold]", "red"))):
        console.print(one)
    file = console.file
    assert isinstance(file, io.StringIO)
    assert all(word in file.getvalue() for word in ("[red]header[/]", "[bold]title[/]", "[/] :warning:"))


def test_nothing_is_printed_by_another_way() -> None:
    """Consoles and styled texts are made in one file, and no text is parsed as markup."""
    package = Path(edgecomp.__file__).parent
    for file in package.rglob("*.py"):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        imported = {
            alias.name
            for node in ast.walk(tree)
            if isinstance(node, ast.Import | ast.ImportFrom)
            for alias in node.names
        }
        modules = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        assert "rich.markup" not in modules, file
        assert "rich.text" not in modules or file.name == "terminal.py", file
        assert "rich.console" not in {*imported, *modules} or file.name == "terminal.py", file
        called = {
            node.func.id
            for node in ast.walk(tree)
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        }
        assert "print" not in called, file
