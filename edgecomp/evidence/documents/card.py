"""model-card/README.md: a model card as Hugging Face reads it, with a `model-index`, ready to push."""

from typing import Any

import yaml

from edgecomp.arms import judged
from edgecomp.evidence.documents.compliance import Facts, answer
from edgecomp.evidence.libraries import library
from edgecomp.metrics.registry import METRICS
from edgecomp.stats.figure import Figure
from edgecomp.text import markdown

CARD = "model-card/README.md"
OF_ANSWERS = "answers"  # metrics of what the model says; times and sizes are of a device
SAID = {
    "Intended use": ("intended_use", "not_intended_use", "users"),
    "Training": ("architecture", "development", "data", "data_provenance"),
    "Limitations": ("limitations", "slices", "fairness"),
    "Devices": ("targets", "latency", "memory", "portability"),
}
"""By heading, what answers it (edgecomp.evidence.documents.compliance)."""


def card(facts: Facts) -> bytes:
    """The card. facts: of the run."""
    recipe = facts.job.recipe
    lines = [
        f"# {markdown(recipe.name)}",
        "",
        markdown(recipe.description),
        "",
        f"Verdict: {facts.document.verdict}.",
        "",
    ]
    for heading, keys in SAID.items():
        lines += [f"## {heading}", ""]
        lines += [f"- {markdown(said)}" for _, said in (answer(facts, key) for key in keys) if said]
        lines.append("")
    lines += ["## Evidence", "", "`edgecomp verify` derives every figure and the verdict again from the raw samples in the pack that this card is from.", ""]  # fmt: skip
    return (
        f"---\n{yaml.safe_dump(_data(facts), sort_keys=False, allow_unicode=True)}---\n\n".encode()
        + "\n".join(lines).encode()
    )


def flaw(content: bytes) -> str:
    """What Hugging Face's own library finds wrong with a card, its `content`, without a network; empty where nothing is."""
    try:
        read = library("huggingface_hub").ModelCard(content.decode(), ignore_metadata_errors=False)
    except (ValueError, TypeError, KeyError, yaml.YAMLError) as error:
        return " ".join(f"{type(error).__name__}: {error}".split())[:500]
    return "" if read.data.eval_results else "it has no results"


def _data(facts: Facts) -> dict[str, Any]:
    declared = facts.job.recipe.declared
    licence = {"license": declared.student_licence.lower()} if declared and declared.student_licence else {}
    student = judged(facts.job.recipe.quantize).name
    results = [
        _result(facts, target.name, metric, figure)
        for target in facts.job.targets
        for metric, figure in facts.document.figures.get(target.name, {}).get(student, {}).items()
        if METRICS[metric].source == OF_ANSWERS and figure.estimate is not None
    ]
    return {
        **licence,
        "tags": ["edgecomp", "quantized"],
        "model-index": [{"name": facts.job.recipe.name, "results": results}],
    }


def _result(facts: Facts, target: str, metric: str, figure: Figure) -> dict[str, Any]:
    data = facts.job.recipe.data
    bounds = f" [{figure.low:.6g}, {figure.high:.6g}; {figure.confidence_text}]" if figure.is_bounded else ""
    return {
        "task": {"type": facts.job.recipe.task},
        "dataset": {"name": data.path or data.source, "type": data.source, "split": "test"},
        "metrics": [
            {
                "type": metric,
                "value": round(figure.estimate or 0.0, 6),
                "name": f"{METRICS[metric].title} on {target}{bounds}",
            }
        ],
    }
