"""A recipe with its overrides and everything it names, checked before any work is done."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import AliasChoices, Field, ValidationError

from edgecomp import release
from edgecomp.arms import CONTROL, STUDENT_FP32
from edgecomp.config.composition import compose, files_of
from edgecomp.config.parts.health import ASKED_BY
from edgecomp.config.parts.language.fits import unlike, unlike_targets
from edgecomp.config.parts.rehearsal import rehearsal
from edgecomp.config.parts.shrink.quantize import Quantize
from edgecomp.config.policy import (
    BOUNDED_FROM,
    Policy,
    Threshold,
    Waiver,
    check_rows,
    load_policy,
    overridden,
    refuse_newer,
    with_budget,
)
from edgecomp.config.recipe import Recipe
from edgecomp.config.schema import Schema, explain, find, shipped
from edgecomp.config.target import Target, load_target, saturating, target_names
from edgecomp.config.task_checks import for_meant, unlike_outputs
from edgecomp.errors import FileError, RecipeError, RunFolderError, UsageError, nearest, nearest_there
from edgecomp.files import limits
from edgecomp.files.json_files import MOST_BYTES
from edgecomp.files.yaml_files import placed
from edgecomp.machine import has_bf16, host_isa
from edgecomp.metrics.registry import (
    BLOCK_SQNR,
    CPU_P50,
    INT8_SHARE,
    PORTABLE_AGREEMENT,
    VALIDATION_DROP,
)
from edgecomp.models import OF_TEACHER, check_arguments, find_factory
from edgecomp.models.own_code import load_score
from edgecomp.runtimes import TABLE


class Host(Schema):
    """What a run takes of the machine it starts on: decided once, by the CPU's flags, and never again on reading."""

    isa: str  # what `isa: host` is here, a row of edgecomp.machine.ISAS
    precision: Literal["fp32", "bf16", "fp16"]  # what `precision: auto` is here, or what was asked for


class Job(Schema):
    """A recipe with all it names resolved: what a run folder keeps, and every stage is told from."""

    recipe: Recipe
    folder: str  # a factory may be imported from here, and from the installed environment
    targets: list[Target]
    ungated_targets: list[Target] = Field(validation_alias=AliasChoices("ungated_targets", "beside"))
    policy: Policy
    rows: dict[str, dict[str, Threshold]]  # target → row name → threshold
    data_files: dict[str, str] = {}  # the data's own files → sha256
    outside: dict[
        str, str
    ] = {}  # teacher, student, tokenizer, score → digest of their files, where they are not edgecomp's own
    host: Host | None = None  # None: of a run that was made before this was kept

    @property
    def schemes(self) -> list[str]:
        """The quantisation schemes that the targets need, in their order; a student of its own is trained through each. `none`, where
        the student stays in float for all of them."""
        found = dict.fromkeys(target.scheme for target in self.targets)
        return [scheme for scheme in found if scheme != "none"] or list(found)

    @property
    def precision(self) -> str:
        """Of training: fp32, bf16 or fp16. Before it was decided once, a recipe named it."""
        return self.recipe.precision if self.host is None else self.host.precision


EXACT = ("outputs", "probabilities")
"""Tasks whose student has to answer as its teacher does, to a hundredth or less: the teacher's own answers are to be no coarser than that, and bf16 rounds
to 1 in 256 at every layer."""


def on_this_machine(job: Job) -> Job:
    """The job with all that this machine decides in it, for a run that starts."""
    asked = job.recipe.precision
    in_bf16 = has_bf16() and job.recipe.task not in EXACT
    precision = ("bf16" if in_bf16 else "fp32") if asked == "auto" else asked
    return job.model_copy(update={"host": Host(isa=host_isa(), precision=precision)})


