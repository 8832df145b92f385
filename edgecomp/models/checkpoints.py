"""Configs and weights of Hugging Face models, read from a folder, the cache or the hub; what does not fit is refused."""

import dataclasses
import importlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from edgecomp.errors import UsageError, nearest
from edgecomp.models.checks import said_by
from edgecomp.models.references import PREFIX

PICKLED = "pytorch_model.bin"

# Fields of a config that say what the data say, or what edgecomp needs of a network.
FIXED = (
    "num_labels", "id2label", "label2id", "problem_type", "architectures", "model_type", "transformers_version", "dtype",
    "return_dict", "output_attentions", "output_hidden_states", "use_cache", "quantization_config",
)  # fmt: skip


def optimum(name: str) -> Any:
    """The module `name` of the library optimum, imported now."""
    return importlib.import_module(f"optimum.{name}")


def _transformers() -> Any:
    return importlib.import_module("transformers")


@contextmanager
def quiet() -> Iterator[None]:
    """Without transformers' notes of new heads and its progress bars: what matters of them is in Facts and errors."""
    logging = _transformers().utils.logging
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity(logging.CRITICAL)
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def stored_config(reference: str, source: str) -> Any:
    """The config that transformers finds in `source`, a folder or a name on the hub. reference: as the recipe
    has it, for messages. Raises UsageError where it cannot be had, or needs code of its own."""
    try:
        return _transformers().AutoConfig.from_pretrained(source, trust_remote_code=False)
    except Exception as error:  # transformers raises what its own code and the hub's client raise
        if not Path(source).is_dir():
            raise _unreachable(source, error) from error
        said = said_by(error)
        if "trust_remote_code" in str(error):
            said = "it needs code of its own, which edgecomp does not run"
        raise UsageError(f"{PREFIX}{reference}: {source}/config.json cannot be used: {said}") from error


def fetched_beside(name: str, file: str) -> Path | None:
    """The folder of the cache in which a `file` of the model `name` of the hub lies, fetched where it was not; None where the model has no such file, or it cannot
    be had."""
    hub = importlib.import_module("huggingface_hub")
    try:
        with quiet():
            return Path(hub.hf_hub_download(name, file)).parent
    except Exception:  # noqa: BLE001 - the hub's client raises what its own code and the network's do: what is not there is not read
        return None


def _unreachable(name: str, error: Exception) -> UsageError:
    hub = importlib.import_module("huggingface_hub")
    cache = f"{hub.constants.HF_HUB_CACHE}/models--{name.replace('/', '--')}"
    offline = "HF_HUB_OFFLINE is set" if hub.constants.HF_HUB_OFFLINE else said_by(error).rstrip(".")
    return UsageError(
        f"{PREFIX}{name} is no folder here, is not in the cache, and cannot be fetched from the hub: {offline}. "
        f"Where there is a network: `hf download {name}`, and copy the folder to {cache}; or "
        f"`hf download {name} --local-dir FOLDER`, and write {PREFIX}FOLDER"
    )


def fields(config: Any) -> set[str]:
    """The names under which a field of the config can be set."""
    return {field.name for field in dataclasses.fields(type(config))} | set(config.attribute_map)


def changed_config(reference: str, source: str, stored: Any, wanted: Mapping[str, Any], classes: int) -> Any:
    """The config as it were if its file had said so. reference: as the recipe has it, for messages; source:
    the folder or name the config is from; stored: what is there; wanted: fields by name, with other values;
    classes: how many. Raises UsageError for a field that it has not, or that is not the user's to say."""
    known = fields(stored) - set(FIXED)
    for name in wanted:
        if name in FIXED:
            raise UsageError(
                f"{PREFIX}{reference}: argument {name!r} is not yours to say: the data or edgecomp do"
            )
        if name not in known:
            raise UsageError(
                f"{PREFIX}{reference}: the config of a {stored.model_type} model has no field {name!r}"
                f"{nearest(name, known | {'pretrained'})}"
            )
    raw, _ = type(stored).get_config_dict(source)
    changes = {stored.attribute_map.get(name, name): value for name, value in wanted.items()}
    kept = {name: value for name, value in raw.items() if name not in ("id2label", "label2id", "num_labels")}
    if "use_cache" in fields(stored):
        changes["use_cache"] = False  # a classifier reads each text once
    try:
        return type(stored).from_dict(kept | changes, num_labels=classes)
    except Exception as error:  # as above
        raise UsageError(f"{PREFIX}{reference}: arguments {dict(wanted)}: {said_by(error)}") from error


