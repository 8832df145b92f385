"""Each step of a language model's run, told from its job."""

from pathlib import Path
from shutil import copytree
from typing import TYPE_CHECKING, Any

from edgecomp import arms
from edgecomp.artifacts.run_folder import NOT_RUN
from edgecomp.config.target import Target, check_options
from edgecomp.errors import DataError, RuntimeUnavailableError
from edgecomp.files.json_files import read_mapping
from edgecomp.files.writing import sha256, write_json
from edgecomp.pipeline.language import loading, written
from edgecomp.pipeline.language.loading import MODEL, ROUNDED, settings
from edgecomp.pipeline.loaders import Run

if TYPE_CHECKING:
    from edgecomp.language.models import LanguageModel
    from edgecomp.language.training import Soft
    from edgecomp.training.checkpoints import History

WEIGHTS = "model.safetensors"
BEGINNING = 16  # tokens of a text that a teacher goes on from


def data(run: Run, out: Path, checkpoints: Path) -> None:
    """Writes the splits of `run` as tokens of the teacher's tokenizer, and splits.json, into `out`; checkpoints: not needed. What cannot be learnt, rounded or measured
    is told here, before anything is trained. Raises DataError, UsageError."""
    from edgecomp.language import texts

    _, tokenizer = tried(run)
    asked, rows = run.job.recipe.data, loading.rows(run)
    if settings(run).writer is not None and not all(row.prompt for row in rows["train"]):
        raise DataError(
            "language.writer: answers are to prompts, and a training row has none: give columns prompt and answer, or name them with data.inputs and data.label"
        )
    loading.choices(run, tokenizer)
    notes, told = [], {}
    if not tokenizer.chat_template and any(row.prompt for row in rows["train"]):
        notes.append("the tokenizer has no chat template: an answer follows its prompt as it is")
    for name, own in rows.items():
        packed = settings(run).packed and settings(run).learn_from == "data"
        tokens, said = texts.encode(own, tokenizer, asked.max_length, packed=packed)
        tokens.save(out / f"{name}.npz")
        told[name] = len(tokens)
        notes += [f"{name} split: {one}" for one in said]
    write_json(out / "splits.json", {"examples": told, "duplicates": {}, "notes": notes})
    for note in notes:
        run.note(f"data: {note}")


def tried(run: Run) -> "tuple[LanguageModel, Any]":
    """The teacher of `run` and its tokenizer. Raises UsageError, DataError, RuntimeOptionError where a student of it, its weights in so few bits, its context or a target
    cannot be what the recipe asks."""
    from edgecomp.language import models
    from edgecomp.language.weights import check_group

    for target in run.job.targets:
        check_options(target)
    teacher, tokenizer = loading.ready_teacher(run)
    asked, recipe = settings(run), run.job.recipe
    models.check_family(teacher, [target.runtime for target in run.job.targets])
    layers = len(teacher.model.model.layers)
    models.chosen(recipe.student.arguments.get("layers", layers), layers)
    if recipe.quantize.trains:
        check_group(teacher, asked.group_size)
    if not asked.top_k < teacher.config.vocab_size:
        raise DataError(
            f"language.top_k: {asked.top_k} tokens of a vocabulary of {teacher.config.vocab_size}: take fewer"
        )
    lengths = {"language.prompt_tokens + new_tokens": max(asked.prompt_tokens) + asked.new_tokens}
    if asked.writer is not None:
        written.check(run, asked.writer)
    if asked.learn_from == "teacher-texts":
        lengths["data.max_length + language.teacher_tokens"] = recipe.data.max_length + asked.teacher_tokens
    loading.check_context(recipe.data.max_length, lengths, models.context_of(teacher))
    return teacher, tokenizer


def teacher(run: Run, out: Path, checkpoints: Path) -> None:
    """Writes the teacher of `run`, as it came or trained on the tokens of the training split, into `out`; checkpoints: where training goes on from."""
    from edgecomp.language.models import save
    from edgecomp.language.training import teach

    network, tokenizer = loading.ready_teacher(run)
    wanted = run.job.recipe.teacher
    course = loading.course(
        run,
        epochs=wanted.epochs,
        learning_rate=wanted.learning_rate,
        loop=wanted.loop,
        batch_size=wanted.batch_size,
        weight_decay=wanted.weight_decay,
        seed=run.job.recipe.seed,
    )
    history = teach(
        network,
        loading.tokens(run, "train"),
        loading.tokens(run, "validation"),
        course,
        soft=None,
        checkpoint=checkpoints / "teacher.safetensors",
        track=run.track,
        what="teacher",
    )
    save(network, tokenizer, out / MODEL)
    write_json(out / "history.json", {arms.TEACHER.name: history})


