"""What is asked of a model's health: its files, in each target's runtime, on attacked, corrupted and training examples."""

import copy
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from edgecomp import arms
from edgecomp.arms import Arm
from edgecomp.config.parts.health import Health
from edgecomp.config.target import Target
from edgecomp.data.preprocessing import TOKENIZER, Numbers, Preprocessing
from edgecomp.data.splits import Split
from edgecomp.errors import RuntimeUnavailableError, UsageError
from edgecomp.files.array_files import read_npz
from edgecomp.inputs import MASK, Inputs, trimmed
from edgecomp.pipeline import loaders, model_files
from edgecomp.pipeline.loaders import Run
from edgecomp.pipeline.taken.key_samples import key_samples

if TYPE_CHECKING:
    from edgecomp.health.attacks import Space

Array = npt.NDArray[Any]
TOOLBOX = "adversarial-robustness-toolbox"


def decides_attacks(asked: Health) -> list[object]:
    """What of `asked`, a recipe's, decides the examples that attacks by gradients make."""
    return [{name: attack.model_dump() for name, attack in asked.by_gradient.items()}, asked.examples]


def check(run: Run) -> None:
    """Raises UsageError where the inputs of `run` cannot be attacked or corrupted as its recipe asks: before anything is trained."""
    from edgecomp.health.corruptions import TABLE

    asked, preprocessing = run.job.recipe.health, loaders.preprocessing(run)
    if asked is None:
        return
    key_samples(run)
    known = TABLE.get(preprocessing.kind, {})
    if wrong := [name for name in asked.corruptions if name not in known]:
        there = f"there {'are' if len(known) > 1 else 'is'} {', '.join(known)}" if known else "there is none"
        raise UsageError(f"health.corruptions: {wrong[0]} is not of inputs of kind {preprocessing.kind}, of which {there}")  # fmt: skip
    if "jpeg" in asked.corruptions:
        _check_channels(preprocessing)
    if asked.attacks:
        from edgecomp.health import attacks

        for name, attack in asked.attacks.items():
            attacks.check(preprocessing, attack.strength, name)
        attacks.check_there()


def _check_channels(preprocessing: Preprocessing) -> None:
    assert isinstance(preprocessing, Numbers)
    if preprocessing.shape[0] not in (1, 3):
        raise UsageError(
            f"health.corruptions: a JPEG has 1 or 3 channels, and these pictures have {preprocessing.shape[0]}: take out jpeg"
        )


def asked_arms(run: Run) -> list[Arm]:
    """The arms of `run` whose health is asked: the teacher, the fp32 student and what is judged."""
    return list(dict.fromkeys((arms.TEACHER, arms.STUDENT_FP32, arms.judged(run.job.recipe.quantize))))


def attacks(run: Run, out: Path, checkpoints: Path) -> None:
    """Writes into `out`, as ATTACK.npz, the examples that attacks by gradients make of each network of `run`; checkpoints: not needed.

    A file that no training has made is handed what was found of the fp32 student.
    """
    from edgecomp.health.attacks import by_gradient

    check(run)
    asked, task = _health(run), loaders.meaning(run)
    examples = _examples(run, "test")
    trained = arms.trained(run.job.recipe.quantize)
    networks = {arm.name: loaders.NETWORKS[arm](run) for arm in asked_arms(run) if arm in trained}
    for name, attack in asked.by_gradient.items():
        found: dict[str, Any] = {
            arm: by_gradient(
                name,
                copy.deepcopy(network),
                examples.arrays["values"],
                np.asarray(examples.labels, np.int64),
                space=_space(run, attack.strength),
                task=task.name,
                classes=max(2, len(loaders.preprocessing(run).classes)),
                steps=attack.steps,
                seed=run.job.recipe.seed,
            )
            for arm, network in networks.items()
        }
        np.savez(out / f"{name}.npz", **found)


def health(run: Run, out: Path, checkpoints: Path, target: Target) -> None:
    """Writes into `out` what each arm of `run` answers in the target's runtime to examples as they are, attacked and corrupted, and to training examples;
    checkpoints: not needed. A runtime that is not here is told of, and asked nothing."""
    from edgecomp.benchmark.emulation import answers_as
    from edgecomp.benchmark.hosts.emulators import this_cpu
    from edgecomp.metrics.measurements import Health as Answered

    check(run)
    asked, executed = _health(run), model_files.executed_by(run, target)
    examples, members = _examples(run, "test"), _examples(run, "train")
    files = model_files.model_files(run, target)
    found: dict[str, dict[str, Array]] = {}
    why = executed.why
    for arm in (arm for arm in asked_arms(run.of(target.scheme)) if arm.name in files):
        questions = dict(_questions(run, arm, examples, members))
        try:
            found[arm.name], _ = answers_as(
                this_cpu(),
                executed.runtime,
                executed.options,
                files[arm.name],
                questions,
                run.job.recipe.bench.timeout_s,
                out,
            )
            if "answers" in asked.attacks:
                found[arm.name]["attack.answers"] = _attacked_by_answers(
                    run, files[arm.name], executed.runtime, executed.options, examples
                )
        except RuntimeUnavailableError as error:
            found, why = {}, str(error)
            break
    keys, none = key_samples(run), np.empty(0, np.int64)
    key_labels = none if keys is None or keys.labels is None else keys.labels
    facts = {"asked": asked.model_dump(mode="json"), "examples": len(examples), "why": why}
    Answered(facts, examples.labels, members.labels if asked.membership else none, found, key_labels).save(
        out
    )


