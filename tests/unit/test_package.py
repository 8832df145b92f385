"""What `import edgecomp` gives."""

import subprocess
import sys
from pathlib import Path

import pytest

import edgecomp


@pytest.mark.parametrize("name", edgecomp.__all__)
def test_a_function_of_the_api_is_there_and_no_room_has_its_name(name: str) -> None:
    script = f"import edgecomp\nassert callable(edgecomp.{name})\nfrom edgecomp.api import *\nassert callable(edgecomp.{name})"
    subprocess.run([sys.executable, "-c", script], check=True)
    assert not (Path(edgecomp.__file__).parent / name).exists()


def test_importing_it_costs_nothing() -> None:
    script = "import sys, edgecomp\nprint(*(name for name in sys.modules if name.partition('.')[0] in ('torch', 'numpy', 'pydantic')))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_nobody_is_told_of_a_model() -> None:
    """OpenVINO's converter sends what it was given, and how that went, unless its telemetry is not there; so does NNCF."""
    script = (
        "import edgecomp\n"
        "from openvino.tools.ovc import convert_impl\nprint(convert_impl.tm.__name__)\n"
        "from nncf.telemetry import wrapper\nprint(isinstance(wrapper.telemetry, wrapper.NNCFTelemetry))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["openvino.tools.ovc.telemetry_stub", "False"]
