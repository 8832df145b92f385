"""What changed between two models' answers: counted as anybody would count it by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgecomp.gate.groups import MOST_LISTED, differences
from edgecomp.metrics.estimates import against
from edgecomp.metrics.measurements import Arm, Measurements
from edgecomp.report import answers

CLASSES = 3


def arm(said: np.ndarray) -> Arm:
    logits = np.eye(CLASSES, dtype=np.float32)[said]
    return Arm(samples={}, logits=logits, memory={}, file_size_bytes=1, file_sha256={}, parameter_bytes=None)


def measured(
    labels: list[int],
    before: list[int],
    now: list[int],
    slices: list[str] | None = None,
    classes: tuple[str, ...] = (),
) -> Measurements:
    return Measurements(
        target="t",
        runtime="onnxruntime-cpu",
        arms={"baseline": arm(np.array(before)), "candidate": arm(np.array(now))},
        labels=np.array(labels, np.int64),
        offline_batch=1,
        facts={"classes": classes} if classes else {},
        student="candidate",
        slices=None if slices is None else np.array(slices),
    )


EXAMPLE = st.tuples(*[st.integers(0, CLASSES - 1)] * 3, st.sampled_from(["day", "night"]))


@given(st.lists(EXAMPLE, min_size=1, max_size=60))
@settings(deadline=None, max_examples=60)
def test_every_count_is_the_one_by_hand(examples: list[tuple[int, int, int, str]]) -> None:
    labels, before, now, slices = map(list, zip(*examples, strict=True))
    found = differences(measured(labels, before, now, slices), "candidate", "baseline")
    assert found is not None
    assert found.changed == sum(b != n for _, b, n, _ in examples)
    assert found.lost == sum(b == y != n for y, b, n, _ in examples)
    assert found.gained == sum(n == y != b for y, b, n, _ in examples)
    for name, place in (("classes", 0), ("slices", 3)):
        for group in getattr(found, name):
            of = [one for one in examples if str(one[place]) == group.name]
            assert group.examples == len(of)
            assert group.right == sum(one[2] == one[0] for one in of)
            assert group.reference_right == sum(one[1] == one[0] for one in of)
        assert sum(group.examples for group in getattr(found, name)) == len(examples)
        points = [group.difference_pt[0] for group in getattr(found, name)]
        assert points == sorted(points)
    for cell in found.answers:
        of = [one for one in examples if (str(one[1]), str(one[2])) == (cell.reference, cell.answer)]
        assert (cell.examples, cell.lost, cell.gained) == (
            len(of),
            sum(one[1] == one[0] for one in of),
            sum(one[2] == one[0] for one in of),
        )
    assert sum(cell.examples for cell in found.answers) == found.changed == len(found.changes)
    lost = [examples[one.example][1] == examples[one.example][0] for one in found.changes]
    assert lost == sorted(lost, reverse=True)  # what is lost comes first


def test_the_row_of_the_worst_group_says_which_it_is() -> None:
    labels = [0] * 40 + [1] * 40
    now = [0] * 40 + [1] * 10 + [0] * 30
    slices = ["day"] * 60 + ["night"] * 20
    of = measured(labels, labels, now, slices, ("cat", "dog", "horse"))
    for metric, count, said in (
        ("worst_recall_pct", 40, "class dog: 10 of 40 right, baseline 40"),
        ("worst_slice_pct", 20, "slice night: 0 of 20 right, baseline 20"),
    ):
        found = against(of, "candidate", "baseline", metric, "points", 0.95)
        assert (found.note, found.n) == (said, count)


def test_how_many_examples_there_are_is_said_of_the_worst_group_and_not_of_the_smallest() -> None:
    labels = [0] * 60 + [1] * 10
    found = against(
        measured(labels, labels, [1] * 6 + labels[6:]),
        "candidate",
        "baseline",
        "worst_recall_pct",
        "points",
        0.95,
    )
    assert (found.note, found.n) == ("class 0: 54 of 60 right, baseline 60", 60)


def test_what_has_no_answers_has_no_differences() -> None:
    of = measured([0, 1], [0, 1], [0, 1])
    assert differences(of, "candidate", "teacher") is None
    assert differences(measured([7], [0], [0]), "candidate", "baseline") is None  # no class of three


def test_lists_are_cut_and_say_so() -> None:
    many = 2 * MOST_LISTED
    found = differences(measured([0] * many, [0] * many, [1] * many), "candidate", "baseline")
    assert found is not None
    assert (found.changed, len(found.changes)) == (many, MOST_LISTED)
    shown = {table.title: table for table in answers.tables(found, 5)}["Changed examples"]
    assert (len(shown.rows), shown.left) == (5, many - 5)


@pytest.mark.parametrize(
    ("now", "said"),
    [
        ([0, 1, 2], "None of 3 answers is another than the baseline's."),
        (
            [1, 1, 2],
            "1 of 3 answers are others than the baseline's: 1 right ones lost, 0 gained, 0 wrong both times.",
        ),
    ],
)
def test_the_sentence(now: list[int], said: str) -> None:
    found = differences(measured([0, 1, 2], [0, 1, 2], now), "candidate", "baseline")
    assert found is not None
    assert answers.sentence(found) == said
