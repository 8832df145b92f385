"""Files that somebody else may have written, read within limits: JSON, YAML, NumPy arrays, zip archives. Nothing in them is executed.

Light on purpose: workers import this. Each function raises FileError, and no other: it names the file, the value, the limit and what
to try.
"""
