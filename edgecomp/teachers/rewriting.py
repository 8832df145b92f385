"""Texts that a teacher behind an API, or a function of the user's own, writes: a paraphrase, a translation there and back, or the answer to a prompt.

The prompts are a chain: each is asked of what the one before it was answered, so that one paraphrases and two translate there and back (Sennrich et al.
2016, arXiv:1511.06709). Requests, budget and journal are those of labels: a run that breaks goes on at the request where it broke.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgecomp.errors import UsageError
from edgecomp.files.json_files import read_mapping
from edgecomp.files.writing import write_json
from edgecomp.progress import Note, Track
from edgecomp.teachers.api import labelling
from edgecomp.teachers.api.asked import Asked, Request
from edgecomp.teachers.api.journal import Journal
from edgecomp.teachers.api.limits import Budget
from edgecomp.teachers.api.prompts import Prompts
from edgecomp.teachers.api.protocols import TABLE
from edgecomp.teachers.api.transport import Transport, check_url
from edgecomp.teachers.synthesis import Clear

FOLDER, TOLD = "paraphrases", "paraphrases.json"


def check(asked: Asked, views: int, name: str = "data.augment.paraphrase") -> None:
    """Raises UsageError with what is wrong with what is `asked` for so many `views`, before anything is asked. name: of the setting."""
    if not TABLE[asked.kind].by_prompt:
        raise UsageError(
            f"{name}: kind {asked.kind} writes no texts: take openai-chat, openai-completions or function"
        )
    if TABLE[asked.kind].over_http:
        check_url(asked.url)
        if not asked.model:
            raise UsageError(f"{name}.model: name the model that is asked")
    try:
        for template in asked.prompts:
            _request(asked, template, "a text", 1)
    except UsageError as error:
        raise UsageError(f"{name}: {error}") from error
    if views > 2 and asked.temperature == 0 and asked.kind != "function":
        raise UsageError(
            f"{name}: at temperature 0 all {views - 1} paraphrases are the same: set its temperature, or data.views=2"
        )


def rewritten(
    asked: Asked,
    texts: Sequence[str],
    view: int,
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
) -> list[str]:
    """View number `view` of `texts`, one for each; a text to which nothing is answered, or whose answer is cut off at `max_tokens`, stays as it is, which
    is counted in paraphrases.json in `out`.

    asked: how, its prompts a chain; secret, call, journal, track, note, before, transport, sleep: as `labelling.label` takes them. A text that comes twice is asked once.
    Raises UsageError, DataError, TeacherError, SpentError.
    """
    found = _answers(
        asked, texts, view, "paraphrases", secret=secret, call=call, journal=journal, out=out, track=track, note=note, before=before,
        transport=transport, sleep=sleep,
    )  # fmt: skip
    counts = {
        "texts": len(found.sent),
        "unanswered": len(found.sent) - len(found.said),
        "cut_off": found.cut,
        "unchanged": sum(found.said[text] == found.sent[text] for text in found.said),
    }
    known = read_mapping(out / TOLD, "views")["views"] if (out / TOLD).is_file() else {}
    write_json(out / TOLD, {"format": 1, "views": {**known, str(view): counts}})
    return [found.said.get(text, text) for text in texts]


def answered(
    asked: Asked,
    prompts: Sequence[str],
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
) -> list[tuple[str, str | None]]:
    """Of each of `prompts` what was sent, which has pseudonyms for personal data, and what was answered to it; None to which nothing was, or whose answer
    is cut off at `max_tokens`. What it came to and what it cost is in api.json in `out`.

    asked, secret, call, journal, track, note, before, transport, sleep: as `rewritten` takes them. Raises UsageError, DataError, TeacherError, SpentError.
    """
    found = _answers(
        asked, prompts, 0, "answers", secret=secret, call=call, journal=journal, out=out, track=track, note=note, before=before,
        transport=transport, sleep=sleep,
    )  # fmt: skip
    budget = found.budget
    told = {
        "format": 1,
        "kind": asked.kind,
        "url": asked.url,
        "model": asked.model,
        "answered_as": found.model,
        "prompts": len(found.sent),
        "unanswered": len(found.sent) - len(found.said),
        "cut_off": found.cut,
        "tries": budget.requests,
        "tokens": {"input": budget.tokens_in, "output": budget.tokens_out},
        "money": round(budget.money, 6),
        "send_personal_data": asked.send_personal_data,
        "replaced": sum(text != sent for text, sent in found.sent.items()),
    }
    write_json(out / labelling.TOLD, told)
    return [(found.sent[text], found.said.get(text)) for text in prompts]


@dataclass(frozen=True)
class _Answers:
    """sent: by text, what was sent for it; said: by text, what was answered, where something was; cut: answers that were cut off; model: as which the
    service answered; budget: what was spent."""

    sent: dict[str, str]
    said: dict[str, str]
    cut: int
    model: str
    budget: Budget


def _answers(
    asked: Asked,
    texts: Sequence[str],
    view: int,
    what: str,
    *,
    secret: str | None,
    call: Callable[[Any], Any] | None,
    journal: Path,
    out: Path,
    track: Track,
    note: Note,
    before: Path | None,
    transport: Transport | None,
    sleep: Callable[[float], object],
) -> _Answers:
    """What is answered to each of `texts` at the end of the chain of prompts; the answers themselves are copied into `out`."""
    clear = Clear(asked.send_personal_data)
    sent = {text: clear(text) for text in dict.fromkeys(texts)}
    now = {text: cleared for text, cleared in sent.items() if cleared.strip()}
    chain, cut = asked.prompts or [""], 0
    out.mkdir(parents=True, exist_ok=True)
    with closing(Journal(journal / labelling.JOURNAL)) as kept:
        for number, template in enumerate(chain):
            requests = {text: _request(asked, template, given, view) for text, given in now.items()}
            budget, _ = labelling.ask_missing(
                asked, ((one, None) for one in requests.values()), kept, f"{what}, view {view}, prompt {number + 1} of {len(chain)}",
                secret=secret, call=call, before=before, track=track, note=note, transport=transport, sleep=sleep,
            )  # fmt: skip
            answers = {text: kept.answers[one.id] for text, one in requests.items()}
            cut += sum(one.is_cut for one in answers.values())
            now = {
                text: one.text.strip() for text, one in answers.items() if one.text.strip() and not one.is_cut
            }
        kept.copy_to(out)
        model = next((one.model for one in kept.answers.values() if one.model), "")
    return _Answers(sent, now, cut, model, budget)


def _request(asked: Asked, template: str, text: str, view: int) -> Request:
    (prompt,) = Prompts([template], ("text",)).of({"text": text}) if template else (text,)
    return labelling.request_of(replace(asked, prompts=()), prompt, None, view)
