"""What a factory's step must be made again for: its own code, wherever in its package, and nothing else."""

from pathlib import Path

import pytest

from edgecomp.models.own_code import files_of_module

FILES = {
    "mypkg/__init__.py": "",
    "mypkg/nets.py": "import torch\nfrom mypkg.layers import Block\nfrom . import heads\n",
    "mypkg/layers.py": "from .sizes import WIDTH\n",
    "mypkg/sizes.py": "WIDTH = 8\n",
    "mypkg/heads.py": "def head():\n    from mypkg.lazy.late import late\n",
    "mypkg/lazy/late.py": "import beside\n",
    "mypkg/unread.py": "",
    "beside.py": "import mypkg.nets\n",  # a circle
    "other.py": "",
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, content in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content, encoding="utf-8")
    return tmp_path


def found(root: Path, file: str, module: str) -> set[str]:
    return {path.relative_to(root).as_posix() for path in files_of_module(root / file, module)}


def test_all_that_a_module_imports_of_its_folder_however_deep_and_late(root: Path) -> None:
    assert found(root, "mypkg/nets.py", "mypkg.nets") == set(FILES) - {"mypkg/unread.py", "other.py"}


def test_a_package_is_its_own_init_file(root: Path) -> None:
    assert found(root, "mypkg/__init__.py", "mypkg") == {"mypkg/__init__.py"}


def test_a_module_alone_is_one_file(root: Path) -> None:
    assert found(root, "other.py", "other") == {"other.py"}


def test_a_neighbour_of_another_python_counts_and_is_not_read(root: Path) -> None:
    (root / "beside.py").write_text("print 'two'\n", encoding="utf-8")
    assert "beside.py" in found(root, "mypkg/nets.py", "mypkg.nets")


def test_a_compiled_module_counts_though_it_has_no_source(root: Path) -> None:
    (root / "mypkg" / "fast.so").write_bytes(b"machine code")
    assert found(root, "mypkg/fast.so", "mypkg.fast") == {"mypkg/__init__.py", "mypkg/fast.so"}


def test_of_what_is_installed_only_the_package_itself_counts(root: Path) -> None:
    installed = root / "lib" / "site-packages"
    installed.mkdir(parents=True)
    (root / "mypkg").rename(installed / "mypkg")
    (root / "beside.py").rename(installed / "beside.py")
    names = found(root, "lib/site-packages/mypkg/nets.py", "mypkg.nets")
    assert "lib/site-packages/mypkg/lazy/late.py" in names
    assert "lib/site-packages/beside.py" not in names
