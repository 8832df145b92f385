"""What is commonly used for such lines: hashed words or characters and a linear classifier, by scikit-learn; and fastText itself, where it is
installed (`pip install --no-deps fasttext-numpy2-wheel`)."""

import tempfile
import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np
import pyarrow as pa
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.linear_model import SGDClassifier
from sklearn.pipeline import make_pipeline

from edgecomp.stats.intervals import proportion_bounds

Predict = Callable[[Sequence[str]], Sequence[str]]
HASHED = {
    "hashed words, linear": {"analyzer": "word", "ngram_range": (1, 2), "n_features": 2**18},
    "hashed characters, linear": {"analyzer": "char", "ngram_range": (2, 5), "n_features": 2**18},
}
FASTTEXT = "fastText"
BASELINES = (*HASHED, *((FASTTEXT,) if find_spec("fasttext") else ()))
OF = "__label__"  # what fastText knows a label by
PASSES = 3
CONFIDENCE = 0.95


def measured(name: str, parts: dict[str, pa.Table]) -> dict[str, Any]:
    """Accuracy on the test lines, learnt from those lines that students learn from, and CPU time of a line on one core, from text to class."""
    texts = {part: table["content"].to_pylist() for part, table in parts.items()}
    labels = {part: table["label"].to_pylist() for part, table in parts.items()}
    learn = _fasttext if name == FASTTEXT else _hashed
    predict = learn(name, texts["train"], labels["train"])
    right = np.asarray(predict(texts["test"])) == np.asarray(labels["test"])
    everything = [text for some in texts.values() for text in some]
    seconds = []
    for _ in range(PASSES):
        begin = time.process_time()
        predict(everything)
        seconds.append(time.process_time() - begin)
    lower, upper = proportion_bounds(int(right.sum()), len(right), CONFIDENCE)
    return {
        "by": FASTTEXT if name == FASTTEXT else "scikit-learn",
        "accuracy": {"value": 100 * float(right.mean()), "lower": 100 * lower, "upper": 100 * upper},
        "cpu_us_a_line": 1e6 * float(np.median(seconds)) / len(everything),
    }


def _hashed(name: str, texts: Sequence[str], labels: Sequence[str]) -> Predict:
    vectors = HashingVectorizer(alternate_sign=False, **HASHED[name])
    model = make_pipeline(vectors, SGDClassifier(loss="log_loss", random_state=0)).fit(texts, labels)
    return lambda asked: model.predict(asked).tolist()


def _fasttext(name: str, texts: Sequence[str], labels: Sequence[str]) -> Predict:
    """Words and pairs of them, as its authors' tutorial has it: 25 epochs at a rate of 0.5."""
    import fasttext

    fasttext.FastText.eprint = lambda *said: None  # its notice of a version
    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as file:
        for text, label in zip(texts, labels, strict=True):
            file.write(f"{OF}{label.replace(' ', '_')} {' '.join(text.split())}\n")
        file.flush()
        model = fasttext.train_supervised(file.name, wordNgrams=2, epoch=25, lr=0.5, thread=1, seed=0, verbose=0)  # fmt: skip
    named = {label.replace(" ", "_"): label for label in labels}

    def predict(asked: Sequence[str]) -> list[str]:
        found, _ = model.predict([" ".join(text.split()) for text in asked])
        return [named[one[0].removeprefix(OF)] for one in found]

    return predict
