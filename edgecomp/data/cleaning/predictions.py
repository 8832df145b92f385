"""What predictions say of labels: label errors, answers without confidence, and outliers.

Predictions are a teacher's answers, or else out of fold: of models of scikit-learn's that have not seen the example, nor one that is the same.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from edgecomp.data import duplicates
from edgecomp.data.cleaning.libraries import library
from edgecomp.data.sources.examples import Examples, Values
from edgecomp.errors import DataError

FOLDS = 5
TERMS = 50_000  # words and pairs of words that texts are told apart by, at most
TREES = 200
NEIGHBOURS = 20
WIDTH = 50  # of what outliers are looked for in
SIDE = 12  # pixels of an image that trees look at

Numbers = npt.NDArray[np.float64]


def out_of_fold(examples: Examples, *, seed: int) -> Numbers | None:
    """Probabilities [N, classes] of each of the `examples` by a model that was trained on the others; None where a class is too rare for two folds.

    Texts: words and pairs of words (TF-IDF), logistic regression. Images and numbers: extremely randomised trees. seed: of folds and trees.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    labels = examples.labels
    groups = duplicates.identities({"train": examples})["train"]
    kinds = np.unique(np.stack([labels, groups], axis=1), axis=0)[:, 0]
    folds = min(FOLDS, int(np.unique(kinds, return_counts=True)[1].min()))
    if folds < 2:
        return None
    features, found = _features(examples.values), np.full((len(labels), int(labels.max()) + 1), np.nan)
    split = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    for known, asked in split.split(np.zeros(len(labels)), labels, groups):
        model = _model(examples.values, seed)
        model.fit(features[known], labels[known])
        found[np.ix_(asked, model.classes_)] = model.predict_proba(features[asked])
    return np.asarray(np.nan_to_num(found))


def _features(values: Values) -> Any:
    """What a model is given: a sparse matrix of texts, float32 [N, numbers] of others."""
    if isinstance(values, list):
        from sklearn.feature_extraction.text import TfidfVectorizer

        words = TfidfVectorizer(
            ngram_range=(1, 2), sublinear_tf=True, max_features=TERMS, token_pattern=r"(?u)\b\w+\b|[^\w\s]"
        )
        return words.fit_transform([text if text.strip() else "\u2400" for text in values])
    if isinstance(values, dict):
        return np.concatenate(
            [one.reshape(len(one), -1).astype(np.float32) for one in values.values()], axis=1
        )
    if values.dtype == np.uint8:
        step = [max(1, side // SIDE) for side in values.shape[2:]]
        high, wide = (side // by * by for side, by in zip(values.shape[2:], step, strict=True))
        cut = values[:, :, :high, :wide].reshape(
            *values.shape[:2], high // step[0], step[0], wide // step[1], step[1]
        )
        return cut.mean(axis=(3, 5), dtype=np.float32).reshape(len(values), -1)
    return values.reshape(len(values), -1)


def _model(values: Values, seed: int) -> Any:
    if isinstance(values, list):
        from sklearn.linear_model import LogisticRegression

        return LogisticRegression(C=10, max_iter=300)
    from sklearn.ensemble import ExtraTreesClassifier

    return ExtraTreesClassifier(TREES, random_state=seed)


def label_errors(labels: npt.NDArray[np.int64], probabilities: Numbers) -> Iterator[tuple[int, float, str]]:
    """The places of labels that confident learning calls wrong (Northcutt et al. 2021, doi:10.1613/jair.1.12125; cleanlab), each with 1 - the
    probability of its label. labels: int64 [N]; probabilities: [N, classes]. Raises RuntimeUnavailableError without the extra `data`."""
    find = library("cleanlab.filter").find_label_issues
    present, own = np.unique(labels, return_inverse=True)
    given = probabilities[:, present].clip(1e-9)
    given = given / given.sum(axis=1, keepdims=True)
    wrong = find(own, given, filter_by="prune_by_noise_rate", n_jobs=1)
    for place in np.flatnonzero(wrong):
        likeliest = int(present[given[place].argmax()])
        yield int(place), float(1 - given[place, own[place]]), f"likeliest: class {likeliest}"


def low_confidence(probabilities: Numbers, confidence: float) -> Iterator[tuple[int, float, str]]:
    """The places whose highest probability is below `confidence`, with 1 less that. probabilities: [N, classes]."""
    highest = probabilities.max(axis=1)
    for place in np.flatnonzero(highest < confidence):
        yield int(place), float(1 - highest[place]), ""


def outliers(values: Values, factor: float) -> Iterator[tuple[int, float, str]]:
    """The places of `values` whose local outlier factor (Breunig et al. 2000, doi:10.1145/342009.335388) is beyond `factor`, with it."""
    from sklearn.decomposition import PCA, TruncatedSVD
    from sklearn.neighbors import LocalOutlierFactor
    from sklearn.preprocessing import StandardScaler

    features = _features(values)
    count, width = features.shape
    if count <= NEIGHBOURS + 1:
        return
    if isinstance(values, list):
        features = (
            TruncatedSVD(min(WIDTH, width - 1), random_state=0).fit_transform(features)
            if width > 2
            else features.toarray()
        )
    else:
        features = StandardScaler().fit_transform(features)
        if width > WIDTH:
            features = PCA(WIDTH, random_state=0).fit_transform(features)
    # Examples that are the same leave no distance to divide by: each stands once.
    different, back = np.unique(features.round(6), axis=0, return_inverse=True)
    if len(different) <= NEIGHBOURS + 1:
        return
    local = LocalOutlierFactor(NEIGHBOURS)
    local.fit(different)
    factors = -local.negative_outlier_factor_[back.ravel()]
    for place in np.flatnonzero(factors > factor):
        yield int(place), float(factors[place]), ""


def as_probabilities(outputs: npt.NDArray[Any], classes: int, rows: int, where: str) -> Numbers:
    """A teacher's answers, `outputs`, probabilities or logits [N, classes], as probabilities. rows: how many there must be; where: the file. Raises DataError."""
    from scipy.special import softmax

    if outputs.dtype.kind not in "fiu" or outputs.shape != (rows, classes):
        raise DataError(
            f"{where}: train is {outputs.dtype}{list(outputs.shape)}; a teacher's answers are numbers [{rows}, {classes}], in the order of the training data"
        )
    given = outputs.astype(np.float64)
    if not np.isfinite(given).all():
        raise DataError(
            f"{where}: {int((~np.isfinite(given)).any(axis=1).sum()):,} answers have numbers that are not finite"
        )
    is_probability = (given >= 0).all() and np.allclose(given.sum(axis=1), 1, atol=1e-3)
    return given if is_probability else np.asarray(softmax(given, axis=1))
