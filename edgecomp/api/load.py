"""Results that were kept, read again."""

from pathlib import Path

from edgecomp.api.results import Benched, BenchResult, ComparisonResult, RunResult
from edgecomp.errors import RunFolderError, nearest_there
from edgecomp.files.json_files import read_mapping
from edgecomp.gate.document import read as read_document
from edgecomp.progress import Listener


def load(
    folder: Path | str, *, listener: Listener | None = None
) -> RunResult | ComparisonResult | BenchResult:
    """The result that a folder of `edgecomp run`, `compare` or `bench` holds. Nothing in it is executed.

    folder: what `run`, `compare` or `bench` has written; listener: told of what is damaged. Of a run the verdict is derived again from its
    raw samples. Raises RunFolderError where it is no such folder, AlteredError where a
    verdict does not follow from what lies beside it.
    """
    place = Path(folder)
    if (place / "job.json").is_file():
        from edgecomp.api.run import load as load_run

        return load_run(place, listener=listener)
    if (place / "verdict.json").is_file():
        return ComparisonResult(place, read_document(place / "verdict.json"))
    if (place / "bench.json").is_file():
        return BenchResult(
            [Benched(place, read_mapping(place / "bench.json", "target", "metrics", "failed"))], {}
        )
    why = (
        "holds no job.json, verdict.json or bench.json"
        if place.is_dir()
        else f"is no folder{nearest_there(place)}"
    )
    raise RunFolderError(f"{place} {why}: name what `edgecomp run`, `compare` or `bench` has written")
