"""What tests of data share."""

from collections.abc import Callable
from pathlib import Path

import pytest

from edgecomp.data.sources import Source, Wanted, read, source_files
from edgecomp.errors import DataError

Refusal = Callable[..., str]


@pytest.fixture
def shared_data(data: Path) -> Path:
    """The folder of real data."""
    return data


@pytest.fixture
def reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Source]:
    """Reads `source` with settings, for a recipe that lies in tmp_path."""
    monkeypatch.delenv("EDGECOMP_DATA", raising=False)
    return lambda source, **settings: read(Wanted(source, **settings), tmp_path)


@pytest.fixture
def refusal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Refusal:
    """The message that a request ends with; told at once, where the files can be told not to be there."""
    monkeypatch.delenv("EDGECOMP_DATA", raising=False)

    def refused(source: str, *, early: bool = False, **settings: object) -> str:
        wanted = Wanted(source, **settings)  # type: ignore[arg-type]
        with pytest.raises(DataError) as caught:
            read(wanted, tmp_path)
        assert caught.value.exit_code == 2
        message = str(caught.value)
        assert "\n" not in message
        if early:
            with pytest.raises(DataError) as caught:
                source_files(wanted, tmp_path)
            assert str(caught.value) == message
        return message

    return refused
