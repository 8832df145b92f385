"""What a training goes on from: the network, its optimiser and the epochs so far, in one safetensors file."""

import json
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import nn

from edgecomp.errors import EdgecompError
from edgecomp.files.json_files import parse_json
from edgecomp.files.scratch import replacing

History = list[dict[str, float]]


def keep(network: nn.Module, optimizer: torch.optim.Optimizer, history: History, path: Path) -> None:
    """Writes `path`, whole or not at all. network, optimizer: as they are after the epochs of `history`."""
    content = save(_state(network, optimizer), {"history": json.dumps(history)})
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def resume(network: nn.Module, optimizer: torch.optim.Optimizer, path: Path) -> History:
    """The epochs that the checkpoint at `path` knows, none where there is none; `network` and `optimizer` are as they were after them.

    Raises EdgecompError where it is damaged, or of another network.
    """
    if not path.exists():
        return []
    try:
        with safe_open(path, "pt") as file:
            history: History = parse_json(file.metadata()["history"], str(path))
            _restore(network, optimizer, {name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
    except (SafetensorError, OSError, TypeError, KeyError, IndexError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise EdgecompError(
            f"{path}: training cannot go on from it: delete it, and run again ({reason})"
        ) from error
    return history


def _restore(network: nn.Module, optimizer: torch.optim.Optimizer, state: dict[str, torch.Tensor]) -> None:
    network.load_state_dict({name: state.pop(f"{OF_NETWORK}{name}") for name in network.state_dict()})
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    of_optimizer: dict[int, dict[str, torch.Tensor]] = {}
    for name, value in state.items():
        index, _, kind = name.partition(".")
        parameter = parameters[int(index)]
        if value.shape == parameter.shape:  # in its layout, which a fused optimiser takes for granted
            value = torch.empty_like(parameter, dtype=value.dtype).copy_(value)
        of_optimizer.setdefault(int(index), {})[kind] = value
    groups = optimizer.state_dict()["param_groups"]  # which the recipe says, and the schedule
    optimizer.load_state_dict({"state": of_optimizer, "param_groups": groups})


OF_NETWORK = "network."


def _state(network: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """All tensors of both, each with memory of its own, by `network.NAME` and `PARAMETER.NAME`."""
    state = {f"{OF_NETWORK}{name}": value for name, value in network.state_dict().items()}
    for index, values in optimizer.state_dict()["state"].items():
        state |= {f"{index}.{name}": value for name, value in values.items()}
    return {
        name: value.detach().clone(memory_format=torch.contiguous_format) for name, value in state.items()
    }


def keep_best(network: nn.Module, path: Path) -> None:
    """Writes the weights of `network` to `path`, whole or not at all."""
    weights = {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
    with replacing(path) as temporary:
        temporary.write_bytes(save(weights))


def best_weights(path: Path) -> dict[str, torch.Tensor]:
    """What `keep_best` wrote to `path`. Raises EdgecompError where it is damaged."""
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise EdgecompError(
            f"{path}: training cannot end with it: delete it, and run again ({error})"
        ) from error
