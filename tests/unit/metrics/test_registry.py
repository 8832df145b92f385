import ast
import math
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgecomp.history.trend import SCALES
from edgecomp.metrics import samples
from edgecomp.metrics.estimates import function
from edgecomp.metrics.registry import METRICS
from edgecomp.metrics.units import UNITS, format_value, parse_quantity


@pytest.mark.parametrize(
    ("text", "value", "dimension"),
    [
        ("20 ms", 20.0, "time"),
        ("0.02s", 20.0, "time"),
        ("200 MiB", 200 * 2**20, "bytes"),
        ("3 pt", 3.0, "points"),
        ("98.5 %", 98.5, "percent"),
        ("3 x", 3.0, "multiple"),
        ("1e3 /s", 1000.0, "rate"),
    ],
)
def test_a_limit_is_a_number_with_a_unit(text: str, value: float, dimension: str) -> None:
    quantity = parse_quantity(text)
    assert quantity.value == pytest.approx(value)
    assert quantity.dimension == dimension


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (20, "has no unit"),
        ("20", "has no unit"),
        (True, "has no unit"),
        ("fast", "not a number"),
        ("20 mss", "did you mean 'ms'"),
        ("1.2.3 ms", "not a number"),
        ("1e999 ms", "not finite"),
        ("-3 ms", "negative"),
    ],
)
def test_anything_else_is_refused_and_says_why(text: object, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        parse_quantity(text)


@given(st.floats(min_value=0, max_value=1e12), st.sampled_from(sorted(UNITS)))
def test_units_scale_a_value_and_nothing_else(number: float, unit: str) -> None:
    assert parse_quantity(f"{number!r} {unit}").value == pytest.approx(number * UNITS[unit][1])


@given(st.text(max_size=20))
def test_no_text_makes_the_parser_fail_in_another_way(text: str) -> None:
    try:
        quantity = parse_quantity(text)
    except ValueError:
        return
    assert math.isfinite(quantity.value)


def test_a_metric_is_named_after_its_unit() -> None:
    suffixes = {
        "time": "_ms",
        "bytes": "_bytes",
        "rate": "_per_s",
        "percent": "_pct",
        "decibel": "_db",
        "points": "_pt",
        "energy": "_mj",
        "label": "_units",
        "score": "score",
        "nats": "_nats",
        "multiple": "_ratio",
    }
    for metric in METRICS.values():
        assert metric.id.endswith(suffixes[metric.dimension])


@pytest.mark.parametrize(
    ("value", "dimension", "text"),
    [
        (1.2345, "time", "1.23 ms"),
        (12345.0, "time", "12.35 s"),
        (3 * 2**20, "bytes", "3.0 MiB"),
        (81500.0, "rate", "81,500 /s"),
        (0.0712, "multiple", "0.0712 x"),
        (2.8107, "ratio", "+181.07 %"),
        (0.95, "ratio", "-5.00 %"),
        (None, "time", "–"),
        (math.nan, "percent", "–"),
    ],
)
def test_figures_read_like_figures(value: float | None, dimension: str, text: str) -> None:
    assert format_value(value, dimension) == text


def test_every_row_names_what_estimates_it() -> None:
    for metric in METRICS.values():
        assert bool(metric.estimator) is (metric.source != "scenario"), metric.id
        for name in filter(None, (metric.estimator, metric.comparator)):
            assert callable(function(name)), metric.id
        assert bool(metric.samples) is (metric.source == "restarts"), metric.id
        if metric.clock is not None:
            assert metric.source == "restarts", metric.id


def test_every_dimension_can_be_drawn_and_printed() -> None:
    for metric in METRICS.values():
        assert metric.dimension in SCALES
        assert format_value(1.0, metric.dimension) != "–"


def test_the_registry_is_light() -> None:
    script = "import sys, edgecomp.metrics.registry\nprint(*{'numpy', 'scipy', 'torch', 'pydantic'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_names_of_raw_samples_are_spelled_in_one_place() -> None:
    """A worker answers by names of its own protocol: its folder is copied to devices as it is."""
    names = {value for name, value in vars(samples).items() if name.isupper() and isinstance(value, str)}
    names -= set(METRICS)  # a metric may be called as its samples
    package = Path(samples.__file__).parents[1]
    for file in package.rglob("*.py"):
        if file.name == "samples.py" or "worker" in file.parts:
            continue
        spelled = {
            node.value
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
        }
        assert not spelled & names, file
