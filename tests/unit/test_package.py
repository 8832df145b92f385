"""What `import edgecomp` gives."""

import subprocess
import sys

import pytest

import edgecomp


@pytest.mark.parametrize("name", edgecomp.__all__)
def test_a_function_is_not_hidden_by_the_room_of_its_name(name: str) -> None:
    script = f"import edgecomp, edgecomp.bench, edgecomp.compare\nassert callable(edgecomp.{name})\nfrom edgecomp.bench import result"
    subprocess.run([sys.executable, "-c", script], check=True)
