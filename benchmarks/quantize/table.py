"""The cells of reports/quantize as one table."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from edgecomp.metrics.registry import ACCURACY, INT8_SHARE, TEACHER_ERROR, TOP_AGREEMENT

DECIDES = (TOP_AGREEMENT, TEACHER_ERROR, ACCURACY)
SPEED = "cpu_p50_ms"  # which the policy `same-function` holds against the model's own
RUNTIMES = ("onnxruntime-cpu", "openvino-cpu")
TOLD = {"onnxruntime-cpu": "ONNX Runtime", "openvino-cpu": "OpenVINO"}
TOOLS = ("ptq-ort", "ptq-nncf", "ours")


def table(cells: Sequence[dict[str, Any]]) -> str:
    """Markdown: a row a model, then why those that did not pass did not."""
    lines = [
        "# Other people's models, quantised", "",
        "`python benchmarks/quantize WHEELS`: each file out of a package of the Python Package Index, on inputs that",
        "benchmarks/quantize/made.py makes, by `edgecomp quantize` for both runtimes. Answers: the model's own against the int8 file's as",
        "executed, on inputs that nothing was trained or chosen on, with the one-sided 95 % bound. Same in int8: whether that bound is kept and",
        "95 % of the products are in int8, in both runtimes; the verdict is on all that the policy same-function checks, speed and size too. Speed: int8",
        "over fp32, CPU time, batch 1, one thread. Size: over the file that was given.", "",
        "| model | what it is | same in int8 | verdict | made by | answers: ONNX Runtime | OpenVINO | in int8 | speed | size | took |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]  # fmt: skip
    lines += [_row(cell) for cell in cells]
    for what, counts in (
        ("Same in int8", Counter(map(_same, cells))),
        ("Verdict", Counter(map(_outcome, cells))),
    ):
        lines += [
            "",
            f"{what}: " + ", ".join(f"{outcome} {count}" for outcome, count in sorted(counts.items())) + ".",
        ]
    lines += [
        "",
        "What was tried, how long it took to be made, and what it came to:",
        "",
        "| model | way | took | ONNX Runtime | OpenVINO |",
        "| --- | --- | --- | --- | --- |",
    ]
    lines += [row for cell in cells for row in _ways(cell)] + [""]
    lines += [
        "The best of each tool's post-training quantisations, on validation inputs, as each runtime executes it: the share of the variance of the model's",
        "outputs that is explained, in per cent (with labels: accuracy); and what making and executing them took, files that both share in both rows.", "",
        "| model | runtime | ONNX Runtime's | NNCF's | ours | candidates | took |", "| --- | --- | --- | --- | --- | --- | --- |",
        *(row for cell in cells for row in _tools(cell)), "",
    ]  # fmt: skip
    for cell in cells:
        for said in _why(cell):
            lines.append(f"- **{cell['model']}**: {said}")
    return "\n".join(lines).rstrip() + "\n"


def _outcome(cell: dict[str, Any]) -> str:
    return str(cell.get("verdict") or ("refused" if "refused" in cell else "error"))


def _same(cell: dict[str, Any]) -> str:
    """Of what decides whether it is the same function, and of its share in int8: the worst verdict of both runtimes."""
    found = (
        {check["verdict"] for runtime in RUNTIMES for check in _of(cell, runtime, (*DECIDES, INT8_SHARE))}
        if "verdict" in cell
        else {_outcome(cell)}
    )
    return next(
        (one for one in ("FAIL", "INVALID", "INCONCLUSIVE") if one in found), next(iter(found), "none")
    )


def _ways(cell: dict[str, Any]) -> list[str]:
    """A row a way: what each runtime's answers came to."""
    return [
        f"| {cell['model']} | {one['name']} | {one['seconds']:.0f} s | "
        + " | ".join(
            "none" if (score := one["scores"].get(runtime)) is None else f"{score:.4g} %"
            for runtime in RUNTIMES
        )
        + " |"
        for one in cell.get("tried", ())
    ]


def _row(cell: dict[str, Any]) -> str:
    begin = f"| {cell['model']} | {cell['of']} | {_same(cell)} | {_outcome(cell)} |"
    if "verdict" not in cell:
        return f"{begin} | | | | | | {cell['seconds']:.0f} s |"
    answers = [" ".join(_answer(check) for check in _of(cell, runtime, DECIDES)) for runtime in RUNTIMES]
    shares = [
        f"{check['estimate']:.4g} %" for runtime in RUNTIMES for check in _of(cell, runtime, (INT8_SHARE,))
    ]
    speeds = [f"{check['estimate']:.2f}" for runtime in RUNTIMES for check in _of(cell, runtime, (SPEED,))]
    sizes = [f"{cell['bytes'][runtime] / cell['float_bytes']:.2f}" for runtime in RUNTIMES]
    return (f"{begin} {cell.get('chosen') or cell['tried'][-1]['name']} | {answers[0]} | {answers[1]} | {', '.join(shares)} | {', '.join(speeds)} | "
            f"{', '.join(sizes)} | {cell['seconds']:.0f} s |")  # fmt: skip


def _tools(cell: dict[str, Any]) -> list[str]:
    """A row a runtime of what each tool's best candidate scored."""
    rows = []
    for runtime, found in cell.get("quantisations", {}).items():
        scores = found.get("scores", [])
        best = [
            max((one["validation_score_pct"] for one in scores
                 if one["name"].startswith(tool) and one["validation_score_pct"] is not None), default=None)
            for tool in TOOLS
        ]  # fmt: skip
        took = sum((one.get("made_s") or 0) + (one.get("executed_s") or 0) for one in scores)
        tried = sum(not one["reason"].startswith("not tried") for one in scores)
        shown = " | ".join("none" if one is None else f"{one:.2f}" for one in best)
        rows.append(
            f"| {cell['model']} | {TOLD[runtime]} | {shown} | {tried} of {len(scores)} | {took:.0f} s |"
        )
    return rows


def _answer(check: dict[str, Any]) -> str:
    bound = check["lower"] if check["metric"] == TOP_AGREEMENT else check["upper"]
    sign = "≥" if check["metric"] == TOP_AGREEMENT else "≤"
    return f"{check['estimate']:.4g} % ({sign} {bound:.4g} %)"


def _of(cell: dict[str, Any], runtime: str, metrics: Sequence[str]) -> list[dict[str, Any]]:
    return [check for check in cell["checks"] if check["target"] == runtime and check["metric"] in metrics]


def _why(cell: dict[str, Any]) -> list[str]:
    if "verdict" not in cell:
        return [str(cell.get("refused") or cell["error"].strip().splitlines()[-1])]
    return [
        check["sentence"] + f" {check['verdict']}." for check in cell["checks"] if check["verdict"] != "PASS"
    ]
