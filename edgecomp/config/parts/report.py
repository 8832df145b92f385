"""What a recipe says of its report."""

from edgecomp.config.schema import Part


class Report(Part):
    """A report, and a pack that holds it, shows scores and digests, and of the data nothing but numbers, unless it is told to."""

    # changed examples as they are: texts, pictures, numbers; not where personal data are found among them
    examples: bool = False
