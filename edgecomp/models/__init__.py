"""Networks by name: a literal table, `hf:` models of Hugging Face, `onnx:` and `pt2:` files, and factories `package.module:function` of the
user's own."""

import importlib
import inspect
import sys
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from edgecomp.errors import UsageError, UserCodeError, nearest
from edgecomp.models import onnx_files, pt2_files
from edgecomp.models.checks import declared, said_by
from edgecomp.models.onnx_files import ONNX
from edgecomp.models.own_code import files_of_module, importable, load_function, users_code, users_line
from edgecomp.models.pt2_files import PT2
from edgecomp.models.references import PREFIX, check_reference, files_of
from edgecomp.outputs import by_name

if TYPE_CHECKING:
    import torch
    from torch import nn

TABLE = {
    # images
    "airbench": "edgecomp.models.networks.airbench:Airbench",
    "mobilenet": "edgecomp.models.networks.mobilenet:MobileNet",
    "resnet": "edgecomp.models.networks.resnet:ResNet",
    "segmenter": "edgecomp.models.networks.segmenter:Segmenter",
    # texts, as bytes
    "byte-transformer": "edgecomp.models.networks.transformer:ByteTransformer",
    "conv-text": "edgecomp.models.networks.conv_text:ConvText",
    "ngram": "edgecomp.models.networks.ngram:Ngram",
    # texts, as tokens
    "tagger": "edgecomp.models.networks.transformer:Tagger",
    "transformer": "edgecomp.models.networks.transformer:Transformer",
    # rows of numbers
    "mlp": "edgecomp.models.networks.mlp:Mlp",
    "two-tower": "edgecomp.models.networks.two_tower:TwoTower",
}
OF_TEACHER = "teacher"  # of a student: some of the teacher's layers
DATA_GIVE = {"channels", "features", "vocabulary", "max_length", "max_bytes", "classes"}


class FileKind(NamedTuple):
    """A kind of file as a network: what looks for it, what it is made of, what may be said of it, and what builds it."""

    resolve: Callable[[str, Path], Path]
    files_of: Callable[[str, Path], list[Path]]
    arguments: dict[str, bool]
    build: "Callable[[str, Mapping[str, Any], Mapping[str, Any], Path], nn.Module]"


FILES = {
    ONNX: FileKind(onnx_files.resolve, onnx_files.files_of, onnx_files.ARGUMENTS, onnx_files.build_onnx),
    PT2: FileKind(pt2_files.resolve, pt2_files.files_of, pt2_files.ARGUMENTS, pt2_files.build_pt2),
}
"""By what stands before the file's name."""


def _file_kind(name: str) -> FileKind | None:
    return next((kind for prefix, kind in FILES.items() if name.startswith(prefix)), None)


def find_factory(name: str, folder: Path) -> str:
    """`name` as `module:function`, proved importable, or as it is where it begins with `hf:`, `onnx:` or `pt2:`.
    folder: the recipe's, where files and code are looked for. Raises UsageError.

    Our own networks are taken at their word, and of `hf:`, `onnx:` and `pt2:` ones the files are looked for: a recipe is checked without
    importing torch or transformers.
    """
    if name in TABLE:
        return TABLE[name]
    if name.startswith(PREFIX):
        check_reference(name.removeprefix(PREFIX), folder)
        return name
    if kind := _file_kind(name):
        kind.resolve(name.partition(":")[2], folder)
        return name
    if ":" not in name:
        raise UsageError(
            f"no such network: {name!r}{nearest(name, TABLE)} Known: {', '.join(TABLE)}, a Hugging Face model "
            f"'{PREFIX}FOLDER or NAME', a file '{ONNX}FILE' or '{PT2}FILE', or a factory 'package.module:function'"
        )
    load_factory(name, folder)
    return name


def load_factory(name: str, folder: Path) -> Callable[..., Any]:
    """The function behind `name`, one of our own networks or `module:function`, from the installed
    environment or else from `folder`. Raises UsageError, UserCodeError."""
    module_name, _, function = TABLE.get(name, name).partition(":")
    if name in TABLE:
        return getattr(importlib.import_module(module_name), function)  # type: ignore[no-any-return]  # whatever is there: it is called next
    return load_function(name, folder)


def check_arguments(name: str, arguments: Mapping[str, Any], folder: Path) -> None:
    """Raises UsageError where the network `name` cannot be called with such arguments, whatever its data are.
    folder: the recipe's.

    A student of the teacher's layers is named `teacher`. Of an `hf:` model the config knows, which is read when it is built.
    """
    if name == OF_TEACHER and set(arguments) - {"layers"}:
        raise UsageError("of the teacher's layers is said which to keep, and nothing else: "
                         f"arguments: {{layers: [0, 2, 5]}}, or none for all of them, not {dict(arguments)}")  # fmt: skip
    known = known_arguments(name, folder)
    if known is None:
        return
    _refuse_unknown(name, arguments, set(known), DATA_GIVE)
    needed = [key for key, needs in known.items() if needs and key not in DATA_GIVE | set(arguments)]
    if needed:
        raise UsageError(f"network {name!r} needs its argument {needed[0]!r}: name it in `arguments`")


