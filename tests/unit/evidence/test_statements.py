"""A verdict in in-toto's three words."""

import pytest
from judging import check, verdict

from edgecomp.evidence.documents.statements import result


@pytest.mark.parametrize(
    ("whole", "unwaived", "said"),
    [
        ("PASS", "PASS", "PASSED"),
        ("FAIL", "PASS", "WARNED"),
        ("INCONCLUSIVE", "PASS", "WARNED"),
        ("FAIL", "FAIL", "FAILED"),
        ("INCONCLUSIVE", "INCONCLUSIVE", "FAILED"),
        ("INVALID", "INVALID", "FAILED"),
        ("FAIL", "INCONCLUSIVE", "FAILED"),
    ],
)
def test_only_what_is_proven_passes(whole: str, unwaived: str, said: str) -> None:
    assert result(verdict(check(), verdict=whole, unwaived=unwaived)) == said
