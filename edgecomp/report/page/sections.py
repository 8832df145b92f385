"""The sections of a report, in their order: what each is called, the template that lays it out, and whether there is anything in it.

To add one: a row here, and a file in templates/sections.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from edgecomp.report.evidence import Evidence

Given = Mapping[str, Any]
"""What else a template is given, by name."""


class Section(NamedTuple):
    """id: of its heading, for links; template: in templates/sections; is_shown: of the evidence, and what else a template is given."""

    id: str
    title: str
    template: str
    is_shown: Callable[[Evidence, Given], object] = lambda _, __: True


def _section(
    id: str, title: str, is_shown: Callable[[Evidence, Given], object] = lambda _, __: True
) -> Section:
    return Section(id, title, f"sections/{id}.html.j2", is_shown)


SECTIONS = (
    _section("checks", "Checks"),
    _section("devices", "By device", lambda evidence, _: evidence.is_by_device),
    _section(
        "fronts",
        "Accuracy against latency and size",
        lambda _, given: given["pictures"]["against_latency"] or given["pictures"]["against_size"],
    ),
    _section("cascade", "The cascade", lambda evidence, _: evidence.cascades),
    _section("latency", "Latency"),
    _section("memory", "Memory"),
    _section("confusion", "What is taken for what", lambda _, given: given["confusions"]),
    _section("reliability", "As sure as right?", lambda _, given: given["pictures"]["reliability"]),
    _section("robustness", "Attacked and corrupted inputs", lambda _, given: given["pictures"]["robustness"]),
    _section("answers", "Changed answers", lambda evidence, _: evidence.verdict.answers),
    _section("trend", "Over releases", lambda _, given: given["pictures"]["trend"]),
    _section("executed", "What each runtime executes"),
    _section("layers", "Time by layer", lambda evidence, _: evidence.layer_times_told),
    _section("other_cpus", "On other CPUs", lambda evidence, _: evidence.portable),
    _section("saturation", "On x86 without VNNI", lambda evidence, _: evidence.saturating),
    _section(
        "precision",
        "Precision, layer by layer",
        lambda evidence, _: evidence.precision or evidence.float_layers,
    ),
    _section("training", "Training"),
    _section("teachers", "Teachers", lambda evidence, _: evidence.teachers),
    _section("exits", "Early exits", lambda evidence, _: evidence.exits),
    _section("tried", "What was tried", lambda evidence, _: evidence.tried),
    _section("ptq", "Best post-training quantisation", lambda evidence, _: evidence.best_ptq),
    _section("figures", "All figures"),
    _section("data", "Data", lambda evidence, _: evidence.splits),
    _section("provenance", "Provenance"),
)


def shown(evidence: Evidence, given: Given) -> list[Section]:
    """The sections that have something to show of `evidence`. given: what else a template is given."""
    return [one for one in SECTIONS if one.is_shown(evidence, given)]
