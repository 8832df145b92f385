"""Every template is one that the environment of all pages can compile: its filters, tests and includes are there."""

import pytest

from edgecomp.report.stage import environment

TEMPLATES = environment().list_templates(filter_func=lambda name: name.endswith(".j2"))


@pytest.mark.parametrize("name", TEMPLATES)
def test_it_compiles(name: str) -> None:
    assert environment().get_template(name)


def test_there_are_some_of_each_command() -> None:
    assert {"report.html.j2", "compare.html.j2", "bench.html.j2", "report.md.j2"} <= set(TEMPLATES)
