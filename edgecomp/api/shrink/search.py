"""`edgecomp search`: from a recipe to the student that keeps its target's budget with the best score, as a recipe that `edgecomp run` takes."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from html import escape
from pathlib import Path
from typing import Any

import yaml

from edgecomp.api.run import prepared
from edgecomp.artifacts.places import check_duration
from edgecomp.artifacts.run_folder import RunFolder
from edgecomp.config.composition import compose
from edgecomp.config.job import Job
from edgecomp.config.parts.shrink.search import Range, Search
from edgecomp.config.schema import find, shipped
from edgecomp.errors import RunFolderError, UsageError
from edgecomp.files.json_files import read_mapping
from edgecomp.files.scratch import replacing
from edgecomp.files.writing import digest_of, write_json
from edgecomp.models.config_ranges import ranges_of
from edgecomp.pipeline import execution
from edgecomp.pipeline.loaders import Run
from edgecomp.pipeline.stages import searching
from edgecomp.pipeline.stages.cluster import on
from edgecomp.progress import Listener, Silent
from edgecomp.report.search_page import FILE as PAGE
from edgecomp.report.search_page import Tried, write_page
from edgecomp.shrink import front
from edgecomp.shrink.budget import Limit, limits_of
from edgecomp.shrink.candidates import Candidate, load_all, spent
from edgecomp.shrink.cost_model import Foresight
from edgecomp.shrink.spaces import Space, space_of
from edgecomp.shrink.study import Study, installed
from edgecomp.shrink.trials import Trials

FORMAT = 1
"""Version of search.json and front.json. 1: first release."""
SEARCH, FRONT, STUDY = "search.json", "front.json", "study.db"
RUN = "run"  # the run folder in that of a search: data, teacher, soft labels
UNTIL = "soft_labels"  # the last step that all candidates share


@dataclass(frozen=True)
class SearchResult:
    """What a search found. candidates: in the order in which they were tried; front: of those, what nothing else beats, the fastest on `target`
    first; chosen: the best of it; recipe: the file that `edgecomp run` takes, with the student that was chosen; stopped: why no more were tried; spent:
    seconds by what they went into; of this sitting and those before it; cost_model: in words, how well what a student takes was foretold from the others, and
    how many points were not measured for that."""

    folder: Path
    target: str
    space: Space
    candidates: list[Candidate]
    front: list[Candidate]
    chosen: Candidate | None
    recipe: Path | None
    stopped: str
    spent: Mapping[str, float]
    cost_model: Sequence[str] = ()

    @property
    def page(self) -> Path:
        """search.html: the front, drawn, and every candidate."""
        return self.folder / PAGE

    @property
    def next_command(self) -> str:
        """What takes the student that was chosen to a verdict; the teacher is not trained again."""
        return f"edgecomp run {self.recipe} --out {self.folder / RUN}"

    def _repr_html_(self) -> str:
        """The front as a table, for a notebook."""
        rows = "".join(
            f"<tr><td>{escape(self.space.told(one.point))}</td><td>{one.score:.2f}</td>"
            f"<td>{front.latency_ms(one, self.target):.3g} ms</td></tr>"
            for one in self.front
        )
        head = f"<th>student</th><th>validation score (%)</th><th>latency p50, {escape(self.target)}</th>"
        return (
            f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table><p>{escape(self.stopped)}</p>"
        )


def search(
    recipe: str | Path,
    overrides: Sequence[str] = (),
    *,
    targets: Sequence[str] = (),
    trials: int | None = None,
    minutes: float | None = None,
    ray: str | None = None,
    out: Path | str | None = None,
    listener: Listener | None = None,
) -> SearchResult:
    """Finds the student of a recipe that keeps the budget of its targets with the best score on the validation split.

    Each candidate is quantised, exported and measured by the target's own worker before it is trained; what is over the budget is not trained. The rest
    learn for `search.epochs` from the teacher's soft labels. Points that are known are not tried again: a search that was killed goes on, and another
    process may work on the same one.

    recipe, overrides: as `run` takes them. targets: in place of the recipe's own; the latency of the first is what the front is of. trials: candidates
    at most, `search.trials` where it is not given; minutes: after which no further one is begun. ray: the address of a Ray cluster, whose machines train candidates, as many at once
    as they have cores for; they are measured here, while nothing is trained. out: the folder, `runs/search/NAME` where it is not
    given. listener: told of progress.

    Raises UsageError where there is nothing to search, no point can keep the budget, or the folder holds another search; RecipeError.
    """
    listener = listener or Silent()
    if minutes is not None:
        check_duration(60 * minutes, "--time", 60)
    if trials is not None and trials < 2:
        raise UsageError(f"--trials {trials}: the cheapest point and another one are two at least")
    installed()
    if Path(recipe).is_dir():
        raise UsageError(f"{recipe} is a folder: name the recipe to search for a student of")
    asked_of = [*overrides, *([f"targets=[{','.join(map(_quoted, targets))}]"] if targets else [])]
    job, folder, every = prepared(recipe, asked_of, _run_folder(recipe, asked_of, out), False, listener)
    place, asked = folder.path.parent, job.recipe.search or Search()
    if ray is not None and asked.pruner != "none":
        raise UsageError(f"search.pruner: {asked.pruner} compares candidates after each epoch, and those that a cluster trains tell of their end alone: "
                         "leave out --ray, or take search.pruner=none")  # fmt: skip
    run = Run(job, folder.path, listener.track, listener.note)
    searching.check(run)
    space = space_asked(job, asked)
    if not limits_of(job.rows, 1):
        raise UsageError(f"search: {', '.join(job.rows)} limits neither latency nor memory nor size, so that nothing says which student fits: give the "
                         "profile a budget, or a threshold: thresholds.latency_p50_ms.max='1 ms'")  # fmt: skip
    _own(place, job, asked, space)
    began = time.monotonic()
    prepare(job, folder, every, listener)
    shared_s = _shared_seconds(folder)
    target = job.targets[0].name
    within = None if asked.pruner == "none" else len(job.recipe.distill.stages) or asked.epochs
    study = Study(
        place / STUDY, space, sampler=asked.sampler, seed=job.recipe.seed, target=target, pruned_within=within
    )
    limits = searching.limits(run)
    deadline = None if minutes is None else began + 60 * minutes
    with on(ray) as cluster:
        elsewhere = () if cluster is None else searching.by_cluster(run, asked, cluster)
        tried = Trials(place, space, limits, study, searching.Candidates(run, asked), listener, *elsewhere)
        stopped = tried.until(trials or asked.trials, asked.patience, deadline)
    return _concluded(recipe, asked_of, job, place, space, study, stopped, shared_s, limits)


def prepare(job: Job, folder: RunFolder, every: Sequence[Any], listener: Listener) -> None:
    """Makes data, teacher and soft labels of a `job`, which all candidates share, in its run `folder`. every: the run's steps; listener: told of each."""
    last = next(place for place, step in enumerate(every) if step.name == UNTIL)
    with folder.locked():
        execution.save_job(job, folder)
        execution.execute(job, folder, list(every[: last + 1]), listener.started)


