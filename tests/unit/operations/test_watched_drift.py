"""The dashboard and the alert rules for drift ask what `data drift --metrics` writes; Prometheus's own promtool evaluates both, where it is."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from edgecomp.operations.drift import drift

EXAMPLES = Path(__file__).parents[3] / "examples"
DASHBOARD, RULES = EXAMPLES / "grafana-drift.json", EXAMPLES / "prometheus-drift.yml"
OF_OTHERS = {"node_textfile_mtime_seconds"}  # node_exporter's own
FUNCTIONS = {"sum", "absent", "time", "unless", "on", "or"}
LABELS = {"column", "side", "file", "table"}


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The Prometheus text of two tables: one column has drifted, one has not, and of one too few rows tell."""
    folder, random = tmp_path_factory.mktemp("drift"), np.random.default_rng(0)
    columns = {"same": 0.0, "moved": 3.0}
    for name, shift, rows in (("old", 0.0, 4000), ("new", 1.0, 4000)):
        values = {key: random.normal(by * shift, 1, rows) for key, by in columns.items()}
        pq.write_table(pa.table(values), folder / f"{name}.parquet")
    return drift(folder / "old.parquet", folder / "new.parquet").as_prometheus()


def panels() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    return found


def expressions() -> list[str]:
    shown = [target["expr"] for panel in panels() for target in panel["targets"]]
    groups = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    return shown + [rule["expr"] for group in groups for rule in group["rules"]]


def series(exported: str) -> dict[str, str]:
    """By series, its value."""
    lines = [line.rpartition(" ") for line in exported.splitlines() if not line.startswith("#")]
    return {name: value for name, _, value in lines}


def test_every_metric_that_is_asked_for_is_exported(exported: str) -> None:
    written = {name.partition("{")[0] for name in series(exported)}
    for expression in expressions():
        bare = re.sub(r'"[^"]*"', "", expression)
        named = set(re.findall(r"[a-z_]{2,}", bare)) - FUNCTIONS - LABELS
        assert named
        assert named <= written | OF_OTHERS, expression


def test_the_dashboard_is_whole_and_every_legend_is_of_a_label_that_is_exported(exported: str) -> None:
    """What Grafana's JSON model asks of a dashboard: https://grafana.com/docs/grafana/latest/dashboards/build-dashboards/view-dashboard-json-model/"""
    board = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    assert {"title", "uid", "schemaVersion", "version", "time", "refresh", "templating", "panels"} <= set(
        board
    )
    (variable,) = board["templating"]["list"]
    assert (variable["type"], variable["query"]) == ("datasource", "prometheus")
    assert len({panel["id"] for panel in panels()}) == len(panels())
    taken = set()
    for panel in panels():
        assert panel["datasource"] == {"type": "prometheus", "uid": f"${{{variable['name']}}}"}
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert at["x"] + at["w"] <= 24
        assert not cells & taken
        taken |= cells
        for target in panel["targets"]:
            assert target["refId"]
            labels = re.findall(r"\{\{\s*(\w+)\s*\}\}", target["legendFormat"])
            assert all(f"{label}=" in exported for label in labels)


def needs_promtool(*words: str, stdin: str | None = None) -> None:
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not here (Debian's prometheus)")
    done = subprocess.run(["promtool", *words], input=stdin, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_promtool_takes_the_text_and_the_rules(exported: str) -> None:
    needs_promtool("check", "metrics", stdin=exported)
    needs_promtool("check", "rules", str(RULES))


def test_promtool_finds_what_the_panels_show_and_the_alerts_that_fire(exported: str, tmp_path: Path) -> None:
    found = series(exported)
    assert found['edgecomp_drift_failed{column="moved"}'] == "1"
    assert found['edgecomp_drift_failed{column="same"}'] == "0"
    shown = []
    for panel in panels():
        for target in panel["targets"]:
            name = target["expr"]
            wanted = (
                [{"labels": "{}", "value": 1}]
                if name.startswith("sum")
                else [
                    {"labels": one, "value": float(value)}
                    for one, value in found.items()
                    if one.partition("{")[0] == name
                ]
            )
            assert wanted
            shown.append({"expr": name, "eval_time": "2h", "exp_samples": wanted})
    rule = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"][0]["rules"][0]
    annotations = {
        key: text.replace("{{ $labels.column }}", "moved") for key, text in rule["annotations"].items()
    }
    fires = {"exp_labels": {"severity": "page", "column": "moved"}, "exp_annotations": annotations}
    given = [{"series": name, "values": f"{value}x200"} for name, value in found.items()]
    written = {"series": 'node_textfile_mtime_seconds{file="drift.prom"}', "values": "0x6000"}
    test = {
        "rule_files": [str(RULES)],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [*given, written],
                "promql_expr_test": shown,
                "alert_rule_test": [
                    {"eval_time": "2h", "alertname": "DataHasDrifted", "exp_alerts": [fires]},
                    {"eval_time": "2h", "alertname": "DataMayHaveDrifted", "exp_alerts": []},
                    {"eval_time": "2h", "alertname": "DriftIsNotLookedAt", "exp_alerts": []},
                ],
            }
        ],
    }
    (tmp_path / "test.yml").write_text(yaml.safe_dump(test), encoding="utf-8")
    needs_promtool("test", "rules", str(tmp_path / "test.yml"))
