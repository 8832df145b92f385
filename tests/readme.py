"""What the README shows, for tests that try it."""

import re
from pathlib import Path

TEXT = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")

MINIMAL = {
    block.split()[1]: block
    for block in re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)
    if block.startswith("name: ") and "\ndata: " in block
}
"""Whole recipes, by their names."""
