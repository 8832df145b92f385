"""A teacher behind an API, asked for every example: each request once, its answer kept at once, and a table of soft labels at the end.

An example is asked with each prompt, `samples` times; what parses of that is averaged (self-consistency, Wang et al. 2023, arXiv:2203.11171), so that
their disagreement is the teacher's lack of confidence. Nothing is sent or kept with personal data in it unless that is declared.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import numpy as np
import numpy.typing as npt

from edgecomp.data.personal import pseudonyms
from edgecomp.data.personal.kinds import find
from edgecomp.errors import DataError, TeacherError, UsageError
from edgecomp.files.writing import digest_of, write_json
from edgecomp.progress import Note, Track
from edgecomp.teachers.api.asked import Answer, Asked, Request, about_tokens
from edgecomp.teachers.api.attempts import Asker
from edgecomp.teachers.api.journal import Journal
from edgecomp.teachers.api.limits import Budget
from edgecomp.teachers.api.parsing import Parser
from edgecomp.teachers.api.prompts import Prompts
from edgecomp.teachers.api.protocols import TABLE
from edgecomp.teachers.api.transport import Http, Transport, check_url

JOURNAL, ANSWERS, TOLD, UNPARSED = "answers.jsonl", "answers.npz", "api.json", "unparsed.csv"
LOOK_S = 0.2
LEAST = 1e-6  # probability, where a logarithm is taken

Values = npt.NDArray[Any] | list[str]


@dataclass(frozen=True)
class Examples:
    """values: texts [N], or numbers [N, ...]; columns: what numbers are called, in their order."""

    values: Values
    columns: Sequence[str] = ()

    def __len__(self) -> int:
        return len(self.values)

    def fields(self, place: int) -> dict[str, object]:
        """What a prompt may name of the example at `place`."""
        value = self.values[place]
        if isinstance(value, str):
            return {"text": value}
        numbers = np.asarray(value).ravel().tolist()
        return {"values": dict(zip(self.columns, numbers, strict=True)) if self.columns else numbers}


def label(
    asked: Asked,
    splits: Mapping[str, Examples],
    classes: Sequence[str],
    *,
    secret: str | None,
    call: Callable[[Any], Any] | None,
    journal: Path,
    out: Path,
    track: Track,
    note: Note,
    before: Path | None = None,
    transport: Transport | None = None,
    sleep: Callable[[float], object] = time.sleep,
) -> None:
    """Asks for every example of `splits`, and writes answers.npz, api.json, unparsed.csv and answers.jsonl, the answers themselves, into `out`.

    asked: how; classes: the data's, in their order; secret: the service's key, None for none; call: of kind `function`; journal: a folder in which
    answers are kept, of an earlier sitting too; track, note: show progress, and say what it came to; before: an answers.jsonl of other data, or another set of labels, whose answers to the same requests hold; transport, sleep: for tests. answers.npz has
    for each split logits [N, classes], NaN where nothing parsed, and how many answers did. Raises UsageError, DataError, TeacherError, SpentError.
    """
    check(asked, splits, classes)
    parser = Parser(asked.rule, classes)
    with closing(Journal(journal / JOURNAL)) as kept:
        planned = _Planned(asked, splits, classes, by_prompt=TABLE[asked.kind].by_prompt)
        budget, asker = ask_missing(
            asked, planned.requests(), kept, asked.kind, secret=secret, call=call, before=before, track=track, note=note, transport=transport, sleep=sleep,
        )  # fmt: skip
        found, unparsed = _gathered(planned, kept.answers, parser, asked.smoothing)
        np.savez(out / ANSWERS, **found)  # type: ignore[arg-type]  # its stubs take any name for allow_pickle
        _write_unparsed(out / UNPARSED, unparsed)
        told = _told(asked, planned, kept, budget, asker, found, splits)
        kept.copy_to(out)
    write_json(out / TOLD, told)
    note(said(told))


def check(asked: Asked, splits: Mapping[str, Examples], classes: Sequence[str]) -> None:
    """Raises UsageError with what is wrong with what is `asked` of examples of `splits` with these `classes`, before anything is asked."""
    way, values = TABLE[asked.kind], splits["train"].values
    Parser(asked.rule, classes)
    if way.over_http:
        check_url(asked.url)
        if not asked.model:
            raise UsageError("api.model: name the model that is asked")
    if way.by_prompt:
        if not isinstance(values, list) and values.ndim > 2:
            raise UsageError(
                "api: examples that are images or arrays cannot be put into a prompt: take kind kserve-v2, or stored soft_labels"
            )
        if asked.kind != "function" or asked.prompts:
            Prompts(asked.prompts, [*splits["train"].fields(0), "classes"]).of(
                {**splits["train"].fields(0), "classes": list(classes)}
            )
    elif asked.prompts:
        raise UsageError(
            f"api.prompts: kind {asked.kind} is sent the examples themselves: take the prompts out"
        )


class _Planned:
    """Which requests an example takes. The same text is asked once, however often it comes."""

    def __init__(
        self, asked: Asked, splits: Mapping[str, Examples], classes: Sequence[str], *, by_prompt: bool
    ) -> None:
        self._asked, self.splits, self.classes = asked, splits, list(classes)
        self._prompts = (
            Prompts(asked.prompts, [*splits["train"].fields(0), "classes"])
            if by_prompt and asked.prompts
            else None
        )
        self._secret: pseudonyms.Pseudonyms | None = None
        self.replaced: Counter[str] = Counter()
        self.sent: Counter[str] = Counter()

    def requests(self) -> Iterator[tuple[Request, Any]]:
        """All of them, with the values of the example that each is of."""
        for split, examples in self.splits.items():
            for place in range(len(examples)):
                yield from self.of(split, place, counts=True)

    def of(self, split: str, place: int, *, counts: bool = False) -> Iterator[tuple[Request, Any]]:
        """Those of the example at `place` of a `split`. counts: whether its personal data are counted."""
        examples = self.splits[split]
        fields, value = examples.fields(place), examples.values[place]
        if isinstance(value, str):
            value = self._without_personal_data(value, counts)
            fields = {"text": value}
        prompts = (
            self._prompts.of({**fields, "classes": self.classes})
            if self._prompts
            else [value if isinstance(value, str) else ""]
        )
        for prompt in prompts:
            for sample in range(self._asked.samples):
                yield request_of(self._asked, prompt, value, sample), value

    def _without_personal_data(self, text: str, counts: bool) -> str:
        found = list(find(text))
        if not found:
            return text
        if counts:
            (self.sent if self._asked.send_personal_data else self.replaced).update(one.kind for one in found)
        if self._asked.send_personal_data:
            return text
        self._secret = self._secret or pseudonyms.from_environment()
        return pseudonyms.replaced(text, self._secret)


def request_of(asked: Asked, prompt: str, value: Any, sample: int) -> Request:
    """What is sent for a `prompt`, or an example's `value` where there is none, and its id. asked: how; sample: of several that are the same."""
    way = TABLE[asked.kind]
    body = way.body(asked, prompt, value)
    told = {
        "kind": asked.kind,
        "url": asked.url,
        "model": asked.model,
        "body": body,
        "prompt": prompt,
        "sample": sample,
    }
    if not prompt and not body:
        told["values"] = np.asarray(value).tolist()
    tokens = about_tokens(asked.system + prompt) + asked.max_tokens if way.by_prompt else 0
    return Request(digest_of(told), prompt, tokens, body)