def _shared_seconds(folder: RunFolder) -> float:
    manifest = folder.manifest()
    return sum(one.seconds for one in manifest.steps.values()) if manifest else 0.0


def _run_folder(recipe: str | Path, overrides: Sequence[str], out: Path | str | None) -> Path:
    if out is not None:
        return Path(out) / RUN
    path = find(str(recipe), shipped("recipes"), "recipe")
    name = compose(path, list(overrides)).get("name") if path.suffix == ".yaml" else None
    return Path("runs") / "search" / (name if isinstance(name, str) else path.stem) / RUN


def space_asked(job: Job, asked: Search) -> Space:
    """The space of a `job`, as its recipe has `asked` for it, with every range as its values. Raises UsageError where there is nothing to search."""
    declared: str | dict[str, list[Any]] | None
    if isinstance(asked.space, dict):
        declared = {key: one.values if isinstance(one, Range) else one for key, one in asked.space.items()}
    else:
        declared = asked.space
    ranges = partial(ranges_of, folder=Path(job.folder))
    return space_of(declared, job.recipe.student.model_dump(exclude_none=True), ranges)


def _own(place: Path, job: Job, asked: Search, space: Space) -> None:
    """Raises RunFolderError where the folder `place` holds the search of something else; writes what this one is of."""
    enough = {"trials", "patience"}  # how long a search is may change from sitting to sitting
    if asked.pruner == "none":
        enough.add("pruner")  # a search that was begun before there was one goes on
    found = {
        "format": FORMAT,
        "recipe": job.recipe.name,
        "space": {key: list(values) for key, values in space.axes.items()},
        "sampler": asked.sampler,
        "seed": job.recipe.seed,
        "budget": {target: sorted(row.text for row in rows.values()) for target, rows in job.rows.items()},
        "everything": digest_of(
            job.model_copy(
                update={"recipe": job.recipe.model_copy(update={"search": None, "description": ""})}
            ).model_dump(mode="json")
            | {"search": asked.model_dump(mode="json", exclude=enough)}
        ),
    }
    file = place / SEARCH
    if file.is_file():
        before = read_mapping(file)
        other = [key for key, value in found.items() if before.get(key) != value]
        if other:
            what = "recipe, targets or settings" if other == ["everything"] else other[0]
            raise RunFolderError(f"{place} holds a search of another {what}: what it measured is not of this one; name another folder with --out, or "
                                 "take the recipe and overrides that it began with")  # fmt: skip
        return
    place.mkdir(parents=True, exist_ok=True)
    write_json(file, found)


