"""Planted faults are found by their rule; what was removed is told; nothing is deleted in place; no class goes as a whole."""

import json
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pyarrow
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pyarrow import csv, parquet

import edgecomp
from edgecomp.config.parts.cleaning import RuleName
from edgecomp.data import sources
from edgecomp.data.cleaning import findings, search, stage, texts
from edgecomp.data.cleaning.duplicates import shingles
from edgecomp.data.cleaning.findings import NOT_AN_EXAMPLE, RULES, Finding
from edgecomp.data.cleaning.search import Asked
from edgecomp.data.personal.pseudonyms import KEY
from edgecomp.data.sources import Examples, Source, Wanted
from edgecomp.errors import DataError, UsageError

WORDS = ("red", "green", "blue", "disk", "node", "fan", "lamp", "door", "wall", "rain")
OFF = dict.fromkeys(set(RULES) - set(NOT_AN_EXAMPLE), "off")


def only(*rules: str, action: str = "remove") -> dict[str, str]:
    return OFF | dict.fromkeys(rules, action)


def sentences(count: int, seed: int = 0) -> list[str]:
    """Texts that are all far from each other, every other one of class 1, which begins with another word."""
    random = np.random.default_rng(seed)
    return [
        f"{'hot' if place % 2 else 'cold'} {' '.join(random.choice(WORDS, 6))} {random.integers(10**9)}"
        for place in range(count)
    ]


def source_of(
    values: object, labels: list[int], test: tuple[object, list[int]] | None = None, classes: int = 2
) -> Source:
    splits = {"train": Examples(values, np.array(labels, np.int64))}  # type: ignore[arg-type]
    if test is not None:
        splits["test"] = Examples(test[0], np.array(test[1], np.int64))  # type: ignore[arg-type]
    return Source(splits, tuple(f"class {number}" for number in range(classes)))


def found(source: Source, rules: dict[str, str], **limits: float) -> list[Finding]:
    return search.search(source, Asked(rules, **limits), of_classes=True)  # type: ignore[arg-type]


def test_every_rule_but_those_of_what_is_no_example_may_be_chosen_in_a_recipe() -> None:
    assert set(get_args(RuleName)) == set(RULES) - set(NOT_AN_EXAMPLE)


def test_duplicates_leaks_and_contradictions_are_told_apart() -> None:
    values = ["a red lamp", "a blue door", "a red lamp", "a blue door", "in the test", "a green wall"]
    source = source_of(values, [0, 1, 0, 0, 1, 1], (["in the test", "another"], [1, 0]))
    told = [
        (one.rule, one.row, one.of)
        for one in found(source, only("duplicate", "leak", "contradiction"))
        if one.split == "train"
    ]
    assert told == [
        ("contradiction", 1, "train:3"),
        ("duplicate", 2, "train:0"),
        ("contradiction", 3, "train:1"),
        ("leak", 4, "test:0"),
    ]
    left, said = search.cleaned(source, found(source, only("duplicate", "leak")))
    assert left.splits["train"].values == ["a red lamp", "a blue door", "a blue door", "a green wall"]
    assert left.splits["train"].labels.tolist() == [0, 1, 0, 1]
    assert left.splits["test"].values == source.splits["test"].values
    assert len(source.splits["train"].labels) == 6  # nothing is deleted in place
    assert said == [
        "cleaning, duplicate: 1 training examples with the inputs and the label of an earlier one; 1 removed",
        "cleaning, leak: 1 training examples that are in the validation or test split; 1 removed",
    ]


def test_near_duplicates_of_texts_are_found_across_splits() -> None:
    pytest.importorskip("datasketch", reason="needs the extra `data`")
    base = sentences(60)
    edited = [f"{text[:20]}{text[21:]}." for text in base[:10]]
    leaked = [base[50].upper(), base[51] + "!"]
    source = source_of(base[:50] + edited, [0, 1] * 30, (leaked, [0, 1]))
    kept = replace(
        source,
        splits={
            **source.splits,
            "train": replace(source.splits["train"], values=base[:48] + base[50:52] + edited),
        },
    )
    told = {(one.rule, one.row) for one in found(kept, only("near-duplicate", "near-leak"), near=0.6)}
    assert {("near-leak", 48), ("near-leak", 49)} <= told
    assert {row for rule, row in told if rule == "near-duplicate"} == set(range(50, 60))


def test_of_hundreds_of_one_template_each_is_held_to_the_first() -> None:
    pytest.importorskip("datasketch", reason="needs the extra `data`")
    values = [f"connection from the gateway was closed after {place} of them" for place in range(300)]
    told = found(source_of(values, [0, 1] * 150), only("near-duplicate"), near=0.7)
    assert len(told) > 290
    assert len({one.of for one in told}) < 10


