"""What the command line and a notebook call: one function a command. `import edgecomp` offers them under their own names."""

from edgecomp.api.evidence import pack, verify
from edgecomp.api.init import init
from edgecomp.api.load import load
from edgecomp.api.run import plan, run

__all__ = ["init", "load", "pack", "plan", "run", "verify"]
