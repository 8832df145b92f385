"""Why a row has no figure; the message is its sentence, and the kind is its verdict."""

from edgecomp.gate.verdict import Reason, Verdict


class NotMeasured(Exception):  # noqa: N818 - not an error: the row says so
    verdict, reason = Verdict.INCONCLUSIVE, Reason.NOT_RUN


class TooFewSamples(NotMeasured):
    reason = Reason.TOO_FEW_SAMPLES


class Untelling(NotMeasured):
    """The examples cannot show a difference."""

    reason = Reason.UNTELLING


class NotFinite(NotMeasured):
    verdict, reason = Verdict.INVALID, Reason.NOT_FINITE


class NotItself(NotMeasured):
    """While it was timed it did not do what it does otherwise, or a reference's file is not the network that was trained."""

    verdict, reason = Verdict.INVALID, Reason.NOT_ITSELF


class Saturates(NotMeasured):
    """Its products can be cut off on a CPU that it may meet: what a sample gave there proves nothing."""

    verdict, reason = Verdict.FAIL, Reason.SATURATES


class Impossible(NotMeasured):
    """No measurement can be that: a latency of 0, a share over 100 %, labels outside the classes."""

    verdict, reason = Verdict.INVALID, Reason.IMPOSSIBLE
