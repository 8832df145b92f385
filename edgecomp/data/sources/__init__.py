"""Where examples come from, one file a kind of source. Which there are, and how one is added, is in `registry`."""

from edgecomp.data.sources.examples import Examples, Source, Wanted
from edgecomp.data.sources.registry import TABLE, read, source_files

__all__ = ["TABLE", "Examples", "Source", "Wanted", "read", "source_files"]
