"""What `edgecomp data clean` finds of faults that were planted: recall and precision of each kind.

    EDGECOMP_DATA=FOLDER python benchmarks/clean_data.py               # reports/data/clean.json, some minutes
    EDGECOMP_DATA=FOLDER python benchmarks/clean_data.py --only images

Planted: 1,000 duplicates and near duplicates of training examples, 500 flipped labels, 200 test examples in the training split (half of them edited),
300 personal data in log lines, 300 sentences of other languages in SST-2 (`--only language`, of the messages of Django, which must be installed). What is already in the data would count as a mistake of the search, so copies are planted in data that the same
rules have been applied to; of labels nobody knows which are right, and their precision is that of the flipped ones alone: a lower bound.
Edits of texts: one character in forty is left out, doubled or changed. Of images: a step brighter, noise of a step, JPEG at quality 60.
"""

import argparse
import gettext
import importlib.util
import io
import json
import random
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from edgecomp.data import sources
from edgecomp.data.cleaning import languages, search
from edgecomp.data.cleaning.search import Asked
from edgecomp.data.personal.kinds import find
from edgecomp.data.sources import Examples, Source, Wanted

COPIES = ("duplicate", "near-duplicate", "leak", "near-leak")
REMOVED = dict.fromkeys(COPIES, "remove")
OTHERS_OFF = dict.fromkeys(
    ("empty", "too-long", "encoding", "contradiction", "label-error", "low-confidence", "outlier"), "off"
)
COPIED, FLIPPED, LEAKED, PERSONAL, FOREIGN = 1_000, 500, 200, 300, 300
WANTED = {
    "lines": Wanted("huggingface", "logs", {"train": "lines.parquet"}, "content", "system"),
    "sst2": Wanted("huggingface", "sst2", inputs="sentence", label="label"),
    "images": Wanted("huggingface", "cifar10", inputs="img", label="label"),
}


def scored(planted: Iterable[int], found: Iterable[int]) -> dict[str, float | int]:
    planted, found = set(planted), set(found)
    hits = len(planted & found)
    return {
        "planted": len(planted),
        "found": len(found),
        "hits": hits,
        "recall": round(hits / len(planted), 4),
        "precision": round(hits / max(1, len(found)), 4),
    }


