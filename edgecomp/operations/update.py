"""A new version of a model behind a running server: loaded beside the one in use, warmed, asked key samples, and only then switched; else taken back.

Through the model repository extension of KServe v2 (Triton's, `--model-control-mode explicit`). Nothing of the version in use is touched before the new
one has answered: it is loaded as a model of its own, NAME.next. When its folder becomes NAME/VERSION, the server loads that beside the old version and
hands requests over once it is warm (Triton, docs/user_guide/model_management.md); key samples are asked again, and where they do not hold then, the
folder is taken out and the old version loaded again.
"""

import datetime
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgecomp import inputs as named
from edgecomp.benchmark.inputs.examples import Evaluation, read
from edgecomp.benchmark.worker.answers import as_arrays, broken_in, is_measure, spread_of
from edgecomp.errors import DataError, EdgecompError, InferenceError, ModelFileError, UsageError
from edgecomp.files.scratch import new_folder
from edgecomp.files.writing import digest_of, sha256, write_json
from edgecomp.gate.document import Check, PolicyRecord, VerdictDocument, whole
from edgecomp.gate.verdict import Reason, Verdict, exit_code
from edgecomp.package.serving.folder import serving_folder
from edgecomp.package.serving.triton import CONFIG
from edgecomp.runtimes import endpoints
from edgecomp.runtimes.endpoints import Endpoint
from edgecomp.runtimes.kserve import Control, KServeSession

NEXT = ".next"
TARGET = "server"
MOST_ERROR = 0.01  # of the deviation of an output of numbers
Array = npt.NDArray[Any]
Answers = dict[str, Array]


@dataclass(frozen=True)
class Asked:
    """deployed: the folder of the new version; repository: of the server, as this machine sees it; url: of the model in use; key_samples: a file of
    inputs whose answers must hold; out: a new folder for the verdict, None for one below runs/update; within_s: for the server to load a version."""

    deployed: Path
    repository: Path
    url: str
    key_samples: Path
    out: Path | None = None
    within_s: float = 120.0


def update(asked: Asked) -> tuple[VerdictDocument, Path]:
    """Updates the model as it is `asked`, or leaves the old version in use. Returns the verdict, PASS where the new version serves, and its folder.

    Raises UsageError where it cannot begin, DataError where the key samples are no inputs of it, EdgecompError where not even the old version could be
    loaded again.
    """
    began = datetime.datetime.now(datetime.UTC)
    endpoint = endpoints.parsed(asked.url)
    if endpoint.version:
        raise UsageError(
            f"{asked.url} names a version, and callers that do are not switched: name the model alone"
        )
    folder, versions = _versions(asked.repository, endpoint)
    if asked.out is not None and asked.out.exists():
        raise UsageError(
            f"{asked.out} is there already, and verdicts are not changed: name another with --out"
        )
    version = max(versions) + 1
    control = Control(endpoint, asked.within_s)
    with _asking(endpoint) as session:
        samples = read(asked.key_samples, session.signature().inputs)
        before = _answers(session, samples)
    check, switched = _switched(asked, control, endpoint, folder, version, samples, before)
    verdict = whole([check])
    told = {
        "model": endpoint.url,
        "version": version,
        "before": max(versions),
        "key_samples": sha256(asked.key_samples),
    }
    document = VerdictDocument(
        verdict=verdict,
        unwaived=verdict,
        exit_code=exit_code(verdict, "block"),
        next_step=f"Version {version} serves {endpoint.model}."
        if switched
        else f"Version {max(versions)} serves {endpoint.model} as before.",
        policy=PolicyRecord(name="update", on_inconclusive="block", changes=(), sha256=digest_of(told)),
        gates=(check,),
        figures={},
    )
    out = asked.out or Path("runs") / "update" / f"{endpoint.model}-{began.strftime('%Y%m%dT%H%M%S%f')}"
    with new_folder(out, f"it came to {verdict}") as scratch:
        write_json(scratch / "verdict.json", document.as_json())
        write_json(
            scratch / "update.json",
            {**told, "deployed": str(asked.deployed), "began": began.isoformat(timespec="seconds")},
        )
    return document, out


def _versions(repository: Path, endpoint: Endpoint) -> tuple[Path, list[int]]:
    folder = repository / endpoint.model
    versions = [int(one.name) for one in folder.iterdir() if one.name.isdecimal()] if folder.is_dir() else []
    if not versions or not (folder / CONFIG).is_file():
        raise UsageError(f"{repository} has no model {endpoint.model!r} with a {CONFIG} and a version: name the model repository that the server was "
                         "started with, as this machine sees it")  # fmt: skip
    if (repository / f"{endpoint.model}{NEXT}").exists():
        raise UsageError(
            f"{repository / (endpoint.model + NEXT)} is there: another update is under way, or one was killed; in that case delete it"
        )
    return folder, versions