def soft_labels(run: Run, out: Path, checkpoints: Path) -> None:
    """Writes what the teacher of `run` says of each place of what the student learns, and that text, where it is the teacher's own, into `out`; checkpoints: where
    a service's answers are kept as they come. Raises TeacherError, SpentError."""
    from edgecomp.language import soft_labels
    from edgecomp.language.training import teacher_texts

    network, tokenizer = loading.of_step(run, arms.TEACHER.steps[0])
    asked, tokens = settings(run), loading.tokens(run, "train")
    if asked.writer is not None:
        tokens = written.texts(run, asked.writer, tokenizer, out, checkpoints)
        tokens.save(out / "texts.npz")
    elif asked.learn_from == "teacher-texts":
        tokens = teacher_texts(
            network,
            tokens,
            tokenizer=tokenizer,
            count=asked.teacher_tokens,
            beginning=BEGINNING,
            strip=asked.reasoning == "strip",
            track=run.track,
        )
        tokens.save(out / "texts.npz")
    if run.job.recipe.distill.hard_label_weight < 1:
        soft_labels.store(
            network,
            tokens,
            k=asked.top_k,
            temperature=run.job.recipe.distill.temperature,
            teacher_sha256=_of_teacher(run),
            folder=out,
            track=run.track,
        )


def _of_teacher(run: Run) -> str:
    return sha256(run.folder / arms.TEACHER.steps[0] / MODEL / WEIGHTS)


def _soft(run: Run) -> "Soft | None":
    """What the student of `run` learns of its teacher; None where it learns the tokens alone."""
    from edgecomp.language import losses, soft_labels
    from edgecomp.language.training import Soft

    asked, distill = settings(run), run.job.recipe.distill
    if distill.hard_label_weight == 1:
        return None
    stored = soft_labels.load(
        run.folder / "soft_labels",
        teacher_sha256=_of_teacher(run),
        k=asked.top_k,
        temperature=distill.temperature,
    )
    return Soft(
        stored, losses.named(asked.loss, asked.jsd_beta), distill.temperature, 1 - distill.hard_label_weight
    )


def distill(run: Run, out: Path, checkpoints: Path) -> None:
    """Writes the student of `run` in fp32, some of its teacher's layers that have learnt, into `out`; checkpoints: where training goes on from."""
    from edgecomp.language.models import keep_layers, parameters, save

    network, tokenizer = loading.of_step(run, arms.TEACHER.steps[0])
    layers = run.job.recipe.student.arguments.get("layers", len(network.model.model.layers))
    before = parameters(network)
    student = keep_layers(network, layers)
    run.note(f"student: {parameters(student):,} of the teacher's {before:,} parameters")
    seed = run.job.recipe.student.seed
    history = _taught(
        run,
        student,
        checkpoints / "fp32.safetensors",
        "student, fp32",
        seed=run.job.recipe.seed if seed is None else seed,
    )
    save(student, tokenizer, out / MODEL)
    write_json(out / "history.json", {arms.STUDENT_FP32.name: history})


def quantize(run: Run, out: Path, checkpoints: Path) -> None:
    """Writes the student of `run`, taught further through rounded weights, into `out`, and in rounding.json what rounding alone cost; checkpoints: where training goes on
    from."""
    from edgecomp.language.training import PERPLEXITY, judged
    from edgecomp.training.loop import save_weights

    network, _ = loading.of_step(run, arms.STUDENT_FP32.steps[0])
    validation = loading.tokens(run, "validation")
    student = loading.rounded(network, run.job.recipe.quantize.weight_bits, settings(run).group_size)
    found = {"fp32": judged(network, validation), "rounded": judged(student, validation)}
    history = _taught(
        run,
        student,
        checkpoints / "int8.safetensors",
        "student, rounded weights",
        seed=run.job.recipe.seed + 1,
        rounds=True,
    )
    found["trained"] = judged(student.eval(), validation)
    fp32, rounded, trained = (found[one][PERPLEXITY] for one in ("fp32", "rounded", "trained"))
    run.note(
        f"perplexity on the validation split: {fp32:.4g} in fp32, {rounded:.4g} rounded to the nearest, {trained:.4g} taught through its integers"
    )
    save_weights(student, out / ROUNDED)
    write_json(out / "rounding.json", found)
    write_json(out / "history.json", {arms.STUDENT_INT8.name: history})


def _taught(
    run: Run, student: "LanguageModel", checkpoint: Path, what: str, *, seed: int, rounds: bool = False
) -> "History":
    from edgecomp.language.training import teach

    asked, then = run.job.recipe.distill, run.job.recipe.quantize
    course = loading.course(
        run,
        epochs=then.epochs if rounds else asked.epochs,
        learning_rate=then.learning_rate if rounds else asked.learning_rate,
        loop=asked.loop,
        batch_size=asked.batch_size,
        weight_decay=asked.weight_decay,
        seed=seed,
        then=rounds,
    )
    validation = loading.tokens(run, "validation")
    return teach(
        student,
        loading.learnt_tokens(run),
        validation,
        course,
        soft=_soft(run),
        checkpoint=checkpoint,
        track=run.track,
        what=what,
    )


