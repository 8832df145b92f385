"""A teacher behind an API, against a local service that misbehaves in every way there is: nothing is asked twice, guessed, lost or shown."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai_service import Service

from edgecomp.data.personal.pseudonyms import KEY
from edgecomp.errors import DataError, SpentError, TeacherError, UsageError
from edgecomp.progress import silent, unheard
from edgecomp.teachers.api import labelling
from edgecomp.teachers.api.asked import Answer, Asked, Limits, Rule
from edgecomp.teachers.api.journal import Journal
from edgecomp.teachers.api.labelling import Examples
from edgecomp.teachers.api.limits import Budget, Rate
from edgecomp.teachers.api.parsing import Parser
from edgecomp.teachers.api.prompts import Prompts

SECRET = "sk-nobody-may-see-this"
CLASSES = ("good", "bad")
TEXTS = [f"line {number} is {'good' if number % 3 else 'bad'}" for number in range(12)]


@pytest.fixture
def service() -> Iterator[Service]:
    made = Service()
    yield made
    made.server.shutdown()
    made.server.server_close()


def asked_of(service: Service, **more: Any) -> Asked:
    limits = Limits(**{"concurrency": 3, "retries": 3, **more.pop("limits", {})})
    return Asked(
        **{
            "kind": "openai-chat",
            "url": service.url,
            "model": "small",
            "prompts": ("Say good or bad: {{ text }}",),
            "limits": limits,
            **more,
        }
    )


def label(asked: Asked, folder: Path, texts: list[str] | None = None, **more: Any) -> dict[str, Any]:
    splits = {"train": Examples(texts or TEXTS), "validation": Examples((texts or TEXTS)[:3])}
    given = {"secret": SECRET, "call": None, "sleep": lambda seconds: None, "note": unheard, **more}
    labelling.label(asked, splits, CLASSES, journal=folder, out=folder, track=silent, **given)
    return {**np.load(folder / "answers.npz")}


def told(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "api.json").read_text())
    return found


def right(texts: list[str]) -> list[int]:
    return [0 if "is good" in text else 1 for text in texts]


def test_every_example_is_answered_and_the_cost_is_told(service: Service, tmp_path: Path) -> None:
    asked = asked_of(service, limits={"input_price": 1.0, "output_price": 10.0})
    found = label(asked, tmp_path)
    assert found["train"].shape == (12, 2)
    assert found["train"].argmax(axis=1).tolist() == right(TEXTS)
    assert found["validation"].argmax(axis=1).tolist() == right(TEXTS[:3])
    assert len(service.asked) == 12  # those of the validation split are the same texts
    np.testing.assert_allclose(np.exp(found["train"]).sum(axis=1), 1, atol=1e-6)
    said = told(tmp_path)
    assert said["tokens"] == {"input": 120, "output": 12, "counted": True}
    assert said["money"] == pytest.approx((120 * 1 + 12 * 10) / 1e6)
    assert said["answered_as"] == "small-1"
    assert (said["unparsed"], said["tries"]) == (0, 12)
    assert {one["Authorization"] for one in service.headers} == {f"Bearer {SECRET}"}
    assert len({one["Idempotency-Key"] for one in service.headers}) == 12


@pytest.mark.parametrize("wrong", ["429", "500", "503", "cut", "gone", "garbage"])
def test_what_may_pass_is_asked_again(service: Service, tmp_path: Path, wrong: str) -> None:
    waits: list[float] = []
    service.misbehave = lambda number, content: wrong if number % 2 == 0 and number < 8 else None
    found = label(asked_of(service, limits={"concurrency": 1}), tmp_path, sleep=waits.append)
    assert found["train"].argmax(axis=1).tolist() == right(TEXTS)
    assert len(service.asked) == 16
    assert sum(told(tmp_path)["retried"].values()) == 4
    assert told(tmp_path)["tries"] == 16
    repeated = Counter(one["Idempotency-Key"] for one in service.headers)
    assert sorted(repeated.values()) == [1] * 8 + [2] * 4  # the same key for the same request
    assert len(waits) == 4
    assert all(wait == 7.0 for wait in waits) if wrong == "429" else all(wait <= 4.0 for wait in waits)


def test_a_service_that_is_slow_is_given_up_in_time(service: Service, tmp_path: Path) -> None:
    service.misbehave = lambda number, content: "slow" if number == 0 else None
    found = label(asked_of(service, limits={"timeout_s": 0.2, "concurrency": 1}), tmp_path)
    assert found["train"].argmax(axis=1).tolist() == right(TEXTS)
    assert sum(told(tmp_path)["retried"].values()) >= 1


def test_what_does_not_pass_is_told_and_what_was_answered_is_kept(service: Service, tmp_path: Path) -> None:
    service.misbehave = lambda number, content: "500" if number >= 5 else None
    one_by_one = {"concurrency": 1}
    with pytest.raises(
        TeacherError, match=r"tried 4 times, at last: status 500: no, Bearer …\. What was answered is kept"
    ) as raised:
        label(asked_of(service, limits=one_by_one), tmp_path)
    assert SECRET not in str(raised.value)
    assert len(service.asked) == 9
    service.misbehave = lambda number, content: None
    label(asked_of(service, limits=one_by_one), tmp_path)
    assert len(service.asked) == 9 + 7  # the five that were answered are not asked again
    assert told(tmp_path)["tries"] == 16  # those that failed were asked as well
    assert not any(SECRET.encode() in file.read_bytes() for file in tmp_path.iterdir())


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("401", r"refuses \(status 401\): is the key right"),
        ("400", r"refuses \(status 400\): no, Bearer …"),
        ("307", "a redirect is not followed"),
        ("two", "it has 2 choices, and one was asked for"),
        ("none", "it has 0 choices"),
        ("list", "it has no choices"),
        ("no logprobs", "logprobs were asked for, and it has none"),
    ],
)
def test_what_would_be_the_same_again_is_asked_once(
    service: Service, tmp_path: Path, wrong: str, said: str
) -> None:
    service.misbehave = lambda number, content: wrong
    with pytest.raises(TeacherError, match=said) as raised:
        label(asked_of(service, logprobs=True, limits={"concurrency": 1}), tmp_path)
    assert len(service.asked) == 1
    assert SECRET not in str(raised.value)


def test_a_model_that_changes_is_told(service: Service, tmp_path: Path) -> None:
    def change(number: int, content: dict[str, Any]) -> None:
        service.model = "small-1" if number < 6 else "small-2"

    service.misbehave = change
    with pytest.raises(TeacherError, match="it answered as small-1 and as small-2"):
        label(asked_of(service, limits={"concurrency": 1}), tmp_path)
    with pytest.raises(TeacherError, match="small-1 and as small-2"):  # the next day as well
        label(asked_of(service, limits={"concurrency": 1}), tmp_path)
    assert len(service.asked) == 8


@pytest.mark.parametrize(
    ("limits", "asked", "said"),
    [
        ({"requests": 5}, 5, "5 of 5 requests are used"),
        ({"tokens": 130}, None, "of 130 tokens are used"),
        (
            {"money": 0.001, "input_price": 10.0, "output_price": 10.0},
            None,
            "of 0.001 are spent, and one more could cost",
        ),
    ],
)
def test_a_budget_stops_cleanly_and_goes_on_where_it_ended(
    service: Service, tmp_path: Path, limits: dict[str, Any], asked: int | None, said: str
) -> None:
    with pytest.raises(SpentError, match=said) as raised:
        label(asked_of(service, limits={**limits, "concurrency": 1}), tmp_path)
    assert raised.value.exit_code == 3
    before = len(service.asked)
    assert 0 < before < 12
    assert asked is None or before == asked
    found = label(asked_of(service, limits={"concurrency": 2}), tmp_path)
    assert len(service.asked) == 12  # and no more
    assert found["train"].argmax(axis=1).tolist() == right(TEXTS)
    assert told(tmp_path)["tokens"]["input"] == 120  # of both sittings


def test_a_budget_that_covers_no_request_is_told_before_one_is_asked(
    service: Service, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=r"one request takes about \d+ tokens, and 0 of 9 tokens are used"):
        label(asked_of(service, limits={"tokens": 9}), tmp_path)
    assert not service.asked


def test_what_does_not_parse_is_kept_apart_and_never_guessed(service: Service, tmp_path: Path) -> None:
    service.says = lambda prompt: {"1": "I think it is good", "2": "GOOD.", "3": ""}.get(
        prompt.split()[5], "bad"
    )
    found = label(asked_of(service), tmp_path)
    assert np.isnan(found["train"][[1, 3]]).all()
    assert found["train_parsed"].tolist() == [1, 0, 1, 0] + [1] * 8
    assert found["train"][2].argmax() == 0
    assert told(tmp_path)["unparsed"] == 3  # one of them of the validation split
    assert told(tmp_path)["answered"] == {"train": 10, "validation": 2}
    assert "I think it is good" in (tmp_path / "unparsed.csv").read_text()


def test_several_prompts_and_samples_are_one_answer_with_a_confidence(
    service: Service, tmp_path: Path
) -> None:
    given: Counter[str] = Counter()

    def say(prompt: str) -> str:
        given[prompt] += 1
        return "bad" if given[prompt] == 3 else "good"

    service.says = say
    asked = asked_of(
        service,
        prompts=("A: {{ text }}", "B {{ classes | join('/') }}: {{ text }}"),
        samples=3,
        temperature=1.0,
        smoothing=0.0,
    )
    found = label(asked, tmp_path, TEXTS[:4])
    assert len(service.asked) == 4 * 2 * 3
    np.testing.assert_allclose(np.exp(found["train"]), [[4 / 6, 2 / 6]] * 4, atol=1e-6)
    np.testing.assert_allclose(found["train_confidence"], 4 / 6, atol=1e-6)


def test_probabilities_of_the_first_token_are_used_where_they_are_given(
    service: Service, tmp_path: Path
) -> None:
    found = label(asked_of(service, logprobs=True, smoothing=0.0), tmp_path, ["it is good", "it is bad"])
    shares = np.exp([-0.1, -2.4]) / np.exp([-0.1, -2.4]).sum()
    np.testing.assert_allclose(np.exp(found["train"]), [shares, shares[::-1]], atol=1e-6)
    assert service.asked[0]["top_logprobs"] == 20


PERSONAL = ["ann@mail.example is good", "call +44 20 7946 0958, it is bad", "nobody is good"]


def test_personal_data_are_replaced_before_anything_is_sent_or_kept(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(KEY, raising=False)
    with pytest.raises(UsageError, match="there is no key for them"):
        label(asked_of(service), tmp_path, PERSONAL)
    assert not service.asked
    monkeypatch.setenv(KEY, "a secret of some length")
    label(asked_of(service), tmp_path, PERSONAL)
    sent = json.dumps(service.asked)
    kept = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    for word in ("mail.example", "7946", "a secret"):
        assert word not in sent
        assert word.encode() not in kept
    assert "<email:" in sent
    # the validation split has the same three
    assert told(tmp_path)["personal_data"] == {
        "replaced": {"email": 2, "phone": 2},
        "sent": {},
        "send_personal_data": False,
    }


def test_originals_are_sent_where_that_is_declared_and_it_is_recorded(
    service: Service, tmp_path: Path
) -> None:
    label(asked_of(service, send_personal_data=True), tmp_path, PERSONAL)
    assert "ann@mail.example" in json.dumps(service.asked)
    assert told(tmp_path)["personal_data"] == {
        "replaced": {},
        "sent": {"email": 2, "phone": 2},
        "send_personal_data": True,
    }


def test_killed_at_any_moment_it_asks_again_what_was_under_way_and_no_more(
    service: Service, tmp_path: Path
) -> None:
    """A kill is a journal that ends anywhere, for an answer is written before another request is asked."""
    whole = label(asked_of(service, limits={"concurrency": 1}), tmp_path)
    content = (tmp_path / "answers.jsonl").read_bytes()
    lines = content.splitlines(keepends=True)
    for cut in [0, 1, len(lines[0]) - 1, len(lines[0]), len(content) // 2, len(content) - 1, len(content)]:
        folder = tmp_path / str(cut)
        folder.mkdir()
        (folder / "answers.jsonl").write_bytes(content[:cut])
        service.asked.clear()
        again = label(asked_of(service, limits={"concurrency": 1}), folder)
        assert len(service.asked) == len(lines) - content[:cut].count(b"\n")
        assert all(np.array_equal(whole[name], again[name]) for name in whole)


def test_data_or_labels_that_grew_ask_for_what_is_new_alone(service: Service, tmp_path: Path) -> None:
    first, second, third = tmp_path / "first", tmp_path / "second", tmp_path / "third"
    for folder in (first, second, third):
        folder.mkdir()
    notes: list[str] = []
    label(asked_of(service, limits={"requests": 12}), first)
    assert (first / "answers.jsonl").is_file()
    grown = [*TEXTS, "line 12 is good", "line 13 is bad"]
    found = label(
        asked_of(service, limits={"requests": 2}),
        second,
        grown,
        before=first / "answers.jsonl",
        note=notes.append,
    )
    assert len(service.asked) == 12 + 2
    assert found["train"].argmax(axis=1).tolist() == right(grown)
    assert "12 answers of before hold" in notes[0]
    assert told(second)["tries"] == 2  # what was paid for is not paid for again
    (first / "answers.jsonl").write_bytes(b"no journal\n")
    label(
        asked_of(service, prompts=("Another {{ text }} {{ classes }}",)),
        third,
        before=first / "answers.jsonl",
    )
    assert len(service.asked) == 14 + 12


def test_answers_of_another_set_of_labels_are_told(service: Service, tmp_path: Path) -> None:
    label(asked_of(service), tmp_path)
    assert set(labelling.read(tmp_path / "answers.npz", CLASSES)) == {"train", "validation"}
    with pytest.raises(DataError, match="its classes are not the data's"):
        labelling.read(tmp_path / "answers.npz", (*CLASSES, "neither"))


def test_a_journal_that_is_none_is_told(tmp_path: Path) -> None:
    (tmp_path / "answers.jsonl").write_text('{"id": "x"}\n')
    with pytest.raises(DataError, match="line 1: no answer of a teacher"):
        Journal(tmp_path / "answers.jsonl")


def test_the_number_of_requests_at_a_time_changes_nothing(service: Service, tmp_path: Path) -> None:
    found = []
    for count in (1, 2, 4):
        (tmp_path / str(count)).mkdir()
        found.append(label(asked_of(service, limits={"concurrency": count}), tmp_path / str(count)))
    for other in found[1:]:
        assert all(np.array_equal(found[0][name], other[name]) for name in other)


def test_completions_and_kserve_are_asked_in_their_own_words(tmp_path: Path) -> None:
    sent: list[tuple[str, Any]] = []

    class Recorded:
        def __init__(self, content: Any) -> None:
            self.content = content

        def post(
            self, url: str, header: Mapping[str, str], body: bytes, timeout_s: float
        ) -> tuple[int, Mapping[str, str], bytes]:
            sent.append((url, json.loads(body)))
            return 200, {}, json.dumps(self.content).encode()

    top = {"choices": [{"text": " good", "logprobs": {"top_logprobs": [{" good": -0.5, " bad": -0.9}]}}]}
    asked = Asked(
        "openai-completions", "https://a.example/v1", "m", ("{{ text }} is",), logprobs=True, smoothing=0.0
    )
    found = label(asked, tmp_path, ["this"], transport=Recorded(top))
    shares = np.exp([-0.5, -0.9]) / np.exp([-0.5, -0.9]).sum()
    np.testing.assert_allclose(np.exp(found["train"][0]), shares, atol=1e-6)
    assert sent[0][0] == "https://a.example/v1/completions"
    assert sent[0][1] == {
        "model": "m",
        "prompt": "this is",
        "temperature": 0.0,
        "max_tokens": 16,
        "n": 1,
        "logprobs": 20,
    }
    assert told(tmp_path)["tokens"]["counted"] is False

    folder = tmp_path / "kserve"
    folder.mkdir()
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    infer = Asked("kserve-v2", "https://a.example", "net", input="x", output="y", smoothing=0.0)
    reply = {"model_name": "net", "outputs": [{"name": "y", "shape": [1, 2], "data": [2.0, 0.0]}]}
    labelling.label(
        infer, {"train": Examples(values)}, CLASSES, secret=None, call=None, journal=folder, out=folder,
        track=silent, note=unheard, transport=Recorded(reply),
    )  # fmt: skip
    assert sent[-1][0] == "https://a.example/v2/models/net/infer"
    assert sent[-1][1] == {
        "inputs": [{"name": "x", "shape": [1, 3], "datatype": "FP32", "data": [3.0, 4.0, 5.0]}],
        "outputs": [{"name": "y"}],
    } or sent[-1][1]["inputs"][0]["data"] == [0.0, 1.0, 2.0]
    np.testing.assert_allclose(
        np.load(folder / "answers.npz")["train"], [[-0.126928, -2.126928]] * 2, atol=1e-5
    )


def test_a_function_of_ones_own_is_a_teacher(tmp_path: Path) -> None:
    found = label(
        Asked("function", prompts=("{{ text }}",), smoothing=0.0),
        tmp_path,
        call=lambda prompt: "good" if "good" in prompt else [0.2, 0.8],
    )
    assert found["train"].argmax(axis=1).tolist() == right(TEXTS)
    assert np.exp(found["train"][0]).tolist() == pytest.approx([0.2, 0.8])
    with pytest.raises(TeacherError, match="it returned NoneType"):
        label(Asked("function", prompts=("Now {{ text }}",)), tmp_path, call=lambda prompt: None)


PARSED = [
    (Rule(), "Good", 0),
    (Rule(), ' "bad".\n', 1),
    (Rule(), "good or bad", None),
    (Rule(), "go", None),
    (Rule(names={"positive": "good", "negative": "bad"}), "Negative", 1),
    (Rule(names={"positive": "good", "negative": "bad"}), "bad", None),
    (Rule("regex", pattern=r"label: (\w+)"), "so, label: bad", 1),
    (Rule("regex", pattern=r"label: (\w+)"), "label: bad, label: good", None),
    (Rule("regex", pattern=r"label: (\w+)"), "bad", None),
    (Rule("json"), '{"label": "good", "why": "it says so"}', 0),
    (Rule("json"), '```json\n{"label": "good"}\n```', None),
    (Rule("json", key="a"), '{"a": ["good"]}', None),
    (Rule("json"), "[" * 100_000, None),
]


@pytest.mark.parametrize(("rule", "text", "expected"), PARSED)
def test_an_answer_is_a_class_or_nothing(rule: Rule, text: str, expected: int | None) -> None:
    found = Parser(rule, CLASSES)(Answer(text))
    assert (None if found is None else int(found.argmax())) == expected


def test_a_schema_may_say_more(tmp_path: Path) -> None:
    pytest.importorskip("jsonschema", reason="needs the extra `data`")
    rule = Rule("json", schema={"type": "object", "required": ["label", "why"]})
    parser = Parser(rule, CLASSES)
    assert parser(Answer('{"label": "good"}')) is None
    assert parser(Answer('{"label": "good", "why": "so"}')) is not None
    with pytest.raises(UsageError, match=r"parse\.schema is no JSON Schema"):
        Parser(Rule("json", schema={"type": "objekt"}), CLASSES)


@given(st.text(max_size=50))
def test_no_answer_breaks_a_parser(text: str) -> None:
    for rule in (Rule(), Rule("regex", pattern=r"(\w+)$"), Rule("json")):
        found = Parser(rule, CLASSES)(Answer(text))
        assert found is None or found.sum() == pytest.approx(1)


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        (Rule("choose"), "no such rule 'choose'; did you mean 'choice'"),
        (Rule("regex", pattern="("), "is no regular expression"),
        (Rule("regex", pattern="good|bad"), "has 0 groups"),
        (Rule(names={"yes": "goood"}), "'goood' is no class of the data; did you mean 'good'"),
        (Rule(names={"yes": "good"}), "nothing that is answered means class 'bad'"),
    ],
)
def test_a_rule_that_cannot_be_is_told(rule: Rule, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Parser(rule, CLASSES)


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{{ txt }}", r"prompts\[0\]: unknown field 'txt'; did you mean 'text'"),
        ("{{ text", r"prompts\[0\], line 1: no template"),
        ("say good", "every example would be asked the same"),
        ("{{ text.__class__.__mro__ }}", None),
        ("{{ text | nofilter }}", "no template|No filter"),
    ],
)
def test_a_template_is_data_and_says_what_is_wrong(template: str, said: str | None) -> None:
    if said is None:
        with pytest.raises(DataError, match="cannot be made of an example"):
            Prompts([template], ["text", "classes"]).of({"text": "x", "classes": []})
        return
    with pytest.raises(UsageError, match=said):
        Prompts([template], ["text", "classes"])


@pytest.mark.parametrize(
    "url",
    [
        "ftp://a.example",
        "a.example/v1",
        "https://user:word@a.example",
        "https://a.example/v1?key=x",
        "http://[",
        "",
    ],
)
def test_an_address_that_cannot_be_is_told(url: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"api\.url"):
        label(Asked("openai-chat", url, "m", ("{{ text }}",)), tmp_path)


def test_a_rate_is_kept_and_a_tenth_may_come_at_once() -> None:
    now, waited = [0.0], []

    def sleep(seconds: float) -> None:
        waited.append(seconds)
        now[0] += seconds

    rate = Rate(60.0, clock=lambda: now[0], sleep=sleep)
    for _ in range(66):
        rate.take()
    assert now[0] == pytest.approx(60.0)  # six at once, and then one a second
    assert len(waited) == 60


@given(st.lists(st.integers(1, 50), min_size=1, max_size=30), st.integers(1, 500))
def test_a_budget_is_never_passed(sizes: list[int], most: int) -> None:
    budget = Budget(Limits(tokens=most, money=most / 1e6, input_price=1.0, output_price=1.0))
    for size in sizes:
        try:
            budget.reserve(size)
        except SpentError:
            continue
        budget.settle(size, size // 2, size - size // 2)
    assert budget.tokens_in + budget.tokens_out <= most
    assert budget.money <= most / 1e6 + 1e-12
