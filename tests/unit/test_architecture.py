"""The house rules that a machine can check: who may import whom, and what a worker takes along."""

import ast
import subprocess
import sys
from pathlib import Path

import edgecomp

PACKAGE = Path(edgecomp.__file__).parent

# Stages never import each other; only these know the order.
STAGE_ROOMS = {"data", "teachers", "distill", "export", "bench", "gate", "report"}
# Rooms below the stages: what several of them stand on.
MAY_IMPORT = {
    "data": set(),
    "teachers": {"data"},  # a teacher labels the data's own views
    "distill": {"data", "quantize"},
    "quantize": set(),
    "models": set(),
    "runtimes": set(),
    "export": {"data", "quantize", "runtimes"},
    "bench": {"data", "runtimes"},
    "gate": set(),
    "report": set(),
    # A leaf: it takes two models from their files to a verdict, as the pipeline takes a recipe.
    "compare": {"bench", "data", "gate", "report", "runtimes", "export", "models"},
}


# What one command does with several of them.
COMMANDS = ("benching", "shown", "remembered")
COMMAND_LINE = ("cli", "cli_models", "cli_options")


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


def test_rooms_import_only_what_lies_below_them() -> None:
    for room, allowed in MAY_IMPORT.items():
        rooms = set(MAY_IMPORT) - {room}
        for file in (PACKAGE / room).rglob("*.py"):
            assert imports(file) & rooms <= allowed, file


def test_only_the_command_line_and_the_pipeline_know_the_stages() -> None:
    for file in PACKAGE.glob("*.py"):
        if file.stem not in (*COMMAND_LINE, "stages", "made", "console", "doctor", *COMMANDS):
            assert not imports(file) & STAGE_ROOMS, file
    for file in PACKAGE.rglob("*.py"):
        if file.stem not in (*COMMAND_LINE, "pipeline", "__main__"):
            assert not imports(file) & {"pipeline", "cli"}, file


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
    assert not loaded_by("import edgecomp.cli") & (HEAVY | {"numpy"})


def test_a_worker_takes_its_own_runtime_and_numpy_along() -> None:
    for runtime, own in (
        ("onnxruntime_cpu", "onnxruntime"),
        ("openvino_cpu", "openvino"),
        ("pytorch", "torch"),
        ("torchscript", "torch"),
    ):
        loaded = loaded_by(f"import edgecomp.bench.worker, edgecomp.runtimes.{runtime}")
        foreign = HEAVY - {own} if own != "torch" else {"onnxruntime", "openvino", "sklearn", "pydantic"}
        assert own in loaded
        assert not loaded & foreign, runtime
        assert not loaded & {"typer", "rich", "yaml", "psutil"}
