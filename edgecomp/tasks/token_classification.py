"""One tag of several for each word of a text: names, parts of speech, what of a log line is a parameter."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from edgecomp.errors import DataError
from edgecomp.tasks.base import IGNORED, Labels, Outputs, Spread

if TYPE_CHECKING:
    import torch

OUTSIDE = "O"
BEGINS, GOES_ON = "B-", "I-"

Entity = tuple[str, int, int]
"""Its type, and the places of its first and its last word."""


class TokenClassification:
    """Logits [N, length, tags], 0 for padding; labels int64 [N, length], tags, or IGNORED where a word goes on or nothing is."""

    name = "token-classification"
    headline = "entity_f1_pct"
    score = "token_accuracy_pct"
    label_axes: tuple[int, ...] = (1,)
    of_each: Literal["example", "token", "pixel"] = "token"
    are_numbers = False

    def encode(
        self, found: Mapping[str, Sequence[object]], names: tuple[str, ...] | None, where: str
    ) -> tuple[dict[str, Labels], tuple[str, ...]]:
        """Labels are lists of tags, a tag a word, or texts of them with blanks between; numbers where `names` names them.

        By word, [N, words], IGNORED behind a text's last. Raises DataError.
        """
        tags = {
            split: [_tags(row, place, f"{where}, {split} split") for place, row in enumerate(rows)]
            for split, rows in found.items()
        }
        known = {tag for rows in tags.values() for row in rows for tag in row}
        if all(isinstance(tag, int) for tag in known):
            names = names or tuple(str(place) for place in range(1 + max(map(int, known), default=0)))
            index: dict[str | int, int] = {place: place for place in range(len(names))}
        else:
            texts = sorted({str(tag) for tag in known}, key=lambda tag: (tag != OUTSIDE, tag))
            names = tuple(texts)
            index = {tag: names.index(str(tag)) for tag in known}
        if unknown := [tag for tag in known if tag not in index]:
            raise DataError(
                f"{where}: tag {unknown[0]!r} has no name: the file names {len(names)}, 0 to {len(names) - 1}"
            )
        if len(names) < 2:
            raise DataError(
                f"{where}: every word has the tag {names[0] if names else None!r}: there is nothing to tell apart"
            )
        trained = {tag for row in tags["train"] for tag in row}
        if unseen := sorted(str(tag) for tag in known - trained):
            raise DataError(
                f"{where}: the train split has no word of tag {unseen[0]!r}: no student can learn it"
            )
        return {
            split: _padded([[index[tag] for tag in row] for row in rows]) for split, rows in tags.items()
        }, names

    def width(self, names: Sequence[str]) -> int | None:
        return len(names)

    def strata(self, labels: Labels) -> npt.NDArray[np.int64] | None:
        return None

    def answers(self, outputs: Outputs) -> npt.NDArray[Any]:
        return np.asarray(outputs.argmax(axis=2), np.int64)

    def misfit(self, outputs: Outputs, labels: Labels) -> str:
        if outputs.ndim != 3 or labels.ndim != 2 or outputs.shape[1] != labels.shape[1]:
            return f"outputs of shape {list(outputs.shape[1:])} do not fit labels of {list(labels.shape[1:])} tokens"
        if labels.max() >= outputs.shape[2]:
            return f"a token has tag {labels.max()}, and outputs are of {outputs.shape[2]} tags"
        return ""

    def agreeing(self, outputs: Outputs, reference: Outputs) -> npt.NDArray[np.bool_]:
        """Every token's tag alike."""
        return np.asarray((self.answers(outputs) == self.answers(reference)).all(axis=1))

    def spread(self, reference: Outputs) -> Spread:
        """Of tokens that are no padding."""
        tags = self.answers(reference)[_is_text(reference)]
        shares = np.bincount(tags, minlength=reference.shape[2]) / max(len(tags), 1)
        return Spread(int((shares > 0).sum()), reference.shape[2], float(shares.max()))

    def validation_score(self, outputs: Outputs, labels: Labels) -> float:
        """The share of words whose tag is right."""
        judged = labels != IGNORED
        return float(100 * (self.answers(outputs) == labels)[judged].mean()) if judged.any() else 0.0

    def hard_label_loss(self, outputs: "torch.Tensor", labels: "torch.Tensor") -> "torch.Tensor":
        """Cross-entropy, mean over the words' first tokens."""
        from torch.nn.functional import cross_entropy

        return cross_entropy(
            outputs.flatten(0, 1), labels[:, : outputs.shape[1]].flatten(), ignore_index=IGNORED
        )

    def soft_label_loss(
        self, outputs: "torch.Tensor", teacher: "torch.Tensor", temperature: float
    ) -> "torch.Tensor":
        """T²·KL(teacher ‖ student) at temperature T, mean over the tokens that are no padding."""
        from torch.nn.functional import kl_div, log_softmax

        teacher = teacher[:, : outputs.shape[1]]
        text = (teacher != 0).any(dim=2)
        ours, theirs = (log_softmax(one[text] / temperature, dim=1) for one in (outputs, teacher))
        return kl_div(ours, theirs, reduction="batchmean", log_target=True) * temperature**2


def entities(tags: Sequence[str]) -> set[Entity]:
    """What a sequence of tags names, as CoNLL-2000's script and seqeval count it (Ramshaw & Marcus 1995; Tjong Kim Sang & Buchholz 2000).

    B-TYPE begins an entity, I-TYPE goes on with one of its type and else begins one, O is outside. Tags without B- or I- are types: words
    of one tag beside each other are one entity.
    """
    found: set[Entity] = set()
    began, kind = 0, ""
    for place, tag in enumerate([*tags, OUTSIDE]):
        begins, now = (
            tag.startswith(BEGINS),
            tag if tag == OUTSIDE else tag.removeprefix(BEGINS).removeprefix(GOES_ON),
        )
        if kind and (begins or now != kind):
            found.add((kind, began, place - 1))
            kind = ""
        if not kind and now != OUTSIDE:
            began, kind = place, now
    return found


def _is_text(outputs: Outputs) -> npt.NDArray[np.bool_]:
    """[N, length]: padding was answered with 0."""
    return np.asarray((outputs != 0).any(axis=2))


def _tags(row: object, place: int, where: str) -> list[str | int]:
    tags: list[Any] = (
        row.split()
        if isinstance(row, str)
        else list(row)
        if isinstance(row, list | tuple | np.ndarray)
        else []
    )
    clean = [tag.item() if isinstance(tag, np.generic) else tag for tag in tags]
    if not clean or not (
        all(isinstance(tag, str) for tag in clean)
        or all(type(tag) is int and (tag >= 0 or tag == IGNORED) for tag in clean)
    ):
        raise DataError(f"{where}: the label of example {place} (from 0) is {row!r}: task token-classification takes a tag for each word, as a "
                        "list of texts, or of whole numbers from 0")  # fmt: skip
    return [tag for tag in clean if tag != IGNORED]


def _padded(rows: Sequence[Sequence[int]]) -> npt.NDArray[np.int64]:
    found = np.full((len(rows), max(map(len, rows))), IGNORED, np.int64)
    for place, row in enumerate(rows):
        found[place, : len(row)] = row
    return found
