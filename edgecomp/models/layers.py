"""A student cut from its teacher's layers (DistilBERT, Sanh et al. 2019, arXiv:1910.01108, section 3)."""

import copy
from collections.abc import Sequence

import torch
from torch import nn

from edgecomp.errors import UsageError
from edgecomp.models.checks import said_by
from edgecomp.models.huggingface import Classifier, dummy_inputs, layers_field


def keep_layers(network: nn.Module, layers: Sequence[int]) -> nn.Module:
    """A copy of the network with these of its repeated layers alone, in their order; it shares no weights.

    Of a Hugging Face model the config says how many layers there are, and says the new number afterwards. Raises
    UsageError, where the network has no such list too.
    """
    copied = copy.deepcopy(network)
    repeated = _repeated(copied)
    count = len(repeated)
    _check(layers, count)
    for index in reversed(range(count)):
        if index not in layers:
            del repeated[index]
    if isinstance(copied, Classifier):
        config = copied.config
        for name, value in config.to_dict().items():  # ModernBERT's layer_types: one entry a layer
            if "layer" in name and isinstance(value, (list, tuple)) and len(value) == count:
                setattr(config, name, [value[index] for index in layers])
        setattr(config, layers_field(config), len(layers))
        _try(copied, layers)
    return copied


@torch.no_grad()
def _try(student: Classifier, layers: Sequence[int]) -> None:
    """Raises UsageError where what is left does not go together: stages of several widths, say."""
    was_training = student.training
    try:
        student.eval()(*dummy_inputs(student).values())
    except Exception as error:  # whatever the model's own code raises
        raise UsageError(
            f"layers {list(layers)} of {_name(student)} do not fit together: {said_by(error)}"
        ) from error
    finally:
        student.train(was_training)


def _repeated(network: nn.Module) -> nn.ModuleList | nn.Sequential:
    """The one list of layers of one type; of lists within lists the outer."""
    lists = {
        name: part
        for name, part in network.named_modules()
        if isinstance(part, (nn.ModuleList, nn.Sequential)) and len(part) > 0
    }
    count: object = None
    if isinstance(network, Classifier):
        count = getattr(network.config, layers_field(network.config), None)
        found = {name: part for name, part in lists.items() if len(part) == count and _is_uniform(part)}
    else:
        found = {name: part for name, part in lists.items() if len(part) > 1 and _is_uniform(part)}
    outer = {
        name: part
        for name, part in found.items()
        if not any(name.startswith(f"{other}.") or (not other and name) for other in found)
    }
    if len(outer) != 1:
        held = ", ".join(
            f"{name or 'the network itself'} ({_contents(part)})" for name, part in lists.items()
        )
        wanted = f"list of {count} layers" if count else "list of layers"
        raise UsageError(
            f"layers cannot be kept of {_name(network)}: it must have one {wanted} of one type, and has "
            f"{len(outer) or 'none'}{'' if len(outer) < 2 else ': ' + ', '.join(outer)}. Its lists: {held or 'none'}"
        )
    return next(iter(outer.values()))


def _is_uniform(part: nn.ModuleList | nn.Sequential) -> bool:
    return len({type(child) for child in part}) == 1


def _check(layers: Sequence[int], count: int) -> None:
    has = f"the network has layers 0 to {count - 1}"
    if not isinstance(layers, (list, tuple)) or any(type(index) is not int for index in layers):
        raise UsageError(
            f"layers is {layers!r}, not a list of their numbers; {has}, write for example [0, {count - 1}]"
        )
    outside = [index for index in layers if not 0 <= index < count]
    if not layers:
        raise UsageError(f"no layers are kept; {has}, write for example [0, {count - 1}]")
    if outside:
        raise UsageError(f"layer {outside[0]} cannot be kept: {has}")
    if len(set(layers)) < len(layers):
        raise UsageError(f"layers {list(layers)} are kept, and one of them twice; {has}")
    if list(layers) != sorted(layers):
        raise UsageError(f"layers {list(layers)} are out of order; write {sorted(layers)}")


def _contents(part: nn.ModuleList | nn.Sequential) -> str:
    return f"{len(part)} × {' or '.join(sorted({type(child).__name__ for child in part}))}"


def _name(network: nn.Module) -> str:
    return type(network.network if isinstance(network, Classifier) else network).__name__