def edited(value: object, draw: random.Random) -> object:
    """A text with typos, or an image that was stored again."""
    if isinstance(value, str):
        signs = list(value)
        for place in draw.sample(range(len(signs)), max(1, len(signs) // 40)):
            signs[place] = draw.choice(["", signs[place] * 2, draw.choice("abcdefghijklmnopqrstuvwxyz")])
        return "".join(signs)
    noisy = np.clip(
        np.asarray(value, np.int16)
        + 8
        + np.random.default_rng(draw.randrange(2**32)).integers(-8, 9, np.shape(value)),
        0,
        255,
    )
    file = io.BytesIO()
    Image.fromarray(noisy.astype(np.uint8).transpose(1, 2, 0)).save(file, "JPEG", quality=60)
    return np.asarray(Image.open(file)).transpose(2, 0, 1)


def without_copies(source: Source) -> Source:
    found = search.search(source, Asked({**REMOVED, **OTHERS_OFF}), of_classes=True)
    return search.cleaned(source, found)[0]


def added(train: Examples, values: list[object], labels: list[int]) -> Examples:
    own = (
        [*train.values, *values]
        if isinstance(train.values, list)
        else np.concatenate([train.values, np.stack(values)])
    )
    return replace(train, values=own, labels=np.concatenate([train.labels, labels]))


def copies(source: Source, draw: random.Random, of: str, count: int) -> dict[str, object]:
    """The half of them exact, the half edited; `of`: the split that they are copied from."""
    base = source.splits["train"]
    given = source.splits[of]
    long_enough = [
        row
        for row in range(len(given.labels))
        if not isinstance(given.values, list) or len(given.values[row]) >= 40
    ]
    chosen = draw.sample(long_enough, count)
    values = [
        given.values[row] if place < count // 2 else edited(given.values[row], draw)
        for place, row in enumerate(chosen)
    ]
    planted = added(base, values, [int(given.labels[row]) for row in chosen])
    found = search.search(
        replace(source, splits={**source.splits, "train": planted}),
        Asked({**REMOVED, **OTHERS_OFF}),
        of_classes=True,
    )
    exact, near = ("duplicate", "near-duplicate") if of == "train" else ("leak", "near-leak")
    rows = {
        rule: [one.row for one in found if one.rule == rule and one.split == "train"]
        for rule in (exact, near)
    }
    first = len(base.labels)
    return {
        exact: scored(range(first, first + count // 2), rows[exact]),
        near: scored(range(first + count // 2, first + count), rows[near]),
    }


def flipped(source: Source, draw: random.Random) -> dict[str, object]:
    train = source.splits["train"]
    labels, classes = train.labels.copy(), len(source.classes)
    chosen = draw.sample(range(len(labels)), FLIPPED)
    for row in chosen:
        labels[row] = draw.choice([label for label in range(classes) if label != labels[row]])
    planted = replace(source, splits={"train": replace(train, labels=labels)})
    off = {**OTHERS_OFF, **dict.fromkeys(COPIES, "off"), "label-error": "report"}
    found = search.search(planted, Asked(off), of_classes=True)
    return {"label-error": scored(chosen, (one.row for one in found)) | {"examples": len(labels)}}


def luhn(body: str) -> str:
    total = sum(
        int(digit) * (2 - place % 2) - 9 * (int(digit) * (2 - place % 2) > 9)
        for place, digit in enumerate(reversed(body))
    )
    return body + str(-total % 10)


def datum(kind: str, draw: random.Random) -> str:
    """A made-up datum of that kind, written in one of the usual ways."""

    def digits(count: int) -> str:
        return "".join(draw.choice("0123456789") for _ in range(count))

    if kind == "email":
        return f"{draw.choice(['ann', 'j.smith', 'o_neil', 'x+tag'])}{draw.randrange(99)}@{draw.choice(['mail.example.org', 'example.co.uk', 'firm-1.example'])}"
    if kind == "phone":
        return draw.choice(
            [
                f"+44 20 7946 0{digits(3)}",
                f"+49-30-{digits(8)}",
                f"(555) 01{digits(1)}-{digits(4)}",
                f"+1 555 01{digits(1)} {digits(4)}",
            ]
        )
    if kind == "ip":
        return draw.choice(
            [".".join(str(draw.randrange(1, 224)) for _ in range(4)), f"2001:db8:{digits(4)}::{digits(3)}"]
        )
    if kind == "card":
        number = luhn((draw.choice(["4", "51", "55"]) + digits(20))[:15])
        return draw.choice(
            [
                number,
                " ".join(number[at : at + 4] for at in range(0, 16, 4)),
                "-".join(number[at : at + 4] for at in range(0, 16, 4)),
            ]
        )
    if kind == "iban":
        body = digits(18)
        check = 98 - int(body + "131400") % 97  # DE00
        number = f"DE{check:02d}{body}"
        return draw.choice([number, " ".join(number[at : at + 4] for at in range(0, 22, 4))])
    number = draw.randrange(10_000_000, 99_999_999)
    return f"{number}{'TRWAGMYFPDXBNJZSQVHLCKE'[number % 23]}"


KINDS = ("email", "phone", "ip", "card", "iban", "identity")


def personal(lines: list[str], draw: random.Random) -> dict[str, object]:
    """Planted in lines that have no @, no three points and no five colons, so that whatever else is found there is a mistake."""
    plain = [line for line in lines if "@" not in line and line.count(".") < 3 and line.count(":") < 5]
    base = draw.sample(plain, 10_000)
    planted: list[tuple[int, str, int, int]] = []
    for place, row in enumerate(draw.sample(range(len(base)), PERSONAL)):
        kind, words = KINDS[place % len(KINDS)], base[row].split(" ")
        at = draw.randrange(len(words) + 1)
        text = datum(kind, draw)
        begins = len(" ".join(words[:at])) + (at > 0)
        base[row] = " ".join([*words[:at], text, *words[at:]])
        planted.append((row, kind, begins, begins + len(text)))
    found = {(row, one.kind, one.begins, one.ends) for row, line in enumerate(base) for one in find(line)}
    every = {
        kind: scored(
            [hash(one) for one in planted if one[1] == kind], [hash(one) for one in found if one[1] == kind]
        )
        for kind in KINDS
    }
    return {"all": scored(map(hash, planted), map(hash, found)) | {"lines": len(base)}, **every}


LANGUAGES = (
    "ar",
    "bg",
    "cs",
    "da",
    "de",
    "el",
    "es",
    "fi",
    "fr",
    "he",
    "hi",
    "hu",
    "id",
    "it",
    "ja",
    "ko",
    "nl",
    "pl",
    "pt",
    "ro",
    "ru",
    "sv",
    "tr",
    "uk",
    "vi",
)


def foreign(draw: random.Random) -> list[tuple[str, str]]:
    """Language and sentence, as many of each as may be, of Django's messages: their letters take as much as the rule judges, and nothing is filled in."""
    spec = importlib.util.find_spec("django")
    if spec is None or spec.origin is None:
        raise SystemExit("--only language: pip install django, whose messages are in so many languages")
    found = []
    for language in LANGUAGES:
        file = Path(spec.origin).parent / "conf" / "locale" / language / "LC_MESSAGES" / "django.mo"
        with file.open("rb") as opened:
            messages: dict[object, str] = gettext.GNUTranslations(opened)._catalog  # type: ignore[attr-defined]  # there is no other way to list them
        texts = {
            text
            for key, text in messages.items()
            if key
            and "%" not in text
            and "<" not in text
            and languages.letters_bytes(text) >= languages.SHORTEST
        }
        found += [
            (language, text)
            for text in draw.sample(sorted(texts), min(FOREIGN // len(LANGUAGES), len(texts)))
        ]
    return found


def other_languages(texts: list[str], draw: random.Random) -> dict[str, object]:
    planted = foreign(draw)
    base = [*texts, *(text for _, text in planted)]
    first = len(texts)
    found = {place: detail for place, _, detail in languages.other_than(base, ["en"])}
    by = {
        language: [place for place, (one, _) in enumerate(planted, first) if one == language]
        for language in LANGUAGES
    }
    judged = sum(languages.letters_bytes(text) >= languages.SHORTEST for text in texts)
    return {
        "all": scored(range(first, len(base)), found) | {"english": len(texts), "english_judged": judged},
        "missed": {
            name: f"{sum(place not in found for place in of)} of {len(of)}"
            for name, of in by.items()
            if not set(of) <= set(found)
        },
        "english_called_foreign": sum(place < first for place in found),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", choices=(*WANTED, "personal", "language"))
    parser.add_argument(
        "--limit",
        type=int,
        default=20_000,
        help="training examples of a data set that are looked at, at most",
    )
    parser.add_argument("--to", type=Path, default=Path("reports/data/clean.json"))
    asked = parser.parse_args()
    content = json.loads(asked.to.read_text(encoding="utf-8")) if asked.to.exists() else {"format": 1}
    for name in [asked.only] if asked.only else [*WANTED, "personal"]:
        draw = random.Random(name)
        source = sources.read(WANTED[{"personal": "lines", "language": "sst2"}.get(name, name)], Path())
        if name == "personal":
            content[name] = personal(list(source.splits["train"].values), draw)
        elif name == "language":
            content[name] = other_languages(list(source.splits["train"].values), draw)
        else:
            splits = {
                split: search.chosen(
                    one, np.sort(np.random.default_rng(0).permutation(len(one.labels))[: asked.limit])
                )
                for split, one in source.splits.items()
            }
            if "test" not in splits:
                rows = np.random.default_rng(1).permutation(len(splits["train"].labels))
                cut = len(rows) // 5
                splits = {
                    "train": search.chosen(splits["train"], np.sort(rows[cut:])),
                    "test": search.chosen(splits["train"], np.sort(rows[:cut])),
                }
            source = replace(source, splits=splits)
            content[name] = {} if name == "images" else flipped(source, draw)
            plain = without_copies(source)
            content[name] |= {"examples": {split: len(one.labels) for split, one in plain.splits.items()}}
            content[name] |= copies(plain, draw, "train", COPIED) | copies(plain, draw, "test", LEAKED)
        print(json.dumps({name: content[name]}))
        asked.to.parent.mkdir(parents=True, exist_ok=True)
        asked.to.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
