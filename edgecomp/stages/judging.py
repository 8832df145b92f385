"""The verdict, and what is said of it."""

from pathlib import Path

from edgecomp import made
from edgecomp.made import Run


def gate(run: Run, out: Path, checkpoints: Path) -> None:
    """The verdict."""
    from edgecomp.gate.stage import judge_and_record

    judge_and_record(
        rows=run.job.rows,
        policy=run.job.policy,
        budgets={target.name: target.budget_rows() for target in run.job.targets},
        bench_folders={target.name: run.folder / "bench" / target.name for target in run.job.targets},
        beside={target.name: run.folder / "bench" / target.name for target in run.job.beside},
        portable={
            target.name: run.folder / "portable" / target.name
            for target in run.job.targets
            if made.is_for_cpus(run.job, target)
        },
        emulated={
            target.name: (
                run.folder / "emulation" / target.name,
                run.folder / "parity" / target.name / "reference.npy",
            )
            for target in run.job.targets
            if target.isa != "host"
        },
        today=run.today,
        folder=out,
    )


def report(run: Run, out: Path, checkpoints: Path) -> None:
    """HTML, Markdown, JSON and JUnit."""
    from edgecomp.report.stage import write_report

    write_report(run_folder=run.folder, job=run.job, folder=out)
