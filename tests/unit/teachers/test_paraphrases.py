"""A teacher writes the training texts anew, by one prompt or a chain of them: a view each, asked once, and what breaks goes on where it broke."""

import json
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from openai_service import Service

import edgecomp
from edgecomp.config.job import load_job, on_this_machine
from edgecomp.data.personal.pseudonyms import KEY
from edgecomp.data.splits import Split
from edgecomp.errors import RecipeError, SpentError, UsageError
from edgecomp.files.array_files import read_npz
from edgecomp.inputs import from_bytes
from edgecomp.pipeline import fingerprints
from edgecomp.pipeline.loaders import Run
from edgecomp.pipeline.stages import learning
from edgecomp.pipeline.steps import steps
from edgecomp.progress import silent

RECIPE = """
name: paraphrased
data:
  source: huggingface
  path: reviews
  inputs: text
  label: label
  max_bytes: 96
  views: 3
  augment:
    paraphrase:
      kind: openai-chat
      url: {url}
      model: small
      prompts: ["To German: {{{{ text }}}}", "To English: {{{{ text }}}}"]
      temperature: 1.0
      concurrency: 1
      retries: 0
teacher: {{ network: ngram, arguments: {{ buckets: 97, width: 4, hidden: 8 }}, epochs: 1 }}
student: {{ network: ngram, arguments: {{ buckets: 97, width: 4, hidden: 8 }} }}
distill: {{ epochs: 1 }}
targets: [onnxruntime-cpu]
"""
COUNT = 12  # of each class
SILENT = "lamp 3"  # of which the service says nothing


@pytest.fixture
def service() -> Iterator[Service]:
    made = Service()

    def says(prompt: str) -> str:
        language, _, text = prompt.partition(": ")
        if SILENT in text and language == "To English":
            return "  "
        return f"auf Deutsch {text}" if language == "To German" else text.replace("auf Deutsch ", "anew ")

    made.says = says
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def folder(tmp_path: Path, service: Service) -> Path:
    (tmp_path / "reviews").mkdir()
    for name in ("train", "validation", "test", "calibration"):
        texts = [f"{name} {label} lamp {place}" for label in ("good", "bad") for place in range(COUNT)]
        table = {"text": texts, "label": ["good"] * COUNT + ["bad"] * COUNT}
        pq.write_table(pa.table(table), tmp_path / "reviews" / f"{name}.parquet")
    (tmp_path / "recipe.yaml").write_text(RECIPE.format(url=service.url))
    return tmp_path


def run_of(folder: Path, *overrides: str) -> Run:
    job = load_job(str(folder / "recipe.yaml"), ["threads=1", *overrides])
    run = Run(on_this_machine(fingerprints.fingerprinted(job)), folder / "run", silent)
    shutil.rmtree(run.folder, ignore_errors=True)
    (run.folder / "data").mkdir(parents=True)
    return run


def made(run: Run, folder: Path) -> list[list[str]]:
    """The views of the training texts, the texts themselves the first."""
    data = run.folder / "data"
    learning.data(run, data, folder / "kept")
    views = [
        read_npz(data / "views" / f"{view}.npz")["bytes"] for view in range(1, run.job.recipe.data.views)
    ]
    return [from_bytes(rows) for rows in (Split.load(data, "train").arrays["bytes"], *views)]


def test_each_view_is_the_texts_through_the_chain_and_one_without_an_answer_stays(
    service: Service, folder: Path
) -> None:
    run = run_of(folder)
    first, second, third = made(run, folder)
    for view in (second, third):
        assert view == [text if text.endswith(SILENT) else f"anew {text}" for text in first]
    told = json.loads((run.folder / "data" / "paraphrases" / "paraphrases.json").read_text())["views"]
    assert told == {
        view: {"texts": len(first), "unanswered": 2, "cut_off": 0, "unchanged": 0} for view in ("1", "2")
    }
    prompts = Counter(one["messages"][-1]["content"] for one in service.asked)
    assert set(prompts.values()) == {2}  # once a view
    assert all(
        f"train {label}" in prompt for prompt in prompts for label in ("good", "bad") if label in prompt
    )


