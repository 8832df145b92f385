"""A client of a federation: it answers the public examples by a function of its own, and sends its answers and nothing else.

A node says which, `flower-supernode --node-config 'answers="FILE.py:FUNCTION"'`: `FUNCTION(examples, classes)` returns logits [N, classes], the classes in
the order in which they are named. examples: an array [N, ...], a list of N texts, or arrays by input.
"""

import importlib.util
import json
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp

from .voting import checked

app = ClientApp()


@app.query()  # type: ignore[untyped-decorator]  # Flower is not always there
def query(message: Message, context: Context) -> Message:
    """The node's logits for each split that `message` asks; where votes are counted, the classes it chooses. context: of the node, which names its
    function."""
    asked, given = message.content["asked"], message.content["examples"]
    answer, classes = function_of(context.node_config.get("answers")), list(asked["classes"])
    found = {}
    for split in asked["splits"]:
        examples = examples_of(given, split)
        rows = len(next(iter(examples.values())) if isinstance(examples, dict) else examples)
        logits = checked(own(answer, examples, classes), rows, len(classes), "the function of this client")
        found[split] = Array(logits.argmax(axis=1) if asked["votes"] else logits.astype(np.float32))
    return Message(RecordDict({"answers": ArrayRecord(found)}), reply_to=message)


def own(answer: Callable[..., Any], *given: Any) -> Any:
    """What the node's function, `answer`, returns of what is `given`. Raises ValueError where it fails: the reason may hold data, and stays in this node's log."""
    try:
        return answer(*given)
    except Exception as error:  # noqa: BLE001  # a user's function raises whatever it likes
        traceback.print_exc()
        raise ValueError(
            f"the function of this client failed: {type(error).__name__}; its own log says more"
        ) from None


def function_of(name: Any) -> Callable[..., Any]:
    """What `name`, FILE.py:FUNCTION, names. Raises ValueError, TypeError."""
    file, _, function = str(name or "").rpartition(":")
    if not file.endswith(".py") or not Path(file).is_file():
        raise ValueError(
            f"this node answers by {name!r}: start it with --node-config 'answers=\"/WHERE/FILE.py:FUNCTION\"', a file that is there"
        )
    specification = importlib.util.spec_from_file_location("own_answers", file)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    found = getattr(module, function, None)
    if not callable(found):
        raise TypeError(f"{file} has no function {function!r}")
    return found  # type: ignore[no-any-return]  # whatever is there: it is called next


def examples_of(given: Any, split: str) -> Any:
    """Those of a `split`: an array, a list of texts, or arrays by input. given: as `server.packed` has them."""
    own = {name: given[name].numpy() for name in given if name.split("/")[0] == split}
    if f"{split}/texts" in own:
        return json.loads(own[f"{split}/texts"].tobytes())
    if f"{split}/values" in own:
        return own[f"{split}/values"]
    return {name.split("/", 2)[2]: values for name, values in own.items()}
