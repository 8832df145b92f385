"""Why a metric has no figure. The message is the sentence that is shown; edgecomp.gate.verdict says which verdict each kind has."""


class NotMeasured(Exception):  # noqa: N818 - not an error: the check says so
    """Nothing was measured that it could be estimated from."""


class TooFewSamples(NotMeasured):
    """The samples are fewer than the statistic takes."""


class Untelling(NotMeasured):
    """The examples cannot show a difference."""


class NotFinite(NotMeasured):
    """A NaN or an infinity is among what was measured."""


class NotItself(NotMeasured):
    """While it was timed it did not do what it does otherwise, or a reference's file is not the network that was trained."""


class Saturates(NotMeasured):
    """Its products can be cut off on a CPU that it may meet: what a sample gave there proves nothing."""


class Impossible(NotMeasured):
    """No measurement can be that: a latency of 0, a share over 100 %, labels outside the classes."""