def ask_missing(
    asked: Asked,
    requests: Iterable[tuple[Request, Any]],
    kept: Journal,
    what: str,
    *,
    secret: str | None,
    call: Callable[[Any], Any] | None,
    track: Track,
    note: Note,
    before: Path | None = None,
    transport: Transport | None = None,
    sleep: Callable[[float], object] = time.sleep,
) -> tuple[Budget, Asker]:
    """Asks what of the `requests`, with their examples' values, is not answered in the journal `kept`; the budget, and who asked. what: is asked, for messages; asked, secret,
    call, track, note, before, transport, sleep: as `label` takes them. Raises TeacherError, SpentError."""
    budget = Budget(asked.limits)
    budget.spent_in(kept)
    asker = Asker(asked, budget, secret, call, transport or Http(), sleep)
    todo = {one.id: (one, values) for one, values in requests}
    # Of a function nobody knows that it is what it was.
    if TABLE[asked.kind].over_http and (taken := kept.take(before, todo)):
        note(f"{what}: {taken:,} answers of before hold, for the same was asked")
    todo = {name: one for name, one in todo.items() if name not in kept.answers}
    if todo:
        budget.check_one(max(one.tokens for one, _ in todo.values()))
        note(f"{what}: {len(todo):,} requests to ask, {len(kept.answers):,} answered before")
    try:
        ask_all(list(todo.values()), asker, kept, asked.limits.concurrency, track)
    finally:
        if asker.lost:
            kept.spent(asker.lost)
    return budget, asker


