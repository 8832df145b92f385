"""The auditor's page and the model card: every line by evidence, by a declaration, or not declared."""

import re
from typing import Any

import pytest
from judging import check, figure, verdict

from edgecomp.artifacts.run_folder import Manifest
from edgecomp.config.declared import Declared
from edgecomp.config.job import load_job
from edgecomp.evidence.documents import card, compliance
from edgecomp.evidence.documents.compliance import EVIDENCE, Facts
from edgecomp.evidence.documents.headings import HEADINGS

RECORD = {
    "key": "0",
    "made_from": {"numpy": "1"},
    "outputs": {},
    "finished": "2026-11-29T00:00:00+00:00",
    "seconds": 2.0,
}
FIGURES = {"accuracy_pct": figure(90.0, 88.0, 92.0, "percent"), "latency_p99_ms": figure(2.0, 1.0, 3.0)}


def facts(*overrides: str, **given: Any) -> Facts:
    job = load_job("digits", ["targets=[onnxruntime-cpu]", *overrides])
    steps = {"gate": RECORD, "report": RECORD}
    run = Manifest.model_validate({"edgecomp": "0.2.0", "recipe": "digits", "steps": steps})
    checks = [check(target="onnxruntime-cpu", metric="latency_p99_ms"), check(verdict="FAIL", title="size")]
    return Facts(job, run, verdict(*checks, figures={"onnxruntime-cpu": {"student_int8": FIGURES}}, **given))


def rows(page: bytes) -> dict[str, list[str]]:
    found = [line.strip("| ").split(" | ") for line in page.decode().splitlines() if line.startswith("| ")]
    return {row[0]: row[1:] for row in found if len(row) == 3}


def test_every_heading_is_answered_by_something_that_there_is() -> None:
    asked = {key for lines in HEADINGS.values() for _, keys in lines for key in keys}
    assert asked <= EVIDENCE.keys() | Declared.model_fields.keys()
    assert Declared.model_fields.keys() <= asked, "what is declared is shown"
    assert not EVIDENCE.keys() & Declared.model_fields.keys()
    said = {key for keys in card.SAID.values() for key in keys}
    assert said <= EVIDENCE.keys() | Declared.model_fields.keys()


def test_what_nobody_declares_is_not_declared() -> None:
    found = rows(compliance.page(facts()))
    assert found["encryption"] == ["not declared", "encryption: not declared"]
    assert found["compatibility with the previous release"] == ["not declared", "not declared"]
    assert found["logging and metrics"][0] == "evidence, not declared"
    by, said = found["maximum latency"]
    assert by == "evidence"
    assert re.search(r"2\S* ms \[1\S* ms, 3\S* ms; 95 %, one-sided\], limit ≤ 5 ms: PASS$", said)
    assert "board, size: FAIL" in found["MAP 2 categorization of the system"][1]


def test_what_a_recipe_declares_is_shown_as_that_and_as_text() -> None:
    found = rows(
        compliance.page(facts("+declared.encryption='none <b>|x'", "+declared.data_licence=CC-BY-4.0"))
    )
    assert found["encryption"] == ["declared", "encryption: none &lt;b>\\|x"]
    assert found["licence of the data"] == ["declared", "data licence: CC-BY-4.0"]


def test_the_page_claims_nothing() -> None:
    text = compliance.page(facts()).decode()
    assert "no claim of conformity" in text
    assert text.startswith("# digits: FAIL\n")
    assert all(f"## {name}" in text for name in HEADINGS)


def test_a_recipe_that_declares_nothing_is_kept_as_it_was() -> None:
    assert "declared" not in facts().job.recipe.model_dump()
    assert facts("+declared.risks=x").job.recipe.model_dump()["declared"]["risks"] == "x"


def test_the_card_is_what_hugging_face_reads() -> None:
    from huggingface_hub import ModelCard

    made = card.card(facts("+declared.student_licence=Apache-2.0", "+declared.intended_use=postcodes"))
    assert card.flaw(made) == ""
    read = ModelCard(made.decode())
    assert read.data.license == "apache-2.0"
    (result,) = read.data.eval_results
    assert (result.metric_type, result.metric_value, result.dataset_split) == ("accuracy_pct", 90.0, "test")
    assert "[88, 92; 95 %, one-sided]" in result.metric_name
    assert "intended use: postcodes" in read.text
    assert "Verdict: FAIL." in read.text


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("model-index:", "model-indices:"),
        ("    metrics:", "    metric:"),
        ("  - task:", "  - tasks:"),
        ("---\n", "---\n- x\n"),
    ],
)
def test_an_error_in_the_card_is_found(before: str, after: str) -> None:
    made = card.card(facts()).decode()
    assert before in made
    assert card.flaw(made.replace(before, after, 1).encode())
