"""Measurements and limits in, verdict out. Nothing here measures, writes or knows a runtime."""
