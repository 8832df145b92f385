"""What a user may ask for: a recipe, its overrides, and everything it names, checked before any work is done."""

from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field, ValidationError, field_validator, model_validator

from edgecomp.errors import RecipeError, RunFolderError, UsageError
from edgecomp.metrics import parse_quantity
from edgecomp.models import find_factory
from edgecomp.policies import Policy, Threshold, load_policy, overridden, refuse_newer
from edgecomp.runtimes import WEIGHT_BITS
from edgecomp.schema import FORMAT, Schema, explain, find, read_yaml, shipped, yaml_problem
from edgecomp.targets import Target, budget_rows, load_target


class Data(Schema):
    """Where examples come from, and how they are split.

    `path`, `files`, `inputs` and `label` say where in a source of files (edgecomp.data.sources) they are. A split that the
    source does not have is carved out of its training examples, in fractions of them. Images vary: `views` shifted and
    mirrored copies of every training image share one set of soft labels. Texts need the tokenizer that the teacher has.
    """

    source: Literal["digits", "iris", "wine", "breast_cancer", "huggingface", "images", "numpy"]
    path: str | None = None
    files: dict[str, str] = {}
    inputs: str | None = None
    label: str | None = None
    image_size: int | None = Field(None, ge=8, le=1024)
    mode: Literal["L", "RGB"] | None = None
    tokenizer: str | None = None
    max_length: int = Field(128, ge=4, le=8192)
    test_fraction: float = Field(0.25, gt=0, lt=1)
    validation_fraction: float = Field(0.15, gt=0, lt=1)
    calibration_fraction: float = Field(0.05, gt=0, lt=1)
    limit: int | None = Field(None, ge=20)  # of training examples, and half as many of the others
    shift: int = Field(0, ge=0, le=16)
    flip: bool = False
    views: int = Field(8, ge=1, le=256)

    @model_validator(mode="after")
    def _something_is_left_to_train_on(self) -> "Data":
        if self.test_fraction + self.validation_fraction + self.calibration_fraction >= 0.9:
            raise ValueError(
                "test_fraction + validation_fraction + calibration_fraction leave less than a tenth for training"
            )
        return self


class Network(Schema):
    """A network by name (edgecomp.models.TABLE) or factory (`package.module:function`), with its arguments."""

    network: str
    arguments: dict[str, Any] = {}


class Teacher(Network):
    """Trained on hard labels; with no epochs it is taken as its factory, or its folder, gives it."""

    epochs: int = Field(ge=0, le=10_000)
    batch_size: int = Field(64, ge=2)
    learning_rate: float = Field(3e-3, gt=0, le=10)
    weight_decay: float = Field(5e-4, ge=0, le=1)


class Student(Network):
    """A network of its own, or `network: teacher` with some of the teacher's layers, `arguments: {layers: [0, 2, 5]}`.

    `seed` is of its weights and the order of its lessons, where it should differ from the recipe's.
    """

    seed: int | None = Field(None, ge=0, lt=2**32)


class Hint(Schema):
    """A hidden state of the student that is drawn to one of the teacher's: module paths, as in named_modules()."""

    student: str
    teacher: str
    weight: float = Field(1.0, gt=0, le=1e6)


class Distill(Schema):
    """fp32 distillation from the stored soft labels, before quantisation sets in.

    `hidden` adds the mean squared difference of hidden states; the teacher then runs in every step.
    """

    epochs: int = Field(ge=1, le=10_000)
    batch_size: int = Field(64, ge=2)
    learning_rate: float = Field(4e-3, gt=0, le=10)
    weight_decay: float = Field(5e-4, ge=0, le=1)
    temperature: float = Field(4.0, gt=0, le=100)
    hard_label_weight: float = Field(0.1, ge=0, le=1)
    hidden: list[Hint] = []


