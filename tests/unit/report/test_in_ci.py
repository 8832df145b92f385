"""What CI services read."""

import judging

from edgecomp.gate.document import Check, VerdictDocument
from edgecomp.report.in_ci import ANNOTATIONS, SUMMARY_BYTES, annotations, openmetrics, step_summary

FIGURE = judging.figure(1.25, 1.2, 1.3)


def row(verdict: str, name: str = "latency_p99_ms", waiver: dict[str, str] | None = None) -> Check:
    return judging.check(
        name=name,
        title="latency, 99th percentile",
        estimate=FIGURE,
        verdict=verdict,
        reason="over_limit",
        sentence="board: latency: 7 ms is 40 % over\n5 ms.",
        waiver=waiver and {"check": name} | waiver,
    )


def verdict(*rows: Check, on_inconclusive: str = "block") -> VerdictDocument:
    return judging.verdict(
        *rows,
        next_step="Make it | faster.",
        policy={"on_inconclusive": on_inconclusive},
        figures={"board": {"student_int8": {"latency_p50_ms": FIGURE}, "teacher": {}}},
    )


WAIVER = {"owner": "ann", "reason": "ticket 12", "expires": "2026-12-31"}


def test_annotations_escape_what_github_reads_and_pass_says_nothing() -> None:
    assert annotations(verdict(row("PASS"), row("FAIL"))) == [
        "::error title=FAIL%3A latency_p99_ms on board::board: latency: 7 ms is 40 %25 over%0A5 ms."
    ]


def test_what_does_not_block_is_a_warning() -> None:
    kinds = [
        line.split()[0]
        for line in annotations(
            verdict(row("INCONCLUSIVE"), row("FAIL", waiver=WAIVER), on_inconclusive="warn")
        )
    ]
    assert kinds == ["::warning", "::warning"]
    assert annotations(verdict(row("INCONCLUSIVE")))[0].startswith("::error")


def test_more_than_github_shows_are_counted() -> None:
    found = annotations(verdict(*(row("FAIL") for _ in range(25))))
    assert len(found) == ANNOTATIONS
    assert found[-1].endswith("and 16 more: see the report")


def test_the_summary_has_failures_first_and_keeps_to_its_limit() -> None:
    text = step_summary(
        verdict(row("PASS"), row("FAIL", waiver=WAIVER), row("INVALID"), row("FAIL")), "digits", "r.html"
    )
    verdicts = [
        line.split("|")[1].strip() for line in text.splitlines() if line.startswith("| ") and "board" in line
    ]
    assert verdicts == ["FAIL", "INVALID", "PASS", "FAIL (waived)"]
    assert r"Make it \| faster." in text
    long = step_summary(
        verdict(*(row("FAIL", name="x" * 200).but(title="t" * 5000) for _ in range(500))),
        "digits",
        "r.html",
    )
    assert len(long.encode()) <= SUMMARY_BYTES
    assert "more | | | | |" in long
    assert long.endswith("Report: `r.html`\n")


def test_openmetrics_says_what_it_is_and_ends() -> None:
    text = openmetrics(verdict(row("PASS"), row("FAIL", name='odd"name')), {"board": "student_int8"})
    lines = text.splitlines()
    assert 'edgecomp_latency_p50_ms{target="board"} 1.25' in lines
    assert 'edgecomp_gate_passed{target="board",row="latency_p99_ms"} 1' in lines
    assert r'edgecomp_gate_passed{target="board",row="odd\"name"} 0' in lines
    assert lines[-1] == "# EOF"
    assert len([line for line in lines if line.startswith("# TYPE")]) == 2


def test_a_figure_without_an_estimate_is_no_sample() -> None:
    told = verdict(row("PASS"))
    known = openmetrics(told, {"board": "student_int8"})
    assert "edgecomp_latency_p50_ms{" in known
    told.figures["board"]["student_int8"]["latency_p50_ms"] = FIGURE.model_copy(update={"estimate": None})
    unknown = openmetrics(told, {"board": "student_int8"})
    assert "None" not in unknown
    assert "edgecomp_latency_p50_ms" not in unknown
