"""`edgecomp selftest`: what a gate can tell apart on this machine, now. The same model is compared with itself, and with itself
made slower by work that is really done, over and over, by the very comparison that `edgecomp compare` makes."""

import datetime
import math
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from edgecomp.artifacts.places import check_duration, check_writable
from edgecomp.benchmark.hosts.device import at
from edgecomp.benchmark.hosts.host import Host
from edgecomp.benchmark.scenarios.side_by_side import Side
from edgecomp.comparison.trial import compare, place_of
from edgecomp.config.policy import Policy, load_policy
from edgecomp.config.schema import explain
from edgecomp.config.target import Target, check_cores, load_target
from edgecomp.errors import FileError, UsageError
from edgecomp.files.json_files import read_json
from edgecomp.files.writing import sha256, write_json
from edgecomp.gate.judge import limit_of
from edgecomp.gate.paired import fail_alpha, log_ratios
from edgecomp.gate.verdict import combine
from edgecomp.gate.waivers import deciding
from edgecomp.machine import installed
from edgecomp.metrics.comparison import CANDIDATE
from edgecomp.metrics.registry import CPU_P50
from edgecomp.progress import Listener
from edgecomp.runtimes import TABLE
from edgecomp.runtimes.formats import format_of
from edgecomp.stats.power import CAUGHT, Rate, smallest_caught

FORMAT_VERSION = 1
"""1: target, began, model, policy, machine, trials, summary."""

SCHEDULE = (0.0, 0.10, 0.0, 0.05)  # shares of extra work, over and over; 0: the model beside itself
CHECK = CPU_P50  # of the policy, whose power is told
VERDICTS = ("PASS", "FAIL", "INCONCLUSIVE", "INVALID")


@dataclass(frozen=True)
class Trial:
    """One gate. log_ratios: of each restart's CHECK."""

    slowdown: float
    verdict: str
    rows: dict[str, str]
    elapsed_s: float
    log_ratios: list[float]
    wall_over_cpu: float | None


def trial(
    model: Path,
    target: Target,
    policy: Policy,
    slowdown: float,
    seed: int,
    max_time_s: float,
    host: Host | None = None,
) -> Trial:
    """One comparison of a model with itself, under `target`; the candidate does that much extra work.
    slowdown: as a share of its own, 0.05 for 5 %; policy: judges it; seed: of the order; max_time_s: at most,
    in seconds; host: the machine, this one where it is None."""
    place = place_of(target, host=host)
    with tempfile.TemporaryDirectory() as name:
        outcome = compare(
            Side(model, place),
            Side(model, replace(place, slowdown=slowdown)),
            target=target,
            policy=policy,
            today=datetime.datetime.now(datetime.UTC).date(),
            evaluation=None,
            max_time_s=max_time_s,
            seed=seed,
            scratch=Path(name),
            track=lambda items, *_: iter(items),
        )
    of = outcome.comparison
    assert of is not None
    return Trial(
        slowdown,
        combine(check.verdict for check in deciding(outcome.checks)),
        {check.name: check.verdict for check in outcome.checks},
        outcome.elapsed_s,
        log_ratios(of, CHECK, len(of.restarts), CANDIDATE).tolist() if of.restarts else [],
        of.facts.get("wall_over_cpu"),
    )


def selftest(
    target_name: str, *, model: Path | None, minutes: float, seed: int, out: Path | None, listener: Listener
) -> tuple[dict[str, Any], Path]:
    """The record, and the file it is in. target_name: as --target has it; model: a file, None for the
    reference model; minutes: of all trials; seed: of the first, the next has one more; out: a new file, None
    for one in runs/selftest; listener: told of each trial. Raises UsageError, and what a comparison
    raises."""
    began = datetime.datetime.now(datetime.UTC)
    check_duration(60 * minutes, "--minutes", 60)
    target = load_target(target_name)
    check_cores(target)
    policy = load_policy("no-slower")
    file = out or Path("runs") / "selftest" / f"{target.name}-{began.strftime('%Y%m%dT%H%M%S')}.json"
    if file.exists():
        raise UsageError(f"{file} is there already, and records are not changed: name another with --out")
    check_writable(file, "--out", [] if model is None else [model])
    deadline = time.monotonic() + 60 * minutes
    trials: list[Trial] = []
    with tempfile.TemporaryDirectory() as name, at(target) as host:
        model = model or reference_model(target, Path(name))
        while not trials or time.monotonic() + longest(trials) < deadline:
            slowdown = SCHEDULE[len(trials) % len(SCHEDULE)]
            trials.append(trial(model, target, policy, slowdown, seed + len(trials), 120.0, host))
            last = trials[-1]
            what = f"{100 * slowdown:g} % slower" if slowdown else "the same model"
            listener.say(f"{len(trials):4}  {what:<15} {last.verdict:<13} {last.elapsed_s:5.1f} s")
        record = {
            "format": FORMAT_VERSION,
            "target": target.name,
            "began": began.isoformat(timespec="seconds"),
            "model": {"file": str(model), "sha256": sha256(model)},
            "policy": policy.name,
            "runtime_version": installed(TABLE[target.runtime].distribution),
            "machine": host.facts(),
            "trials": [asdict(one) for one in trials],
            "summary": summary(trials, policy, target, seed),
        }
    write_json(file, record)
    return record, file


def longest(trials: Sequence[Trial]) -> float:
    """Of the trials, the seconds that the longest took."""
    return max(trial.elapsed_s for trial in trials)