def test_it_goes_on_at_the_request_where_it_broke_and_more_budget_is_the_same_step(
    service: Service, folder: Path
) -> None:
    service.misbehave = lambda number, content: "400" if number == 30 else None
    with pytest.raises(Exception, match="refuses"):
        made(run_of(folder), folder)
    service.misbehave = lambda number, content: None
    with pytest.raises(SpentError, match="40 of 40 requests are used"):
        made(run_of(folder, "+data.augment.paraphrase.budget.requests=40"), folder)
    made(run_of(folder), folder)
    keys = Counter(one["Idempotency-Key"] for one in service.headers)
    assert sorted(keys.values()) == [1] * (len(keys) - 1) + [2]  # the one that failed, and no other
    plain, richer, other = (
        steps(run_of(folder, *more))[0].settings
        for more in (
            (),
            ("+data.augment.paraphrase.budget.requests=40",),
            ("data.augment.paraphrase.model=large",),
        )
    )
    assert plain == richer != other


def test_a_function_paraphrases_too(folder: Path) -> None:
    (folder / "own.py").write_text("def answer(prompt):\n    return prompt.upper()\n")
    text = (folder / "recipe.yaml").read_text()
    head, _, rest = text.partition("    paraphrase:\n")
    (folder / "recipe.yaml").write_text(
        head
        + "    paraphrase: { kind: function, function: 'own.py:answer' }\n"
        + rest[rest.index("teacher:") :]
    )
    run = run_of(folder)
    first, second, third = made(run, folder)
    assert second == third == [text.upper() for text in first]
    before = run.job.outside["augmentation"]
    (folder / "own.py").write_text("def answer(prompt):\n    return prompt.lower()\n")
    assert run_of(folder).job.outside["augmentation"] != before


def test_personal_data_are_replaced_before_they_are_sent(
    service: Service, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = pq.read_table(folder / "reviews" / "train.parquet").to_pylist()
    table[0]["text"] = "good lamp, write to ann@mail.example"
    pq.write_table(pa.Table.from_pylist(table), folder / "reviews" / "train.parquet")
    monkeypatch.setenv(KEY, "a secret of some length")
    made(run_of(folder), folder)
    assert "mail.example" not in json.dumps(service.asked)
    assert "<email:" in json.dumps(service.asked)


@pytest.mark.parametrize(
    ("override", "said"),
    [
        (
            "data.augment.paraphrase.prompts=['Anew, please']",
            r"prompts\[0\]: names nothing of the example",
        ),
        ("data.augment.paraphrase.prompts=['{{ txt }}']", "unknown field 'txt'; did you mean 'text'"),
        ("data.augment.paraphrase.temperature=0", "at temperature 0 all 2 paraphrases are the same"),
        ("+data.augment.paraphrase.key=NO_SUCH_KEY", "the environment has no NO_SUCH_KEY"),
    ],
)
def test_what_cannot_be_asked_is_told_before_anything_is(
    service: Service, folder: Path, override: str, said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        made(run_of(folder, override), folder)
    assert not service.asked


def test_an_answer_that_is_cut_off_is_none(service: Service, folder: Path) -> None:
    service.ends = lambda said: "length" if "good lamp" in said else "stop"
    run = run_of(folder)
    first, second, _ = made(run, folder)
    assert second == [text if "good" in text or text.endswith(SILENT) else f"anew {text}" for text in first]
    told = json.loads((run.folder / "data" / "paraphrases" / "paraphrases.json").read_text())["views"]
    assert told["1"]["cut_off"] == sum("good" in text for text in first)


def test_a_plan_asks_nobody(service: Service, folder: Path) -> None:
    planned = edgecomp.plan(folder / "recipe.yaml", out=folder / "run")
    assert "data" in planned.reasons
    assert not service.asked


def test_one_writes_the_texts_anew(folder: Path) -> None:
    with pytest.raises(RecipeError, match="a text is asked for, once each, and samples is of labels"):
        load_job(str(folder / "recipe.yaml"), ["+data.augment.paraphrase.samples=3"])
    with pytest.raises(RecipeError, match="rewrite and paraphrase both write the texts anew"):
        load_job(str(folder / "recipe.yaml"), ["+data.augment.rewrite='own.py:answer'"])
