"""JUnit XML with a test case per gate, as GitLab and Jenkins read it."""

import xml.etree.ElementTree as ET

from edgecomp.gate.document import Check, VerdictDocument
from edgecomp.report.in_ci import until
from edgecomp.text import plain


def junit(verdict: VerdictDocument, name: str) -> str:
    """A suite a target of `verdict`, a test case a check.

    name: of what was judged. FAIL and a blocking INCONCLUSIVE are failures, INVALID an error; a warning and a
    waived check are skipped, with the reason. Colours and other control characters are left out, whoever
    wrote them.
    """
    root = ET.Element("testsuites", name=f"edgecomp {name}")
    blocks = verdict.policy.on_inconclusive == "block"
    if verdict.policy.changes:
        properties = ET.SubElement(root, "properties")
        for change in verdict.policy.changes:
            ET.SubElement(properties, "property", name="policy changed", value=change)
    targets = list(dict.fromkeys(check.target for check in verdict.checks))
    for target in targets:
        checks = [check for check in verdict.checks if check.target == target]
        suite = ET.SubElement(root, "testsuite", name=target, tests=str(len(checks)))
        counts = {"failure": 0, "error": 0, "skipped": 0}
        for check in checks:
            case = ET.SubElement(
                suite, "testcase", classname=f"edgecomp.{name}.{target}", name=f"{check.name} {check.limit}"
            )
            kind = _kind(check.verdict, blocks)
            kind = "skipped" if kind is not None and not check.decides else kind
            if kind is not None:
                counts[kind] += 1
                problem = ET.SubElement(
                    case, kind, message=f"{_waived(check)}{check.verdict}: {check.sentence}"
                )
                if kind != "skipped":
                    problem.set("type", check.reason)
            ET.SubElement(case, "system-out").text = check.sentence
        suite.set("failures", str(counts["failure"]))
        suite.set("errors", str(counts["error"]))
        suite.set("skipped", str(counts["skipped"]))
    for element in root.iter():
        element.attrib = {key: plain(value) for key, value in element.attrib.items()}
        element.text = element.text and plain(element.text)
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _waived(check: Check) -> str:
    waiver = check.waiver
    if not waiver and not check.decides:
        return "advises: "
    return f"waived {until(waiver)} by {waiver.owner} ({waiver.reason}): " if waiver else ""


def _kind(verdict: str, inconclusive_blocks: bool) -> str | None:
    if verdict == "INCONCLUSIVE":
        return "failure" if inconclusive_blocks else "skipped"
    return {"PASS": None, "FAIL": "failure", "INVALID": "error"}[verdict]