def ask_all(
    todo: Sequence[tuple[Request, Any]], asker: Asker, kept: Journal, concurrency: int, track: Track
) -> None:
    """Returns when all of `todo`, requests with their examples' values, are answered and in the journal `kept`, by so many at a time as `concurrency` says; asker: who
    asks; track: shows progress. The first error ends it, once what is under way has been answered and kept."""
    left, done, stop = iter(todo), SimpleQueue[BaseException | None](), threading.Event()
    lock, models = threading.Lock(), {one.model for one in kept.answers.values() if one.model}

    def work() -> None:
        try:
            while not stop.is_set():
                with lock:
                    one = next(left, None)
                if one is None:
                    break
                answer, tries = asker.ask(*one)
                with lock:
                    models.update({answer.model} - {""})
                    several = sorted(models)
                if len(several) > 1:
                    raise TeacherError(f"the teacher has changed: it answered as {several[0]} and as {several[1]}, and labels of two teachers are not mixed "
                                       "unsaid: name one version in api.model; to begin again, delete the step's folder")  # fmt: skip
                kept.write(one[0].id, answer, tries)
                done.put(None)
        except BaseException as error:  # noqa: BLE001 - it is raised in the thread that waits
            stop.set()
            done.put(error)

    # Daemons: a process that is told to end does not wait for a service that hangs.
    threads = [threading.Thread(target=work, daemon=True) for _ in range(min(concurrency, len(todo)))]
    for thread in threads:
        thread.start()
    try:
        for _ in track(_answered(len(todo), threads, done), "teacher's answers", len(todo)):
            pass
    finally:
        stop.set()
    for thread in threads:
        thread.join()


def _answered(
    count: int, threads: Sequence[threading.Thread], done: "SimpleQueue[BaseException | None]"
) -> Iterator[int]:
    """An item an answer. Raises what a thread raised, when the others have kept their answers."""
    failed: BaseException | None = None
    number = 0
    while number < count:
        try:
            one = done.get(timeout=LOOK_S)
        except Empty:
            if failed is not None and not any(thread.is_alive() for thread in threads):
                raise failed from None
            continue
        failed = failed or one
        if one is None:
            number += 1
            yield number
    if failed is not None:
        raise failed