class Quantize(Schema):
    """How the student comes to int8.

    `qad`: the same loss, through fake-quant, for `epochs` more epochs. `ptq-ort`, `ptq-nncf`: a runtime's own
    post-training quantisation of the fp32 student. `none`: it stays in fp32. `baselines` are measured and shown
    beside whatever is judged. Scales start from `calibration`, learn, and freeze; batch statistics freeze too.
    """

    method: Literal["qad", "ptq-ort", "ptq-nncf", "none"] = "qad"
    baselines: list[Literal["control", "ptq-ort", "ptq-nncf"]] = []
    epochs: int = Field(4, ge=1, le=10_000)
    learning_rate: float = Field(4e-4, gt=0, le=10)
    scale_learning_rate: float = Field(1e-3, gt=0, le=10)
    calibration: Literal["min-max", "percentile", "mse"] = "min-max"
    percentile: float = Field(99.99, gt=50, le=100)
    calibration_batches: int = Field(8, ge=1)
    kernel: Literal["torch", "fused"] = "torch"  # of fake-quant in training: fused needs a C++ compiler
    freeze_scales_epochs: int = Field(1, ge=0)
    freeze_batchnorm_epochs: int = Field(1, ge=0)
    weight_bits: Literal[8, 4, 2] = 8  # 4: integers -7..7, 2: -1..1 (ternary)
    simulate: bool = False  # fewer bits than the runtimes execute, stored and executed as 8
    float_layers: dict[str, str] = {}  # layer → why; of those named here none counts as int8
    max_drop: str | None = None  # such as `0.5 pt`: beyond it the costliest layers go to float

    @field_validator("max_drop", mode="before")
    @classmethod
    def _in_points(cls, text: object) -> object:
        if text is not None and parse_quantity(text).dimension != "points":
            raise ValueError(f"{text!r} is not in percentage points: write for example '0.5 pt'")
        return text

    @model_validator(mode="after")
    def _settings_go_together(self) -> "Quantize":
        if self.calibration == "mse" and self.method.startswith("ptq"):
            raise ValueError(f"{self.method} has no mse calibration: use min-max or percentile")
        if self.max_drop is not None and self.method != "qad":
            raise ValueError(
                f"max_drop chooses layers of a student that was trained with qad, not {self.method}"
            )
        if self.weight_bits != 8 and self.method != "qad":
            raise ValueError(f"weight_bits: {self.method} quantises to 8 bits, not {self.weight_bits}")
        if self.float_layers and self.method == "none":
            raise ValueError("float_layers: with method none every layer is in float")
        if "control" in self.baselines and self.method != "qad":
            raise ValueError(
                f"baselines: control is trained for as long as qad is, and the method is {self.method}"
            )
        if self.method in self.baselines:
            raise ValueError(f"baselines: {self.method} is the method itself")
        return self

    @property
    def max_drop_pt(self) -> float | None:
        return None if self.max_drop is None else parse_quantity(self.max_drop).value


class Bench(Schema):
    """How much is measured. Restarts of the worker process are the statistical unit.

    What is shown beside the targets is not gated: its teacher alone is measured, with `beside_restarts`.
    """

    restarts: int = Field(5, ge=1, le=1000)
    beside_restarts: int = Field(2, ge=1, le=1000)
    warmup: int = Field(20, ge=1)
    iterations: int = Field(480, ge=8)
    offline_batch: int = Field(32, ge=1)
    offline_batches: int = Field(16, ge=1)
    timeout_s: float = Field(120.0, gt=0)
    emulated_examples: int = Field(5000, ge=1)  # or the whole split, where it is smaller
    emulation_timeout_s: float = Field(1800.0, gt=0)


class Recipe(Schema):
    format: Literal[1] = FORMAT  # type: ignore[assignment]
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    description: str = ""
    seed: int = Field(0, ge=0, lt=2**32)
    threads: int = Field(2, ge=1, le=256)
    precision: Literal["fp32", "bf16"] = "fp32"  # of training: bf16 is autocast, checkpoints stay fp32
    quick: bool = False  # a rehearsal: the same stages, with fewer examples, epochs and restarts
    data: Data
    teacher: Teacher
    student: Student
    distill: Distill
    quantize: Quantize = Quantize()
    targets: list[str] = Field(min_length=1)
    beside: list[str] = []
    bench: Bench = Bench()
    policy: str = "industrial"
    thresholds: dict[str, dict[str, Any] | None] = {}  # null takes a row out