def known_arguments(name: str, folder: Path) -> dict[str, bool] | None:
    """What the network `name` may be called with, and whether it needs that; None where it takes anything, or
    does not say. folder: the recipe's. Raises UsageError, UserCodeError."""
    if name == OF_TEACHER or name.startswith(PREFIX):
        return None
    if kind := _file_kind(name):
        return kind.arguments
    if name in TABLE:
        return declared(*TABLE[name].split(":"))
    return _parameters(load_factory(name, folder))


def arguments_of(name: str) -> dict[str, str]:
    """What `name`, one of our own networks, may be called with, besides what its data give → the default, or
    `required`."""
    parameters = inspect.signature(load_factory(name, Path())).parameters
    return {
        key: "required" if one.default is one.empty else repr(one.default)
        for key, one in parameters.items()
        if key not in DATA_GIVE
    }


def own_files(name: str, folder: Path) -> list[Path]:
    """What the network `name`, where it is not edgecomp's own, is made of: an `hf:` model's folder, an
    `onnx:` or `pt2:` file, or a factory's code. folder: the recipe's. Raises UsageError."""
    if name in TABLE:
        return []
    if name.startswith(PREFIX):
        return files_of(name.removeprefix(PREFIX), folder)
    if kind := _file_kind(name):
        return kind.files_of(name.partition(":")[2], folder)
    load_factory(name, folder)
    module = name.partition(":")[0]  # not where the factory is defined: a partial is functools'
    source = sys.modules[module].__file__
    return files_of_module(Path(source), module) if source else []


def build(
    name: str, arguments: Mapping[str, Any], folder: Path, given: Mapping[str, Any], of_each: str = "example"
) -> "nn.Module":
    """The network `name` for such data, to be trained. Raises UsageError, UserCodeError.

    arguments: the recipe's own for it; folder: the recipe's, where files and code are looked for. given: what
    the data say. Images: channels, classes. Rows of numbers: features, classes. Texts: vocabulary,
    max_length, classes, or max_bytes, classes. A factory takes them as keyword arguments, beside its own; classes are not given
    where the width of the outputs is the network's affair, and of several outputs they are how many numbers each is, by name. of_each: `example` or `token`, which a Hugging
    Face model has different heads for.
    """
    from torch import nn

    if isinstance(several := given.get("classes"), Mapping) and (name in TABLE or name.startswith(PREFIX)):
        raise UsageError(f"network {name!r} has one output, and `tasks` names {', '.join(several)}: take a factory of your own, an ONNX file, or "
                         f"as the student the teacher itself (network: {OF_TEACHER})")  # fmt: skip
    if name.startswith(PREFIX):
        from edgecomp.models.huggingface import build_huggingface

        return build_huggingface(name.removeprefix(PREFIX), given, arguments, folder, of_each)
    if kind := _file_kind(name):
        return kind.build(name.partition(":")[2], given, arguments, folder)
    factory = load_factory(name, folder)
    _check_arguments(name, factory, arguments, given)
    called = ", ".join(f"{key}={value!r}" for key, value in given.items())
    cannot, said = f"network {name!r} cannot be built", f"; it is called with {called} and its `arguments`"
    try:
        with importable(folder), nullcontext() if name in TABLE else users_code(cannot, said):
            network = factory(**given, **arguments)
    except UsageError as error:
        raise UsageError(f"network {name!r}: {error}") from error
    except UserCodeError:
        raise
    except Exception as error:  # of one of ours, with arguments that are none of its
        raise UsageError(f"{cannot}: {said_by(error)}{said}") from error
    if not isinstance(network, nn.Module):
        raise UsageError(
            f"network {name!r}: the factory returned {type(network).__name__}, not a torch.nn.Module"
        )
    return network


def _check_arguments(
    name: str, factory: Callable[..., Any], arguments: Mapping[str, Any], given: Mapping[str, Any]
) -> None:
    """Raises UsageError where the factory cannot be called so: for other data, or with an argument it does not have."""
    for argument in arguments:
        if argument in given:
            raise UsageError(
                f"network {name!r}: argument {argument!r} comes from the data ({given[argument]!r}); leave it out"
            )
    parameters = _parameters(factory)
    if parameters is None:
        return
    known = set(parameters)
    if not known >= set(given):
        others = [own for own in TABLE if set(known_arguments(own, Path()) or ()) >= set(given)]
        raise UsageError(
            f"network {name!r} is for other data: it does not take {', '.join(sorted(set(given) - known))}, and the "
            f"data give {', '.join(given)}; networks that take them: {', '.join(others) or 'none of ours'}"
        )
    _refuse_unknown(name, arguments, known, set(given))


