"""A language model taught: on the tokens that came, by what a teacher says of each place, in float and through rounded weights."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from edgecomp.errors import DataError
from edgecomp.inputs import MASK, Inputs
from edgecomp.language import losses, soft_labels
from edgecomp.language.losses import Divergence
from edgecomp.language.models import LanguageModel
from edgecomp.language.texts import Tokens, padded, without_reasoning
from edgecomp.progress import Track
from edgecomp.tasks.base import IGNORED
from edgecomp.training.alarms import SCORE
from edgecomp.training.checkpoints import History
from edgecomp.training.loop import Batch, Examples, train
from edgecomp.training.optimizers import parameter_groups
from edgecomp.training.practice import Practice

PERPLEXITY = "validation_perplexity"
AT_ONCE = 4  # rows


@dataclass(frozen=True)
class Soft:
    """How much of a loss is the teacher's, and by which divergence. stored: [N, L, 2k + 1], of the training rows; weight: of it, the rest is of the tokens that came."""

    stored: npt.NDArray[np.float32]
    divergence: Divergence
    temperature: float
    weight: float


@dataclass(frozen=True)
class Course:
    """How a model is trained: epochs of batches of rows, to a peak of the learning rate, scales of rounded weights to their own."""

    epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    seed: int
    practice: Practice
    schedule: Callable[[float], float]
    scale_learning_rate: float = 0.0


def examples(tokens: Tokens, stored: npt.NDArray[np.float32] | None = None) -> Examples:
    """The rows of `tokens` as the training loop takes them. stored: what a teacher says of them."""
    return Examples({"input_ids": tokens.input_ids, MASK: tokens.mask}, tokens.labels, _trimmed, stored)


def _trimmed(arrays: Inputs) -> Inputs:
    longest = int(np.asarray(arrays[MASK]).sum(axis=1).max())
    return {name: values[:, :longest] for name, values in arrays.items()}


def loss(logits: torch.Tensor, batch: Batch, soft: Soft | None) -> torch.Tensor:
    """The loss of a batch of rows, a scalar. logits: [N, length, vocabulary]; soft: without it the tokens that came are all that is learnt."""
    labels = batch.labels[:, : logits.shape[1]]
    places = labels != IGNORED
    learnt = logits[places]
    hard = losses.hard(learnt, labels[places])
    if soft is None or batch.soft_labels is None:
        return hard
    top = soft_labels.of_places(batch.soft_labels[:, : logits.shape[1]][places])
    taught = losses.soft(learnt, top, soft.divergence, soft.temperature)
    return soft.weight * taught + (1 - soft.weight) * hard


def teach(
    network: LanguageModel,
    tokens: Tokens,
    validation: Tokens,
    course: Course,
    *,
    soft: Soft | None,
    checkpoint: Path,
    track: Track,
    what: str,
) -> History:
    """Trains `network` in place and returns its history; with no epochs it is judged as it is. tokens: that are learnt; validation: that it is watched by; course: how;
    soft: what a teacher says of `tokens`; checkpoint: the file that training goes on from; track, what: show progress, of what."""

    def watch(network: nn.Module) -> dict[str, float]:
        return judged(network, validation)

    if course.epochs == 0:
        return [watch(network)]
    own = list(network.named_parameters())
    scales = [one for name, one in own if name.endswith("log_scale")]
    groups = parameter_groups(
        [item for item in own if not item[0].endswith("log_scale")], course.learning_rate, course.weight_decay
    )
    if scales:
        groups.append({"params": scales, "lr": course.scale_learning_rate, "weight_decay": 0.0})
    learnt = examples(tokens, None if soft is None else soft.stored)
    return train(
        network,
        course.practice.optimiser(groups),
        examples=lambda epoch: learnt,
        loss=lambda logits, batch: loss(logits, batch, soft),
        schedule=course.schedule,
        evaluate=watch,
        epochs=course.epochs,
        batch_size=course.batch_size,
        seed=course.seed,
        practice=course.practice,
        checkpoint=checkpoint,
        track=track,
        what=what,
    )


@torch.no_grad()
def judged(network: nn.Module, tokens: Tokens) -> dict[str, float]:
    """Of `tokens`, what share of those that came `network` found most probable, per cent, and their perplexity."""
    network.eval()
    right, nats = 0, 0.0
    for start in range(0, len(tokens), AT_ONCE):
        labels = torch.from_numpy(tokens.labels[start : start + AT_ONCE])
        places = labels != IGNORED
        logits = network(torch.from_numpy(tokens.input_ids[start : start + AT_ONCE]))[places]
        right += int((logits.argmax(dim=1) == labels[places]).sum())
        nats += float(losses.hard(logits, labels[places])) * int(places.sum())
    return {SCORE: 100 * right / tokens.learnt, PERPLEXITY: math.exp(nats / tokens.learnt)}


@torch.no_grad()
def teacher_texts(
    teacher: LanguageModel,
    tokens: Tokens,
    *,
    tokenizer: Any,
    count: int,
    beginning: int,
    strip: bool = False,
    track: Track,
) -> Tokens:
    """What `teacher` says, the likeliest token each time, in place of what `tokens` say (sequence-level distillation, Kim & Rush 2016, arXiv:1606.07947): to the prompt of
    each row, or, of a text, to its first `beginning` tokens. tokenizer: its own; count: tokens that are generated, at most; strip:
    whether its reasoning is left out, and what does not come to the reasoning's end; track: shows progress. Raises DataError where nothing is left."""
    end = tokenizer.eos_token_id
    padding = end if tokenizer.pad_token_id is None else tokenizer.pad_token_id
    said: list[tuple[list[int], list[int]]] = []
    for place in track(range(len(tokens)), "the teacher's texts, rows", len(tokens)):
        given = int(tokens.prompts[place]) or min(beginning, int(tokens.mask[place].sum()))
        prompt = tokens.input_ids[place, :given]
        whole = teacher.model.generate(
            torch.from_numpy(prompt[None]),
            attention_mask=torch.ones(1, given, dtype=torch.int64),
            max_new_tokens=count,
            do_sample=False,
            pad_token_id=padding,
        )[0].tolist()
        if strip and (whole := _stripped(whole, given, tokenizer)) is None:
            continue
        said.append((prompt.tolist(), whole))
    if not said:
        raise DataError(
            f"the teacher's reasoning came to its end in none of {len(tokens)} rows: raise language.teacher_tokens (now {count})"
        )
    return padded(said, int(padding or 0))


def _stripped(whole: list[int], given: int, tokenizer: Any) -> list[int] | None:
    """The tokens of a text whose first `given` are the prompt's, with what comes after them without its reasoning; None where that has no end, or nothing comes
    behind it."""
    end = [token for token in whole[-1:] if token == tokenizer.eos_token_id and len(whole) > given]
    written = tokenizer.decode(whole[given : len(whole) - len(end)])
    left = without_reasoning(written)
    if left == written:
        return whole
    if not left:
        return None
    return [*whole[:given], *tokenizer.encode(left, add_special_tokens=False), *end]
