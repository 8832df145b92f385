"""Hostile inputs of every kind: no traceback, no hang, nothing executed, nothing lost, and no exit 0 without a PASS.

EDGECOMP_FUZZ is how many (150 in CI, 5,000 by `tox run -e fuzz`). A case is its kind and its number: the same ones make it again.
"""

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from fuzz.kinds import KINDS, Base, Case, Kind, lay
from fuzz.mutations import CANARY
from running import environment, warm

pytestmark = pytest.mark.slow

CASES = int(os.environ.get("EDGECOMP_FUZZ", "150"))
FIRST = int(os.environ.get("EDGECOMP_FUZZ_FIRST", "0"))
HANG_S = 60.0
INTERNAL = ("Traceback", "internal error")
CODES = (0, 1, 2, 3, 4)


@pytest.fixture(scope="module")
def zygote() -> Iterator[Any]:
    env = environment() | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    with warm(env) as start:

        def run(argv: list[str], cwd: Path, log: Path) -> int | None:
            own = env | {"EDGECOMP_HISTORY": "h.sqlite", "TMPDIR": str(log)}
            return start(argv, cwd=cwd, env=own, out=log / "out", err=log / "err", timeout_s=HANG_S)

        yield run


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fuzz") / "base"
    lay(folder)
    return folder


def digests(folder: Path, but: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if path.is_file() and name.parts[0] not in but:
            found[str(name)] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def wrong(
    case: Case, code: int | None, out: str, err: str, folder: Path, before: dict[str, str]
) -> list[str]:
    """What must not be."""
    found = []
    if code is None:
        return [f"it hung for {HANG_S:g} s"]
    if code not in CODES or any(word in err for word in INTERNAL):
        found.append(f"exit {code}")
    if (
        code == 0
        and case.verdict
        and "--json" in case.argv
        and json.loads(out.splitlines()[-1])["unwaived"] != "PASS"
    ):
        found.append("exit 0 without a PASS")
    if code != 0 and not err.strip():
        found.append(f"exit {code} and not a word why")
    if any(folder.rglob(CANARY)):
        found.append("something of it was executed")
    after = digests(folder, case.may_change)
    if lost := [name for name in before if after.get(name) != before[name]]:
        found.append(f"lost or changed: {', '.join(lost)}")
    notes = folder / "run" / "gate" / "notes.txt"
    if case.argv[0] in ("gate", "report") and not notes.is_file():
        found.append("a user's notes in a run folder are gone")
    return found


def attempt(name: str, kind: Kind, count: int, base: Base, run: Any, tmp_path: Path) -> None:
    failures = []
    for number in range(FIRST, FIRST + count):
        folder, log = tmp_path / f"{number}", tmp_path / f"{number}-log"
        folder.mkdir()
        log.mkdir()
        case = kind.make(Random(f"{name} {number}"), base, folder)
        before = digests(folder, case.may_change)
        code = run(case.argv, folder, log)
        out, err = ((log / of).read_text(encoding="utf-8", errors="replace") for of in ("out", "err"))
        if found := wrong(case, code, out, err, folder, before):
            failures.append(
                f"{name} {number}: {'; '.join(found)}: {' '.join(map(repr, case.argv))[:300]}\n    {err.strip()[-400:]}\n    {folder}"
            )
    assert not failures, f"{len(failures)} of {count}:\n" + "\n".join(failures)


@pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if not kind.of_a_run])
def test_hostile(name: str, base: Path, zygote: Any, tmp_path: Path) -> None:
    attempt(name, KINDS[name], round(CASES * KINDS[name].share), Base(base, base), zygote, tmp_path)


@pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if kind.of_a_run])
def test_hostile_run(name: str, base: Path, tiny_run: Path, zygote: Any, tmp_path: Path) -> None:
    attempt(name, KINDS[name], round(CASES * KINDS[name].share), Base(base, tiny_run), zygote, tmp_path)
