"""A run: its steps in order, their cache keys, and the run folder they write. Read steps.py first."""