class Job(Schema):
    """A recipe with all it names resolved: what a run folder keeps, and every stage is told from."""

    recipe: Recipe
    folder: str  # a factory may be imported from here, and from the installed environment
    targets: list[Target]
    beside: list[Target]
    policy: Policy
    rows: dict[str, dict[str, Threshold]]  # target → row name → threshold
    data_files: dict[str, str] = {}  # the data's own files → sha256


# What a rehearsal has at most.
QUICK = {
    ("data", "limit"): 2000,
    ("data", "views"): 2,
    ("teacher", "epochs"): 2,
    ("distill", "epochs"): 2,
    ("quantize", "epochs"): 1,
    ("bench", "restarts"): 2,
    ("bench", "emulated_examples"): 200,
}


def load_job(name: str, overrides: list[str]) -> Job:
    """The job a recipe describes. Raises RecipeError with every problem found, or UsageError."""
    path = find(name, shipped("recipes"), "recipe")
    content = _compose(path, overrides)
    refuse_newer(content, str(path))
    problems: list[str] = []
    recipe = _valid_recipe(content, problems)
    if recipe is not None and recipe.quick:
        recipe = _rehearsal(recipe)
    targets = _named(content.get("targets"), load_target, "targets", problems)
    beside = _named(content.get("beside"), load_target, "beside", problems)
    policies = _named([content.get("policy", "industrial")], load_policy, "policy", problems)
    rows = {}
    if policies:
        changes = content.get("thresholds") or {}
        rows = _rows(targets, policies[0], changes if isinstance(changes, dict) else {}, problems)
        if recipe is not None:
            rows = {target: _applicable(named, recipe.quantize) for target, named in rows.items()}
    problems += _misplaced(targets, beside)
    if recipe is not None:
        problems += _bits_not_executed(recipe.quantize, targets)
    for part in ("teacher", "student"):
        network = (content.get(part) or {}).get("network") if isinstance(content.get(part), dict) else None
        if isinstance(network, str) and (part, network) != ("student", "teacher"):
            try:
                find_factory(network, path.parent)
            except UsageError as error:
                problems.append(f"{part}.network: {error}")
    if problems or recipe is None:
        raise RecipeError(str(path), list(dict.fromkeys(problems)))
    return Job(
        recipe=recipe, folder=str(path.parent), targets=targets, beside=beside, policy=policies[0], rows=rows
    )


def _compose(path: Path, overrides: list[str]) -> dict[str, Any]:
    """The recipe with its `defaults` and the overrides, in Hydra's grammar; nothing reads the environment."""
    content = read_yaml(path)  # first, for its line and column
    from hydra import compose, initialize_config_dir
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    OmegaConf.clear_resolver("oc.env")
    where = f"hydra.searchpath=[file://{shipped('recipes')}]"  # so that `defaults: [digits]` is found from anywhere
    forced = [override if override[:1] in "+~" else f"++{override}" for override in overrides]
    for override in overrides:
        if "=" not in override and not override.startswith("~"):
            raise UsageError(f"override {override!r} is not KEY=VALUE, such as distill.temperature=4")
    try:
        with initialize_config_dir(str(path.parent), version_base="1.3"):
            composed = OmegaConf.to_container(compose(path.stem, overrides=[*forced, where]), resolve=True)
    except (HydraException, OmegaConfBaseException) as error:
        reason = " ".join(str(error).split())
        raise RecipeError(str(path), [f"cannot be composed: {reason}"]) from error
    except yaml.MarkedYAMLError as error:
        raise RecipeError(str(path), [yaml_problem(error)]) from error
    if not isinstance(composed, dict):  # pragma: no cover - read_yaml has seen to it
        raise RecipeError(str(path), [f"holds {type(content).__name__}, not a mapping"])
    return {str(key): value for key, value in composed.items()}


