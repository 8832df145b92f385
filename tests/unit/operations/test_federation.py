"""What clients answered as one answer, and what it tells of them. tests/federated has Flower itself ask real processes."""

import json
import math
import tomllib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq
from scipy.special import softmax
from scipy.stats import kstest, norm

from edgecomp.api.operations import flower_app
from edgecomp.errors import DataError, UsageError
from edgecomp.operations.federation import privacy
from edgecomp.operations.federation.voting import CHOSEN, checked, mean, most_votes, normal, votes

pytest.importorskip("opacus")


@given(st.integers(1, 5), st.integers(1, 4), st.integers(2, 4), st.integers(0, 2**32 - 1))
def test_probabilities_are_averaged(clients: int, rows: int, classes: int, seed: int) -> None:
    logits = list(np.random.default_rng(seed).normal(scale=20, size=(clients, rows, classes)))
    found = softmax(mean(logits), axis=1)
    for row in range(rows):
        for label in range(classes):
            shares = [math.exp(one[row, label] - one[row].max()) / sum(math.exp(v - one[row].max()) for v in one[row]) for one in logits]  # fmt: skip
            assert found[row, label] == pytest.approx(sum(shares) / clients, rel=1e-9, abs=1e-12)


@given(st.lists(st.lists(st.integers(0, 3), min_size=3, max_size=3), min_size=1, max_size=6))
def test_votes_are_counted(chosen: Sequence[Sequence[int]]) -> None:
    found = votes(np.asarray(chosen, np.int64), 4)
    for row in range(3):
        for label in range(4):
            assert found[row, label] == sum(one[row] == label for one in chosen)


def test_the_most_votes_are_chosen_and_noise_can_change_that() -> None:
    counts = np.array([[5, 0, 1], [0, 2, 1]])
    assert most_votes(counts, 0.0).tolist() == [[CHOSEN, 0, 0], [0, CHOSEN, 0]]
    noise = np.array([[0.0, 0.0, 3.0], [0.0, 0.0, 0.0]])
    assert most_votes(counts, 2.0, lambda _: noise).tolist() == [[0, 0, CHOSEN], [0, CHOSEN, 0]]


def test_noise_is_standard_normal_and_never_the_same() -> None:
    drawn = normal((20_000,))
    assert kstest(drawn, norm.cdf).pvalue > 1e-6
    assert abs(np.corrcoef(drawn[::2], drawn[1::2])[0, 1]) < 0.05
    assert not np.array_equal(drawn, normal((20_000,)))


def test_answers_of_another_shape_or_that_are_no_numbers_are_refused_without_being_shown() -> None:
    with pytest.raises(ValueError, match=r"this client gave \[2, 3\] for 2 examples of 2 classes"):
        checked(np.zeros((2, 3)), 2, 2, "this client")
    with pytest.raises(ValueError, match="not finite for example 1") as told:
        checked([[0, 1], [float("nan"), 0.123456]], 2, 2, "this client")
    assert "0.123456" not in str(told.value)


def exact(sigma: float, queries: int, delta: float, sensitivity: float) -> float:
    """ε of so many Gaussian counts (Balle & Wang 2018, theorem 8, of one whose noise is smaller by the root of their number)."""
    mu = math.sqrt(queries) * sensitivity / sigma

    def over(epsilon: float) -> float:
        return float(
            norm.cdf(mu / 2 - epsilon / mu) - math.exp(epsilon + norm.logcdf(-mu / 2 - epsilon / mu)) - delta
        )

    return float(brentq(over, 0, 500)) if over(0) > 0 else 0.0


@pytest.mark.parametrize("sigma", [3.0, 20.0, 150.0])
@pytest.mark.parametrize("queries", [1, 100, 3000])
@pytest.mark.parametrize("sensitivity", list(privacy.SENSITIVITY.values()))
def test_the_accountant_never_says_less_than_there_is(sigma: float, queries: int, sensitivity: float) -> None:
    true = exact(sigma, queries, 1e-5, sensitivity)
    assert true <= privacy.spent(sigma, queries, 1e-5, sensitivity) <= 1.15 * true + 0.01


@pytest.mark.parametrize(("epsilon", "queries"), [(1.0, 20), (8.0, 2000)])
def test_the_least_noise_that_keeps_epsilon_is_taken(epsilon: float, queries: int) -> None:
    kept = privacy.calibrated(epsilon, 1e-5, queries)
    assert kept.epsilon <= epsilon < privacy.spent(0.999 * kept.sigma, queries, 1e-5)
    assert kept.added_epsilon < kept.epsilon