def summary(trials: Sequence[Trial], policy: Policy, target: Target, seed: int) -> dict[str, Any]:
    """Rates of the trials by slowdown with their bounds, the smallest slowdown this machine catches, and what
    follows. policy: that judged them, which has the margin; target: taken no notice of; seed: of
    resampling."""
    by_slowdown = {}
    for slowdown in sorted({trial.slowdown for trial in trials}):
        of = [trial for trial in trials if trial.slowdown == slowdown]
        by_slowdown[f"{slowdown:g}"] = {
            "gates": len(of),
            **{
                verdict: Rate.of(sum(trial.verdict == verdict for trial in of), len(of))._asdict()
                for verdict in VERDICTS
            },
            "median_s": float(np.median([trial.elapsed_s for trial in of])),
        }
    threshold = policy.rows[CHECK]
    same = [np.asarray(trial.log_ratios) for trial in trials if trial.slowdown == 0 and trial.log_ratios]
    pool = np.concatenate(same) if same else np.empty(0)
    caught = (
        smallest_caught(
            pool,
            math.log(limit_of(threshold)),
            1 - threshold.confidence,
            min(1 - threshold.confidence, fail_alpha(policy)),
            seed,
        )
        if len(pool) >= 8
        else None
    )
    felt = [trial.wall_over_cpu for trial in trials if trial.wall_over_cpu]
    found = {
        "by_slowdown": by_slowdown,
        "restarts": len(pool),
        "spread_of_restarts_pct": 100 * float(np.std(pool, ddof=1)) if len(pool) > 1 else None,
        "smallest_caught_pct": None if caught is None else 100 * caught,
        "margin": threshold.text,
        "wall_over_cpu": float(np.median(felt)) if felt else None,
    }
    return found | {"advice": advice(found)}


def advice(found: dict[str, Any]) -> str:
    """One sentence for whoever sets the gate up. found: as `summary` has it."""
    same = found["by_slowdown"]["0"]
    if same["FAIL"]["lower"] > 0.01:
        return "this machine calls the same model slower more often than 1 % of the time: do not gate releases on it, and report it"
    caught = found["smallest_caught_pct"]
    if found["restarts"] < 8:
        return "too few gates to say anything: give it more --minutes"
    if caught is None:
        return (
            "restarts differ so much here that not even twice the time would be caught: use a quieter machine"
        )
    for slowdown, one in found["by_slowdown"].items():
        if 100 * float(slowdown) >= caught and one["FAIL"]["upper"] < CAUGHT:
            return (
                f"restarts say that {caught:g} % would be caught, and of {one['gates']} gates really slower by {100 * float(slowdown):g} % only "
                f"{one['FAIL']['hits']} were: trust the gates, and use a quieter machine or a wider margin"
            )
    waits = same["INCONCLUSIVE"]["hits"] / max(1, same["gates"])
    slow = (
        f"; {100 * waits:.0f} % of gates of the same model end undecided, so set on_inconclusive or a wider margin"
        if waits > 0.1
        else ""
    )
    return (
        f"a slowdown of {caught:g} % is caught in 95 % of gates (resampled from {found['restarts']} restarts), and a gate takes some "
        f"{same['median_s']:.0f} s{slow}"
    )


def reference_model(target: Target, folder: Path) -> Path:
    """A ResNet-8 of random weights as the target's file, in `folder`, and for more than one thread a
    ResNet-20 of twice the width, which has something to share out: what a gate can tell apart depends little
    on what else is computed. Raises UsageError where the target's runtime has files that are not made
    here."""
    import torch

    from edgecomp.export.formats import MAKERS, export_network
    from edgecomp.export.stage import Interface
    from edgecomp.models.networks.resnet import ResNet

    torch.manual_seed(0)
    network = ResNet(3, 10, blocks=1) if target.threads == 1 else ResNet(3, 10, blocks=3, width=32)
    suffix = format_of(target.runtime).suffix
    if suffix not in MAKERS:
        raise UsageError(f"no reference model can be made for {target.runtime}: name a model file")
    example, other = ({"input": torch.zeros(count, 3, 32, 32).numpy()} for count in (2, 3))
    file = export_network(
        network.eval(), Interface(({0: "batch"},), example, other), folder / f"reference{suffix}"
    )
    return file


SAME_MACHINE = ("cpu", "cores", "memory_bytes")
"""Facts by which a certificate is of the machine that a comparison runs on."""


class _Part(BaseModel):
    """What is shown of a record; it has more."""

    model_config = ConfigDict(extra="allow", strict=True)


class _Machine(_Part):
    cpu: str
    cores: int
    memory_bytes: int


class _Summary(_Part):
    advice: str


class _Record(_Part):
    format: Literal[1]
    target: str
    began: str
    machine: _Machine
    summary: _Summary


def read_certificate(file: Path, target: Target, host: Host) -> dict[str, Any]:
    """The record `file` of `edgecomp selftest`, as a verdict keeps it. target: that is judged now; host: the machine that it is judged on. Raises
    UsageError where the file is none, or of another target."""
    try:
        record = _Record.model_validate(read_json(file))
    except ValidationError as error:
        raise UsageError(
            f"{file} is no record of `edgecomp selftest`: {explain(error, _Record)[0]}"
        ) from None
    except FileError as error:
        raise UsageError(
            f"{file} is no record of `edgecomp selftest`: {str(error).removeprefix(f'{file}: ')}"
        ) from None
    if record.target != target.name:
        raise UsageError(
            f"{file} is of target {record.target}, and this is {target.name}: run `edgecomp selftest --target {target.name}`"
        )
    content = record.model_dump()
    there = {name: content["machine"][name] for name in SAME_MACHINE}
    return {
        "file": str(file),
        "sha256": sha256(file),
        "began": record.began,
        "machine": content["machine"],
        "elsewhere": there != {name: host.facts()[name] for name in SAME_MACHINE},
        "summary": content["summary"],
    }
