"""What is commonly used for such lines: hashed words or characters, and a linear classifier, by scikit-learn."""

import time
from typing import Any

import numpy as np
import pyarrow as pa
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.linear_model import SGDClassifier
from sklearn.pipeline import make_pipeline

from edgecomp.stats.intervals import proportion_bounds

BASELINES = {
    "hashed words, linear": {"analyzer": "word", "ngram_range": (1, 2), "n_features": 2**18},
    "hashed characters, linear": {"analyzer": "char", "ngram_range": (2, 5), "n_features": 2**18},
}
PASSES = 3
CONFIDENCE = 0.95


def measured(name: str, parts: dict[str, pa.Table]) -> dict[str, Any]:
    """Accuracy on the test lines, and lines a second of one core, from text to class."""
    model = make_pipeline(
        HashingVectorizer(alternate_sign=False, **BASELINES[name]),
        SGDClassifier(loss="log_loss", random_state=0),
    )
    texts = {part: table["content"].to_pylist() for part, table in parts.items()}
    labels = {part: np.asarray(table["label"].to_pylist()) for part, table in parts.items()}
    model.fit(
        [*texts["train"], *texts["validation"]], np.concatenate([labels["train"], labels["validation"]])
    )
    right = model.predict(texts["test"]) == labels["test"]
    everything = [text for some in texts.values() for text in some]
    seconds = []
    for _ in range(PASSES):
        begin = time.process_time()
        model.predict(everything)
        seconds.append(time.process_time() - begin)
    lower, upper = proportion_bounds(int(right.sum()), len(right), CONFIDENCE)
    return {
        "accuracy": {"value": 100 * float(right.mean()), "lower": 100 * lower, "upper": 100 * upper},
        "cpu_us_a_line": 1e6 * float(np.median(seconds)) / len(everything),
    }
