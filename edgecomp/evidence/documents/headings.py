"""The headings that an auditor goes through, each with what answers it: a key of `compliance.EVIDENCE`, or of what a recipe declares.

Regulation (EU) 2024/1689, Annex IV; ISO/IEC 42001:2023, Annex A; NIST AI 100-1 (AI RMF 1.0), section 5.
"""

from collections.abc import Mapping, Sequence

Lines = Sequence[tuple[str, Sequence[str]]]

HEADINGS: Mapping[str, Lines] = {
    "Enterprise checklist": (
        ("maximum latency", ["latency"]),
        ("maximum memory", ["memory"]),
        ("dynamic batching", ["batches"]),
        ("compatibility with the previous release", ["compatibility"]),
        ("encryption", ["encryption"]),
        ("hot update", ["hot_update"]),
        ("logging and metrics", ["metrics", "monitoring"]),
        ("privacy", ["examples", "privacy"]),
        ("fairness", ["slices", "fairness"]),
        ("licence of the teacher", ["teacher_licence"]),
        ("licence of the data", ["data_licence"]),
        ("licence of the student", ["student_licence"]),
        ("licences of the libraries", ["libraries"]),
    ),
    "EU AI Act, Annex IV: technical documentation": (
        ("1 (a) intended purpose, provider, version", ["intended_use", "not_intended_use", "provider", "version"]),
        ("1 (b) interaction with other hardware and software", ["targets"]),
        ("1 (c) versions of software and firmware", ["libraries"]),
        ("1 (d) forms in which it is placed on the market", ["files"]),
        ("1 (e) hardware on which it runs", ["targets"]),
        ("1 (f), (g), (h) product, user interface, instructions for use", ["instructions"]),
        ("2 (a) methods and steps of the development, pre-trained systems", ["development"]),
        ("2 (b) design specifications, what it is optimised for", ["policy", "design"]),
        ("2 (c) architecture, computing resources", ["architecture", "computing"]),
        ("2 (d) data: provenance, scope, labelling, cleaning", ["data", "data_provenance"]),
        ("2 (e) human oversight", ["human_oversight"]),
        ("2 (f) changes that are determined beforehand", ["changes"]),
        ("2 (g) validation and testing, signed test logs", ["verdict", "samples"]),
        ("2 (h) cybersecurity", ["digests", "security"]),
        ("3 capabilities and limitations, groups, input data", ["quality", "slices", "not_passed", "users"]),
        ("4 whether the metrics are appropriate", ["policy", "intervals"]),
        ("5 risk management (Article 9)", ["risks"]),
        ("6 changes through the lifecycle", ["steps", "changes"]),
        ("7 harmonised standards applied", ["standards"]),
        ("8 EU declaration of conformity (Article 47)", ["conformity"]),
        ("9 post-market monitoring (Article 72)", ["monitoring"]),
    ),
    "ISO/IEC 42001, Annex A": (
        ("A.2 policies related to AI", ["organisation"]),
        ("A.3 internal organization", ["organisation", "provider"]),
        ("A.4 resources for AI systems", ["data", "libraries", "computing"]),
        ("A.5 assessing impacts of AI systems", ["impacts", "fairness"]),
        ("A.6 AI system life cycle", ["development", "verdict", "steps", "monitoring"]),
        ("A.7 data for AI systems", ["data", "data_provenance", "privacy"]),
        ("A.8 information for interested parties", ["instructions", "not_passed"]),
        ("A.9 use of AI systems", ["intended_use", "not_intended_use", "human_oversight"]),
        ("A.10 third-party and customer relationships", ["libraries", "teacher_licence", "data_licence"]),
    ),
    "NIST AI RMF": (
        ("GOVERN 1 to 5 policies, accountability, people, culture, engagement", ["organisation"]),
        ("GOVERN 6 third-party software and data", ["libraries", "data_licence", "teacher_licence"]),
        ("MAP 1 context", ["intended_use", "users"]),
        ("MAP 2 categorization of the system", ["architecture", "not_passed"]),
        ("MAP 3 capabilities, targeted usage, benefits and costs", ["quality", "intended_use"]),
        ("MAP 4 risks and benefits of all components", ["risks", "libraries"]),
        ("MAP 5 impacts on people", ["impacts"]),
        ("MEASURE 1 methods and metrics", ["policy", "intervals"]),
        ("MEASURE 2 evaluation for trustworthy characteristics", ["verdict", "quality", "slices", "portability", "security", "privacy"]),
        ("MEASURE 3 tracking of risks over time", ["monitoring"]),
        ("MEASURE 4 whether measuring works", ["samples", "intervals"]),
        ("MANAGE 1 and 2 risks are prioritized and treated", ["risks", "waivers"]),
        ("MANAGE 3 third-party risks", ["libraries", "digests"]),
        ("MANAGE 4 response, recovery, communication", ["hot_update", "monitoring", "changes"]),
    ),
}  # fmt: skip
