"""What a model's health can be asked of some inputs, before anything is trained."""

from pathlib import Path

import pytest

from edgecomp.config.job import load_job
from edgecomp.data.preprocessing import Numbers
from edgecomp.errors import UsageError
from edgecomp.pipeline.loaders import Run
from edgecomp.pipeline.stages.health import check
from edgecomp.progress import Silent


def test_only_a_jpeg_needs_one_channel_or_three(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    Numbers("image", (4, 8, 8), (0.5,) * 4, (0.25,) * 4, ("a", "b")).save(tmp_path / "data")

    def asked(corruptions: str) -> None:
        check(
            Run(load_job("digits", [f"+health={{corruptions: [{corruptions}]}}"]), tmp_path, Silent().track)
        )

    asked("noise, blur, contrast")
    with pytest.raises(UsageError, match="these pictures have 4: take out jpeg"):
        asked("noise, jpeg")
