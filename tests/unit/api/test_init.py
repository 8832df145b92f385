"""`edgecomp init` looks at data, and writes a recipe that is one."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from running import Cli

from edgecomp.api.init import init
from edgecomp.config.job import load_job
from edgecomp.errors import DataError, UsageError


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Pictures of several sizes, a table of numbers, one of texts, and arrays."""
    random = np.random.default_rng(0)
    for number in range(40):
        place = tmp_path / "pictures" / ("cat", "dog")[number % 2]
        place.mkdir(parents=True, exist_ok=True)
        pixels = random.integers(0, 255, (40 + number % 3, 36, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(place / f"{number}.png")
    rows = "\n".join(f"{number / 7:.3f},{number % 5},{number % 2}" for number in range(60))
    (tmp_path / "customers.csv").write_text(f"age,visits,left\n{rows}\n", encoding="utf-8")
    texts = "\n".join(f"film {number},{number % 2}" for number in range(60))
    (tmp_path / "reviews.csv").write_text(f"text,label\n{texts}\n", encoding="utf-8")
    np.savez(
        tmp_path / "arrays.npz",
        inputs=random.normal(size=(50, 6)).astype(np.float32),
        label=np.arange(50) % 2,
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("data", "label", "found", "network"),
    [
        ("pictures", None, "images of 32×32, 3 channels, 40 in train; 2 classes: cat, dog", "resnet"),
        ("customers.csv", "left", "rows of numbers, 2 each, 60 in train; 2 classes: 0, 1", "mlp"),
        ("arrays.npz", None, "rows of numbers, 6 each, 50 in train", "mlp"),
    ],
)
def test_a_recipe_is_written_that_can_be_run(
    folder: Path, data: str, label: str | None, found: str, network: str
) -> None:
    recipe, said = init(data, label=label)
    assert said.startswith(found)
    assert recipe == Path(f"{data.split('.')[0]}.yaml")
    assert len(recipe.read_text(encoding="utf-8").splitlines()) <= 10
    job = load_job(str(recipe), [])
    assert job.recipe.student.network == network
    if label:
        assert (job.recipe.data.inputs, job.recipe.data.label) == (["age", "visits"], "left")


def test_texts_get_a_tokenizer_and_a_student_of_the_teachers_layers(folder: Path) -> None:
    recipe, said = init("reviews.csv")
    assert said.startswith("texts, 60 in train; 2 classes")
    text = recipe.read_text(encoding="utf-8")
    assert "tokenizer: package:" in text
    assert "network: teacher" in text


def test_the_command_shows_the_recipe_a_line_each(folder: Path, cli: Cli) -> None:
    done = cli("init", "customers.csv", "--label", "left", cwd=folder)
    assert done.code == 0, done.err
    written = (folder / "customers.yaml").read_text(encoding="utf-8").splitlines()
    assert [line for line in done.out.splitlines() if line in written] == written


@pytest.mark.parametrize(
    ("data", "given", "error"),
    [
        ("custmers.csv", {}, "no such data: custmers.csv; did you mean 'customers.csv'"),
        ("customers.csv", {"label": "lft"}, "no column 'lft'"),
        ("customers.csv", {"label": "left", "out": "there.yaml"}, "is there already"),
        ("customers.csv", {"label": "left", "out": "x.txt"}, "does not end in .yaml"),
        ("x.c", {}, "but .c"),
    ],
)
def test_what_cannot_be_written_is_told(folder: Path, data: str, given: dict[str, str], error: str) -> None:
    (folder / "there.yaml").write_text("mine", encoding="utf-8")
    (folder / "x.c").write_text("int", encoding="utf-8")
    with pytest.raises((UsageError, DataError), match=error):
        init(data, **given)
    assert (folder / "there.yaml").read_text(encoding="utf-8") == "mine"
    assert not (folder / "customers.yaml").exists()
