"""OpenVINO Model Server's folder: config.json, NAME/VERSION/ with the model's files.

The configuration's keys are those of openvinotoolkit/model_server, docs/parameters.md.
"""

from pathlib import Path
from shutil import copyfile
from typing import Any

from edgecomp.errors import FileError
from edgecomp.files.json_files import read_mapping
from edgecomp.files.scratch import replacing
from edgecomp.files.writing import write_json
from edgecomp.package.serving.model import Deployed
from edgecomp.package.serving.settings import Settings

CONFIG = "config.json"
LIST = "model_config_list"


def entry(name: str, settings: Settings) -> dict[str, Any]:
    """What the server is told of the model called `name`, by the `settings`: its streams are the instances."""
    plugin = {
        "NUM_STREAMS": str(settings.instances),
        "INFERENCE_NUM_THREADS": str(settings.instances * settings.threads),
    }
    return {
        "name": name,
        "base_path": name,
        "target_device": "CPU",
        "nireq": settings.instances,
        "plugin_config": plugin,
        "model_version_policy": {"latest": {"num_versions": 1}},
    }


def models_in(repository: Path) -> list[dict[str, Any]]:
    """The models that config.json of the `repository` names; none where there is no such file. Raises FileError where it is none."""
    if not (repository / CONFIG).is_file():
        return []
    found = read_mapping(repository / CONFIG, LIST)[LIST]
    if not isinstance(found, list) or not all(
        isinstance(one, dict) and isinstance(one.get("config"), dict) for one in found
    ):
        raise FileError(
            f"{repository / CONFIG}: {LIST} is no list of models: it is not what OpenVINO Model Server takes"
        )
    return [one["config"] for one in found]


def write_config(repository: Path, models: list[dict[str, Any]]) -> None:
    """config.json of the `repository`, whole: a server that polls it never reads half of it. models: what it is told of each."""
    with replacing(repository / CONFIG) as temporary:
        write_json(temporary, {LIST: [{"config": one} for one in models]})


def write_version(model: Deployed, folder: Path) -> None:
    """One version of the `model` into `folder`, which is there."""
    for name, file in model.files.items():
        copyfile(file, folder / name)