@settings(max_examples=20)
@given(st.integers(2, 6), st.integers(2, 4), st.integers(0, 2**32 - 1))
def test_one_client_hardly_changes_what_is_chosen(clients: int, classes: int, seed: int) -> None:
    """The probability of each answer to one example, of two federations that differ in one client."""
    random = np.random.default_rng(seed)
    own = random.integers(classes, size=(clients, 1))
    other = np.vstack([own[:-1], (own[-1:] + 1) % classes])
    kept, draws = privacy.calibrated(1.0, 1e-3, 1), 4000

    def shares(chosen: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
        counts = np.repeat(votes(chosen, classes), draws, axis=0)
        return (most_votes(counts, kept.sigma, lambda shape: random.normal(size=shape)) > 0).mean(axis=0)

    one, another = shares(own), shares(other)
    assert (one <= math.exp(1.0) * another + 1e-3 + 5 * np.sqrt(0.25 / draws)).all()


@pytest.mark.parametrize(("clients", "sigma"), [(3, 5.0), (50, 20.0)])
def test_what_all_agree_on_is_kept_as_often_as_is_said(clients: int, sigma: float) -> None:
    counts = np.zeros((20_000, 4), np.int64)
    counts[:, 2] = clients
    random = np.random.default_rng(0)
    found = most_votes(counts, sigma, lambda shape: random.normal(size=shape))[:, 2] > 0
    assert privacy.kept_when_unanimous(clients, 4, sigma) == pytest.approx(found.mean(), abs=0.015)


def test_the_app_has_the_public_examples_without_their_labels(tmp_path: Path) -> None:
    made = flower_app("digits", clients=20, epsilon=4.0, to=tmp_path / "app")
    assert made.examples == 1797
    assert made.epsilon is not None
    assert made.epsilon <= 4
    told = json.loads((made.folder / "federation.json").read_text())
    assert told["privacy"]["sigma_votes"] == made.sigma
    assert told["splits"] == {"train": 1797}
    with np.load(made.folder / "public.npz") as file:
        assert file.files == ["train/values"]
        assert file["train/values"].shape == (1797, 1, 28, 28)
    project = tomllib.loads((made.folder / "pyproject.toml").read_text())
    assert project["tool"]["flwr"]["app"]["config"]["folder"] == str(made.folder.absolute())
    assert sorted(one.name for one in (made.folder / "federation").iterdir()) == ["__init__.py", "client.py", "server.py", "voting.py"]  # fmt: skip


def test_what_cannot_be_asked_is_told_and_nothing_is_written(tmp_path: Path) -> None:
    to = tmp_path / "app"
    with pytest.raises(UsageError, match="two at least"):
        flower_app("digits", clients=1, to=to)
    with pytest.raises(UsageError, match=r"--epsilon 0: over 0, and at most 100"):
        flower_app("digits", clients=3, epsilon=0, to=to)
    with pytest.raises(UsageError, match="--delta 1"):
        flower_app("digits", clients=3, epsilon=1, delta=1, to=to)
    with pytest.raises(UsageError, match="task regression: clients vote on classes"):
        flower_app("diabetes", clients=3, to=to)
    assert not to.exists()
    to.mkdir()
    with pytest.raises(UsageError, match="is there already"):
        flower_app("digits", clients=3, to=to)


def test_personal_data_are_not_handed_to_clients(tmp_path: Path) -> None:
    rows = [f"text,label\nwrite to ann{n}@example.org,{'ab'[n % 2]}" for n in range(1)]
    rows += [f"line {n} of many,{'ab'[n % 2]}" for n in range(40)]
    (tmp_path / "train.csv").write_text("\n".join(rows))
    recipe = "name: mine\ndata: { source: huggingface, path: train.csv, inputs: text, label: label, max_bytes: 16 }\n"
    recipe += "teacher: { network: ngram, epochs: 1 }\nstudent: { network: ngram }\ndistill: { epochs: 1 }\ntargets: [onnxruntime-cpu]\n"
    (tmp_path / "mine.yaml").write_text(recipe)
    with pytest.raises(DataError, match=r"personal data .*1 e-?mail.* would be sent to every client"):
        flower_app(tmp_path / "mine.yaml", clients=3, to=tmp_path / "app")