def load_job(name: str, overrides: list[str]) -> Job:
    """The job that a recipe describes. name: of a shipped recipe, or a file; overrides: KEY=VALUE each.
    Raises RecipeError with every problem found, or UsageError."""
    path = find(name, shipped("recipes"), "recipe")
    if path.suffix != ".yaml":  # Hydra would compose the .yaml of that name instead
        raise UsageError(
            f"{path}: a recipe ends in .yaml, not in {path.suffix or 'nothing'}: rename it to {path.stem}.yaml"
        )
    content = compose(path, overrides)
    refuse_newer(content, str(path))
    problems: list[str] = []
    recipe = _valid_recipe(content, problems)
    if recipe is not None and recipe.quick:
        recipe = rehearsal(recipe)
    targets = _named(content.get("targets"), load_target, "targets", problems)
    ungated = _named(content.get("ungated_targets"), load_target, "ungated_targets", problems)
    policies = _named([content.get("policy") or "industrial"], load_policy, "policy", problems)
    rows = {}
    if policies and recipe is not None:
        policies = [policies[0].asked(set() if recipe.health is None else recipe.health.metrics)]
    if policies:
        changes = content.get("thresholds") or {}
        rows = _rows(targets, policies[0], changes if isinstance(changes, dict) else {}, problems)
        if recipe is not None:
            problems += dict.fromkeys(
                said for named in rows.values() for said in unlike_outputs(named, recipe.meant)
            )
            problems += dict.fromkeys(
                said for named in rows.values() for said in _health_not_asked(named, recipe)
            )
            known = {target.name: target for target in targets}
            rows = {
                name: _applicable(
                    for_meant(named, recipe.meant),
                    recipe.quantize.of(known[name].scheme, known[name].runtime),
                    portable=known[name].must_be_portable,
                )
                for name, named in rows.items()
                if name in known
            }
            rows = {
                target: _with_score(named, recipe, path.parent, problems) for target, named in rows.items()
            }
        problems += waiving_nothing(policies[0], targets, changes or ())
    problems += _misplaced(targets, ungated)
    if recipe is not None:
        problems += unlike(recipe)
        problems += unlike_targets(recipe, [*targets, *ungated])
        problems += _bits_not_executed(recipe.quantize, targets)
        problems += _nothing_to_quantise(recipe.quantize, targets)
    parts = {part: content.get(part) for part in ("teacher", "student")}
    beside = {} if recipe is None or recipe.teachers is None else recipe.teachers.others
    parts |= {f"teachers.others.{name}": one.model_dump() for name, one in beside.items()}
    for part, given in parts.items():
        asked = given if isinstance(given, dict) else {}
        network, arguments = asked.get("network"), asked.get("arguments") or {}
        if not isinstance(network, str) or not isinstance(arguments, dict):
            continue
        try:
            if (part, network) != ("student", OF_TEACHER):
                find_factory(network, path.parent)
            check_arguments(network, arguments, path.parent)
        except UsageError as error:
            problems.append(f"{part}.network: {error}")
    if problems or recipe is None:
        raise RecipeError(str(path), placed(dict.fromkeys(problems), files_of(path), overrides))
    return Job(
        recipe=recipe,
        folder=str(path.parent),
        targets=targets,
        ungated_targets=ungated,
        policy=policies[0],
        rows=rows,
    )


def _valid_recipe(content: dict[str, Any], problems: list[str]) -> Recipe | None:
    try:
        return Recipe.model_validate(content)
    except ValidationError as error:
        problems += explain(error, Recipe)
        return None


def _named(names: Any, load: Any, key: str, problems: list[str]) -> list[Any]:
    found = []
    for name in names if isinstance(names, list) else []:
        try:
            found.append(load(str(name)))
        except RecipeError as error:
            problems += [f"{key}: {error.where}: {problem}" for problem in error.problems]
        except UsageError as error:
            problems.append(f"{key}: {error}")
    return found


def _misplaced(targets: list[Target], ungated: list[Target]) -> list[str]:
    """Targets that cannot be gated as they are named."""
    names = [target.name for target in (*targets, *ungated)]
    twice = sorted({name for name in names if names.count(name) > 1})
    problems = [f"targets: {name!r} is named twice" for name in twice]
    problems += [f"targets: {target.name}: {why}" for target in targets if (why := saturating(target))]
    problems += [
        f"targets: {target.name!r} runs {target.runtime}, which nothing is deployed for: name it under `ungated_targets`, to be shown only"
        for target in targets
        if not TABLE[target.runtime].scripted
    ]
    return problems