def _refuse_unknown(name: str, arguments: Mapping[str, Any], known: set[str], given: set[str]) -> None:
    for argument in arguments:
        if argument not in known:
            own = sorted(known - given)
            raise UsageError(
                f"network {name!r} has no argument {argument!r}{nearest(argument, own)}; it has "
                f"{', '.join(own) or 'none'} (`arguments: null` clears what a recipe inherits)"
            )


def _parameters(factory: Callable[..., Any]) -> dict[str, bool] | None:
    """What a factory takes by keyword, and whether it needs that; None where it takes anything, or does not say."""
    try:
        parameters = inspect.signature(factory).parameters.values()
    except (ValueError, TypeError):
        return None
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return None
    return {
        parameter.name: parameter.default is parameter.empty
        for parameter in parameters
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    }


def check_output(
    name: str,
    network: "nn.Module",
    example: "Mapping[str, torch.Tensor]",
    shape: tuple[int, ...] | None,
) -> None:
    """Runs the network on a batch, its inputs by position. Raises UsageError, UserCodeError unless an output
    of that shape comes out.

    name: what messages call the network; example: the batch, tensors [N, ...] by input name; shape: [N,
    classes] for instance; None: any, with an answer an example.
    """
    import torch

    logits = _answered(name, network, example)
    if not isinstance(logits, torch.Tensor):
        several = by_name(logits)
        hint = (
            f"; `tasks` in the recipe says what each output is: {', '.join(several)}"
            if len(several) > 1
            else ""
        )
        raise UsageError(f"network {name!r} returns {type(logits).__name__}, not a tensor of logits{hint}")
    batch, found = next(iter(example.values())).shape[0], tuple(logits.shape)
    if shape is None and (len(found) < 2 or found[0] != batch):
        raise UsageError(
            f"network {name!r} returns shape {found} for a batch of {batch}: it must be ({batch}, ...), an answer an example"
        )
    if shape is not None and found != shape:
        raise UsageError(f"network {name!r} returns shape {found} for a batch of {batch}; with these data it must be {shape}: "
                         f"{shape[-1] if len(shape) < 4 else shape[1]} classes, labels or numbers{_FOR_EACH[len(shape)]}")  # fmt: skip


def check_outputs(
    name: str, network: "nn.Module", example: "Mapping[str, torch.Tensor]", widths: Mapping[str, int]
) -> None:
    """Runs the network on a batch. Raises UsageError, UserCodeError unless it returns these outputs by name, a row of numbers an example each.

    name: what messages call the network; example: as in `check_output`; widths: by output, how many numbers it is.
    """
    returned, wanted = _answered(name, network, example), ", ".join(sorted(widths))
    found = by_name(returned)
    if type(returned) is tuple and "onnx" in getattr(
        network, "meta", {}
    ):  # it was built for these, in this order
        found = dict(zip(sorted(widths), returned, strict=True))
    if len(found) < 2 and set(found) != set(widths):
        raise UsageError(f"network {name!r} returns {type(returned).__name__}, and `tasks` names the outputs {wanted}: return them by name, "
                         "{'" + wanted.replace(", ", "': ..., '") + "': ...}")  # fmt: skip
    for output in sorted(widths):
        if output not in found:
            raise UsageError(
                f"tasks.{output}: network {name!r} has no such output{nearest(output, found)}; it has {', '.join(found)}"
            )
    for output, value in found.items():
        if output not in widths:
            raise UsageError(f"network {name!r} has an output {output!r}, and `tasks` does not say what it means{nearest(output, widths)}; it "
                             f"names {wanted}")  # fmt: skip
        batch = next(iter(example.values())).shape[0]
        if tuple(value.shape) != (batch, widths[output]):
            raise UsageError(f"output {output!r} of network {name!r} is of shape {tuple(value.shape)} for a batch of {batch}; with these data it "
                             f"must be {(batch, widths[output])}: {widths[output]} classes, labels or numbers an example")  # fmt: skip


def _answered(name: str, network: "nn.Module", example: "Mapping[str, torch.Tensor]") -> Any:
    import torch

    shapes = ", ".join(f"{key} {list(tensor.shape)}" for key, tensor in example.items())
    was_training = network.training
    try:
        with torch.no_grad():
            return network.eval()(*example.values())
    except (Exception, SystemExit) as error:  # a user's network may raise anything
        said = f"network {name!r} cannot take a batch of {shapes}: {said_by(error)}"
        if line := users_line(error):
            raise UserCodeError(f"{said} (your own code, {line})") from error
        raise UsageError(f"{said}{_expected(network)}") from error
    finally:
        network.train(was_training)


_FOR_EACH = {2: "", 3: " for each token", 4: " for each pixel"}
"""By the number of axes of what a network must return."""


def _expected(network: "nn.Module") -> str:
    """What a Hugging Face model's config says of its images."""
    from edgecomp.models.huggingface import Classifier, describe

    size = describe(network).image_size if isinstance(network, Classifier) else None
    if size is None:
        return ""
    return (
        f"; it is made for images of {size[0]}×{size[1]}: give the data that size, or train from scratch with "
        "arguments {pretrained: false, image_size: SIZE}"
    )
