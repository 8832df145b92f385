"""What each of several outputs of a network means, in a recipe."""

from typing import Literal

from pydantic import Field, model_validator

from edgecomp.config.schema import Schema
from edgecomp.tasks import TASKS

TaskName = Literal[
    "classification",
    "probabilities",
    "binary",
    "multilabel",
    "regression",
    "token-classification",
    "segmentation",
    "embedding",
    "similarity",
    "ranking",
    "causal-lm",
    "outputs",
]

OWN_WIDTH = tuple(name for name, one in TASKS.items() if one.width(()) is None)


class OutputTask(Schema):
    """One of several outputs of a network: what it means, and how much of the loss is its own."""

    # what its labels and numbers mean, a row of edgecomp.tasks.TASKS whose outputs are a row of numbers
    task: TaskName
    # the column, or the array, of its labels; columns of a task with several labels an example
    label: str | list[str] | None = None
    weight: float = Field(1.0, gt=0, le=1e6)  # of its loss in the sum of all
    width: int | None = Field(
        None, ge=1
    )  # how many numbers it is, where neither task nor labels tell: of `embedding` and `outputs`

    @model_validator(mode="after")
    def _has_what_its_task_takes(self) -> "OutputTask":
        known, own = TASKS[self.task], self.task in OWN_WIDTH
        if known.of_each != "example":
            rows = (name for name, one in TASKS.items() if one.of_each == "example")
            raise ValueError(
                f"task {self.task} is of a network's one output: several may be {', '.join(rows)}"
            )
        if own and self.width is None:
            raise ValueError(
                f"task {self.task}: say how many numbers the output is, `width: 64` for instance"
            )
        if self.width is not None and not own:
            raise ValueError(f"task {self.task}: labels tell how many numbers the output is: leave width out")
        if known.label_axes and self.label is None:
            raise ValueError(f"task {self.task}: name the column, or the array, of its labels: `label`")
        if self.label is not None and not known.label_axes:
            raise ValueError(f"task {self.task} is not labelled: leave label out")
        return self
