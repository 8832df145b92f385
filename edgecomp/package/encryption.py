"""A deployed folder whose model's files are encrypted: the same contract, and a script that opens them in memory alone."""

from pathlib import Path
from shutil import copyfile

from edgecomp.data.preprocessing import load
from edgecomp.errors import UsageError, nearest_there
from edgecomp.files import sealed
from edgecomp.files.json_files import read_json
from edgecomp.files.scratch import new_folder
from edgecomp.files.writing import digest_of, sha256, write_json
from edgecomp.package.deploy import SCRIPT, script
from edgecomp.runtimes import TABLE, formats
from edgecomp.runtimes.formats import CONTRACT


def encrypt(folder: Path, out: Path) -> Path:
    """Writes `out`, a new folder, as `folder`, a deployed one, with its model's files encrypted by the environment's key (EDGECOMP_KEY, or
    EDGECOMP_KEY_FILE). Returns `out`.

    Preprocessing, labels, samples and tokeniser stay as they are. The release that every file is bound to is the digest of the files' digests.
    Raises UsageError where it cannot be done, FileError where the contract cannot be read or a file is not the one that it names.
    """
    if not (folder / CONTRACT).is_file():
        raise UsageError(
            f"{folder} has no {CONTRACT}: name a folder that a run deployed, such as runs/NAME/deploy/TARGET{nearest_there(folder)}"
        )
    if out.exists():
        raise UsageError(f"{out} is there already: name a new folder with --out")
    contract = read_json(folder / CONTRACT)
    runtime = contract["runtime"]
    if "encryption" in contract:
        raise UsageError(f"{folder} is encrypted already: encrypt the folder that it was made from")
    if not TABLE[runtime].from_memory:
        able = ", ".join(name for name, row in TABLE.items() if row.from_memory)
        raise UsageError(
            f"{folder} is for {runtime}, which reads a model from a file alone, or keeps a copy of it; {able} take one that is encrypted"
        )
    secret, model = sealed.key(), folder / TABLE[runtime].model_file
    about = {"target": folder.resolve().name, "release": digest_of(contract["files"])}
    with new_folder(out, "nothing was encrypted") as made:
        for file in sorted(folder.iterdir()):
            if file.name in contract["files"] and sha256(file) != contract["files"][file.name]:
                raise UsageError(
                    f"{file} is not the file that {CONTRACT} names (its sha256 differs): copy the folder again"
                )
            if file in (model, *formats.parts_of(model)):
                content = sealed.seal(file.read_bytes(), about | {"name": file.name}, secret)
                (made / f"{file.name}{sealed.SUFFIX}").write_bytes(content)
                contract["files"][f"{file.name}{sealed.SUFFIX}"] = sha256(
                    made / f"{file.name}{sealed.SUFFIX}"
                )
                del contract["files"][file.name]
            elif file.is_file() and file.name not in (CONTRACT, SCRIPT):
                copyfile(file, made / file.name)
        write_json(made / CONTRACT, contract | {"encryption": about})
        text = script(runtime, contract["options"], contract["threads"], load(folder), sealed=True)
        (made / SCRIPT).write_text(text, encoding="utf-8")
    return out
