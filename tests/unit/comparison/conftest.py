import json
from pathlib import Path

import pytest
from comparing import fake


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A target of the fake runtime, and a baseline."""
    (tmp_path / "t.yaml").write_text(
        json.dumps({"format": 1, "name": "t", "runtime": "fake", "scheme": "none"})
    )
    fake(tmp_path, "base.json")
    return tmp_path