@given(st.text(max_size=60), st.text(max_size=60))
def test_shingles_of_the_same_words_are_the_same(one: str, other: str) -> None:
    assert shingles(one)
    assert shingles(f"  {one.upper().lower()}\n") == shingles(one.upper().lower())
    assert (shingles(one) == shingles(other)) or one != other


def test_near_images_are_found_and_others_are_not() -> None:
    pytest.importorskip("imagehash", reason="needs the extra `data`")
    random = np.random.default_rng(0)
    coarse = random.integers(0, 256, (40, 3, 4, 4), np.uint8)
    images = np.asarray(coarse.repeat(8, axis=2).repeat(8, axis=3))
    brighter = np.clip(images[:5].astype(int) + 6, 0, 255).astype(np.uint8)
    source = source_of(np.concatenate([images, brighter]), [0, 1] * 22 + [0])
    told = found(source, only("near-duplicate"), near=0.9)
    assert [(one.row, one.of) for one in told] == [(40 + place, f"train:{place}") for place in range(5)]


def test_flipped_labels_are_found_out_of_fold_and_by_a_teachers_answers() -> None:
    pytest.importorskip("cleanlab", reason="needs the extra `data`")
    labels = np.array([0, 1] * 100)
    flipped = [3, 40, 77, 120, 199]
    labels[flipped] = 1 - labels[flipped]
    source = source_of(sentences(200), labels.tolist())
    told = found(source, only("label-error"))
    assert {one.row for one in told} <= set(flipped)
    assert len(told) >= 4
    assert {one.row: one.detail for one in told}[3] == "likeliest: class 1"
    answers = np.full((200, 2), 0.02)
    answers[np.arange(200), np.array([0, 1] * 100)] = 0.98
    answers[[5, 6]] = 0.45, 0.55
    told = search.search(
        source, Asked(only("label-error", "low-confidence"), confidence=0.6), of_classes=True, answers=answers
    )
    assert {one.row for one in told if one.rule == "label-error"} >= set(flipped)
    assert [(one.row, round(one.score, 2)) for one in told if one.rule == "low-confidence"] == [
        (5, 0.45),
        (6, 0.45),
    ]


def test_what_cannot_be_looked_for_is_said() -> None:
    said: list[str] = []
    source = source_of(["a", "b", "c"], [0, 1, 1])
    search.search(source, Asked(only("label-error")), of_classes=True, note=said.append)
    search.search(source, Asked(only("label-error")), of_classes=False, note=said.append)
    assert "a class has one example" in said[1]
    assert "these labels are others" in said[2]


def test_an_outlier_is_far_from_its_neighbours() -> None:
    random = np.random.default_rng(0)
    values = random.normal(size=(200, 4)).astype(np.float32)
    values[17] = 40
    told = found(source_of(values, [0, 1] * 100), only("outlier"))
    assert [one.row for one in told] == [17]
    assert told[0].score > 3


def test_texts_that_say_nothing_are_too_long_or_damaged() -> None:
    values = [
        "",
        " \n\t",
        "fine, café “quoted” – naïve",
        "cafÃ© au lait",
        "donâ€™t",
        "bad \ufffd byte",
        "x" * 11,
        "Ã la carte",
    ]
    assert [place for place, _, _ in texts.empty(values)] == [0, 1]
    assert [(place, score) for place, score, _ in texts.too_long(values[6:7], 10)] == [(0, 11.0)]
    assert [place for place, _, _ in texts.wrongly_encoded(values)] == [3, 4, 5]


@given(st.text(max_size=80))
def test_text_is_told_when_it_was_read_in_another_encoding(text: str) -> None:
    list(texts.wrongly_encoded([text]))
    try:
        wrong = text.encode("utf-8").decode("latin-1")
    except UnicodeError:
        return
    if any("\xa0" <= sign <= "\u07ff" for sign in text) and all(sign < "\u07ff" for sign in text):
        assert list(texts.wrongly_encoded([wrong]))


def test_a_rule_that_would_remove_a_class_or_a_split_is_refused() -> None:
    source = source_of(["a lamp", "a door", "a wall", "a lamp"], [0, 0, 1, 0])
    every = [Finding("train", 2, "outlier", 9.0, "remove")]
    with pytest.raises(
        DataError, match=r"would remove every example of class 'class 1' from the train split \(outlier\)"
    ):
        search.cleaned(source, every)
    search.cleaned(source, [*every, Finding("train", 2, "outlier", 9.0, "keep")])  # vetoed
    with pytest.raises(DataError, match="would remove all of the train split"):
        search.cleaned(source, [Finding("train", row, "outlier", 9.0, "remove") for row in range(4)])


