"""The cells of reports/streams as one table."""

from collections.abc import Sequence
from typing import Any

ALSO = {
    "alarm_recall_pct": "of the alarms, in per cent, are found at one false alarm in a hundred others",
    "tail_macro_f1_pct": "points of macro F1 of the rare templates, the student's less the teacher's:",
}
TOLD = {"edge-2core-1g": "ONNX Runtime", "openvino-cpu": "OpenVINO"}


def table(cells: Sequence[dict[str, Any]]) -> str:
    """Markdown: a row a cell and runtime."""
    lines = [
        "# Log lines, as a stream", "",
        "`python benchmarks/streams`: of which of 13 systems a line is; `template`: of which event template, of those with a dozen lines and with ten",
        "that is learnt from; `alarm`: whether one of BlueGene/L is an alarm. Splits: by line (random, copies of a line together), in the order of the lines,",
        "by event template (those judged are unseen). Accuracy with its one-sided 95 % bounds; lines a second from text to class on two cores, each line",
        "computed, median of six restarts with its bounds; CPU time of a line; a line's latency where half as many arrive by themselves as it could take;",
        "and what computing a line once in a batch would give. Memory: the peak of a process that streams.", "",
        "| cell | CPU | runtime | accuracy, teacher | student | lines a second | CPU, µs a line | p50, p99 at half of it | each line once | memory |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]  # fmt: skip
    for cell in cells:
        if "targets" not in cell:
            lines.append(
                f"| {cell['cell']} | {cell['isa']} | {cell.get('by', 'scikit-learn')} | | {_share(cell['accuracy'])} | | {cell['cpu_us_a_line']:.1f} | | | |"
            )
            continue
        for target, one in cell["targets"].items():
            stream, arriving = one["stream"], one["stream"]["arriving"]
            lines.append(
                f"| {cell['cell']} | {cell['isa']} | {TOLD[target]} | {_share(one['accuracy']['teacher'])} | {_share(one['accuracy'].get('cascade', one['accuracy']['student_int8']))} | "
                f"{_rate(one['stream_per_s'])} | {stream['cpu_us_a_line']:.1f} | {arriving['p50_ms']:.2f}, {arriving['p99_ms']:.2f} ms | "
                f"{stream['each_line_once_in_a_batch']['lines_per_s']:,.0f} | {stream['peak_memory_bytes'] / 2**20:.0f} MiB |"
            )
    told = [
        f"- {cell['cell']}, {cell['isa']}, {TOLD[target]}: {words} {_of(one[name])}"
        for cell in cells
        for target, one in cell.get("targets", {}).items()
        for name, words in ALSO.items()
        if one.get(name)
    ]
    told += [
        f"- {cell['cell']}, {cell['isa']}, {TOLD[target]}: {_cascade(one['cascade'], one['accuracy'])}"
        for cell in cells
        for target, one in cell.get("targets", {}).items()
        if "cascade" in one
    ]
    return "\n".join([*lines, *([""] if told else []), *told]) + "\n"


def _cascade(found: dict[str, Any], accuracy: dict[str, Any]) -> str:
    """What of the validation lines is handed on and lost, and what the student by itself has right of the test lines."""
    handed = found["handed_on"]
    return (
        f"{100 * handed:.1f} % of the validation lines are handed on, {100 * found['lost']:.2f} % lost, at most {100 * found['lost_at_most']:.2f} % at 95 %; "
        f"its student alone has {_share(accuracy['student_int8'])} of the test lines right"
    )


def _of(figure: dict[str, Any]) -> str:
    return f"{figure['value']:.1f} [{figure['lower']:.1f}, {figure['upper']:.1f}]"


def _share(figure: dict[str, Any]) -> str:
    return f"{figure['value']:.1f} % [{figure['lower']:.1f}, {figure['upper']:.1f}]"


def _rate(figure: dict[str, Any]) -> str:
    bounds = "" if figure["lower"] is None else f" [{figure['lower']:,.0f}, {figure['upper']:,.0f}]"
    return f"{figure['value']:,.0f}{bounds}"
