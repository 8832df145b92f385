"""The server of a federation: it sends the public examples to so many clients, and keeps one answer to each, never a client's own."""

import json
import logging
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, RecordDict
from flwr.serverapp import Grid, ServerApp

from .voting import checked, mean, most_votes, votes

LOG = logging.getLogger("flwr")  # which `flwr run --stream` shows
app = ServerApp()


@app.main()  # type: ignore[untyped-decorator]  # Flower is not always there
def main(grid: Grid, context: Context) -> None:
    """Asks by Flower's `grid`, and writes answers.npz into the folder that the app was written to, which `context` names. Raises RuntimeError where a client is missing or fails."""
    folder = Path(str(context.run_config["folder"]))
    settings = json.loads((folder / "federation.json").read_text(encoding="utf-8"))
    to = folder / "answers.npz"
    if to.exists():
        raise RuntimeError(f"{to} is there: each asking tells more of the clients; delete it to ask again")
    with np.load(folder / "public.npz", allow_pickle=False) as file:
        public = dict(file)
    splits, classes, clients = settings["splits"], settings["classes"], settings["clients"]
    sigma = settings["privacy"]["sigma_votes"] if settings["privacy"] else None
    content = RecordDict(
        {
            "asked": ConfigRecord({"classes": classes, "splits": list(splits), "votes": sigma is not None}),
            "examples": packed(public),
        }
    )
    nodes = wait_for(grid, clients, float(context.run_config["wait-s"]))
    given = answers(
        grid, [Message(content=content, message_type="query", dst_node_id=node) for node in nodes]
    )
    found = {split: together(given, split, rows, len(classes), sigma) for split, rows in splits.items()}
    part = to.with_suffix(".part.npz")
    np.savez(part, classes=np.asarray(classes), **found)  # type: ignore[arg-type]  # its stubs take any name for allow_pickle
    part.replace(to)
    LOG.info("%s: %d examples, answered by %d clients", to, sum(splits.values()), clients)


def packed(public: dict[str, npt.NDArray[Any]]) -> ArrayRecord:
    """Examples as a message takes them. public: `SPLIT/values`, `SPLIT/input/NAME`, or texts as `SPLIT/texts`, which become JSON in UTF-8."""
    return ArrayRecord(
        {
            name: Array(
                np.frombuffer(json.dumps(values.tolist()).encode(), np.uint8)
                if name.endswith("/texts")
                else np.ascontiguousarray(values)
            )
            for name, values in public.items()
        }
    )


def wait_for(grid: Grid, clients: int, seconds: float) -> list[int]:
    """So many nodes of `grid`, `clients`, once they are there. Raises RuntimeError where they are not within `seconds`."""
    end = time.monotonic() + seconds
    while len(nodes := sorted(grid.get_node_ids())) < clients:
        if time.monotonic() > end:
            raise RuntimeError(
                f"{len(nodes)} of {clients} clients were there after {seconds:g} s: start the others, or write the app for fewer (--clients)"
            )
        time.sleep(0.5)
    return nodes[:clients]


def answers(grid: Grid, messages: list[Message]) -> list[ArrayRecord]:
    """What the clients replied to `messages`, by `grid`. Raises RuntimeError where one failed: then nothing is kept of any."""
    replies = list(grid.send_and_receive(messages))
    failed = [one.error.reason for one in replies if one.has_error()]
    if failed or len(replies) < len(messages):
        raise RuntimeError(
            f"{len(failed) or len(messages) - len(replies)} of {len(messages)} clients did not answer, and nothing was kept: {'; '.join(map(str, failed))[:1000]}"
        )
    return [one.content["answers"] for one in replies]


def together(
    given: list[ArrayRecord], split: str, rows: int, classes: int, sigma: float | None
) -> npt.NDArray[np.float32]:
    """One answer to each example of a `split`, logits [rows, classes]. given: what each client replied; sigma: of the noise, where votes are counted. Raises ValueError."""
    own = [one[split].numpy() for one in given]
    if sigma is None:
        return mean([checked(one, rows, classes, "a client") for one in own]).astype(np.float32)
    for one in own:
        if one.shape != (rows,) or one.dtype.kind != "i" or not ((one >= 0) & (one < classes)).all():
            raise ValueError(
                f"a client gave {one.dtype}{list(one.shape)} for {rows} examples: wanted are classes below {classes}"
            )
    return most_votes(votes(np.stack(own), classes), sigma).astype(np.float32)
