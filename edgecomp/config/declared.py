"""What a recipe declares, since no measurement can say it."""

from typing import Annotated

from pydantic import Field

from edgecomp.config.schema import Schema

Text = Annotated[str, Field(min_length=1, max_length=2000)]


class Declared(Schema):
    """What no measurement can say, in your own words: a pack shows it as your declaration, and nothing is derived from it.

    What is left out is shown as "not declared".
    """

    provider: Text | None = None  # who answers for the model, and how they are reached
    intended_use: Text | None = None  # what it is for
    not_intended_use: Text | None = None  # what it is not for
    users: Text | None = None  # who uses it, and whom it concerns
    instructions: Text | None = None  # where the instructions for use are
    data_provenance: Text | None = None  # where the data are from, how they were chosen and labelled
    data_licence: Text | None = None  # an SPDX expression where there is one
    teacher_licence: Text | None = None  # likewise
    student_licence: Text | None = None  # likewise, of what ships
    privacy: Text | None = None  # personal data, and what was done about them
    fairness: Text | None = None  # who may be treated worse, and what was done about it
    human_oversight: Text | None = None  # who can overrule it, and how
    risks: Text | None = None  # the risk management, and where it is kept
    impacts: Text | None = None  # on people and the environment
    security: Text | None = None  # against attacks
    encryption: Text | None = None  # of the model at rest and on its way
    hot_update: Text | None = None  # how a device gets the next version
    monitoring: Text | None = None  # in use: what is logged, and who looks
    changes: Text | None = None  # that are planned, and how they are decided
    standards: Text | None = None  # that are applied
    conformity: Text | None = None  # where the EU declaration of conformity is
    organisation: Text | None = None  # policies, roles and training
