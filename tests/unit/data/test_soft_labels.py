from pathlib import Path

import numpy as np
import pytest

from edgecomp.data import soft_labels
from edgecomp.errors import DataError


def test_soft_labels_are_stored_by_view_and_come_round_again(tmp_path: Path) -> None:
    views = np.random.default_rng(0).normal(size=(3, 5, 4)).astype(np.float32)
    soft_labels.write(tmp_path / "s.h5", iter(views), views[0, :2], count=3, teacher_sha256="abc")
    with soft_labels.opened(tmp_path / "s.h5") as stored:
        assert stored.views == 3
        np.testing.assert_allclose(stored.view(4), views[1], atol=2e-3)
        np.testing.assert_allclose(stored.validation(), views[0, :2], atol=2e-3)


def test_soft_labels_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    views = np.full((1, 2, 2), np.nan, np.float32)
    fine = np.zeros((2, 2), np.float32)
    with pytest.raises(DataError, match="not finite"):
        soft_labels.write(tmp_path / "s.h5", iter(views), fine, count=1, teacher_sha256="abc")
    with pytest.raises(DataError, match="not finite"):
        soft_labels.write(tmp_path / "t.h5", iter([fine]), views[0], count=1, teacher_sha256="abc")


def test_soft_labels_beyond_float16_name_the_teacher(tmp_path: Path) -> None:
    large, fine = np.full((2, 2), -7e4, np.float32), np.full((2, 2), 65504, np.float32)
    for name, view, validation in (("view 0", large, fine), ("the validation split", fine, large)):
        with pytest.raises(
            DataError, match=f"the teacher's logits of {name} reach 7e.04, .* 65,504: the teacher"
        ):
            soft_labels.write(tmp_path / "s.h5", iter([view]), validation, count=1, teacher_sha256="abc")
    soft_labels.write(tmp_path / "s.h5", iter([fine]), fine, count=1, teacher_sha256="abc")


def test_answers_that_a_student_is_to_give_are_stored_as_they_are(tmp_path: Path) -> None:
    """Beside a large mean float16 rounds away what differs, and beyond 65,504 there is none."""
    kelvin = (300 + np.random.default_rng(0).normal(0, 0.01, (4, 3))).astype(np.float32)
    for name, answers in (("k", kelvin), ("large", 1e6 * kelvin)):
        soft_labels.write(
            tmp_path / name, iter([answers]), answers, count=1, teacher_sha256="abc", exact=True
        )
        with soft_labels.opened(tmp_path / name) as known:
            np.testing.assert_array_equal(known.view(0), answers)
            np.testing.assert_array_equal(known.validation(), answers)
