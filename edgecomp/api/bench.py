"""`edgecomp bench` of model files: each target in turn, each result kept before the next begins."""

import datetime
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgecomp.bench.standalone import Asked, bench_model, check_trust, name_of
from edgecomp.cli.terminal import COLOURS, Screen, bench_table, line, say
from edgecomp.config.job import read_job
from edgecomp.config.target import Target, load_target
from edgecomp.errors import EdgecompError, UsageError, WorkerError
from edgecomp.files.writing import write_json
from edgecomp.gate.verdict import EXIT_CODES, Verdict
from edgecomp.history.record import of_bench, remember
from edgecomp.report.bench_page import write_page
from edgecomp.runtimes import TABLE

DEFAULT_TARGETS = {
    ".onnx": "onnxruntime-cpu",
    ".xml": "openvino-cpu",
    ".pt2": "pytorch-cpu",
    ".ts": "torchscript-cpu",
    ".pt": "torchscript-cpu",
}


def bench_files(
    what: Path,
    targets: Sequence[str],
    asked: Asked,
    given: Path | None,
    out: Path | None,
    as_json: bool,
    store: Path,
) -> int:
    """Measures a model file, or what a run folder deploys, under each target; the exit code, INVALID's where a result cannot be
    believed.

    What one target cannot do is said, and the others go on. Raises UsageError before anything is measured.
    """
    screen = Screen(json=as_json)
    jobs = _jobs(what, targets)
    check_trust(asked.trust, [model for model, _ in jobs])
    if out is not None and len(jobs) > 1:
        raise UsageError(f"--out {out} is one folder, and there are {len(jobs)} targets: leave it out")
    found: list[dict[str, Any]] = []
    errors: dict[str, EdgecompError] = {}
    for model, target in jobs:
        now = datetime.datetime.now(datetime.UTC).strftime("%Y%m%dT%H%M%S")
        folder = out or Path("runs") / "bench" / f"{name_of(what)}-{target.name}" / now
        try:
            content = bench_model(model, target, asked, given=given, folder=folder, track=screen.track)
        except EdgecompError as error:
            errors[target.name] = error
            screen.failed(target.name, "not run", str(error))
            continue
        for scenario, reason in content["failed"].items():
            errors[f"{target.name}, {scenario}"] = WorkerError(reason)
            screen.failed(f"{target.name}, {scenario}", "failed", reason)
        if asked.profile and what.is_dir():
            _profile_training(what, folder, screen)
        try:
            write_page(folder)
        except OSError as error:
            screen.note(f"{folder}/bench.html was not written: {error.strerror or error}")
        remember(of_bench(content, folder), store, screen.note)
        found.append(content | {"folder": str(folder)})
        for note in content["notes"]:
            screen.note(note)
        screen.out.print(bench_table(content))
        for doubt in content["doubts"]:
            screen.out.print(line(("INVALID", f"bold {COLOURS['INVALID']}"), f" {doubt}."))
        screen.out.print(f"Result: {folder}/bench.json, bench.html", soft_wrap=True)
    invalid = any(one["doubts"] for one in found)
    code = next((error.exit_code for error in errors.values()), EXIT_CODES[Verdict.INVALID] if invalid else 0)
    if as_json:
        summary = {
            "exit_code": code,
            "results": [
                {
                    "target": one["target"]["name"],
                    "folder": one["folder"],
                    "quality": one["quality"]["grade"],
                    "confinement": one["confinement"]["how"],
                    "not_supported": one["not_supported"],
                    "saturation": one["saturation"],
                    "made_up": one["made_up"],
                    "audit": one["audit"],
                    "doubts": one["doubts"],
                    "notes": one["notes"],
                    **one["metrics"],
                }
                for one in found
            ],
            "errors": {name: str(error) for name, error in errors.items()},
        }
        say(summary)
    return code


def _profile_training(run_folder: Path, folder: Path, screen: Screen) -> None:
    """training.json, and a trace, beside the result."""
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # the profiler's chatter, read when torch is imported
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    from edgecomp.pipeline import stages
    from edgecomp.pipeline.loaders import Run

    found = stages.profile_training(Run(read_job(run_folder), run_folder, screen.track), folder)
    write_json(folder / "training.json", found)


def _jobs(what: Path, names: Sequence[str]) -> list[tuple[Path, Target]]:
    """Which file under which target. Of a run folder, targets by name are its job's, and the files those of its targets."""
    if what.is_dir():
        job = read_job(what)
        known = {target.name: target for target in (*job.targets, *job.ungated_targets)}
        deployed = [target.name for target in job.targets if (what / "deploy" / target.name).is_dir()]
        if not deployed:
            raise UsageError(f"{what} has nothing deployed: name a model file, or `edgecomp run` first")
        targets = [known[name] if name in known else load_target(name) for name in names or deployed]
        return [(_deployed(what, target, deployed), target) for target in targets]
    chosen = list(names) or [name for name in (DEFAULT_TARGETS.get(what.suffix),) if name]
    if not chosen:
        raise UsageError(f"{what}: name a target for it with --target")
    return [(what, load_target(name)) for name in chosen]


def _deployed(run: Path, target: Target, deployed: Sequence[str]) -> Path:
    """The target's own file, or that of a target which takes the same kind."""
    wanted = TABLE[target.runtime].model_file
    for name in sorted(deployed, key=lambda name: name != target.name):
        file = run / "deploy" / name / wanted
        if file.is_file():
            return file
    raise UsageError(f"{run} deploys no {wanted} for {target.name}: it has {', '.join(deployed)}")
