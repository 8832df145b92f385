"""Verdict and provenance → HTML, Markdown, JSON and JUnit. Nothing here measures or decides."""
