"""Runtimes: adapters that execute a model file. Which there are, and how one is added, is in `registry`.

Importing this package imports no runtime: a worker takes only its own.
"""

from edgecomp.runtimes.base import (
    Held,
    Inspect,
    Layer,
    LayerTime,
    Port,
    Profile,
    Runtime,
    Session,
    Signature,
)
from edgecomp.runtimes.registry import TABLE, Row, StandIn, adapter

__all__ = [
    "TABLE",
    "Held",
    "Inspect",
    "Layer",
    "LayerTime",
    "Port",
    "Profile",
    "Row",
    "Runtime",
    "Session",
    "Signature",
    "StandIn",
    "adapter",
]
