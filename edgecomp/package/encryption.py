"""A deployed folder whose model's files are encrypted: the same contract, and a script that opens them in memory alone."""

from pathlib import Path
from shutil import copyfile

from edgecomp.data.preprocessing import load
from edgecomp.errors import UsageError, nearest_there
from edgecomp.files import sealed
from edgecomp.files.json_files import read_mapping
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
    contract = read_mapping(folder / CONTRACT, "runtime", "options", "threads", "files")
    runtime = str(contract["runtime"])
    model = formats.deployed_in(folder, runtime)
    if "encryption" in contract:
        raise UsageError(f"{folder} is encrypted already: encrypt the folder that it was made from")
    if not TABLE[runtime].from_memory:
        able = ", ".join(name for name, row in TABLE.items() if row.from_memory)
        raise UsageError(
            f"{folder} is for {runtime}, which reads a model from a file alone, or keeps a copy of it; {able} take one that is encrypted"
        )
    for name, digest in contract["files"].items():
        if name != Path(name).name or not (folder / name).is_file() or sha256(folder / name) != digest:
            raise UsageError(
                f"{folder / name} is not the file that {CONTRACT} names (missing, elsewhere, or its sha256 differs): copy the folder again"
            )
    secret = sealed.key()
    about = {"target": folder.resolve().name, "release": digest_of(contract["files"])}
    with new_folder(out, "nothing was encrypted") as made:
        for file in sorted(folder.iterdir()):
            if file in (model, *formats.parts_of(model)):
                encrypted = made / f"{file.name}{sealed.SUFFIX}"
                encrypted.write_bytes(sealed.seal(file.read_bytes(), about | {"name": file.name}, secret))
                del contract["files"][file.name]
                contract["files"][encrypted.name] = sha256(encrypted)
            elif file.is_file() and file.name not in (CONTRACT, SCRIPT):
                copyfile(file, made / file.name)
        write_json(made / CONTRACT, contract | {"encryption": about})
        text = script(runtime, contract["options"], contract["threads"], load(folder), sealed=True)
        (made / SCRIPT).write_text(text, encoding="utf-8")
    return out
