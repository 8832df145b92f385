"""Hostile values, texts and bytes, by a seeded random generator."""

import copy
import datetime
from random import Random
from typing import Any

CANARY = "edgecomp-was-here"  # a file of this name in the working folder: something was executed

SCALARS: list[Any] = [
    None, True, False, 0, -1, 1, 2**31, 2**63, -(2**70), 1e308, float("inf"), float("-inf"), float("nan"), 1e-320,
    "", " ", "\x00", "\x1b[31mred", "\u202egnp.exe", "\u202ex", "[/]", "[bold", "::stop-commands::x", "<script>alert(1)</script>", "%0A::error::x",
    "../../../etc/passwd", "/dev/zero", "/dev/full", "/", ".", "~", "a" * 300, "a/" * 3000, "con\nnul", "|", "`x`", "é" * 100, "日本",
    "${oc.env:HOME}", "${x}", "${", "builtins:eval", "builtins:exit", "os:abort", "subprocess:run", "sys:exit", "posix:_exit", "no.such:thing", ":", "a:",
    "20 ms", "-1 ms", "NaN ms", "1e999 ms", "5 %", "3 x", "1 potato", "0 B", "1_000", "0x10", "1e3", "None", "null",
    f"!!python/object/apply:os.system ['touch {CANARY}']", f"$(touch {CANARY})", f"; touch {CANARY}",
    [], {}, [[]], [None], {"": None}, [1, "a", None], {"a": {"b": {"c": []}}}, ["a"] * 1000, datetime.date(2020, 1, 1),
]  # fmt: skip


def value(random: Random) -> Any:
    return copy.deepcopy(random.choice(SCALARS))


def tree(random: Random, of: Any, times: int = 0) -> Any:
    """A copy with one to three changes: a value replaced, a key lost, added, renamed or doubled, a list emptied or repeated."""
    made = copy.deepcopy(of)
    for _ in range(times or random.randint(1, 3)):
        places = list(_places(made))
        if not places:
            return value(random)
        container, key = random.choice(places)
        how = random.randrange(6)
        if how <= 2:
            container[key] = value(random)
        elif how == 3:
            del container[key]
        elif isinstance(container, dict):
            name = str(value(random)) if how == 4 else f"{key}x"
            container[name[:400]] = container[key] if random.random() < 0.5 else value(random)
        else:
            container.append(copy.deepcopy(container[key]))
    return made


def _places(of: Any) -> Any:
    if isinstance(of, dict):
        for key, inner in of.items():
            yield of, key
            yield from _places(inner)
    elif isinstance(of, list):
        for place, inner in enumerate(of):
            yield of, place
            yield from _places(inner)


def data(random: Random, of: bytes) -> bytes:
    """Bytes cut, flipped, repeated, emptied, or others altogether."""
    how = random.randrange(8)
    if how == 0 or not of:
        return b""
    if how == 1:
        return of[: random.randrange(len(of))]
    if how == 2:
        return random.randbytes(random.choice((1, 64, 4096)))
    if how == 3:
        return of + random.randbytes(random.choice((1, 64, 4096)))
    if how == 4:
        return of * 2
    made = bytearray(of)
    for _ in range(random.choice((1, 1, 8, 64))):
        place = random.randrange(len(made))
        if how == 5:
            made[place] ^= 1 << random.randrange(8)
        elif how == 6:
            made[place] = random.randrange(256)
        else:
            made[place : place + random.randrange(1, 32)] = b"\xff" * random.randrange(32)
            if not made:
                return b""
    return bytes(made)


def text(random: Random, of: str) -> bytes:
    """YAML or JSON that is no longer what it was: encodings, bombs, depth, recursion, and what `data` does."""
    bomb = "\n".join(
        ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
        + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    )
    lines = of.splitlines()
    made = random.choice(
        (
            lambda: of.encode("utf-16"),
            lambda: of.encode("utf-8-sig"),
            lambda: of.encode() + b"\nx: \xe9\xff\n",
            lambda: f"{bomb}\n{of}".encode(),
            lambda: f"{of}\nextra: {'[' * 500}{']' * 500}\n".encode(),
            lambda: f"{of}\nextra: {'{a: ' * 2000}".encode(),
            lambda: f"&all\n{of}\nself: *all\n".encode(),
            lambda: f"x: &x\n  y: *x\n{of}".encode(),
            lambda: f"{of}\nseed: {'9' * 5000}\n".encode(),
            lambda: f"!!python/object/apply:os.system ['touch {CANARY}']".encode(),
            lambda: f"{of}\nname: !!python/object/apply:os.system ['touch {CANARY}']\n".encode(),
            lambda: of.replace(" ", "\t").encode(),
            lambda: f"{of}\n{random.choice(lines) if lines else ''}\n".encode(),
            lambda: f"{of}\n---\n{of}".encode(),
            lambda: (
                f"defaults: {random.choice(('[digits, digits]', '[r]', '7', '{a: b}', '[[]]', '[../r]', '[/etc/passwd]', '[null]'))}\n{of}".encode()
            ),
            lambda: f"extends: {random.choice(('p', '../x', '7', '[]', 'industrial'))}\n{of}".encode(),
            lambda: ("[" * 100_000).encode(),
            lambda: b"a" * 2_000_000,
            lambda: b"\x00" * 1000,
            lambda: data(random, of.encode()),
            lambda: data(random, of.encode()),
        )
    )
    return made()
