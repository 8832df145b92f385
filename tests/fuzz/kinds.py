"""What is fuzzed: a table of kinds, each of which lays hostile files into a folder and says what to run on them."""

import csv
import json
import shutil
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import numpy as np
import yaml
from comparing import classifier
from fuzz import mutations

RECIPES = Path(__file__).parents[2] / "benchmarks" / "recipes"
PROFILES = Path(__file__).parents[2] / "targets"
ANSWERS_ONLY = {
    "format": 1, "name": "p", "description": "d", "rows": {"accuracy_pct": {"against": "baseline", "margin": "1 pt"}, "baseline_agreement_pct": {"min": "95 %"}},
}  # fmt: skip


@dataclass(frozen=True)
class Case:
    """verdict: whether exit 0 takes a PASS. may_change: files and folders, by their first part, that the command is to write."""

    argv: list[str]
    verdict: bool = False
    may_change: tuple[str, ...] = ()


class Base(NamedTuple):
    """What is mutated, made once. run: a finished run folder."""

    folder: Path
    run: Path


class Kind(NamedTuple):
    """share: of all cases. make: lays its files into the folder. A run folder is costly to make, and only where it is needed."""

    share: float
    make: Callable[[Random, Base, Path], Case]
    of_a_run: bool = False


def lay(base: Path) -> None:
    """Small files of every format that is read."""
    base.mkdir(parents=True)
    shutil.copy(RECIPES / "digits.yaml", base / "r.yaml")
    shutil.copy(PROFILES / "policies" / "release.yaml", base / "p.yaml")
    shutil.copy(PROFILES / "onnxruntime-cpu.yaml", base / "t.yaml")
    (base / "fake.yaml").write_text(
        json.dumps({"format": 1, "name": "fake", "runtime": "fake", "scheme": "none"})
    )
    (base / "answers.yaml").write_text(yaml.safe_dump(ANSWERS_ONLY))
    (base / "fake.json").write_text(json.dumps({"latency_ns": 300_000}))
    classifier(base / "model.onnx")
    random = np.random.default_rng(0)
    x = random.normal(size=(200, 4)).astype(np.float32)
    labels = x.argmax(1)
    np.savez(base / "ex.npz", x=x, label=labels, slice=np.where(x[:, 0] > 0, "a", "b"))
    import pandas as pd

    pd.DataFrame({"x": list(x), "label": labels}).to_parquet(base / "ex.parquet")
    with (base / "train.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["a", "b", "c", "d", "label"])
        rows.writerows([*map(float, row), f"k{label}"] for row, label in zip(x, labels, strict=True))
    recipe = yaml.safe_load((base / "r.yaml").read_text())
    recipe["data"] = {
        "source": "huggingface",
        "path": ".",
        "files": {"train": "train.csv"},
        "inputs": ["a", "b", "c", "d"],
        "label": "label",
    }
    recipe["teacher"] = {"network": "mlp", "epochs": 1}
    recipe["student"] = {"network": "mlp"}
    (base / "table.yaml").write_text(yaml.safe_dump(recipe))


def mutate(random: Random, file: Path) -> None:
    """A YAML or JSON file: its tree as often as its text; any other: its bytes."""
    if file.suffix in (".yaml", ".json"):
        text = file.read_text(encoding="utf-8")
        if random.random() < 0.6:
            made = mutations.tree(random, yaml.safe_load(text))
            dump = json.dumps if file.suffix == ".json" else yaml.safe_dump
            try:
                file.write_bytes(dump(made).encode("utf-8", "surrogatepass"))
            except (TypeError, ValueError):
                file.write_bytes(yaml.safe_dump(made).encode("utf-8", "surrogatepass"))
        else:
            file.write_bytes(mutations.text(random, text))
    else:
        file.write_bytes(mutations.data(random, file.read_bytes()))


def take(base: Base, folder: Path, *names: str) -> None:
    for name in names:
        shutil.copy(base.folder / name, folder / name)


def compared(*arguments: str, target: str = "onnxruntime-cpu") -> Case:
    argv = ["compare", *arguments, "-t", target, "--json"]
    return Case(argv, verdict=True, may_change=("runs", "h.sqlite"))


def recipes(random: Random, base: Base, folder: Path) -> Case:
    take(base, folder, "r.yaml")
    mutate(random, folder / "r.yaml")
    return Case(["run", "r.yaml", "--plan"], may_change=("runs",))


def overrides(random: Random, base: Base, folder: Path) -> Case:
    keys = ["seed", "threads", "data.limit", "teacher.arguments", "student.arguments.width", "targets", "policy", "thresholds", "quantize.float_layers",
            "++x", "~policy", "+data.y", "distill", "bench.restarts", "thresholds.latency_p50_ms.max", "precision", "name", "", "data.source"]  # fmt: skip
    chosen = [f"{random.choice(keys)}={mutations.value(random)}" for _ in range(random.randint(1, 3))]
    chosen = [one.replace("\x00", "0") for one in chosen]
    return Case(["run", "digits", "--plan", *chosen], may_change=("runs",))


def policies(random: Random, base: Base, folder: Path) -> Case:
    take(base, folder, "p.yaml", "model.onnx")
    mutate(random, folder / "p.yaml")
    if random.random() < 0.5:
        return Case(["run", "digits", "--plan", "policy=p.yaml"], may_change=("runs",))
    return compared("model.onnx", "model.onnx", "--policy", "p.yaml", "--max-time", "1")


def targets(random: Random, base: Base, folder: Path) -> Case:
    take(base, folder, "t.yaml", "model.onnx")
    mutate(random, folder / "t.yaml")
    if random.random() < 0.8:
        return Case(["run", "digits", "--plan", "targets=[t.yaml]"], may_change=("runs",))
    argv = ["bench", "model.onnx", "-t", "t.yaml", "--restarts", "1", "--max-time", "1", "--json"]
    return Case(argv, may_change=("runs", "h.sqlite"))


def models(random: Random, base: Base, folder: Path) -> Case:
    take(base, folder, "model.onnx", "ex.npz", "answers.yaml")
    shutil.copy(folder / "model.onnx", folder / "other.onnx")
    mutate(random, folder / "model.onnx")
    if random.random() < 0.5:
        return Case(["bench", "model.onnx", "-t", "onnxruntime-cpu", "--restarts", "1", "--max-time", "1", "--json"], may_change=("runs", "h.sqlite"))  # fmt: skip
    pair = random.choice(
        (["model.onnx", "other.onnx"], ["other.onnx", "model.onnx"], ["model.onnx", "model.onnx"])
    )
    return compared(*pair, "--policy", "answers.yaml", "--data", "ex.npz")


def examples(random: Random, base: Base, folder: Path) -> Case:
    """What `compare --data` is given."""
    take(base, folder, "model.onnx", "answers.yaml")
    name = random.choice(("ex.npz", "ex.parquet"))
    take(base, folder, name)
    if name == "ex.npz" and random.random() < 0.6:
        np.savez(folder / name, **hostile_arrays(random, dict(np.load(folder / name))))
    else:
        mutate(random, folder / name)
    return compared("model.onnx", "model.onnx", "--policy", "answers.yaml", "--data", name)


def hostile_arrays(random: Random, arrays: dict[str, Any]) -> dict[str, Any]:
    name = random.choice(list(arrays))
    of = arrays[name]
    made: list[Callable[[], Any]] = [
        lambda: of[:0], lambda: of[:1], lambda: of[::-1], lambda: of[..., None], lambda: of.astype(np.float64) if of.dtype.kind == "f" else of.astype("U9"),
        lambda: np.full(of.shape, np.nan), lambda: np.full(of.shape, np.inf, np.float32), lambda: np.zeros(of.shape, np.int8), lambda: np.array(3),
        lambda: np.zeros((200, 4, 0), np.float32), lambda: np.full(of.shape, -1), lambda: np.full(of.shape, 2**62), lambda: np.full(of.shape, "\x1b[31m"),
        lambda: np.zeros(of.shape, bool), lambda: np.zeros(of.shape, np.complex64), lambda: np.zeros(of.shape, "datetime64[D]"),
    ]  # fmt: skip
    changed = random.choice(made)()
    arrays = arrays | {name: changed}
    if random.random() < 0.2:
        arrays.pop(random.choice(list(arrays)))
    if random.random() < 0.2:
        arrays["other"] = np.zeros(2)
    return arrays


def tables(random: Random, base: Base, folder: Path) -> Case:
    """What a recipe's data step reads."""
    take(base, folder, "table.yaml", "train.csv")
    if random.random() < 0.3:
        mutate(random, folder / "table.yaml")
        return Case(["data", "table.yaml"], may_change=("run",))
    rows = (folder / "train.csv").read_text().splitlines()
    how = random.randrange(4)
    if how == 0:
        mutate(random, folder / "train.csv")
    else:
        for _ in range(random.choice((1, 3, 150))):
            place = random.randrange(len(rows))
            cells = rows[place].split(",")
            cells[random.randrange(len(cells))] = str(mutations.value(random)).replace("\n", " ")
            rows[place] = ",".join(cells if how < 3 else cells[: random.randrange(len(cells) + 1)])
        (folder / "train.csv").write_text("\n".join(rows), encoding="utf-8", errors="replace")
    return Case(["data", "table.yaml"], may_change=("run",))


def histories(random: Random, base: Base, folder: Path) -> Case:
    from edgecomp.history.store import APPLICATION, FORMAT_VERSION, SCHEMA

    store = folder / "h.sqlite"
    with sqlite3.connect(store) as connection:
        connection.execute("PRAGMA journal_mode = WAL")  # as a store is that was written before
        connection.executescript(SCHEMA)
        connection.execute(f"PRAGMA application_id = {APPLICATION}")
        connection.execute(f"PRAGMA user_version = {FORMAT_VERSION}")
        for number in range(4):
            row: list[Any] = [
                "2026-01-01T00:00:00+00:00",
                "compare",
                "t",
                "model.onnx",
                "ab" * 32,
                "cd" * 32,
                "PASS",
                "runs/x",
                "0.1.0",
            ]
            figure: list[Any] = [
                "cpu_p50_ms",
                "time",
                1.0,
                0.9,
                1.1,
                None,
                "PASS",
                0.95,
                "one",
                7,
                "restarts",
            ]
            for cells in (row, figure):
                if random.random() < 0.5:
                    cells[random.randrange(len(cells))] = random.choice(
                        (None, "", "x\x1b[31m", b"\x00\xff", float("inf"), -1, 2**62, "9" * 5000, "[/]")
                    )
            try:
                connection.execute(
                    "INSERT INTO results VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", [number, *row]
                )
                connection.execute(f"INSERT INTO figures VALUES ({', '.join('?' * 12)})", [number, *figure])
            except sqlite3.IntegrityError:
                continue
    connection.close()
    if random.random() < 0.3:
        mutate(random, store)
    argv = ["history", "--store", "h.sqlite"]
    if random.random() < 0.4:
        argv += ["--plot", random.choice(("plot.svg", "h.sqlite", "no/where/p.svg"))]
    if random.random() < 0.3:
        argv += ["--metric", str(mutations.value(random)).replace("\x00", "0")]
    return Case(argv, may_change=("plot.svg", "no"))


def run_folders(random: Random, base: Base, folder: Path) -> Case:
    """Somebody's run folder, with a file changed; the manifest's digests are sometimes made to fit."""
    shutil.copytree(base.run, folder / "run", symlinks=True)
    (folder / "run" / "gate" / "notes.txt").write_text("mine")
    files = [
        path
        for path in sorted((folder / "run").rglob("*.json")) + sorted((folder / "run").rglob("*.npz"))
        if path.is_file()
    ]
    chosen = random.choice(files)
    mutate(random, chosen)
    manifest = folder / "run" / "manifest.json"
    if chosen != manifest and random.random() < 0.5:
        fit(manifest, chosen)
    argv = random.choice(
        (
            ["gate", "run", "--json"],
            ["report", "run"],
            ["compare", "run", "run", "-t", "onnxruntime-cpu", "--max-time", "1", "--json"],
        )
    )
    return Case(argv, verdict=argv[0] != "report", may_change=("run", "runs", "h.sqlite"))


def fit(manifest: Path, changed: Path) -> None:
    """As a forger would: the digest is that of what is there now."""
    import hashlib

    content = json.loads(manifest.read_text())
    for record in content["steps"].values():
        for path, digest in record["outputs"].items():
            if manifest.parent / path == changed:
                whole = changed.read_bytes()
                digest |= {"sha256": hashlib.sha256(whole).hexdigest(), "size_bytes": len(whole)}
    manifest.write_text(json.dumps(content))


def deployed(random: Random, base: Base, folder: Path) -> Case:
    shutil.copytree(base.run / "deploy" / "onnxruntime-cpu", folder / "d")
    shutil.copytree(folder / "d", folder / "e")
    mutate(random, random.choice([path for path in sorted((folder / "d").iterdir()) if path.is_file()]))
    return compared("e", "d", "--max-time", "1")


def names(random: Random, base: Base, folder: Path) -> Case:
    """Names that are markup, commands, paths or control characters to what shows them."""
    hostile = [one for one in mutations.SCALARS if isinstance(one, str) and one.strip() and "\x00" not in one]
    name = random.choice(hostile)
    take(base, folder, "fake.yaml", "answers.yaml", "fake.json")
    target = json.loads((folder / "fake.yaml").read_text())
    target[random.choice(("name", "description"))] = name
    (folder / "fake.yaml").write_text(json.dumps(target))
    policy = yaml.safe_load((folder / "answers.yaml").read_text())
    policy["rows"] = {
        "cpu_p50_ms": {"max": "50 ms"},
        random.choice(hostile): {"metric": "file_size_bytes", "max": "1 MiB"},
    }
    policy[random.choice(("name", "description"))] = random.choice(hostile)
    (folder / "answers.yaml").write_text(yaml.safe_dump(policy))
    case = compared(
        "fake.json",
        "fake.json",
        "--policy",
        "answers.yaml",
        "--max-time",
        "1",
        "--junit",
        "j.xml",
        target="fake.yaml",
    )
    return replace(case, may_change=(*case.may_change, "j.xml"))


KINDS = {
    "recipes": Kind(0.2, recipes),
    "overrides": Kind(0.12, overrides),
    "policies": Kind(0.12, policies),
    "targets": Kind(0.1, targets),
    "models": Kind(0.08, models),
    "examples": Kind(0.08, examples),
    "tables": Kind(0.12, tables),
    "histories": Kind(0.08, histories),
    "run folders": Kind(0.04, run_folders, of_a_run=True),
    "deployed folders": Kind(0.03, deployed, of_a_run=True),
    "names": Kind(0.03, names),
}
