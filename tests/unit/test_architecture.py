"""The house rules that a machine can check: who may import whom, and what a worker takes along."""

import ast
import inspect
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import edgecomp
from edgecomp.arms import ARMS
from edgecomp.metrics.registry import METRICS

PACKAGE = Path(edgecomp.__file__).parent

# Every room, and what of the others it may import: floor by floor, and never upwards.
GROUND = {"arms", "errors", "exit_codes", "inputs", "machine", "outputs", "progress", "text"}
ROOMS = {
    # What everything stands on.
    "files": GROUND,
    "stats": GROUND,
    "tasks": GROUND,
    "metrics": GROUND | {"files", "stats", "tasks"},
    "runtimes": GROUND | {"files"},
    "onnx_import": GROUND | {"files", "runtimes"},
    "models": GROUND | {"files", "runtimes", "onnx_import"},
    "training": GROUND | {"files"},
    "config": GROUND | {"files", "tasks", "metrics", "models", "runtimes"},
    "artifacts": GROUND | {"files", "config"},
    # What the steps of a run do. None knows another that is not below it.
    "data": GROUND | {"files", "tasks", "training"},
    "teachers": GROUND | {"files", "tasks", "data", "training"},
    "quantization": GROUND | {"files", "training"},
    "health": GROUND | {"files", "data"},
    "distill": GROUND | {"files", "tasks", "data", "quantization", "training"},
    "language": GROUND | {"files", "tasks", "models", "data", "training"},
    "export": GROUND | {"files", "tasks", "quantization", "runtimes", "training"},
    "ptq": GROUND | {"files", "tasks", "export", "quantization", "runtimes", "training"},
    "package": GROUND | {"files", "tasks", "metrics", "data", "runtimes"},
    "benchmark": GROUND | {"files", "stats", "tasks", "metrics", "config", "artifacts", "data", "runtimes"},
    "gate": GROUND | {"files", "stats", "tasks", "metrics", "config"},
    "shrink": GROUND | {"files", "metrics", "config", "quantization"},
    "report": GROUND | {"files", "tasks", "stats", "metrics", "config", "artifacts", "gate"},
    "history": GROUND | {"files", "tasks", "stats", "metrics", "artifacts", "gate", "report"},
    # What puts several of them together.
    "comparison": GROUND
    | {
        "files",
        "stats",
        "tasks",
        "metrics",
        "config",
        "artifacts",
        "runtimes",
        "models",
        "data",
        "language",
        "export",
        "benchmark",
        "gate",
        "report",
        "history",
    },
    "operations": GROUND | {"files", "stats", "metrics", "runtimes", "package", "benchmark", "gate"},
    "pipeline": set(),  # filled in below: all but what stands beside and above it
    "evidence": GROUND
    | {"files", "tasks", "config", "artifacts", "gate", "metrics", "stats", "report", "pipeline"},
    "api": set(),
    "cli": set(),
}
ROOMS["pipeline"] = GROUND | set(ROOMS) - {
    "comparison",
    "history",
    "operations",
    "pipeline",
    "evidence",
    "api",
    "cli",
}
ROOMS["api"] = GROUND | set(ROOMS) - {"api", "cli"}
ROOMS["cli"] = GROUND | set(ROOMS) - {"cli"}


def imports(file: Path) -> set[str]:
    """The rooms of edgecomp that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module] + [f"{node.module}.{alias.name}" for alias in node.names]
        found |= {name.split(".")[1] for name in names if name.startswith("edgecomp.")}
    return found


def test_every_room_has_its_floor() -> None:
    found = {path.name for path in PACKAGE.iterdir() if path.is_dir() and any(path.rglob("*.py"))}
    assert found == set(ROOMS)
    assert {path.stem for path in PACKAGE.glob("*.py")} == GROUND | {"__init__", "__main__"}


def test_rooms_import_only_what_lies_below_them() -> None:
    for room, allowed in ROOMS.items():
        for file in (PACKAGE / room).rglob("*.py"):
            assert imports(file) - {room, "__version__", "release"} <= allowed, file


def test_nothing_on_the_ground_imports_a_room() -> None:
    for name in GROUND:
        assert not imports(PACKAGE / f"{name}.py") & set(ROOMS), name


def test_no_folder_asks_for_a_second_one() -> None:
    for folder in (PACKAGE, *(path for path in PACKAGE.rglob("*") if path.is_dir())):
        assert len(list(folder.glob("*.py"))) <= 12, folder


def test_no_file_asks_for_a_second_room() -> None:
    for file in PACKAGE.rglob("*.py"):
        assert len(file.read_text(encoding="utf-8").splitlines()) <= 400, file


def loaded_by(statement: str) -> set[str]:
    script = f"import sys\n{statement}\nprint(*sorted(name for name in sys.modules if '.' not in name))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


HEAVY = {
    "torch",
    "onnxruntime",
    "openvino",
    "onnx",
    "sklearn",
    "scipy",
    "matplotlib",
    "hydra",
    "pydantic",
    "h5py",
}


def test_the_command_line_imports_nothing_heavy() -> None:
    assert not loaded_by("import edgecomp.cli.app") & (HEAVY | {"numpy"})


def test_a_worker_takes_its_own_runtime_and_numpy_along() -> None:
    for runtime, own in (
        ("onnxruntime_cpu", "onnxruntime"),
        ("openvino_cpu", "openvino"),
        ("pytorch", "torch"),
        ("torchscript", "torch"),
    ):
        loaded = loaded_by(f"import edgecomp.benchmark.worker.main, edgecomp.runtimes.{runtime}")
        foreign = HEAVY - {own} if own != "torch" else {"onnxruntime", "openvino", "sklearn", "pydantic"}
        assert own in loaded
        assert not loaded & foreign, runtime
        assert not loaded & {"typer", "rich", "yaml", "psutil"}


def literals(file: Path) -> set[str]:
    """The texts in a file's code, without docstrings."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    told = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    return {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in told
    }


def test_arms_are_spelled_in_their_table_only() -> None:
    """What a recipe and a policy may write is a literal there, for it is part of their schema."""
    names = {name for name in ARMS if "_" in name} | {arm.tool for arm in ARMS.values() if arm.tool}
    allowed = {
        "arms.py",
        "config/parts/shrink/quantize.py",
        "config/policy.py",
        "ptq/tools.py",
        "ptq/grid.py",
    }
    for file in PACKAGE.rglob("*.py"):
        if file.relative_to(PACKAGE).as_posix() not in allowed:
            assert not literals(file) & names, file


def test_what_decides_shows_or_draws_a_metric_takes_its_name_from_the_registry() -> None:
    """Whoever measures writes figures under the names that they have in files; a task's own metrics are its table."""
    names = set(METRICS) - {"score"}  # a word as well
    for room in ("api", "cli", "comparison", "config", "gate", "report"):
        for file in (PACKAGE / room).rglob("*.py"):
            assert not literals(file) & names, file


def test_the_api_names_its_arguments() -> None:
    """Every function that `import edgecomp` gives, and every pure function of statistics, says in its docstring what it takes."""
    for name in edgecomp.__all__:
        function = getattr(edgecomp, name)
        for argument in inspect.signature(function).parameters:
            assert re.search(rf"\b{argument}\b", inspect.getdoc(function) or ""), (name, argument)


def test_no_two_test_files_have_one_name() -> None:
    """pytest imports a test file without a package by its name alone: the second one is not collected."""
    seen = Counter(
        file.name for file in Path(__file__).parents[1].rglob("*.py") if file.name != "conftest.py"
    )
    assert [name for name, times in seen.items() if times > 1] == []