def test_what_is_judged_on_is_reported_and_stays() -> None:
    source = source_of(["a lamp", "a door"], [0, 1], (["", "x"], [0, 1]))
    (told,) = found(source, only("empty"))
    assert (told.split, told.row, told.action) == ("test", 0, "report")


def test_rules_and_actions_that_are_none_are_told() -> None:
    with pytest.raises(DataError, match=r"no such rule of cleaning: 'duplicat'; did you mean 'duplicate'"):
        findings.actions({"duplicat": "remove"})
    with pytest.raises(DataError, match="rule leak: 'delete' is none of remove, report, off"):
        findings.actions({"leak": "delete"})
    with pytest.raises(DataError, match="it can only be removed"):
        findings.actions({"broken-image": "report"})


@pytest.mark.parametrize("name", ["found.csv", "found.parquet"])
def test_a_table_comes_back_as_it_was_written(tmp_path: Path, name: str) -> None:
    told = [
        Finding("train", 3, "leak", 1.0, "remove", "test:0", 'a "word", and a comma', "00ff"),
        Finding("test", 0, "empty", 1.0),
    ]
    findings.write(tmp_path / name, told)
    assert findings.read(tmp_path / name) == told


def test_tables_that_are_none_are_told(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("split,row\ntrain,1\n")
    with pytest.raises(DataError, match="no column 'rule'"):
        findings.read(tmp_path / "a.csv")
    told = [Finding("train", 3, "leak", 1.0, "remove")]
    findings.write(tmp_path / "b.csv", told)
    text = (tmp_path / "b.csv").read_text()
    (tmp_path / "b.csv").write_text(text.replace("remove", "delete"))
    with pytest.raises(DataError, match="line 2: rule 'leak', action 'delete'"):
        findings.read(tmp_path / "b.csv")
    (tmp_path / "b.csv").write_text(text.replace(",3,", ",three,"))
    with pytest.raises(DataError, match="cannot be read as a table of findings"):
        findings.read(tmp_path / "b.csv")
    with pytest.raises(DataError, match=r"a \.csv or a \.parquet table"):
        findings.write(tmp_path / "c.txt", told)


def test_a_table_of_other_data_is_refused() -> None:
    source = source_of(["a lamp", "", "a wall"], [0, 0, 1])
    told = found(source, only("empty"))
    search.check_table(told, source, "it")
    with pytest.raises(DataError, match="row 1 of train is not the example that was found there"):
        search.check_table(told, source_of(["a lamp", "a door", "a wall"], [0, 0, 1]), "it")
    with pytest.raises(DataError, match="train has no row 9"):
        search.check_table([replace(told[0], row=9)], source, "it")


def table(file: Path, **columns: object) -> Path:
    parquet.write_table(pyarrow.table(columns), file)
    return file


def test_from_a_table_to_a_copy_and_back_with_a_veto(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    values = [*sentences(30), "a lamp", "a lamp", None, "write to a@b.example"]
    file = table(tmp_path / "said.parquet", text=values, label=["x", "y"] * 17)
    before = file.read_bytes()
    rules = only("duplicate", "empty")
    rules["contradiction"] = "report"
    result = edgecomp.clean(file, rules=rules, personal_data="report")
    assert file.read_bytes() == before
    assert result.folder == Path("said-clean")
    assert result.summary["rules"]["empty"] == {"found": 1, "removed": 1}
    assert result.summary["personal_data"] == {"found": {"email": 1}, "replaced": False}
    told = {one.rule for one in result.findings}
    assert told == {"empty", "contradiction"}  # of the two lamps, which have different labels
    left = sources.read(Wanted("huggingface", str(result.folder), inputs="text", label="label"), tmp_path)
    assert len(left.splits["train"].labels) == 33
    assert left.classes == ("x", "y")
    looked = findings.read(result.table)
    findings.write(tmp_path / "looked.csv", [replace(one, action="keep") for one in looked])
    again = edgecomp.clean(file, findings=tmp_path / "looked.csv", out=tmp_path / "again")
    assert again.summary["examples"] == {"train": 34}
    with pytest.raises(UsageError, match="said-clean is there already"):
        edgecomp.clean(file)
    with pytest.raises(UsageError, match="no such data"):
        edgecomp.clean("nowhere.csv")
    monkeypatch.setenv(KEY, "a secret of some length")
    edgecomp.clean(file, rules=rules, personal_data="replace", out=tmp_path / "hidden")
    text = "".join(path.read_text(errors="replace") for path in (tmp_path / "hidden").glob("*"))
    assert "b.example" not in text
    assert "a secret" not in text
    said = json.loads((tmp_path / "hidden" / "cleaning.json").read_text())["personal_data"]
    assert said["replaced"]
    assert "b.example" not in (tmp_path / "hidden" / "train.parquet").read_bytes().decode("latin-1")
    assert len(said["key_id"]) == 12
    with pytest.raises(DataError, match="1 email that look like personal data"):
        edgecomp.clean(file, rules=rules, personal_data="refuse", out=tmp_path / "refused")
    assert not (tmp_path / "refused").exists()


def test_a_text_in_another_encoding_is_told_and_not_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    lines = ["text,label", *(f"{text},{place % 2}" for place, text in enumerate(sentences(12))), "caf\xe9,1"]
    (tmp_path / "old.csv").write_bytes("\n".join(lines).encode("cp1252"))
    result = edgecomp.clean("old.csv", rules=only("encoding"))
    assert [(one.rule, one.row) for one in result.findings] == [("encoding", 12)]
    with pytest.raises(DataError, match="not UTF-8"):
        sources.read(Wanted("huggingface", "old.csv"), tmp_path)


def test_images_that_are_broken_or_of_another_mode_are_left_out(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for place in range(4):
            Image.fromarray(random.integers(0, 255, (16, 16, 3), np.uint8)).save(
                tmp_path / "pictures" / name / f"{place}.png"
            )
    broken, grey = tmp_path / "pictures" / "cat" / "1.png", tmp_path / "pictures" / "dog" / "2.png"
    broken.write_bytes(broken.read_bytes()[:90])
    Image.fromarray(random.integers(0, 255, (16, 16), np.uint8)).save(grey)
    result = edgecomp.clean(tmp_path / "pictures", rules=OFF, out=tmp_path / "clean")
    assert [(one.rule, one.row, one.action) for one in result.findings] == [
        ("broken-image", 1, "remove"),
        ("mixed-images", 6, "remove"),
    ]
    assert result.findings[0].detail.startswith("1.png")
    assert result.summary["examples"] == {"train": 6}
    left = sources.read(Wanted("numpy", str(tmp_path / "clean")), tmp_path)
    assert left.splits["train"].values.shape == (6, 3, 16, 16)  # type: ignore[union-attr]
    assert left.splits["train"].labels.tolist() == [0, 0, 0, 1, 1, 1]


def test_a_teachers_answers_must_fit(tmp_path: Path) -> None:
    source = source_of(["a", "b", "c", "d"], [0, 1, 0, 1])
    np.savez(tmp_path / "short.npz", train=np.ones((3, 2)))
    with pytest.raises(
        DataError, match=r"train is float64\[3, 2\]; a teacher's answers are numbers \[4, 2\]"
    ):
        stage.clean(source, Asked(OFF), answers=tmp_path / "short.npz")
    np.savez(tmp_path / "other.npz", train=np.ones((4, 2)), classes=np.array(["x", "y"]))
    with pytest.raises(DataError, match="they differ in class 0, class 1, x, y"):
        stage.clean(source, Asked(OFF), answers=tmp_path / "other.npz")
    turned = np.array([[0.9, 0.1]] * 4)
    np.savez(tmp_path / "turned.npz", train=turned, classes=np.array(["class 1", "class 0"]))
    given = stage._answers(tmp_path / "turned.npz", source)
    assert given.tolist() == turned[:, ::-1].tolist()


def test_the_command_says_what_was_found(tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from edgecomp.cli.app import app

    table = pyarrow.table({"text": [*sentences(20), "twice", "twice"], "label": ["x", "y"] * 10 + ["x", "x"]})
    csv.write_csv(table, tmp_path / "said.csv")
    off = [
        part
        for rule in RULES
        if rule not in (*NOT_AN_EXAMPLE, "duplicate")
        for part in ("--rule", f"{rule}=off")
    ]
    done = CliRunner().invoke(
        app, ["data", "clean", str(tmp_path / "said.csv"), *off, "-o", str(tmp_path / "out"), "--json"]
    )
    assert done.exit_code == 0, done.output
    said = json.loads(done.output.splitlines()[-1])
    assert said["rules"] == {"duplicate": {"found": 1, "removed": 1}}
    assert said["examples"] == {"train": 21}
    shown = CliRunner().invoke(
        app, ["data", "clean", str(tmp_path / "said.csv"), *off, "-o", str(tmp_path / "more")]
    )
    assert "duplicate" in shown.output
    wrong = CliRunner().invoke(app, ["data", "clean", str(tmp_path / "said.csv"), "--rule", "leak"])
    assert "write RULE=ACTION" in str(wrong.exception)
