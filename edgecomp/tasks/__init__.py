"""What a network's outputs mean: how labels are read and learnt, and how answers are held against each other. One file a task.

    classification   one class of several for each example      logits [N, classes]
    probabilities    the same, by what a softmax gives          probabilities [N, classes]
    binary           one class of two, by one number            logit [N, 1], positive for the second class
    multilabel       any of several labels                      logits [N, labels], positive where the label is given
    regression       one or several numbers                     values [N, targets]
    token-classification   one tag of several for each word     logits [N, length, tags]
    segmentation     one class of several for each pixel        logits [N, classes, height, width]
    embedding        a direction; what is alike lies near       vectors [N, width]
    similarity       the same, judged by pairs with a score     vectors [N, width]
    ranking          a score for each item                      scores [N, items]
    causal-lm        the token that comes next in a text        logits [N, length, vocabulary]
    outputs          numbers of no known meaning, not labelled  values [N, ...]

A network of several outputs has a task for each, and a weight (`several`).

To add one: a file here, and a row of TASKS; metrics that are its own are rows of edgecomp.metrics.registry.
"""

from collections.abc import Sequence

from edgecomp.tasks.base import Labels, Meant, Outputs, Task
from edgecomp.tasks.classification import Binary, Classification, Probabilities
from edgecomp.tasks.embedding import Embedding, Similarity
from edgecomp.tasks.language.causal_lm import CausalLm
from edgecomp.tasks.multilabel import Multilabel
from edgecomp.tasks.outputs import AsTeacher
from edgecomp.tasks.ranking import Ranking
from edgecomp.tasks.regression import Regression
from edgecomp.tasks.segmentation import Segmentation
from edgecomp.tasks.several import SeveralOutputs
from edgecomp.tasks.token_classification import TokenClassification

__all__ = ["DEFAULT", "TASKS", "Labels", "Meant", "Outputs", "SeveralOutputs", "Task", "task"]

DEFAULT = "classification"

TASKS: dict[str, Task] = {
    one.name: one
    for one in (
        Classification(),
        Probabilities(),
        Binary(),
        Multilabel(),
        Regression(),
        TokenClassification(),
        Segmentation(),
        Embedding(),
        Similarity(),
        Ranking(),
        CausalLm(),
        AsTeacher(),
    )
}


def task(meant: Meant | None, names: Sequence[str] = ()) -> Task:
    """The task that is `meant`, or of several outputs theirs as one; classification where none is named, as in runs that were made before
    there were others. names: of classes, labels or targets, which tell where each of several outputs has its numbers."""
    if meant is not None and not isinstance(meant, str):
        return SeveralOutputs(meant, TASKS, names)
    return TASKS[meant or DEFAULT]
