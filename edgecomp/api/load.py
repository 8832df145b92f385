"""Results that were kept, read again: one, several side by side, or all that a folder holds."""

from collections.abc import Sequence
from pathlib import Path

from edgecomp.api.results import Benched, BenchResult, ComparisonResult, RunResult
from edgecomp.artifacts.run_folder import RunFolder
from edgecomp.errors import EdgecompError, RunFolderError, UsageError, nearest_there
from edgecomp.files.json_files import read_mapping
from edgecomp.gate.document import read as read_document
from edgecomp.progress import Listener, Silent
from edgecomp.report.page import beside as pages


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


def is_run(folder: Path) -> bool:
    """Whether `folder` looks like what `edgecomp run` writes."""
    return (folder / "job.json").is_file()


def side_by_side(
    folders: Sequence[Path | str], out: Path | str = "side-by-side.html", *, listener: Listener | None = None
) -> Path:
    """Writes one page with several runs side by side: for each target a row a run, with its verdict, its headline figures, and what they
    are over the first run's. Nothing is judged by it, and nothing of a run is executed.

    folders: run folders, two at least; out: the page. listener: told of notes. Returns the page. Raises UsageError
    where their tasks differ or no target is of two of them, RunFolderError where one is no run that was judged, AlteredError.
    """
    places = [Path(folder) for folder in folders]
    if len(set(map(Path.resolve, places))) < 2:
        raise UsageError("side by side takes two run folders at least: name another one")
    for place in places:
        if not is_run(place):
            raise RunFolderError(
                f"{place} is no run folder (it holds no job.json){nearest_there(place)}: name what `edgecomp run` has written"
            )
    file = Path(out)
    pages.side_by_side([_shown(place, listener or Silent()) for place in places], file)
    return file


def index(folder: Path | str, *, listener: Listener | None = None) -> Path:
    """Writes index.html into a folder of run folders: a row for each run and target, with a link to its report. A run that cannot be
    read, or was not judged, is listed with the reason.

    folder: that holds them, not further down; listener: told of notes. Returns the page. Raises RunFolderError where it holds no run.
    """
    place = Path(folder)
    found = sorted(one for one in place.iterdir() if is_run(one)) if place.is_dir() else []
    if not found:
        why = "holds none" if place.is_dir() else f"is no folder{nearest_there(place)}"
        raise RunFolderError(
            f"{place} is no run folder and {why}: name what `edgecomp run` has written, or the folder of several"
        )
    runs, unread = [], []
    for one in found:
        try:
            runs.append(_shown(one, listener or Silent(), one.name))
        except EdgecompError as error:
            unread.append(pages.Unread(one.name, str(error)))
    pages.index(runs, unread, place, place / "index.html")
    return place / "index.html"


def _shown(folder: Path, listener: Listener, name: str | None = None) -> pages.Run:
    """A run as a page shows it. Raises RunFolderError where it was not judged."""
    from edgecomp.api.run import load as load_run

    manifest = RunFolder(folder).manifest()
    judged = manifest.steps.get("gate") if manifest else None
    if judged is None:
        raise RunFolderError(f"{folder} was not judged yet: `edgecomp run {folder}` goes on")
    result = load_run(folder, listener=listener)
    return pages.Run(
        name or str(folder),
        result.job,
        result.document,
        f"{judged.finished[:16].replace('T', ' ')} UTC",
        result.report,
    )