def export(run: Run, out: Path, checkpoints: Path) -> None:
    """Writes the folders of every arm of `run` for each runtime that its targets have, and parameters.json, into `out`; checkpoints: not needed. A runtime whose package is
    not here is left out, and its targets are not run. Raises CaptureError."""
    from edgecomp.language.folders import MAKERS
    from edgecomp.language.weights import integers_of, plain_weights, stored_bytes

    parameters, lacking = {}, []
    for arm in loading.measured(run):
        network, tokenizer = loading.network_of(run, arm)
        parameters[arm.name] = stored_bytes(plain_weights(network), integers_of(network))
        for runtime in dict.fromkeys(target.runtime for target in run.job.targets):
            folder = out / runtime / arm.name
            folder.mkdir(parents=True)
            try:
                MAKERS[runtime](network, tokenizer, folder)
            except RuntimeUnavailableError as error:
                lacking.append(str(error))
    write_json(out / "parameters.json", parameters)
    if lacking:
        (out / NOT_RUN).write_text("\n".join(dict.fromkeys(lacking)) + "\n", encoding="utf-8")


def parity(run: Run, out: Path, checkpoints: Path, target: Target) -> None:
    """Writes into `out` how far the folder of the student of `run`, as the target's runtime executes it, is from the student itself; checkpoints: not needed."""
    import numpy as np
    import torch

    from edgecomp import inputs
    from edgecomp.benchmark.hosts.process import Place
    from edgecomp.benchmark.scenarios import generation
    from edgecomp.language.comparison import compared

    judged = arms.judged(run.job.recipe.quantize)
    network, _ = loading.network_of(run, judged)
    tokens = loading.tokens(run, "validation")
    chosen = slice(settings(run).parity_texts)
    given = {"input_ids": tokens.input_ids[chosen], inputs.MASK: tokens.mask[chosen]}
    texts = out / "texts"
    inputs.save(given, texts)
    place = Place.of(target, run.job.recipe.bench.timeout_s)
    try:
        said = generation.logits(
            loading.file_of(run, judged, target.runtime), place=place, texts=texts, scratch=out
        )
    except RuntimeUnavailableError as error:  # the bench says so as well, and the gate that it is not run
        write_json(out / "parity.json", {})
        (out / NOT_RUN).write_text(f"{error}\n", encoding="utf-8")
        return
    finally:
        inputs.delete(texts)
    with torch.no_grad():
        wanted = [
            network(torch.from_numpy(row[None, :length]))[0].numpy()
            for row, length in zip(given["input_ids"], given[inputs.MASK].sum(axis=1), strict=True)
        ]
    write_json(out / "parity.json", {judged.name: compared(np.concatenate(said), np.concatenate(wanted))})


def deploy(run: Run, out: Path, checkpoints: Path, target: Target) -> None:
    """Writes into `out` what of `run` goes to one device, the target: the folder that its runtime loads, a script that generates, some prompts, and the contract; checkpoints: not
    needed."""
    from edgecomp.package.language import write_language_folder

    judged = arms.judged(run.job.recipe.quantize)
    _, tokenizer = loading.of_step(run, arms.STUDENT_FP32.steps[0])
    tokens = loading.tokens(run, "validation")
    rows = [
        ids[: prompt or BEGINNING]
        for ids, prompt in zip(tokens.input_ids[:4], tokens.prompts[:4], strict=True)
    ]
    copytree(loading.file_of(run, judged, target.runtime).parent, out, dirs_exist_ok=True)
    write_language_folder(
        folder=out,
        runtime=target.runtime,
        options=target.options,
        threads=target.threads,
        prompts=[tokenizer.decode(row) for row in rows],
        context=run.job.recipe.data.max_length,
    )


def bench(run: Run, out: Path, checkpoints: Path, target: Target) -> None:
    """Writes what was measured of the models of `run` under the target's runtime into `out`; checkpoints: not needed."""
    from edgecomp import inputs
    from edgecomp.benchmark.hosts.process import Place
    from edgecomp.benchmark.language import bench_language, prompts_of
    from edgecomp.benchmark.scenarios.alternated import Effort
    from edgecomp.runtimes import TABLE

    asked, how = run.job.recipe.bench, settings(run)
    judged, tokens = arms.judged(run.job.recipe.quantize), loading.tokens(run, "test")
    test = {"input_ids": tokens.input_ids, inputs.MASK: tokens.mask}
    models = {arm.name: loading.file_of(run, arm, target.runtime) for arm in loading.measured(run)}
    models[judged.name] = run.folder / "deploy" / target.name / TABLE[target.runtime].model_file
    bench_language(
        target=target.name,
        place=Place.of(target, asked.timeout_s),
        models=models,
        student=judged.name,
        parameters=read_mapping(run.folder / "export" / "parameters.json"),
        parity_file=run.folder / "parity" / target.name / "parity.json",
        test=test,
        labels=tokens.labels,
        prompts=prompts_of(test, how.prompt_tokens, count=16),
        new_tokens=how.new_tokens,
        generations=how.generations,
        choices=loading.choices(run, loading.of_step(run, arms.TEACHER.steps[0])[1]),
        effort=Effort(asked.restarts, asked.warmup, asked.iterations, offline_batch=0, offline_batches=0),
        folder=out,
        track=run.track,
    )
