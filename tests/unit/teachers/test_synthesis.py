"""A teacher writes examples of rare classes: what is kept is of its class by two judges, no copy of anything, in no split but the training one, and told."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from openai_service import Service

from edgecomp.config.job import load_job, on_this_machine
from edgecomp.data.augmentation import synthetic
from edgecomp.data.personal.pseudonyms import KEY
from edgecomp.data.splits import Split
from edgecomp.errors import DataError, RecipeError, SpentError, UsageError
from edgecomp.inputs import from_bytes
from edgecomp.pipeline import fingerprints
from edgecomp.pipeline.loaders import Run
from edgecomp.pipeline.stages import learning
from edgecomp.pipeline.steps import steps
from edgecomp.pipeline.taken import api_teachers
from edgecomp.progress import silent

pytest.importorskip("datasketch", reason="needs the extra `data`")

RECIPE = """
name: written
data:
  source: huggingface
  path: reviews
  inputs: text
  label: label
  max_bytes: 96
  synthesis:
    api:
      kind: openai-chat
      url: {url}
      model: small
      prompts: ["Say good or bad: {{{{ text }}}}"]
      concurrency: 1
      retries: 0
    write: ["Write a {{{{ label }}}} review of {{{{ domain }}}}, number {{{{ number }}}}, unlike {{{{ examples | join(' / ') }}}}"]
    domain: kettles
    each: 12
    shots: 1