def _switched(
    asked: Asked,
    control: Control,
    endpoint: Endpoint,
    folder: Path,
    version: int,
    samples: Evaluation,
    before: Answers,
) -> tuple[Check, bool]:
    """The check, and whether the new version serves now."""
    beside = endpoint._replace(model=f"{endpoint.model}{NEXT}")
    try:
        made = _made_beside(asked, folder, beside.model, version)
        try:
            control.load(beside.model)
            with _asking(beside) as session:
                why = _lost(before, _answers(session, samples), samples)
        except (EdgecompError, DataError) as error:
            return _check(
                Verdict.FAIL,
                Reason.CRASHED,
                f"version {version} was not switched to: {error}",
            ), False
        finally:
            with suppress(EdgecompError):  # it may not have been loaded
                control.unload(beside.model)
        if why:
            return _check(
                Verdict.FAIL,
                Reason.OVER_LIMIT,
                f"version {version} was loaded beside, and not switched to: {why}",
            ), False
        made.rename(folder / str(version))
    finally:
        shutil.rmtree(asked.repository / beside.model, ignore_errors=True)
    try:
        control.load(endpoint.model)
        with _asking(endpoint) as session:
            if str(version) not in session.versions:
                raise ModelFileError(
                    f"the server has loaded version {', '.join(session.versions)} and not {version}: look at its version policy"
                )
            why = _lost(before, _answers(session, samples), samples)
    except EdgecompError as error:
        why = str(error)
    if not why:
        count = named.count(samples.inputs)
        return _check(
            Verdict.PASS,
            Reason.WITHIN_LIMIT,
            f"all {count} hold, beside the old version and after the switch to {version}",
        ), True
    _take_back(control, endpoint, folder / str(version), why)
    return _check(
        Verdict.FAIL, Reason.OVER_LIMIT, f"version {version} was switched to, and taken back: {why}"
    ), False


def _made_beside(asked: Asked, folder: Path, name: str, version: int) -> Path:
    """The new version's folder, in a model of its own with the configuration that is in use."""
    told = (folder / CONFIG).read_text(encoding="utf-8")
    backend = next(
        (
            line.partition(":")[2].strip().strip('"')
            for line in told.splitlines()
            if line.startswith("backend:")
        ),
        None,
    )
    made = serving_folder(asked.deployed, asked.repository, backend=backend, name=name, version=version)
    own = (made.parent / CONFIG).read_text(encoding="utf-8")
    tensors = [line for line in own.splitlines() if line.startswith(("input ", "output "))]
    if missing := [line for line in tensors if line not in told.splitlines()]:
        raise UsageError(
            f"{asked.deployed} has other inputs or outputs than {folder / CONFIG}, and its callers would have to change: {missing[0]}"
        )
    (made.parent / CONFIG).write_text(
        told.replace(f'name: "{folder.name}"\n', f'name: "{name}"\n', 1), encoding="utf-8"
    )
    if (folder / "warmup").is_dir():
        shutil.rmtree(made.parent / "warmup", ignore_errors=True)
        shutil.copytree(folder / "warmup", made.parent / "warmup")
    return made


def _take_back(control: Control, endpoint: Endpoint, folder: Path, why: str) -> None:
    shutil.rmtree(folder)
    try:
        control.load(endpoint.model)
    except EdgecompError as error:
        raise InferenceError(
            f"{endpoint.url}: {why}; and the old version could not be loaded again: {error}"
        ) from error


@contextmanager
def _asking(endpoint: Endpoint) -> Iterator[KServeSession]:
    session = KServeSession(endpoint)
    try:
        yield session
    finally:
        session.close()


def _answers(session: KServeSession, samples: Evaluation) -> Answers:
    """By output, of each key sample alone: what else is in a batch changes nothing then."""
    count = named.count(samples.inputs)
    found = [as_arrays(session.run({name: np.asarray(values) for name, values in named.some(samples.inputs, slice(place, place + 1)).items()}), {}) for place in range(count)]  # fmt: skip
    if len({tuple(values.shape for values in one.values()) for one in found}) > 1:
        raise DataError(
            f"{samples.file}: answers to key samples are of several shapes: give samples of one length"
        )
    return {name: np.concatenate([one[name] for one in found]) for name in found[0]}


def _lost(before: Mapping[str, Array], now: Mapping[str, Array], samples: Evaluation) -> str:
    """Which key samples are answered otherwise than by their label, or, without labels, by the version before; nothing where all hold.

    Of classes the same value is the largest; numbers differ by 1 % of the deviation of those before at most; texts are the same.
    """
    if broken := broken_in(now):
        name, what = next(iter(broken.items()))
        return f"output {name} has {what}"
    for name, values in now.items():
        old = before.get(name)
        if old is None or old.shape != values.shape:
            return f"output {name} is of another shape than before"
        lost = _otherwise(old, values, samples.labels)
        if lost.any():
            places = np.flatnonzero(lost).tolist()
            return f"output {name}: {len(places)} of {len(values)} key samples are answered otherwise: {', '.join(map(str, places[:5]))}, counted from 0"
    return ""


def _otherwise(old: Array, now: Array, labels: Array | None) -> npt.NDArray[np.bool_]:
    is_classes = now.ndim == 2 and now.shape[1] > 1 and now.dtype.kind == "f"
    if is_classes:
        wanted = old.argmax(axis=1) if labels is None or labels.ndim != 1 else labels
        return np.asarray(now.argmax(axis=1) != wanted)
    flat_old, flat = old.reshape(len(old), -1), now.reshape(len(now), -1)
    if not is_measure(now):  # texts and ids; where there are labels, the classes' output says it
        return np.zeros(len(now), bool) if labels is not None else np.asarray((flat_old != flat).any(axis=1))
    return np.asarray(np.abs(flat.astype(np.float64) - flat_old).max(axis=1) > MOST_ERROR * spread_of(old))


def _check(verdict: Verdict, reason: Reason, why: str) -> Check:
    return Check(
        target=TARGET, name="key_samples", metric="key_samples", title="key samples", limit="all hold", limit_value=0.0, passes="below",
        estimate=None, verdict=verdict, reason=reason, sentence=f"{TARGET}: key samples: {why.rstrip('.')}.",
    )  # fmt: skip