def _valid_recipe(content: dict[str, Any], problems: list[str]) -> Recipe | None:
    try:
        return Recipe.model_validate(content)
    except ValidationError as error:
        problems += explain(error, Recipe)
        return None


def _rehearsal(recipe: Recipe) -> Recipe:
    parts: dict[str, Any] = {}
    for (part, setting), most in QUICK.items():
        settings = parts.get(part, getattr(recipe, part))
        asked = getattr(settings, setting)
        parts[part] = settings.model_copy(update={setting: most if asked is None else min(asked, most)})
    return recipe.model_copy(update=parts)


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


def _misplaced(targets: list[Target], beside: list[Target]) -> list[str]:
    """Targets that cannot be gated as they are named."""
    names = [target.name for target in (*targets, *beside)]
    twice = sorted({name for name in names if names.count(name) > 1})
    problems = [f"targets: {name!r} is named twice" for name in twice]
    for target in targets:
        if target.scheme == "none":
            problems.append(
                f"targets: {target.name!r} has no quantisation scheme: name it under `beside`, to be shown only"
            )
    schemes = {target.scheme for target in targets} - {"none"}
    if len(schemes) > 1:
        problems.append(
            f"targets: one student is of one scheme, these are of {', '.join(sorted(schemes))}: use two recipes"
        )
    return problems


def _bits_not_executed(settings: Quantize, targets: list[Target]) -> list[str]:
    if settings.simulate:
        return []
    runtimes = dict.fromkeys(target.runtime for target in targets)
    return [
        f"quantize.weight_bits: {runtime} executes weights of {', '.join(map(str, WEIGHT_BITS[runtime]))} bits beside "
        f"8-bit activations, not of {settings.weight_bits}; quantize.simulate=true trains and judges "
        f"{settings.weight_bits}-bit values all the same, stored and executed as 8 bits"
        for runtime in runtimes
        if settings.weight_bits not in WEIGHT_BITS[runtime] and WEIGHT_BITS[runtime]
    ]


def _rows(
    targets: list[Target], policy: Policy, changes: dict[str, Any], problems: list[str]
) -> dict[str, dict[str, Threshold]]:
    base = {name: row.model_dump(exclude_none=True) for name, row in policy.rows.items()}
    rows: dict[str, dict[str, Threshold]] = {}
    budgets = {target.name: target.budget for target in targets} or {
        "": {}
    }  # thresholds are checked all the same
    for target, budget in budgets.items():
        rows[target] = {}
        for name, row in overridden(base | budget_rows(budget), changes).items():
            if row is None:
                continue
            try:
                rows[target][name] = Threshold.model_validate(row)
            except ValidationError as error:
                problems += [f"thresholds.{name}: {problem}" for problem in explain(error, Threshold)]
    return rows


def _applicable(rows: dict[str, Threshold], settings: Quantize) -> dict[str, Threshold]:
    """The rows that can be judged of a method's file: no other than qad has a fake-quant twin with blocks to compare,
    and an fp32 student is not int8. The verdict names those that are taken out. A `max_drop` is judged as well."""
    method = settings.method

    def judged(row: Threshold) -> bool:
        fp32 = method == "none" and (row.metric == "int8_share_pct" or row.against == "student_fp32")
        return not fp32 and not (method != "qad" and row.metric == "export_block_sqnr_db")

    asked = {}
    if settings.max_drop is not None:
        row = {"metric": "validation_drop_pt", "max": settings.max_drop}
        asked = {"max_drop": Threshold.model_validate(row)}
    return {name: row for name, row in rows.items() if judged(row)} | asked


def read_job(folder: Path) -> Job:
    """The job a run folder was made from. Raises RunFolderError."""
    path = folder / "job.json"
    if not path.is_file():
        raise RunFolderError(
            f"{folder} has no job.json: it is not a run folder; `edgecomp run RECIPE` makes one"
        )
    try:
        return Job.model_validate_json(path.read_text(encoding="utf-8"))
    except ValidationError as error:
        problem = explain(error, Job)[0]
        raise RunFolderError(
            f"{path} cannot be read ({problem}): `edgecomp run RECIPE` writes it again"
        ) from None
