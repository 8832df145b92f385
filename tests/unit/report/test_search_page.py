"""The page of a search: its front, drawn and told, and every candidate."""

import re
from pathlib import Path

from edgecomp.metrics.registry import FILE_SIZE, LATENCY_P50, PEAK
from edgecomp.report.search_page import Tried, picture, write_page

HOSTILE = "<script>alert(1)</script>"


def tried(name: str, score: float | None, ms: float, *, front: bool = False, chosen: bool = False) -> Tried:
    figures = {LATENCY_P50: ms, PEAK: 60 * 2**20, FILE_SIZE: 2**14}
    why = "" if score is not None else f"latency_p50_ms {ms} ms on {HOSTILE}, ≤ 0.3 ms"
    return Tried(name, "trained" if score is not None else "over budget", why, score, figures, front, chosen)


SEVERAL = [
    tried("width 8", 71.25, 0.1, front=True),
    tried("width 12", 70.0, 0.15),
    tried("width 16", 82.5, 0.2, front=True, chosen=True),
    tried(f"width 64 {HOSTILE}", None, 0.9),
]


def page(folder: Path, candidates: list[Tried], command: str = "edgecomp run found.yaml") -> str:
    return write_page(
        folder, recipe=HOSTILE, target="cpu", tried=candidates, limits={LATENCY_P50: 0.3, PEAK: 2**27}, notes=["It took: 3 s."], command=command
    ).read_text("utf-8")  # fmt: skip


def test_the_front_the_choice_and_every_candidate_are_on_it(tmp_path: Path) -> None:
    shown = page(tmp_path, SEVERAL)
    assert "<script>alert" not in shown
    words = " ".join(re.sub(r"<[^>]+>", " ", shown).split())
    for part in ("width 16 is chosen, 82.50 % on the validation split", "edgecomp run found.yaml", "It took: 3 s.", "over budget", "≤ 0.3 ms", "60.0 MiB", "on the front"):  # fmt: skip
        assert part in words, part
    assert "peak memory of the worker process (VmHWM) ≤ 128.0 MiB" in words
    assert re.search(
        r'aria-label="3 candidates on cpu. On the Pareto front: width 8, 71.25 % at 0.1 ms; width 16, 82.50 % at 0.2 ms."',
        shown,
    )


def test_without_a_trained_candidate_nothing_is_drawn_and_nothing_chosen(tmp_path: Path) -> None:
    over = [
        tried("width 64", None, 0.9),
        Tried("width 128", "failed", "it cannot be built", None, {}, False, False),
    ]
    assert picture("cpu", over, 0.3) is None
    shown = page(tmp_path, over, command="")
    assert "Nothing is chosen" in shown
    assert "it cannot be built" in shown
    assert "<svg" not in shown.partition("<main>")[2]


def test_the_picture_keys_name_what_is_in_it() -> None:
    drawn = picture("cpu", SEVERAL, 0.3)
    assert drawn is not None
    assert [key.label for key in drawn.keys] == ["on the Pareto front", "trained", "chosen", "over the budget, not trained", "the budget's limit"]  # fmt: skip
    plain = picture("cpu", SEVERAL[:3], None)
    assert plain is not None
    assert [key.label for key in plain.keys] == ["on the Pareto front", "trained", "chosen"]
