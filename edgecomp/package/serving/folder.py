"""`edgecomp prepare server`: a deployed folder → a folder that a server takes, or another version in one that is there."""

import re
from pathlib import Path

from edgecomp.errors import UsageError, nearest
from edgecomp.files.scratch import folder_beside, new_folder
from edgecomp.files.writing import sha256
from edgecomp.package.serving import openvino, triton
from edgecomp.package.serving.model import BACKENDS, Deployed, deployed
from edgecomp.package.serving.settings import Settings, derived

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
SERVERS = ("triton", "openvino")
LOST = "nothing was written"


def serving_folder(
    folder: Path | str,
    repository: Path | str,
    *,
    server: str = "triton",
    backend: str | None = None,
    name: str | None = None,
    version: int = 1,
    bench: Path | str | None = None,
) -> Path:
    """Writes what is deployed in `folder` into the model `repository` of a server, a new one or one that is there; returns the version's folder.

    server: `triton`, or `openvino`, OpenVINO Model Server. backend: Triton's, `onnxruntime`, `openvino` or `python`; the first two take the
    network's inputs, the third raw ones, for it carries preprocessing and labels along; the runtime's own where none is named. name: of the
    model; the run's where none is given. version: its number; another version of a model that is there must have the same inputs and outputs,
    and the configuration stays as it is. bench: a folder that `edgecomp bench FOLDER -s server -s dynamic-batching -s stress` wrote, from which
    instances, batching and warm-up are derived. Raises UsageError, FileError.
    """
    repository, path = Path(repository), Path(folder)
    if server not in SERVERS:
        raise UsageError(
            f"no such server: {server!r}{nearest(server, SERVERS)}; there are {', '.join(SERVERS)}"
        )
    model = deployed(path)
    name = name or model.name
    if not NAME.fullmatch(name):
        raise UsageError(
            f"--name {name}: a model's name is of letters, digits, '.', '_' and '-', and begins with a letter or digit"
        )
    if version < 1:
        raise UsageError(f"--version {version}: versions are numbers from 1 on")
    if (repository / name / str(version)).exists():
        raise UsageError(f"{repository / name} has a version {version} already, and one name is one model: name another version (--version "
                         f"{_highest(repository / name) + 1}), or another model (--name)")  # fmt: skip
    settings = derived(model.threads, model.digests, None if bench is None else Path(bench))
    if server == "openvino":
        if backend is not None:
            raise UsageError(f"--backend {backend} is of Triton: leave it out, or name --server triton")
        return _for_openvino(model, repository, name, version, settings)
    backend = backend or BACKENDS[model.runtime]
    able = (BACKENDS[model.runtime], triton.PYTHON)
    if backend not in able:
        raise UsageError(
            f"--backend {backend} does not take {path}, which is for {model.runtime}: name {' or '.join(able)}"
        )
    return _for_triton(model, repository, name, version, backend, settings)


def _highest(folder: Path) -> int:
    return max((int(one.name) for one in folder.iterdir() if one.name.isdecimal()), default=0)


def _for_triton(
    model: Deployed, repository: Path, name: str, version: int, backend: str, settings: Settings
) -> Path:
    if (repository / name).exists():
        _check_same(model, repository / name, backend)
        with new_folder(repository / name / str(version), LOST) as made:
            triton.write_version(model, backend, settings, made)
        return repository / name / str(version)
    repository.mkdir(parents=True, exist_ok=True)
    with folder_beside(repository / name) as made:
        (made / triton.CONFIG).write_text(triton.config(name, model, backend, settings), encoding="utf-8")
        triton.write_warmup(model, backend, settings, made / triton.WARMUP)
        (made / str(version)).mkdir()
        triton.write_version(model, backend, settings, made / str(version))
        made.rename(repository / name)
    return repository / name / str(version)


def _check_same(model: Deployed, there: Path, backend: str) -> None:
    """Raises UsageError where another version of what is `there` would have other inputs or outputs."""
    file = there / triton.CONFIG
    told = file.read_text(encoding="utf-8") if file.is_file() else ""
    wanted = f'backend: "{backend}"\n'
    if wanted not in told:
        raise UsageError(
            f"{file} is not of the backend {backend}: name the one that it has (--backend), or another model (--name)"
        )
    tensors = triton.tensors(model, backend)
    if tensors not in told:
        raise UsageError(f"{file} has other inputs or outputs than {model.folder}, whose are:\n{tensors}its callers would have to change: give it "
                         "another name (--name)")  # fmt: skip


def _for_openvino(model: Deployed, repository: Path, name: str, version: int, settings: Settings) -> Path:
    known = openvino.models_in(repository)
    if (repository / name).exists():
        _check_same_files(model, repository / name)
    if name not in [one.get("name") for one in known]:
        known = [*known, openvino.entry(name, settings)]
    repository.mkdir(parents=True, exist_ok=True)
    (repository / name).mkdir(exist_ok=True)
    with new_folder(repository / name / str(version), LOST) as made:
        openvino.write_version(model, made)
    openvino.write_config(repository, known)
    return repository / name / str(version)


def _check_same_files(model: Deployed, there: Path) -> None:
    """Raises UsageError where the model's files are those of a version that is `there` already."""
    for one in sorted(there.iterdir()):
        same = [one / name for name in model.files if (one / name).is_file()]
        if (
            same
            and len(same) == len(model.files)
            and all(sha256(file) == sha256(model.files[file.name]) for file in same)
        ):
            raise UsageError(f"{one} holds these very files: there is nothing to update")
