"""A service writes what a language model's student learns: each prompt asked once, what breaks goes on where it broke, reasoning left out where asked."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from openai_service import Service
from small_language import tokenizer, write_model

import edgecomp
from edgecomp.config.parts.language import Language
from edgecomp.data.personal.pseudonyms import KEY
from edgecomp.errors import DataError, RecipeError, SpentError, UsageError
from edgecomp.language.texts import Tokens, without_reasoning
from edgecomp.language.training import _stripped

pytest.importorskip("gguf", reason="needs the extra `language`")

RECIPE = """name: written
task: causal-lm
threads: 1
data: {{ source: huggingface, path: chats.jsonl, max_length: 32 }}
teacher: {{ network: "hf:model", epochs: 0 }}
student: {{ network: teacher, arguments: {{ layers: 1 }} }}
distill: {{ epochs: 1, batch_size: 8, temperature: 1, hard_label_weight: 1 }}
language:
  top_k: 8
  prompt_tokens: [8]
  new_tokens: 4
  learn_from: teacher-texts
  teacher_tokens: 32
  writer: {{ kind: openai-chat, url: "{url}", model: large, prompts: ["Shortly: {{{{ text }}}}"], concurrency: 1, retries: 0 }}
targets: [openvino-genai]
policy: language
"""
COUNT = 60


@pytest.fixture
def service() -> Iterator[Service]:
    made = Service()
    made.says = lambda prompt: f"the {prompt.split()[-1]} sat."
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def recipe(tmp_path: Path, service: Service) -> Path:
    write_model(tmp_path / "model")
    rows = [{"prompt": f"where is cat {number}", "answer": "on the mat."} for number in range(COUNT)]
    (tmp_path / "chats.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "recipe.yaml").write_text(RECIPE.format(url=service.url))
    return tmp_path / "recipe.yaml"


def learnt(folder: Path) -> list[str]:
    """The texts, prompt and answer, that the student is given."""
    tokens, read = Tokens.load(folder / "soft_labels" / "texts.npz"), tokenizer()
    return [
        read.decode(ids[: int(mask.sum())]) for ids, mask in zip(tokens.input_ids, tokens.mask, strict=True)
    ]


def until_labels(recipe: Path, *overrides: str) -> Path:
    return edgecomp.run(
        recipe, list(overrides), out=recipe.parent / "run", until="soft_labels", history=None
    ).folder


def test_what_the_service_says_is_learnt_and_not_what_the_data_say(recipe: Path, service: Service) -> None:
    folder = until_labels(recipe)
    found = learnt(folder)
    asked = Counter(one["messages"][-1]["content"] for one in service.asked)
    assert set(asked.values()) == {1}
    assert all(one.startswith("Shortly: where is cat ") for one in asked)
    numbers = {one.split()[-1] for one in asked}
    assert len(found) == len(asked) == len(Tokens.load(folder / "data" / "train.npz"))
    assert set(found) == {f"where is cat {number}the {number} sat.<|end|>" for number in numbers}
    told = json.loads((folder / "soft_labels" / "api.json").read_text())
    assert told["answered_as"] == "small-1"
    assert (told["prompts"], told["unanswered"], told["tries"]) == (len(asked), 0, len(asked))
    # Held-out texts are the data's own, which the student is judged by.
    test = Tokens.load(folder / "data" / "test.npz")
    assert "on the mat." in tokenizer().decode(test.input_ids[0])


def test_a_spent_budget_is_gone_on_from_and_nothing_is_asked_twice(recipe: Path, service: Service) -> None:
    with pytest.raises(SpentError):
        until_labels(recipe, "+language.writer.budget={requests: 7}")
    assert len(service.asked) == 7
    folder = until_labels(recipe)
    asked = Counter(json.dumps(one["messages"]) for one in service.asked)
    assert set(asked.values()) == {1}
    assert len(learnt(folder)) == len(asked)
    before = len(service.asked)
    until_labels(recipe, "+language.writer.budget={requests: 500}")
    assert len(service.asked) == before


def test_answers_that_are_cut_off_or_never_end_their_reasoning_are_not_learnt(
    recipe: Path, service: Service
) -> None:
    def says(prompt: str) -> str:
        number = int(prompt.split()[-1])
        block = "<think>the dog" if number % 4 == 1 else "<think>the dog ran.</think>\n\n"
        return block + f"the {number} sat."

    service.says = says
    service.ends = lambda said: "length" if said.endswith("2 sat.") else "stop"
    folder = until_labels(recipe, "+language.reasoning=strip")
    numbers = {int(one["messages"][-1]["content"].split()[-1]) for one in service.asked}
    left = {number for number in numbers if number % 4 != 1 and number % 10 != 2}
    assert set(learnt(folder)) == {f"where is cat {number}the {number} sat.<|end|>" for number in left}


def test_personal_data_are_pseudonyms_for_service_and_student(
    recipe: Path, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY, "a secret of thirty-two characters")
    chats = recipe.parent / "chats.jsonl"
    chats.write_text(chats.read_text().replace("cat 3", "cat ann@firm.de 3"))
    folder = until_labels(recipe, "data.max_length=64")
    sent = [one["messages"][-1]["content"] for one in service.asked]
    assert any("<email:" in one for one in sent)
    assert not any("ann@firm" in one for one in [*sent, *learnt(folder)])
    assert any("<email:" in one for one in learnt(folder))


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("language.learn_from=data", "writer: what it writes is learnt with learn_from: teacher-texts"),
        ("+language.writer.samples=2", "a text is asked for, once each, and samples is of labels|at temperature 0"),
        ("+language.writer.logprobs=true", "logprobs is of labels"),
    ],
)  # fmt: skip
def test_what_a_writer_cannot_be_is_told(recipe: Path, override: str, told: str) -> None:
    with pytest.raises(RecipeError, match=told):
        edgecomp.plan(recipe, [override])


def test_what_cannot_be_asked_is_told_before_anything_is(recipe: Path, service: Service) -> None:
    with pytest.raises(UsageError, match=r"language\.writer: kind kserve-v2 writes no texts"):
        until_labels(
            recipe,
            "language.writer.kind=kserve-v2",
            "language.writer.prompts=[]",
        )
    with pytest.raises(UsageError, match="the environment has no MY_KEY"):
        until_labels(recipe, "+language.writer.key=MY_KEY")
    chats = recipe.parent / "chats.jsonl"
    chats.write_text("".join(json.dumps({"text": f"the cat {number} sat."}) + "\n" for number in range(60)))
    with pytest.raises(DataError, match=r"language\.writer: answers are to prompts"):
        until_labels(recipe)
    assert not service.asked


def test_a_recipe_without_a_writer_has_the_digest_that_it_had() -> None:
    assert not {"writer", "reasoning"} & Language().model_dump().keys()


@pytest.mark.parametrize(
    ("answer", "left"),
    [
        ("yes", "yes"),
        ("<think>\nhm\n</think>\n\nyes", "yes"),
        ("hm</think> yes", "yes"),
        ("<think>hm", None),
        ("a <think>b</think> c", "a c"),
        ("<think>a</think><think>b</think>c", "c"),
        ("<think>a</think>b<think>c", None),
        ("<think></think>", ""),
    ],
)
def test_reasoning_is_left_out(answer: str, left: str | None) -> None:
    assert without_reasoning(answer) == left


def test_a_local_teachers_reasoning_is_left_out_of_its_tokens() -> None:
    read = tokenizer()
    prompt = read.encode("where is the cat")

    def left(said: str, *end: int) -> str | None:
        whole = [*prompt, *read.encode(said), *end]
        found = _stripped(whole, len(prompt), read)
        return None if found is None else read.decode(found)

    assert left("<think>the dog</think> on the mat.", 0) == "where is the caton the mat.<|end|>"
    assert left("on the mat.", 0) == "where is the caton the mat.<|end|>"
    assert left("<think>the dog") is None
    assert left("<think>the dog</think>", 0) is None  # it would learn to say nothing