def _concluded(
    recipe: str | Path,
    overrides: Sequence[str],
    job: Job,
    place: Path,
    space: Space,
    study: Study,
    stopped: str,
    shared_s: float,
    limits: Sequence[Limit],
) -> SearchResult:
    found, target = load_all(place), study.target
    best, chosen = front.front(found, target), front.chosen(found, target)
    took = {"teacher_and_data_s": shared_s} | spent(found)
    errors = Foresight(limits, [one.cost for one in found if one.cost]).errors()
    written = None if chosen is None else _write_recipe(recipe, overrides, place, space, chosen)
    write_json(
        place / FRONT,
        {
            "format": FORMAT,
            "recipe": job.recipe.name,
            "target": target,
            "stopped": stopped,
            "spent": took,
            "front": [one.name for one in best],
            "chosen": chosen and chosen.name,
            "foretold": {"errors": errors, "put_aside": study.put_aside},
            "candidates": {one.name: asdict(one) | {"became": one.became} for one in found},
        },
    )
    told = _foretold(errors, study.put_aside)
    result = SearchResult(place, target, space, found, best, chosen, written, stopped, took, told)
    _write_page(result, job, limits)
    return result


def _foretold(errors: Mapping[str, Mapping[str, float]], put_aside: int) -> list[str]:
    told = [
        f"Foretold from the {one['students'] - 1:.0f} others, {limit} of a student is wrong by {one['median_error_pct']:.1f} % (median), of nine in ten by "
        f"{one['nine_in_ten_pct']:.1f} % at most"
        for limit, one in errors.items()
    ]
    points = "point was" if put_aside == 1 else "points were"
    return (
        [*told, f"{put_aside} {points} not measured, foretold to be over the budget"] if put_aside else told
    )


def _write_page(result: SearchResult, job: Job, limits: Sequence[Limit]) -> None:
    def tried(one: Candidate) -> Tried:
        figures = one.cost.figures.get(result.target, {}) if one.cost else {}
        return Tried(
            result.space.told(one.point),
            one.became,
            one.why,
            one.score,
            figures,
            one in result.front,
            one is result.chosen,
        )

    took = ", ".join(
        f"{name.removesuffix('_s').replace('_', ' ')} {seconds:.0f} s"
        for name, seconds in result.spent.items()
    )
    most = {one.metric: one.value for one in limits if one.target == result.target and one.kind == "max"}
    write_page(
        result.folder,
        recipe=job.recipe.name,
        target=result.target,
        tried=[tried(one) for one in result.candidates],
        limits=most,
        notes=[f"It took: {took}.", f"Ended: {result.stopped}.", *(f"{one}." for one in result.cost_model)],
        command="" if result.chosen is None else result.next_command,
    )


def _write_recipe(
    recipe: str | Path, overrides: Sequence[str], place: Path, space: Space, chosen: Candidate
) -> Path:
    """The recipe with the student that was `chosen`, whole, beside the user's own, whose files it names; of a shipped one in the search's folder."""
    path = find(str(recipe), shipped("recipes"), "recipe")
    content = compose(path, list(overrides))
    content["student"] = {key: value for key, value in space.of(chosen.point).items() if value is not None}
    content.pop("search", None)
    own = path.parent != shipped("recipes")
    to = path.with_name(f"{path.stem}-found.yaml") if own else place / f"{path.stem}-found.yaml"
    said = f"# The student that `edgecomp search` found for {path.name}: {space.told(chosen.point)}; {chosen.score:.2f} on the validation split.\n"
    with replacing(to) as temporary:
        temporary.write_text(
            said + yaml.safe_dump(content, sort_keys=False, allow_unicode=True), encoding="utf-8"
        )
    return to


def _quoted(name: str) -> str:
    """A target's `name` as a value in Hydra's grammar."""
    escaped = name.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