def _nothing_to_quantise(settings: Quantize, targets: list[Target]) -> list[str]:
    """That a student is to be quantised, and no target says to which integers."""
    asked = [name for name in settings.baselines if name != CONTROL.baseline]
    if (settings.in_float and not asked) or not targets or any(target.scheme != "none" for target in targets):
        return []
    return [
        "targets: none of them has a quantisation scheme: add one that has, or take quantize.method=none without baselines"
    ]


def _bits_not_executed(settings: Quantize, targets: list[Target]) -> list[str]:
    if settings.simulate:
        return []
    runtimes = dict.fromkeys(target.runtime for target in targets)
    problems = []
    if settings.activation_bits != 8:
        problems.append(f"quantize.activation_bits: no runtime here executes activations of {settings.activation_bits} bits; "
                        "quantize.simulate=true trains and judges them all the same, stored and executed as 8 bits")  # fmt: skip
    return problems + [
        f"quantize.weight_bits: {runtime} executes weights of {', '.join(map(str, TABLE[runtime].weight_bits))} bits beside "
        f"8-bit activations, not of {settings.weight_bits}; quantize.simulate=true trains and judges "
        f"{settings.weight_bits}-bit values all the same, stored and executed as 8 bits"
        for runtime in runtimes
        if settings.weight_bits not in TABLE[runtime].weight_bits and TABLE[runtime].weight_bits
    ]


def _rows(
    targets: list[Target], policy: Policy, changes: dict[str, Any], problems: list[str]
) -> dict[str, dict[str, Threshold]]:
    rows: dict[str, dict[str, Threshold]] = {}
    given = _given(targets, policy) or {"": policy.rows}  # thresholds are checked all the same
    known = {name for named in given.values() for name in named}
    problems += [
        f"thresholds.{name}: there is no such check to take out{nearest(name, known)}"
        for name, change in changes.items()
        if change is None and name not in known
    ]
    for target, named in given.items():
        rows[target] = {}
        base = {name: row.model_dump(exclude_none=True) for name, row in named.items()}
        for name, row in overridden(base, changes).items():
            if row is None:
                continue
            try:
                rows[target][name] = Threshold.model_validate(row)
            except ValidationError as error:
                problems += [f"thresholds.{name}: {problem}" for problem in explain(error, Threshold)]
                continue
            if rows[target][name].needs_baseline:
                problems.append(
                    f"thresholds.{name}: a run has no baseline; `edgecomp compare` holds two models against each other"
                )
        try:
            check_rows(rows[target])
        except ValueError as error:
            problems.append(f"thresholds: {error}")
    return rows


def _given(targets: Sequence[Target], policy: Policy) -> dict[str, dict[str, Threshold]]:
    """Target → its checks before a recipe's changes."""
    return {target.name: with_budget(policy.rows, target.budget_rows()) for target in targets}


def waiving_nothing(policy: Policy, targets: Sequence[Target], more: Iterable[str] = ()) -> list[str]:
    """Waivers of checks or targets that are not there: with a typo, a check would fail that its owner believes waived.

    A shipped target that is not among `targets` may have a waiver in the policy that it shares with them. more: rows beside the policy's
    and the budgets'.
    """
    own, problems = {target.name: target for target in targets}, []
    for waiver in policy.waivers:
        of = list(targets)
        if waiver.target is not None and waiver.target not in (known := {*own, *target_names()}):
            near = nearest(waiver.target, own) or nearest(waiver.target, known)
            problems.append(f"no target {waiver.target!r}{near}")
        elif waiver.target is not None:
            of = [own.get(waiver.target) or load_target(waiver.target)]
        rows = {*policy.rows, *more}.union(*_given(of, policy).values())
        if waiver.check not in rows:
            problems.append(f"no check {waiver.check!r}{nearest(waiver.check, rows)}")
        problems += _not_bounded(waiver, [] if waiver.check in more else list(_given(of, policy).values()))
    return [f"policy: {policy.name}: waivers: {problem}" for problem in problems]