def _health(run: Run) -> Health:
    assert run.job.recipe.health is not None
    return run.job.recipe.health


def _examples(run: Run, split: str) -> Split:
    return Split.load(run.folder / "data", split).first(_health(run).examples)


def _space(run: Run, strength: float) -> "Space":
    from edgecomp.health.attacks import Space

    preprocessing = loaders.preprocessing(run)
    assert isinstance(preprocessing, Numbers)
    return Space.around(preprocessing, strength, Split.load(run.folder / "data", "train").arrays["values"])


def _questions(run: Run, arm: Arm, examples: Split, members: Split) -> Iterator[tuple[str, Inputs]]:
    """By name (edgecomp.metrics.measurements.Health), the inputs that an arm is asked."""
    from edgecomp.health.corruptions import SEVERITIES

    asked, preprocessing = _health(run), loaders.preprocessing(run, arm)
    yield "clean", preprocessing.apply(examples.arrays)
    if asked.membership:
        yield "members", preprocessing.apply(members.arrays)
    if (keys := key_samples(run)) is not None:
        yield "keys", keys.inputs
    for name in asked.corruptions:
        for severity in SEVERITIES:
            yield f"corruption.{name}.{severity}", _corrupted(run, name, severity, examples)
    for file in sorted(run.made("attacks").glob("*.npz")) if asked.by_gradient else ():
        found = read_npz(file)
        values = found.get(arm.name, found[arms.STUDENT_FP32.name])
        yield f"attack.{file.stem}", preprocessing.apply({"values": values})


def _corrupted(run: Run, name: str, severity: int, examples: Split) -> Inputs:
    from edgecomp.health.corruptions import corrupted

    preprocessing, seed = loaders.preprocessing(run), run.job.recipe.seed
    if preprocessing.kind == "image":
        values = corrupted("image", name, severity, examples.arrays["values"], seed)
        return preprocessing.apply({"values": values})
    if preprocessing.kind == "array":
        standardised = preprocessing.apply(examples.arrays)
        return {key: corrupted("array", name, severity, values, seed) for key, values in standardised.items()}
    return _corrupted_texts(run, name, severity, examples.arrays, seed)


def _corrupted_texts(run: Run, name: str, severity: int, arrays: Mapping[str, Array], seed: int) -> Inputs:
    """Texts are read back from their tokens, and are tokens again."""
    from tokenizers import Tokenizer

    from edgecomp.data.tokens import decoded
    from edgecomp.health.corruptions import corrupted

    file = run.folder / "data" / TOKENIZER
    texts = decoded(arrays["input_ids"], arrays[MASK], file)
    encoded = Tokenizer.from_file(str(file)).encode_batch(corrupted("text", name, severity, texts, seed))
    found = {
        "input_ids": np.array([one.ids for one in encoded], np.int64),
        MASK: np.array([one.attention_mask for one in encoded], np.int64),
    }
    return trimmed(found)


def _attacked_by_answers(
    run: Run, file: Path, runtime: str, options: Mapping[str, Any], examples: Split
) -> Array:
    """What the file itself answers to the examples that asking it alone has found, [examples, classes]."""
    import torch

    from edgecomp import runtimes
    from edgecomp.export.parity import asked_in_batches
    from edgecomp.health.attacks import BATCH, by_answers, logits

    preprocessing, task = loaders.preprocessing(run), loaders.meaning(run)
    attack = _health(run).attacks["answers"]
    session = runtimes.adapter(runtime).load(file, threads=loaders.training_threads(run), options=options)

    def answered(stored: Array) -> Array:
        return asked_in_batches(session, preprocessing.apply({"values": stored}), BATCH)

    def ask(stored: Array) -> Array:
        return logits(torch.from_numpy(answered(stored)), task.name).numpy()

    try:
        found = by_answers(
            ask,
            examples.arrays["values"],
            np.asarray(examples.labels, np.int64),
            space=_space(run, attack.strength),
            classes=max(2, len(preprocessing.classes)),
            steps=attack.steps,
            seed=run.job.recipe.seed,
        )
        return answered(found)
    finally:
        session.close()
