"""Python in the manual's how-to pages: the functions are there, and can be called so; attributes of results are there.

The pages of docs/extend are followed by tests/docs/test_extend.py, the notebook by nbmake.
"""

import ast
import inspect

import pytest
from manual import Block, blocks

import edgecomp
from edgecomp.api import results
from edgecomp.api.shrink.search import SearchResult

PYTHON = [block for block in blocks("python") if not block.page.startswith("docs/extend/")]
RESULTS = {
    "run": results.RunResult,
    "bench": results.BenchResult,
    "compare": results.ComparisonResult,
    "verify": results.Verified,
    "search": SearchResult,
}


def function_of(call: ast.AST) -> str:
    """The function of edgecomp's that is called; empty where none is."""
    match call:
        case ast.Call(func=ast.Attribute(value=ast.Name(id="edgecomp"), attr=name)):
            return name
    return ""


@pytest.mark.parametrize("block", PYTHON, ids=str)
def test_it_can_be_called_so(block: Block) -> None:
    tree = ast.parse(block.text)
    held = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and (name := function_of(node)):
            given = {keyword.arg: None for keyword in node.keywords if keyword.arg}
            inspect.signature(getattr(edgecomp, name)).bind(*node.args, **given)
        if isinstance(node, ast.Assign) and (name := function_of(node.value)):
            held |= {target.id: RESULTS[name] for target in node.targets if isinstance(target, ast.Name)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in held:
            assert hasattr(held[node.value.id], node.attr) or node.attr in held[node.value.id].__annotations__


def test_there_is_some() -> None:
    assert sum("edgecomp." in block.text for block in PYTHON) >= 3