teacher: {{ network: ngram, arguments: {{ buckets: 97, width: 4, hidden: 8 }}, epochs: 1 }}
student: {{ network: ngram, arguments: {{ buckets: 97, width: 4, hidden: 8 }} }}
distill: {{ epochs: 1 }}
targets: [onnxruntime-cpu]
"""
THINGS = (
    "kettle",
    "lamp",
    "chair",
    "radio",
    "window",
    "garden",
    "coat",
    "ladder",
    "bottle",
    "pencil",
    "basket",
    "mirror",
)
LEAKED = "this bad garden was in the test split all along, word for word"
WRITTEN = (
    "a bad thing: the kettle leaks water over the whole kitchen table",
    LEAKED,  # a test example, as it is
    LEAKED.replace("garden", "gardens").upper(),  # nearly
    "  ",
    "a good thing: this one was written of the wrong class and works very well",  # the filter and the teacher see that
    "a bad thing: the kettle leaks water over the whole kitchen table.",  # the first, nearly
    "train bad lamp 1 with a number of its own 7919",  # a training example
    "bad, and nobody would buy this radio from that shop a second time",
    "bad as it is, the teacher calls it something else when asked anew",
    "bad: every ladder that they have sold me so far has broken",
    "bad: a mirror in which nobody can see themselves at all",
    "bad: a coat without pockets, buttons or sleeves that fit",
)


def rows(name: str, good: int, bad: int) -> pa.Table:
    texts = [
        f"{name} {label} {THINGS[place % 12]} {place} with a number of its own {place * 7919 % 100003}"
        for label, count in (("good", good), ("bad", bad))
        for place in range(count)
    ]
    return pa.table({"text": texts, "label": ["good"] * good + ["bad"] * bad})


@pytest.fixture
def service() -> Iterator[Service]:
    made = Service()
    order: dict[str, str] = {}

    def says(prompt: str) -> str:
        if prompt.startswith("Write"):
            return order.setdefault(prompt, WRITTEN[int(prompt.split("number ")[1].split(",")[0]) - 1])
        return "good" if "asked anew" in prompt or "works very well" in prompt else "bad"

    made.says = says
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def folder(tmp_path: Path, service: Service) -> Path:
    (tmp_path / "reviews").mkdir()
    pq.write_table(rows("train", 90, 15), tmp_path / "reviews" / "train.parquet")
    pq.write_table(rows("validation", 10, 10), tmp_path / "reviews" / "validation.parquet")
    test = [*rows("test", 10, 10).to_pylist(), {"text": LEAKED, "label": "bad"}]
    pq.write_table(pa.Table.from_pylist(test), tmp_path / "reviews" / "test.parquet")
    (tmp_path / "recipe.yaml").write_text(RECIPE.format(url=service.url))
    return tmp_path


def run_of(folder: Path, *overrides: str) -> Run:
    job = load_job(str(folder / "recipe.yaml"), ["threads=1", *overrides])
    run = Run(on_this_machine(fingerprints.fingerprinted(job)), folder / "run", silent)
    (run.folder / "data").mkdir(parents=True, exist_ok=True)
    return run


def made(run: Run, folder: Path) -> dict[str, Any]:
    learning.data(run, run.folder / "data", folder / "kept")
    found: dict[str, Any] = json.loads((run.folder / "data" / "splits.json").read_text())
    return found


KEPT = [WRITTEN[place] for place in (0, 7, 9, 10, 11)]


def test_what_is_kept_is_of_its_class_and_no_copy_and_is_marked_and_counted(
    service: Service, folder: Path
) -> None:
    run = run_of(folder)
    told = made(run, folder)
    table = (run.folder / "data" / "synthesis" / "written.csv").read_text()
    train = Split.load(run.folder / "data", "train")
    assert train.synthetic is not None
    texts = [
        text
        for text, is_written in zip(from_bytes(train.arrays["bytes"]), train.synthetic, strict=True)
        if is_written
    ]
    assert texts == KEPT  # bad is rare, and good is not
    assert told["synthetic"] == {"bad": 5}
    assert told["examples"]["train"] == len(train) == 99 + 5  # six of 105 are the calibration split
    assert set(train.labels[train.synthetic].tolist()) == {0}  # bad, good
    for split in ("calibration", "validation", "test"):
        other = Split.load(run.folder / "data", split)
        assert other.synthetic is None
        assert not set(from_bytes(other.arrays["bytes"])) & set(texts)
    counts = json.loads((run.folder / "data" / "synthesis" / "synthesis.json").read_text())["classes"]["bad"]
    assert counts == {
        "kept": 5,
        synthetic.UNPARSED: 1,
        synthetic.LEAK: 2,
        synthetic.COPY: 1,
        synthetic.REPEATED: 1,
        synthetic.FILTERED: 1,
        synthetic.OTHERWISE: 1,
    }
    assert table.count("near a validation or test example") == 2
    said = [
        note
        for note in told["notes"]
        if note.startswith("synthesis: 5 of 12 examples that a teacher wrote are learnt from")
    ]
    assert len(said) == 1
    prompts = [one["messages"][-1]["content"] for one in service.asked]
    assert prompts[0].startswith("Write a bad review of kettles, number 1, unlike train bad")
    labelled = [prompt for prompt in prompts if prompt.startswith("Say")]
    # What fell to a cheaper judge is not asked about.
    assert len(prompts) == 12 + 6 == len(labelled) + 12
    assert not any(LEAKED in prompt for prompt in labelled)


def test_it_goes_on_at_the_request_where_it_broke(service: Service, folder: Path) -> None:
    service.misbehave = lambda number, content: "400" if number == 7 else None
    with pytest.raises(Exception, match="refuses"):
        made(run_of(folder), folder)
    assert len(service.asked) == 8
    service.misbehave = lambda number, content: None
    told = made(run_of(folder), folder)
    keys = Counter(one["Idempotency-Key"] for one in service.headers)
    assert sorted(keys.values()) == [1] * (len(keys) - 1) + [2]  # the one that failed, and no other
    assert told["synthetic"] == {"bad": 5}


def test_a_budget_is_of_writing_and_labelling_together_and_more_of_it_goes_on(
    service: Service, folder: Path
) -> None:
    for most, before in ((5, 0), (14, 5)):
        with pytest.raises(SpentError, match=f"{most} of {most} requests are used"):
            made(run_of(folder, f"data.synthesis.api.budget.requests={most}"), folder)
        assert len(service.asked) == most > before
    made(run_of(folder, "data.synthesis.api.budget.requests=100"), folder)
    assert max(Counter(one["Idempotency-Key"] for one in service.headers).values()) == 1
    with pytest.raises(UsageError, match="one request takes about"):
        made(
            run_of(folder, "data.synthesis.api.budget.tokens=9", "data.synthesis.domain=lamps"),
            folder / "new",
        )


def test_more_budget_is_the_same_step_and_another_template_is_not(folder: Path) -> None:
    def key(*overrides: str) -> object:
        return steps(run_of(folder, *overrides))[0].settings

    assert key() == key("data.synthesis.api.budget.requests=7", "data.synthesis.api.concurrency=2")
    assert key() != key("data.synthesis.domain=lamps")


def test_a_teacher_that_is_asked_answers_what_was_written_too(service: Service, folder: Path) -> None:
    asked = "+teachers={weight: 1, others: {remote: {api: {kind: openai-chat, url: '%s', model: small, prompts: ['Say good or bad: {{ text }}']}}}}"
    run = run_of(folder, asked % service.url)
    told = made(run, folder)
    examples = api_teachers._examples(run)["train"].values
    assert len(examples) == told["examples"]["train"]
    assert list(examples[-told["synthetic"]["bad"] :])[:2] == [KEPT[0], KEPT[1]]


def test_a_function_writes_and_a_function_filters(folder: Path) -> None:
    (folder / "own.py").write_text(
        "def answer(prompt):\n"
        "    if prompt.startswith('Write'):\n"
        "        return '1. bad and broken as of number %s\\n- a fine bad day in town %s' % ((prompt.split('number ')[1].split(',')[0],) * 2)\n"
        "    return 'bad'\n"
        "def keep(text, label):\n"
        "    return 'broken' in text and label == 'bad'\n"
    )
    api = [
        "data.synthesis.api.kind=function",
        "data.synthesis.api.url=''",
        "+data.synthesis.api.function='own.py:answer'",
    ]
    more = [
        "data.synthesis.answer=lines",
        "data.synthesis.filter='own.py:keep'",
        "data.synthesis.each=3",
        "data.synthesis.near=0.99",
    ]
    run = run_of(folder, *api, *more)
    assert made(run, folder)["synthetic"] == {"bad": 3}
    assert run.job.outside["synthesis"]
    written = synthetic.kept(run.folder / "data" / "synthesis" / "written.csv")
    assert written == [(f"bad and broken as of number {number}", "bad") for number in (1, 2, 3)]
    before = run.job.outside["synthesis"]
    (folder / "own.py").write_text((folder / "own.py").read_text() + "# another\n")
    assert run_of(folder, *api, *more).job.outside["synthesis"] != before


def test_personal_data_in_what_is_shown_are_replaced_before_they_are_sent(
    service: Service, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = rows("train", 90, 15).to_pylist()
    for row in table[90:]:
        row["text"] += " ann@mail.example"
    pq.write_table(pa.Table.from_pylist(table), folder / "reviews" / "train.parquet")
    monkeypatch.delenv(KEY, raising=False)
    with pytest.raises(UsageError, match="there is no key for them"):
        made(run_of(folder), folder)
    assert not service.asked
    monkeypatch.setenv(KEY, "a secret of some length")
    made(run_of(folder), folder)
    assert "mail.example" not in json.dumps(service.asked)
    assert "<email:" in json.dumps(service.asked)


@pytest.mark.parametrize(
    ("override", "error", "said"),
    [
        (
            "data.synthesis.write=['Write of {{ domain }} {{ number }}']",
            UsageError,
            "does not say which class",
        ),
        (
            "data.synthesis.write=['Write {{ lable }}']",
            UsageError,
            "unknown field 'lable'; did you mean 'label'",
        ),
        ("data.synthesis.api.prompts=['{{ txt }}']", UsageError, "unknown field 'txt'; did you mean 'text'"),
        ("data.synthesis.classes=[bda]", DataError, "'bda' is no class of the data; did you mean 'bad'"),
        ("data.synthesis.filter='own.py:keep'", UsageError, "no such file"),
    ],
)
def test_what_cannot_be_asked_is_told_before_anything_is(
    service: Service, folder: Path, override: str, error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        made(run_of(folder, override), folder)
    assert not service.asked


def test_at_temperature_0_the_same_prompt_is_asked_once(folder: Path) -> None:
    with pytest.raises(UsageError, match="all 12 answers are the same"):
        made(
            run_of(folder, "data.synthesis.write=['A {{ label }} one']", "data.synthesis.temperature=0"),
            folder,
        )


def test_without_a_rare_class_those_to_write_of_are_named(service: Service, folder: Path) -> None:
    pq.write_table(rows("train", 50, 50), folder / "reviews" / "train.parquet")
    with pytest.raises(DataError, match="no class is rare"):
        made(run_of(folder), folder)
    assert not service.asked


def test_a_recipe_says_what_does_not_go_together(folder: Path) -> None:
    with pytest.raises(
        RecipeError, match=r"data\.synthesis changes which examples there are, and stored soft_labels"
    ):
        load_job(str(folder / "recipe.yaml"), ["+teachers.others={a: {soft_labels: x.npz}}"])
    with pytest.raises(RecipeError, match="kserve-v2 writes no texts"):
        load_job(
            str(folder / "recipe.yaml"),
            ["data.synthesis.api={kind: kserve-v2, url: 'http://127.0.0.1', model: m}"],
        )


def test_the_gravest_is_told_of_what_is_several() -> None:
    one = synthetic.Candidate("the same text that is in the test split and in the training split", 0, 0, 0)
    real = {"train": [one.text], "test": [one.text]}
    found = synthetic.without_copies([one, replace(one, number=1)], real, 0.8, silent)
    assert [each.became for each in found] == [synthetic.LEAK, synthetic.LEAK]
    with pytest.raises(DataError, match="0 answers to 1 texts"):
        synthetic.judged([one], lambda texts, labels: [], synthetic.FILTERED)
    assert synthetic.rare(np.array([0] * 80 + [1] * 20), ("a", "b")) == [1]
