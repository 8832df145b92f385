"""`edgecomp compare`: two models side by side, and a verdict on whether one may replace the other."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from edgecomp.api.bench import path_of
from edgecomp.api.module import Example, file_for
from edgecomp.api.results import ComparisonResult
from edgecomp.comparison.command import Asked, compare_and_record
from edgecomp.config.target import load_target
from edgecomp.history.store import STORE
from edgecomp.progress import Listener, Silent

if TYPE_CHECKING:
    from torch import nn


def compare(
    base: "Path | str | nn.Module",
    candidate: "Path | str | nn.Module",
    target: str,
    *,
    example: "Example | None" = None,
    policy: str | None = None,
    data: Path | str | None = None,
    key_samples: Path | str | None = None,
    output: str | None = None,
    task: str | None = None,
    score: str | None = None,
    shape: Sequence[str] = (),
    range: Sequence[str] = (),
    max_time_s: float = 120.0,
    seed: int = 0,
    trust: Sequence[Path | str] = (),
    certificate: Path | str | None = None,
    junit: Path | str | None = None,
    metrics: Path | str | None = None,
    out: Path | str | None = None,
    history: Path | str | None = STORE,
    listener: Listener | None = None,
) -> ComparisonResult:
    """Runs both models again, side by side, and decides whether the candidate may replace the baseline.

    base, candidate: model files, run folders, deployed folders, addresses of models behind servers, or networks, with an `example` of their inputs. target: a device
    profile, by name or file. policy: a policy file or a shipped one; `release` with labelled examples, `same-outputs` with examples
    that are not, `no-slower` without any, where none
    is given. data: examples (.npz, .parquet): the inputs by name, `label`, `slice`. key_samples: such
    a file of inputs whose answers must hold: their `label` where they have one, else the baseline's. output: the output that is judged. task: what labels
    and outputs mean, of `edgecomp.tasks`, or `OUTPUT=TASK,…` of several outputs, whose labels are `label.OUTPUT`. score: `package.module:function` or `path/to/file.py:function`, a function of your own,
    `(outputs, labels) -> [N]`, the higher the better. shape, range:
    `AXIS=N` and `INPUT=LOW:HIGH` of inputs that are made up. max_time_s: it ends sooner where the answer is clear. seed: of the order in which the two take turns. trust: .pt2 and .ts files that may run
    code. certificate: a record of `edgecomp selftest`. junit, metrics: files to write as well. out: a new folder. history: the file that
    results are appended to, None for none. listener: told of progress.

    Raises UsageError, DataError, ModelFileError before anything is measured.
    """
    with TemporaryDirectory(prefix="edgecomp-compare-") as scratch:

        def file(model: "Path | str | nn.Module", name: str) -> Path:
            if not isinstance(model, Path | str):
                return file_for(model, example, load_target(target), Path(scratch) / name)
            return path_of(model, Path(scratch) / name)

        asked = Asked(
            file(base, "base"), file(candidate, "candidate"), target, policy, _path(data),
            max_time_s=max_time_s, seed=seed, certificate=_path(certificate), junit=_path(junit), metrics=_path(metrics),
            out=_path(out), store=_path(history), trust=tuple(map(Path, trust)), output=output, task=task, score=score, shape=tuple(shape), range=tuple(range),
            key_samples=_path(key_samples),
        )  # fmt: skip
        verdict, folder = compare_and_record(asked, listener or Silent())
    return ComparisonResult(folder, verdict)


def _path(given: Path | str | None) -> Path | None:
    return None if given is None else Path(given)
