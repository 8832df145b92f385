"""`edgecomp data clean`: data looked through, and a copy without what should not be learnt from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from edgecomp.api.init import asked_of, read_as_found
from edgecomp.config.job import load_job
from edgecomp.config.parts.cleaning import Clean
from edgecomp.data import sources
from edgecomp.data.cleaning import copies, search, stage
from edgecomp.data.cleaning.findings import Finding
from edgecomp.data.sources import Source, Wanted
from edgecomp.errors import UsageError, nearest_there
from edgecomp.files.scratch import new_folder
from edgecomp.pipeline import loaders
from edgecomp.progress import Listener, Silent
from edgecomp.tasks import DEFAULT, Meant


@dataclass(frozen=True)
class CleanResult:
    """What was found, and where the copy is. folder: of findings.csv, cleaning.json and the copy."""

    folder: Path
    findings: Sequence[Finding]
    summary: Mapping[str, Any]
    files: Sequence[Path]
    notes: Sequence[str]

    @property
    def table(self) -> Path:
        """Of all findings: write `keep` where one should stay, and give it back as `findings`."""
        return self.folder / stage.TABLE


def clean(
    data: Path | str,
    *,
    inputs: str | None = None,
    label: str | None = None,
    rules: Mapping[str, str] | None = None,
    near: float | None = None,
    languages: Sequence[str] | None = None,
    answers: Path | str | None = None,
    findings: Path | str | None = None,
    personal_data: Literal["ignore", "report", "replace", "refuse"] | None = None,
    out: Path | str | None = None,
    listener: Listener | None = None,
) -> CleanResult:
    """Looks through `data` for what should not be learnt from, and writes a table of it and a copy without it; the data themselves stay as they are.

    data: a folder of images, a table or an .npz file, or a recipe (.yaml), whose `data.clean` then holds but for what is said here. inputs, label:
    the column or array of each, where that cannot be told. rules: what is done about what each finds, `remove`, `report` or `off`. near: the likeness
    from which two texts or images are near. languages: that texts should be in, ISO 639 codes. answers: an .npz of a teacher's answers to the training data. findings: a table of an earlier call that
    decides. personal_data: what is done about it in texts. out: a new folder, `NAME-clean` here where none is named. listener: told of progress, None
    for nobody. Raises DataError, UsageError, RuntimeUnavailableError.
    """
    heard, place = listener or Silent(), Path(data)
    if not place.exists():
        raise UsageError(f"no such data: {place}{nearest_there(place)}")
    folder = Path(out) if out is not None else Path(f"{place.resolve().name.split('.')[0]}-clean")
    if folder.exists():
        raise UsageError(
            f"{folder} is there already, and nothing is written over: name another folder with --out"
        )
    source, wanted, task, asked, home = _read(place, inputs, label)
    limits = asked.model_dump(include={"near", "longest", "confidence", "outlier", "languages"})
    said = {"near": near, "languages": languages}
    limits |= {name: value for name, value in said.items() if value is not None}
    found = stage.clean(
        source,
        search.Asked(rules=dict(asked.rules) | dict(rules or {}), **limits),
        task=task,
        answers=_given(answers, asked.answers, home),
        table=_given(findings, asked.findings, home),
        personal=personal_data or asked.personal_data,
        track=heard.track,
        note=heard.note,
    )
    with new_folder(folder, "nothing of it was kept") as temporary:
        found.save(temporary)
        named = wanted.inputs if isinstance(wanted.inputs, str) else None
        default = "text" if isinstance(source.splits["train"].values, list) else "inputs"
        written = copies.write(
            found.source,
            temporary,
            inputs=named or default,
            label=(wanted.labels or ["label"])[0],
            of_classes=task == DEFAULT,
        )
    files = [folder / file.name for file in written]
    notes = found.source.notes[len(source.notes) :]
    return CleanResult(folder, found.findings, found.as_json(), files, notes)


def _read(place: Path, inputs: str | None, label: str | None) -> tuple[Source, Wanted, Meant, Clean, Path]:
    """The data, what was asked of them, what labels mean, how they are cleaned, and where else files are looked for."""
    if place.suffix not in (".yaml", ".yml"):
        wanted = replace(asked_of(place), inputs=inputs, label=label, to_clean=True)
        wanted, source = read_as_found(wanted)
        return source, wanted, DEFAULT, Clean(), Path()
    if inputs is not None or label is not None:
        raise UsageError(
            f"{place} is a recipe, which names its columns itself: leave out --inputs and --label"
        )
    recipe, home = load_job(str(place), []).recipe, place.resolve().parent
    wanted = replace(loaders.wanted(recipe), to_clean=True)
    return sources.read(wanted, home), wanted, recipe.meant, recipe.data.clean or Clean(), home


def _given(here: Path | str | None, asked: str | None, home: Path) -> Path | None:
    from edgecomp.pipeline.taken.cleaning import place

    if here is not None:
        if not Path(here).is_file():
            raise UsageError(f"no such file: {here}{nearest_there(Path(here))}")
        return Path(here)
    return None if asked is None else place(asked, home)
