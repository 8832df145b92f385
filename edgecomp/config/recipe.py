"""What a user may ask for, in a recipe."""

from typing import Annotated, Any, Literal

from pydantic import (
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from edgecomp.config import renamed
from edgecomp.config.declared import Declared
from edgecomp.config.loss_terms import Balance, Exits, Hint, Lifelong, Term
from edgecomp.config.output_task import OutputTask, TaskName
from edgecomp.config.parts.bench import Bench
from edgecomp.config.parts.data import Data
from edgecomp.config.parts.health import Health
from edgecomp.config.parts.language import Language
from edgecomp.config.parts.loop import PLAIN, Loop, Stage, parts_do_not_fit, unlike, without_plain
from edgecomp.config.parts.report import Report
from edgecomp.config.parts.shrink.quantize import Quantize
from edgecomp.config.parts.shrink.search import Search
from edgecomp.config.parts.teachers import Another, Student, Teacher, Teachers
from edgecomp.config.schema import FORMAT, Part
from edgecomp.metrics.registry import CLASSES
from edgecomp.tasks import DEFAULT, Meant
from edgecomp.tasks.several import OF

LATER = ("terms", "balance", "keywords", "exits", "lifelong")  # of Distill


class Distill(Part):
    """fp32 distillation from the stored soft labels, before quantisation sets in.

    With no epochs the student stays as it is: the teacher itself, or some of its layers, or what its factory gives.

    `hidden` adds the mean squared difference of hidden states; the teacher then runs in every step. `terms`, where there are any, stand
    instead of the soft and hard labels that `temperature` and `hard_label_weight` weigh.
    """

    epochs: int = Field(ge=0, le=10_000)  # in fp32; 0: the student is trained already
    batch_size: int = Field(64, ge=2)  # examples; of all later training as well
    learning_rate: float = Field(4e-3, gt=0, le=10)  # at its highest
    weight_decay: float = Field(5e-4, ge=0, le=1)  # of matrices and kernels
    temperature: float = Field(4.0, gt=0, le=100)  # that both networks' logits are divided by
    hard_label_weight: float = Field(0.1, ge=0, le=1)  # of cross-entropy; the rest is of the soft labels
    hidden: list[Hint] = []  # hidden states drawn to the teacher's
    terms: list[Term] = []  # of the loss, by name, instead of soft and hard labels
    stages: list[Stage] = []  # of training, one after another; fake-quant goes on with the last one's terms
    loop: Loop = PLAIN  # how steps are taken, alarms, trackers; of all training of the student
    exits: Exits | None = None  # of the student, beside everything else it learns
    lifelong: Lifelong | None = None  # of some classes first, and of the others without forgetting them
    balance: Balance | None = None  # what an example counts, by how rare its class is
    keywords: dict[
        str, Annotated[float, Field(gt=0, le=1e6)]
    ] = {}  # term → what a text that has it counts more

    @model_serializer(mode="wrap")
    def _as_before_there_were_terms(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without what came later where there is none, so that digests of recipes stay what they were."""
        found: dict[str, Any] = without_plain(dump(self))
        return {key: value for key, value in found.items() if key not in LATER or value}

    @property
    def weighs_examples(self) -> bool:
        """Whether some examples count more than others."""
        return self.balance is not None or bool(self.keywords)

    @model_validator(mode="after")
    def _the_training_can_be_so(self) -> "Distill":
        wrong = (unlike(self.stages, self.epochs), parts_do_not_fit(self.loop, self.batch_size))
        if said := "; ".join(filter(None, wrong)):
            raise ValueError(said)
        return self


class Recipe(Part):
    # of the file; 1 is the only one
    format: Literal[1] = FORMAT  # type: ignore[assignment]
    # of the run folder; letters, digits, `.`, `_`, `-`
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    description: str = ""  # a line for the report
    # what labels and outputs mean, a row of edgecomp.tasks.TASKS
    task: TaskName = "classification"
    tasks: dict[str, OutputTask] = {}  # of a network of several outputs, by name, in place of `task`
    # your own function `(outputs, labels) -> [N]`, the higher the better: `package.module:function` or `path/to/file.py:function`
    score: str | None = None
    seed: int = Field(0, ge=0, lt=2**32)  # of weights, splits and order
    threads: int = Field(2, ge=1, le=256)  # of training, at most: never more than cores to run on
    # Of training: bf16 and fp16 (on a GPU) are autocast, checkpoints stay fp32. auto: bf16 where the CPU multiplies it itself
    # and no task asks for the very answers of the teacher (outputs, probabilities), otherwise fp32.
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    quick: bool = False  # a rehearsal: the same stages, with fewer examples, epochs and restarts
    data: Data  # where examples come from
    teacher: Teacher  # the network to learn from
    teachers: Teachers | None = None  # others beside it
    student: Student  # the network that is made
    distill: Distill  # how the student learns in fp32
    quantize: Quantize = Quantize()  # how it comes to integers
    language: Language | None = None  # what is of a language model alone, task: causal-lm
    targets: list[str] = Field(min_length=1)  # device profiles, by name or path; each is gated
    ungated_targets: list[str] = []  # measured and shown; no check is of them
    bench: Bench = Bench()  # how much is measured
    health: Health | None = None  # attacks, corruptions, what it tells of its training examples
    policy: str = "industrial"  # by name or path
    thresholds: dict[str, dict[str, Any] | None] = {}  # null takes a check out
    report: Report = Report()  # what it may show
    search: Search | None = None  # what may vary in the student (`edgecomp search`)
    declared: Declared | None = None  # what no measurement can say, for whoever must know it

    @model_serializer(mode="wrap")
    def _as_before_there_were_others(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without `score`, `tasks`, `teachers`, `language`, `health`, `search`, `report` and `declared` where there are none, so that digests of recipes stay what they were."""
        found: dict[str, Any] = dump(self)
        unsaid = {
            name
            for name in ("score", "tasks", "teachers", "language", "health", "search", "declared")
            if not getattr(self, name)
        }
        unsaid |= set() if self.report.examples else {"report"}
        return {key: value for key, value in found.items() if key not in unsaid}

    @model_validator(mode="after")
    def _several_outputs_say_what_each_is(self) -> "Recipe":
        if not self.tasks:
            return self
        if len(self.tasks) == 1:
            raise ValueError("tasks: there is one output: write `task` and `data.label` in its place")
        if self.task != DEFAULT:
            raise ValueError(
                f"tasks says what each output is, and task: {self.task} what the one output is: leave one of them out"
            )
        if self.data.label is not None:
            raise ValueError("data.label: each output names its own labels, tasks.OUTPUT.label: leave it out")
        if apart := [name for name in self.tasks if not name or OF in name]:
            raise ValueError(f"tasks: no output can be called {apart[0]!r}")
        return self

    @model_validator(mode="after")
    def _labels_tell_who_is_right(self) -> "Recipe":
        if self.teachers and self.teachers.by != "weight" and (self.tasks or self.task != DEFAULT):
            raise ValueError(
                f"teachers.by: {self.teachers.by} asks the labels of one classifier which teacher is right: take teachers.by: weight"
            )
        return self

    @model_validator(mode="after")
    def _classes_are_weighed_and_left_out(self) -> "Recipe":
        of_one_classifier = not self.tasks and self.task == DEFAULT
        of_classes = {
            "data.fewest": self.data.fewest is not None,
            "distill.balance": self.distill.balance is not None,
            "distill.keywords": bool(self.distill.keywords),
            "distill.exits": self.distill.exits is not None,
            "distill.lifelong": self.distill.lifelong is not None,
            "teachers.others: an api": any(one.api for one in self._others),
        }
        if (given := [name for name, there in of_classes.items() if there]) and not of_one_classifier:
            raise ValueError(
                f"{' and '.join(given)}: of one classifier's examples, and this is another task: take it out"
            )
        if self.distill.epochs == 0 and (self.distill.lifelong or self.distill.exits):
            asked = "lifelong: new classes" if self.distill.lifelong else "exits"
            raise ValueError(
                f"distill.{asked} are learnt in distill.epochs, and there are none: give it some"
            )
        if self.health is not None and (self.tasks or self.task not in CLASSES):
            raise ValueError("health: of one classifier's answers, and this is another task: take it out")
        if self.health is not None and self.health.attacks and self.data.tokenizer:
            raise ValueError(
                "health.attacks: a text's tokens have no small change: take it out; health.corruptions tries texts with typos"
            )
        own = [name for name in ("fewest", "clean", "synthesis") if getattr(self.data, name) is not None]
        if own and self.has_stored_teachers:
            raise ValueError(
                f"data.{own[0]} changes which examples there are, and stored soft_labels are in the order of all of them: leave out one of the two"
            )
        return self

    @model_validator(mode="after")
    def _a_cascade_asks_both_the_same(self) -> "Recipe":
        if self.quantize.cascade is None:
            return self
        if self.tasks or self.task not in ("classification", "binary"):
            raise ValueError(
                "quantize.cascade: of one classifier's answers, and this is another task: take it out"
            )
        if self.data.max_bytes is not None and self.data.tokenizer is not None:
            raise ValueError(
                "quantize.cascade: both networks are asked the same, and here the student reads bytes and the teacher tokens: leave out data.tokenizer, "
                "and name a teacher that reads bytes"
            )
        return self

    @model_validator(mode="after")
    def _a_stream_is_of_texts(self) -> "Recipe":
        if self.bench.stream and self.data.tokenizer is None and self.data.max_bytes is None:
            raise ValueError(
                "bench.stream: lines of text, and these data are none (data.max_bytes, data.tokenizer): take it out"
            )
        if self.bench.stream and (self.tasks or self.task == "token-classification"):
            raise ValueError("bench.stream: one answer a line, and this task has several: take it out")
        return self

    @model_validator(mode="after")
    def _bytes_are_read_by_the_student(self) -> "Recipe":
        if self.data.max_bytes is None:
            return self
        if self.student.network == "teacher" and self.data.tokenizer:
            raise ValueError(
                "data.max_bytes: the student reads bytes, and student.network: teacher is a network of tokens: leave one of the two out"
            )
        if "token-classification" in (self.task, *(one.task for one in self.tasks.values())):
            raise ValueError(
                "data.max_bytes: a tag is of a word, and a network of bytes knows none: leave it out"
            )
        if self.health is not None and (self.health.corruptions or self.health.key_samples):
            raise ValueError(
                "health.corruptions and health.key_samples are what teacher and student are asked alike, and data.max_bytes has them read other inputs: "
                "take them out"
            )
        if self.distill.keywords:
            raise ValueError("distill.keywords: found by tokens, and data.max_bytes reads none: take it out")
        return self

    @model_validator(mode="after")
    def _who_reads_other_inputs_is_taught_by_answers(self) -> "Recipe":
        if self.teacher.inputs == self.student.inputs:
            return self
        alike = {
            "student.network: teacher": self.student.network == "teacher",
            "health": self.health is not None,
            "quantize.cascade": self.quantize.cascade is not None,
        }
        if asked := [name for name, there in alike.items() if there]:
            raise ValueError(
                f"teacher.inputs and student.inputs: the two read other inputs, and {asked[0]} has them read the same: leave out one of the two"
            )
        return self

    @model_validator(mode="after")
    def _similarity_is_learnt_of_a_teacher(self) -> "Recipe":
        if "similarity" in (self.task, *(one.task for one in self.tasks.values())):
            if self.teacher.epochs:
                raise ValueError("task similarity is learnt of a teacher that is ready: teacher.epochs: 0")
            if self.data.limit is not None:
                raise ValueError("data.limit would part the pairs of task similarity: leave it out")
        return self

    @property
    def _others(self) -> list[Another]:
        return [] if self.teachers is None else list(self.teachers.others.values())

    @property
    def quantises_its_teacher(self) -> bool:
        """Whether the student in fp32 is its teacher, as it is: integers are all that is made of it."""
        return self.student.is_its_teacher and self.teacher.epochs == self.distill.epochs == 0

    @property
    def has_stored_teachers(self) -> bool:
        """Whether somebody teaches by answers that are stored already."""
        return any(one.soft_labels is not None for one in self._others)

    @property
    def keeps_rows(self) -> bool:
        """Whether it matters where examples were in the data as they came: to a teacher that is no network."""
        return any(one.network is None for one in self._others)

    @property
    def meant(self) -> Meant:
        """What its outputs mean: `task`, or of each of several outputs its part of `tasks`."""
        told = {name: output.model_dump(exclude_none=True) for name, output in self.tasks.items()}
        return told or self.task

    @model_validator(mode="before")
    @classmethod
    def _has_present_names(cls, given: Any) -> Any:
        """Of a job that was kept by an earlier version."""
        return renamed.keys(given) if isinstance(given, dict) else given
