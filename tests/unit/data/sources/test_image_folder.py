from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgecomp.data.sources import Source, Wanted, source_files

Reading = Callable[..., Source]
Refusal = Callable[..., str]


def save(path: Path, value: int = 0, size: tuple[int, int] = (4, 4)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", size, value).save(path)
    return path


def class_folders(root: Path, *names: str) -> list[Path]:
    """Two images a class; the first class's are 0 and 1, the next one's 10 and 11, …"""
    return [
        save(root / name / f"{number}.png", 10 * place + number)
        for place, name in enumerate(names)
        for number in range(2)
    ]


def test_a_folder_a_class(reading: Reading, tmp_path: Path) -> None:
    class_folders(tmp_path / "pets", "dog", "cat")
    (tmp_path / "pets" / "README.md").write_text("pets")
    (tmp_path / "pets" / "cat" / ".DS_Store").write_bytes(b"x")
    (tmp_path / "pets" / ".cache").mkdir()
    source = reading("images", path="pets")
    assert source.classes == ("cat", "dog")
    train = source.splits["train"]
    assert isinstance(train.values, np.ndarray)
    assert train.values[:, 0, 0, 0].tolist() == [10, 11, 0, 1]
    assert train.labels.tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize("validation", ["validation", "val"])
def test_a_folder_a_split(validation: str, reading: Reading, tmp_path: Path) -> None:
    train = class_folders(tmp_path / "train", "a", "b", "c")
    others = class_folders(tmp_path / validation, "a", "b") + class_folders(tmp_path / "test", "c", "b")
    source = reading("images", path=".", image_size=6)
    assert list(source.splits) == ["train", "validation", "test"]
    assert source.classes == ("a", "b", "c")
    assert source.splits["test"].labels.tolist() == [1, 1, 2, 2]
    assert source_files(Wanted("images", str(tmp_path)), tmp_path) == sorted(train + others)


@pytest.mark.parametrize(
    ("train", "validation", "test"),
    [
        ("Training", "Validation", "Testing"),
        ("TRAIN", "Val", "Test"),
        ("training_set", "validation set", "test_set"),
        ("train_images", "dev_images", "test-images"),
        ("train2017", "val2017", "test2017"),
    ],
)
def test_splits_are_known_by_any_usual_name(
    train: str, validation: str, test: str, reading: Reading, tmp_path: Path
) -> None:
    for name in (train, validation, test):
        class_folders(tmp_path / name, "a", "b")
    source = reading("images", path=".")
    assert list(source.splits) == ["train", "validation", "test"]
    assert source.classes == ("a", "b")


def test_folders_of_folders_are_no_classes(refusal: Refusal, tmp_path: Path) -> None:
    class_folders(tmp_path / "first", "a", "b")
    class_folders(tmp_path / "second", "a", "b")
    message = refusal("images", early=True, path=".")
    assert f"{tmp_path / 'first'}: holds folders (a, b), and a class folder holds its images" in message
    assert "name the splits in data.files" in message


def test_splits_without_class_folders_are_no_classes(refusal: Refusal, tmp_path: Path) -> None:
    class_folders(tmp_path, "Testing", "Training")
    message = refusal("images", early=True, path=".")
    assert "Testing, Training are named as splits, and have no class folders in them" in message


def test_folders_may_be_named(reading: Reading, refusal: Refusal, tmp_path: Path) -> None:
    class_folders(tmp_path / "learn", "a", "b")
    class_folders(tmp_path / "judge", "a", "b")
    source = reading("images", path=".", files={"train": "learn", "test": "judge"})
    assert list(source.splits) == ["train", "test"]
    message = refusal("images", early=True, path=".", files={"train": "learm"})
    assert f"data.files.train: no such folder: {tmp_path / 'learm'}; did you mean 'learn'?" in message


def test_train_may_be_a_class(reading: Reading, tmp_path: Path) -> None:
    class_folders(tmp_path, "car", "train")
    assert reading("images", path=".").classes == ("car", "train")


def test_a_folder_beside_the_splits_is_not_passed_over(refusal: Refusal, tmp_path: Path) -> None:
    class_folders(tmp_path / "train", "a", "b")
    class_folders(tmp_path / "more", "a", "b")
    assert "has more, train, and it cannot be told which is which split" in refusal(
        "images", early=True, path="."
    )


def test_splits_without_train_are_refused(refusal: Refusal, tmp_path: Path) -> None:
    class_folders(tmp_path / "test", "a", "b")
    assert "no folder train" in refusal("images", early=True, path=".")


def test_what_has_no_class_or_is_no_image_is_named(refusal: Refusal, tmp_path: Path) -> None:
    class_folders(tmp_path, "a", "b")
    stray = save(tmp_path / "stray.PNG")
    assert f"{stray}: lies in no class folder" in refusal("images", early=True, path=".")
    stray.unlink()
    odd = tmp_path / "b" / "photo.heic"
    odd.write_bytes(b"x")
    assert f"{odd}: is no image by its name" in refusal("images", early=True, path=".")
    odd.unlink()
    broken = tmp_path / "b" / "2.jpg"
    broken.write_bytes(b"<html>not found</html>")
    assert f"{broken}: cannot be read as an image" in refusal("images", path=".")
    whole = (tmp_path / "b" / "1.png").read_bytes()
    broken.write_bytes(whole[: len(whole) // 2])
    assert f"{broken}: cannot be read as an image" in refusal("images", path=".")


def test_mixed_sizes_name_a_file_each(refusal: Refusal, tmp_path: Path) -> None:
    first, *_ = class_folders(tmp_path, "a", "b")
    odd = save(tmp_path / "b" / "z.png", size=(5, 4))
    message = refusal("images", path=".")
    assert f"4 of 4×4, such as {first}; 1 of 5×4, such as {odd}): set data.image_size" in message


def test_folders_without_images_are_refused(refusal: Refusal, tmp_path: Path) -> None:
    assert "is empty" in refusal("images", early=True, path=".")
    class_folders(tmp_path, "a", "b")
    (tmp_path / "c").mkdir()
    assert f"{tmp_path / 'c'}: a class folder without images" in refusal("images", early=True, path=".")


def test_one_class_folder_is_one_class(refusal: Refusal, tmp_path: Path) -> None:
    class_folders(tmp_path, "a")
    assert "has one class, 'a'" in refusal("images", path=".")


def test_a_file_and_columns_are_not_for_images(refusal: Refusal, tmp_path: Path) -> None:
    file = save(tmp_path / "one.png")
    assert "is a file; images come in a folder" in refusal("images", early=True, path=str(file))
    assert "no use for data.inputs" in refusal("images", early=True, path=".", inputs="img")
