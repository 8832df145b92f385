"""A recipe as a stage of DVC's; tests/versions has DVC itself run it."""

import hashlib
import sys
from pathlib import Path

import pytest
import yaml

from edgecomp.api.operations import dvc_stage
from edgecomp.data.sources.examples import Wanted
from edgecomp.data.sources.paths import find, found
from edgecomp.errors import DataError, RecipeError, UsageError
from edgecomp.files.dvc_files import md5

RECIPE = """name: mine
data: { source: huggingface, path: data/rows.csv, inputs: [a, b], label: kind }
teacher: { network: mlp, epochs: 1 }
student: { network: "net.py:make" }
distill: { epochs: 1 }
targets: [onnxruntime-cpu]
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "own_net", raising=False)  # another test's, of another folder
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "rows.csv").write_text("a,b,kind\n1,2,x\n")
    (tmp_path / "own_net.py").write_text("def make(features, classes): ...\n")
    (tmp_path / "mine.yaml").write_text(RECIPE.replace("net.py:make", "own_net:make"))
    return tmp_path


def test_a_stage_names_what_a_run_is_made_of_and_makes(here: Path) -> None:
    (here / "dvc.yaml").write_text("stages: {prepare: {cmd: make, outs: [data/rows.csv]}}\nvars: [x: 1]\n")
    assert dvc_stage("mine.yaml", ["seed=3"]) == "mine"
    written = yaml.safe_load((here / "dvc.yaml").read_text())
    assert written["stages"]["prepare"] == {"cmd": "make", "outs": ["data/rows.csv"]}
    assert written["vars"] == [{"x": 1}]
    assert written["stages"]["mine"] == {
        "cmd": "edgecomp run mine.yaml seed=3 --out runs/mine",
        "deps": ["data/rows.csv", "own_net.py"],
        "params": [{"mine.yaml": None}],
        "outs": [{"runs/mine/deploy": {"persist": True}}],
        "metrics": [{"runs/mine/report/metrics.json": {"cache": False, "persist": True}}],
        "plots": [{"runs/mine/training.csv": {"cache": False, "persist": True, "x": "epoch", "y": "value"}}],
    }
    dvc_stage("mine.yaml", quick=True)
    again = yaml.safe_load((here / "dvc.yaml").read_text())
    assert list(again["stages"]) == ["prepare", "mine"]
    assert again["stages"]["mine"]["cmd"].endswith("--out runs/mine-quick --quick")


def test_a_shipped_recipe_has_no_file_to_watch(here: Path) -> None:
    dvc_stage("digits", to=here / "dvc.yaml")
    written = yaml.safe_load((here / "dvc.yaml").read_text())["stages"]["digits"]
    assert not {"deps", "params"} & set(written)


def test_what_a_package_holds_is_no_dependency(here: Path) -> None:
    packaged = RECIPE.replace("data/rows.csv", "'package:sklearn/datasets/data/breast_cancer.csv'").replace(
        "net.py:make", "own_net:make"
    )
    (here / "mine.yaml").write_text(packaged)
    dvc_stage("mine.yaml")
    assert yaml.safe_load((here / "dvc.yaml").read_text())["stages"]["mine"]["deps"] == ["own_net.py"]


def test_what_dvc_cannot_take_is_told(here: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    with pytest.raises(UsageError, match=r"called dvc\.yaml"):
        dvc_stage("mine.yaml", to="mine.dvc.yaml")
    with pytest.raises(UsageError, match="does not lie in"):
        dvc_stage("mine.yaml", out=tmp_path_factory.mktemp("elsewhere") / "run")
    (here / "dvc.yaml").write_text("stages: [a]\n")
    with pytest.raises(UsageError, match="no mapping of names"):
        dvc_stage("mine.yaml")
    (here / "data" / "rows.csv").rename(here / "rows.csv")
    with pytest.raises(DataError, match=r"data\.path"):
        dvc_stage("mine.yaml")


def kept(here: Path, name: str, digest: str) -> Wanted:
    """A `.dvc` file in data/, as `dvc add` writes it."""
    content = {"outs": [{"md5": digest, "size": 16, "hash": "md5", "path": name}]}
    (here / "data" / f"{name}.dvc").write_text(yaml.safe_dump(content))
    return Wanted("huggingface", path=f"data/{name}.dvc")


def test_a_dvc_file_stands_for_the_bytes_that_it_names(here: Path) -> None:
    rows = here / "data" / "rows.csv"
    wanted = kept(here, "rows.csv", hashlib.md5(rows.read_bytes()).hexdigest())
    assert find(wanted, here) == rows
    rows.write_text("a,b,kind\n9,9,x\n")
    with pytest.raises(DataError, match=r"rows\.csv is not what it says, md5 .*dvc checkout rows\.csv\.dvc"):
        find(wanted, here)
    rows.unlink()
    with pytest.raises(DataError, match=r"rows\.csv is not there: dvc pull rows\.csv\.dvc"):
        find(wanted, here)
    with pytest.raises(DataError, match=r"looked for .*: dvc pull .*rows\.csv\.dvc"):
        found(Wanted("huggingface", path="data/rows.csv"), here)


def test_a_folders_digest_is_that_of_its_files(here: Path) -> None:
    """As `dvc add` of DVC 3.67 had it."""
    folder = here / "data" / "images"
    (folder / "b").mkdir(parents=True)
    (folder / "a.txt").write_text("1")
    (folder / "b" / "c.txt").write_text("2")
    assert md5(folder) == "f1ea74b4fbfc160797e939835066e899.dir"
    wanted = kept(here, "images", md5(folder))
    assert find(wanted, here) == folder
    (folder / "b" / "c.txt").write_text("3")
    with pytest.raises(DataError, match="is not what it says"):
        find(wanted, here)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("outs: []", "has one entry under outs"),
        ("outs: [{path: rows.csv}]", "needs a path and an md5"),
        ("outs: [{path: rows.csv, md5: xyz}]", "needs a path and an md5"),
        (f"outs: [{{path: ../../x, md5: {'a' * 32}}}]", "lies outside its folder"),
        (f"outs: [{{path: /etc/passwd, md5: {'a' * 32}}}]", "lies outside its folder"),
        ("[1]", "not a mapping"),
    ],
)
def test_a_file_that_is_none_of_dvcs_is_told(here: Path, content: str, complaint: str) -> None:
    (here / "data" / "x.dvc").write_text(content)
    with pytest.raises((DataError, RecipeError), match=complaint):
        find(Wanted("huggingface", path="data/x.dvc"), here)
