"""Packs: a run's evidence in one file that a stranger can check, who trusts neither the author nor the file."""
