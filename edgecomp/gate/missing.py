"""Why there is no figure; the message is the row's sentence."""


class NotMeasured(Exception):  # noqa: N818 - not an error: the row says so
    pass


class TooFewSamples(NotMeasured):
    pass


class NotFinite(NotMeasured):
    pass


class Untelling(NotMeasured):
    """The examples cannot show a difference."""


class NotItself(NotMeasured):
    """While it was timed it did not do what it does otherwise."""


class Impossible(NotMeasured):
    """No measurement can be that: a latency of 0, a share over 100 %, labels outside the classes."""