def _not_bounded(waiver: Waiver, rows: Sequence[Mapping[str, Threshold]]) -> Iterator[str]:
    """What is wrong with a waiver's limit, of the checks that it is of."""
    if waiver.limit is None and release() >= BOUNDED_FROM:
        yield f"{waiver.check}: a waiver needs a `limit:`, up to which it holds, in the check's unit"
    for named in rows:
        try:
            if waiver.check in named:
                waiver.widened(named[waiver.check])
        except ValueError as error:
            yield f"{waiver.check}: {error}"


def _applicable(rows: dict[str, Threshold], settings: Quantize, *, portable: bool) -> dict[str, Threshold]:
    """The checks that can be judged of a method's file: no other than qad has a fake-quant twin with blocks to compare,
    and an fp32 student is not int8. The verdict names those that are taken out. A `max_drop` is judged as well.

    portable: the target names no CPU, so that its file is asked on others too.
    """

    def judged(row: Threshold) -> bool:
        if row.metric == PORTABLE_AGREEMENT and (settings.in_float or not portable):
            return False
        fp32 = settings.in_float and (row.metric == INT8_SHARE or row.against == STUDENT_FP32.name)
        # Activations of 4 bits are clipped in float before they are rounded: neither the share nor the time means anything.
        clipped = settings.activation_bits != 8 and row.metric in (INT8_SHARE, CPU_P50)
        return not fp32 and not clipped and not (not settings.is_trained and row.metric == BLOCK_SQNR)

    asked = {}
    if settings.max_drop is not None and settings.is_trained:
        row = {"metric": VALIDATION_DROP, "max": settings.max_drop}
        asked = {"max_drop": Threshold.model_validate(row)}
    return {name: row for name, row in rows.items() if judged(row)} | asked


def _health_not_asked(rows: Mapping[str, Threshold], recipe: Recipe) -> Iterator[str]:
    """That a check is of what the recipe does not have measured."""
    asked = set() if recipe.health is None else recipe.health.metrics
    for name, row in rows.items():
        if row.metric in ASKED_BY and row.metric not in asked:
            yield f"thresholds.{name}: nothing measures {row.metric}: declare {ASKED_BY[row.metric]}"


BY_SCORE = {"metric": "score", "against": "teacher", "margin": "0.03 score"}


def _with_score(
    rows: dict[str, Threshold], recipe: Recipe, folder: Path, problems: list[str]
) -> dict[str, Threshold]:
    """The checks with one of the recipe's own score, where it has none; its function is proved to be there."""
    named = [name for name, row in rows.items() if row.what.dimension == "score"]
    if recipe.score is None:
        problems += [f"thresholds.{name}: it is of a score, and the recipe names no function: score: package.module:function" for name in named]  # fmt: skip
        return rows
    try:
        load_score(recipe.score, folder)
    except UsageError as error:
        problems.append(str(error))
    return rows if named else rows | {"score": Threshold.model_validate(BY_SCORE)}


def read_job(folder: Path) -> Job:
    """The job a run folder was made from. Raises RunFolderError."""
    path = folder / "job.json"
    if not folder.exists():
        raise RunFolderError(f"no such run folder: {folder}{nearest_there(folder)}")
    if not path.is_file():
        raise RunFolderError(
            f"{folder} has no job.json: it is not a run folder; `edgecomp run RECIPE` makes one"
        )
    try:
        return Job.model_validate_json(limits.read_bytes(path, MOST_BYTES))
    except (ValidationError, FileError) as error:
        problem = explain(error, Job)[0] if isinstance(error, ValidationError) else error
        raise RunFolderError(
            f"{path} cannot be read ({problem}): `edgecomp run RECIPE` writes it again"
        ) from None


def is_for_cpus(job: Job, target: Target) -> bool:
    """Whether what `job` makes for `target` is int8 for CPUs, which may saturate; it was not asked of runs
    that know no host."""
    return job.host is not None and target.is_for_cpus and not job.recipe.quantize.in_float
