"""Names for a network's parameters, of what an ONNX file calls them."""

import itertools
import keyword
import re

from torch import fx, nn

LONGEST = 120
TAKEN = {*dir(fx.GraphModule), *vars(nn.Module()), "graph", "code", "meta"}


def argument(name: str, taken: set[str]) -> str:
    """What `forward` calls the input `name`: an identifier that is not among those `taken`, which it is put into."""
    plain = re.sub(r"\W", "_", name[:LONGEST], flags=re.ASCII)
    wrong = not plain.isidentifier() or keyword.iskeyword(plain) or plain == "self"
    plain = f"input_{plain}" if wrong else plain
    others = (f"{plain}_{count}" for count in itertools.count(2))
    found = next(one for one in itertools.chain((plain,), others) if one not in taken)
    taken.add(found)
    return found


class Names:
    """Each parameter's path, once: dots make modules, and no path is one that another leads through."""

    def __init__(self) -> None:
        self._leaves: set[str] = set()
        self._owners: set[str] = set()

    def path(self, name: str) -> str:
        """`name` as a path of identifiers that nothing else has."""
        cleaned = [self._part(part) for part in re.split(r"\.+", name[-LONGEST:].strip("./")) if part] or [
            "constant"
        ]
        wanted = ".".join(cleaned)
        flat = wanted.replace(".", "_")  # where a dot would lead through what is no module
        others = (f"{flat}_{count}" for count in itertools.count(2))
        path = next(one for one in itertools.chain((wanted, flat), others) if self._is_free(one))
        self._leaves.add(path)
        parts = path.split(".")
        self._owners |= {".".join(parts[:place]) for place in range(1, len(parts))}
        return path

    def _part(self, part: str) -> str:
        cleaned = re.sub(r"\W+", "_", part, flags=re.ASCII).strip("_") or "constant"
        return f"{cleaned}_" if keyword.iskeyword(cleaned) or cleaned in TAKEN else cleaned

    def _is_free(self, path: str) -> bool:
        parts = path.split(".")
        above = {".".join(parts[:place]) for place in range(1, len(parts))}
        return path not in self._leaves | self._owners and not above & self._leaves