def _gathered(
    planned: _Planned, answers: Mapping[str, Answer], parser: Parser, smoothing: float
) -> tuple[dict[str, npt.NDArray[Any]], list[tuple[str, int, int, str]]]:
    """The arrays of answers.npz, and split, place, number and text of what did not parse."""
    found: dict[str, npt.NDArray[Any]] = {"classes": np.asarray(planned.classes)}
    unparsed = []
    for split, examples in planned.splits.items():
        rows, counts, spread = [], [], []
        for place in range(len(examples)):
            parsed = []
            for number, (request, _) in enumerate(planned.of(split, place)):
                one = parser(answers[request.id])
                if one is None:
                    unparsed.append((split, place, number, answers[request.id].text[:500]))
                else:
                    parsed.append(one)
            mean = np.mean(parsed, axis=0) if parsed else np.full(parser.width, np.nan)
            counts.append(len(parsed))
            spread.append(float(mean.max()) if parsed else np.nan)
            rows.append(np.log(np.maximum(LEAST, (1 - smoothing) * mean + smoothing / parser.width)))
        found[split] = np.asarray(rows, np.float32)
        found[f"{split}_parsed"] = np.asarray(counts, np.int64)
        found[f"{split}_confidence"] = np.asarray(spread, np.float32)
    return found, unparsed


def _write_unparsed(file: Path, unparsed: Sequence[tuple[str, int, int, str]]) -> None:
    import pyarrow
    from pyarrow import csv

    kinds = {
        "split": pyarrow.string(),
        "row": pyarrow.int64(),
        "answer": pyarrow.int64(),
        "text": pyarrow.string(),
    }
    columns = zip(*unparsed, strict=True) if unparsed else ([] for _ in kinds)
    csv.write_csv(
        pyarrow.table(
            [pyarrow.array(list(column), kind) for column, kind in zip(columns, kinds.values(), strict=True)],
            names=list(kinds),
        ),
        file,
    )


def _told(
    asked: Asked,
    planned: _Planned,
    kept: Journal,
    budget: Budget,
    asker: Asker,
    found: Mapping[str, npt.NDArray[Any]],
    splits: Mapping[str, Examples],
) -> dict[str, Any]:
    models = sorted({one.model for one in kept.answers.values() if one.model})
    answered = {split: int((found[f"{split}_parsed"] > 0).sum()) for split in splits}
    limits = asdict(asked.limits)
    return {
        "format": 1,
        "kind": asked.kind,
        "url": asked.url,
        "model": asked.model,
        "answered_as": models[0] if models else "",
        "examples": {split: len(one) for split, one in splits.items()},
        "answered": answered,
        "answers": len(kept.answers),
        "unparsed": sum(int((asked.answers - found[f"{split}_parsed"]).sum()) for split in splits),
        "tries": budget.requests,
        "retried": dict(asker.retried),
        "tokens": {
            "input": budget.tokens_in,
            "output": budget.tokens_out,
            "counted": all(one.is_counted for one in kept.answers.values()),
        },
        "money": round(budget.money, 6),
        "prices": {name: limits[name] for name in ("input_price", "output_price")},
        "personal_data": {
            "replaced": dict(planned.replaced),
            "sent": dict(planned.sent),
            "send_personal_data": asked.send_personal_data,
        },
    }


def said(told: Mapping[str, Any]) -> str:
    """What asking came to, as api.json has `told` it, in a sentence."""
    examples, answered = sum(told["examples"].values()), sum(told["answered"].values())
    parts = [
        f"{answered:,} of {examples:,} examples answered by {told['answered_as'] or told['model'] or told['kind']}"
    ]
    if told["unparsed"]:
        parts.append(f"{told['unparsed']:,} answers did not parse and are kept apart")
    parts.append(
        f"{told['tries']:,} requests, {told['tokens']['input'] + told['tokens']['output']:,} tokens{'' if told['tokens']['counted'] else ' (about)'}"
    )
    if told["money"]:
        parts.append(f"{told['money']:.4f} spent")
    return "; ".join(parts)


def read(file: Path, classes: Sequence[str]) -> dict[str, npt.NDArray[np.float32]]:
    """By split the logits [N, classes] in `file`, an answers.npz, NaN where there is no answer. classes: the data's. Raises DataError of other classes."""
    from edgecomp.files.array_files import read_npz

    arrays = read_npz(file)
    if list(map(str, arrays["classes"])) != list(classes):
        raise DataError(f"{file}: its classes are not the data's: make it again")
    return {name: one.astype(np.float32) for name, one in arrays.items() if name in ("train", "validation")}