def from_scratch(reference: str, auto: Any, config: Any) -> nn.Module:
    """A network of random weights, float32, of this config. reference: as the recipe has it, for messages;
    auto: the class of transformers for the model's task. Raises UsageError where it cannot be built."""
    try:
        network: nn.Module = auto.from_config(config, attn_implementation="eager", dtype=torch.float32)
    except Exception as error:  # as above
        raise UsageError(f"{PREFIX}{reference} cannot be built: {said_by(error)}") from error
    return network


def from_checkpoint(reference: str, source: str, auto: Any, config: Any) -> tuple[nn.Module, bool]:
    """The network with its weights, and whether its head is among them. reference: as the recipe has it, for
    messages; source: a folder or a name on the hub; auto: the class of transformers for the model's task;
    config: of the network. Raises UsageError where there are no weights, they are a pickle, or they are
    another model's."""
    try:
        network, notes = auto.from_pretrained(
            source,
            config=config,
            attn_implementation="eager",  # captured and exported for all that are tested, and trained as fast as sdpa
            dtype=torch.float32,
            trust_remote_code=False,
            use_safetensors=True,  # the other kind of weights is a pickle
            ignore_mismatched_sizes=True,
            output_loading_info=True,
        )
    except Exception as error:  # as above; safetensors and pickle add theirs
        if isinstance(error, OSError) and not Path(source).is_dir():
            raise _unreachable(source, error) from error
        if (Path(source) / PICKLED).is_file() and not (Path(source) / "model.safetensors").is_file():
            raise UsageError(
                f"{PREFIX}{reference}: the weights in {source} are a pickle, {PICKLED}, which may run code when it is read: save them "
                "as safetensors (transformers' save_pretrained does), and take the pickle out"
            ) from error
        raise UsageError(
            f"{PREFIX}{reference}: the weights in {source} cannot be loaded: {said_by(error)}. "
            "Fetch them again, or train from scratch with arguments {pretrained: false}"
        ) from error
    mismatched = {str(name): (tuple(held), tuple(asked)) for name, held, asked in notes["mismatched_keys"]}
    missing = {str(name) for name in notes["missing_keys"]}
    _check_body(reference, network, missing, mismatched)
    return network, not missing and not mismatched


def _check_body(
    reference: str,
    network: nn.Module,
    missing: set[str],
    mismatched: Mapping[str, tuple[tuple[int, ...], tuple[int, ...]]],
) -> None:
    """A new head, or a new pooler before it, is trained with the rest; a layer or table that is new is an accident."""
    prefix = f"{getattr(network, 'base_model_prefix', '')}."
    lost = sorted(
        name
        for name in missing
        if name.startswith(prefix) and (any(part.isdigit() for part in name.split(".")) or "embed" in name)
    )
    resized = sorted(name for name in mismatched if name.startswith(prefix))
    if resized:
        held, asked = (list(shape) for shape in mismatched[resized[0]])
        what = f"{resized[0]} is {held} in the checkpoint and {asked} in the config"
    elif lost:
        what = f"{lost[0]} is not in the checkpoint"
    else:
        return
    more = len(resized or lost) - 1
    raise UsageError(
        f"{PREFIX}{reference}: the weights do not fit the config: {what}{f', and {more} more' if more else ''}. "
        "Leave the config as it is, or train from scratch with arguments {pretrained: false}"
    )
