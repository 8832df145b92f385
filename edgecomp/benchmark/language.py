"""The bench stage of a language model for one target: its folders measured under the target's runtime, and recorded as every model is."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from edgecomp import inputs
from edgecomp.artifacts.run_folder import NOT_RUN
from edgecomp.benchmark.hosts.process import Place
from edgecomp.benchmark.inputs.prompts import of_length
from edgecomp.benchmark.scenarios import generation
from edgecomp.benchmark.scenarios.alternated import Effort, measure
from edgecomp.benchmark.stage import described, quality
from edgecomp.errors import InferenceError, RuntimeUnavailableError, WorkerError
from edgecomp.files.json_files import read_mapping
from edgecomp.inputs import Inputs
from edgecomp.metrics.measurements import Arm, Measurements
from edgecomp.progress import Track
from edgecomp.tasks import Labels
from edgecomp.tasks.base import IGNORED
from edgecomp.tasks.language.causal_lm import LOG_PROBABILITY


class Choices(NamedTuple):
    """texts: by answer that may be chosen, every prompt with it, input_ids and attention_mask; labels: likewise, the tokens of the answer that come after each
    place [N, length]; right: which answer is, [N]."""

    texts: Sequence[Inputs]
    labels: Sequence[Labels]
    right: npt.NDArray[np.int64]


def bench_language(
    *,
    target: str,
    place: Place,
    models: Mapping[str, Path],
    student: str,
    parameters: Mapping[str, int],
    parity_file: Path,
    test: Inputs,
    labels: Labels,
    prompts: Mapping[int, Inputs],
    new_tokens: int,
    generations: int,
    effort: Effort,
    folder: Path,
    track: Track,
    choices: Choices | None = None,
) -> None:
    """Writes measurements.json, samples.npz and outputs.npz into `folder`. target: its name; place: where models run; models: arm → the file that its runtime is given,
    of which `student` is judged; parameters: bytes by arm; parity_file: what was found of the exported folder; test, labels: texts that are given, and the token after
    each place; prompts: by length, texts of it; new_tokens: that are generated, `generations` times a restart; effort: of first tokens; track: shows progress; choices: prompts with
    several answers, None where there are none.

    A runtime that is not here, or a worker that dies, is recorded as the reason why nothing was measured.
    """
    asked = {length: folder / f"prompts_{length}" for length in prompts}
    given = folder / "texts"
    for length, texts in prompts.items():
        inputs.save(texts, asked[length])
    inputs.save(test, given)
    judged = next(iter(asked))
    described_models = {
        arm: described(file, parameters[arm], confined=arm == student) for arm, file in models.items()
    }
    load_before, not_run = place.host.load(), ""
    arms: dict[str, Arm] = {}
    facts: dict[str, Any] = {}
    deaths: dict[str, Any] = {}
    try:
        arms, facts, deaths = measure(
            described_models, place=place, inputs=asked[judged], effort=effort, scratch=folder, track=track
        )
        alive = {arm: described_models[arm] for arm in arms}
        samples, said = generation.generated(
            alive,
            place=place,
            prompts=asked,
            tokens=new_tokens,
            count=generations,
            restarts=effort.restarts,
            track=track,
        )
        outputs = {
            arm: generation.read(models[arm], place=place, texts=given, scratch=folder) for arm in arms
        }
        chosen = (
            {} if choices is None else {arm: _chosen(models[arm], choices, place, folder) for arm in arms}
        )
        arms = {
            arm: replace(
                one, samples=one.samples | samples[arm], logits=outputs[arm], choices=chosen.get(arm)
            )
            for arm, one in arms.items()
        }
        facts["new_tokens"] = new_tokens
        facts["generation"] = generation.by_length(
            {arm: one.samples for arm, one in arms.items()}, list(asked), new_tokens
        )
        facts["said"] = said
        if student in arms:
            facts["quality"] = quality(arms[student], facts["noise"][student], place)._asdict()
    except (RuntimeUnavailableError, WorkerError, InferenceError) as error:
        arms, not_run = {}, str(error)
        (folder / NOT_RUN).write_text(f"{error}\n", encoding="utf-8")
    parity = read_mapping(parity_file)
    for one in (given, *asked.values()):
        inputs.delete(one)
    Measurements(
        target=target,
        runtime=place.runtime,
        arms={arm: replace(one, parity=parity.get(arm)) for arm, one in arms.items()},
        student=student,
        labels=labels,
        offline_batch=0,
        deaths=deaths,
        not_run=not_run,
        facts=facts
        | {"machine": place.host.facts(), "load_before": load_before, "load_after": place.host.load()}
        | {"classes": [], "task": "causal-lm"},
    ).save(folder)


def _chosen(model: Path, of: Choices, place: Place, folder: Path) -> npt.NDArray[np.float64]:
    """Of each prompt whether `model` finds the right answer the likeliest, the sum of its tokens' log-probabilities, 1 or 0; of equals, or of what is not finite, 0. Raises what
    a worker raises."""
    given, likely = folder / "choices", []
    for texts, labels in zip(of.texts, of.labels, strict=True):
        inputs.save(texts, given)
        said = generation.read(model, place=place, texts=given, scratch=folder)[..., LOG_PROBABILITY]
        inputs.delete(given)
        likely.append(np.where(labels != IGNORED, said, 0).sum(axis=1, dtype=np.float64))
    found = np.stack(likely, axis=1)
    own = found[np.arange(len(found)), of.right]
    others = found.copy()
    others[np.arange(len(found)), of.right] = -np.inf
    return np.asarray(np.isfinite(found).all(axis=1) & (own > others.max(axis=1)), np.float64)


def prompts_of(test: Inputs, lengths: list[int], count: int) -> dict[int, Inputs]:
    """By each of `lengths`, `count` prompts of it: the tokens of the texts behind each other, cut. test: input_ids and attention_mask."""
    return {length: of_length(test, length, count) for length in lengths}
