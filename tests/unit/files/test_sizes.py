"""What would take more memory than its file lets one expect is refused by a stated limit, before memory is taken."""

import io
import resource
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from numpy.lib import format as npy
from pyarrow import parquet
from running import Opened

from edgecomp.benchmark.inputs import examples
from edgecomp.data.splits import Split
from edgecomp.errors import DataError, FileError
from edgecomp.files import archives, array_files
from edgecomp.runtimes import Port

GIB = 2**30
FREE_BYTES = 512 * 2**20
"""What a refusal may take."""


@pytest.fixture(autouse=True)
def little_memory() -> Any:
    """Whoever takes more than half a GiB meanwhile, fails."""
    held = (
        int(
            next(
                line for line in Path("/proc/self/status").read_text().splitlines() if "VmData" in line
            ).split()[1]
        )
        * 1024
    )
    before = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (held + FREE_BYTES, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_DATA, before)


def header(shape: tuple[int, ...], dtype: str = "<f4") -> bytes:
    written = io.BytesIO()
    npy.write_array_header_1_0(written, {"descr": dtype, "fortran_order": False, "shape": shape})
    return written.getvalue()


def zip_of_zeros(file: Path, count: int, name: str = "x.npy") -> None:
    """An .npz whose one array is of so many bytes, deflated."""
    with (
        zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open(name, "w", force_zip64=True) as member,
    ):
        member.write(header((count // 4,)))
        for _ in range(count // 2**24):
            member.write(bytes(2**24))


@pytest.fixture(scope="module")
def bomb(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """4 GiB in some 18 MB, as zlib's fastest makes them."""
    file = tmp_path_factory.mktemp("bomb") / "bomb.npz"
    zip_of_zeros(file, 4 * GIB)
    assert file.stat().st_size < 40 * 2**20
    return file


READERS: list[Callable[[Path], Any]] = [
    array_files.read_npz,
    lambda file: examples.read(file, [Port("x", (None, 4), "float32")]),
    lambda file: Split.load(file.parent, file.stem),
]


@pytest.mark.parametrize("read", READERS)
def test_a_zip_bomb_is_refused(read: Callable[[Path], Any], bomb: Path) -> None:
    with pytest.raises(
        (FileError, DataError), match=r"MiB would unpack to 4\.0 GiB, .* times as much; the most is 100 times"
    ):
        read(bomb)


@pytest.mark.parametrize("shape", [(2**40,), (2**31, 2**31), (2**62, 2**62, 2**62), (3,), (0,)])
def test_a_header_that_says_more_or_less_than_there_is_is_refused(
    shape: tuple[int, ...], tmp_path: Path
) -> None:
    content = header(shape) + bytes(64)
    (tmp_path / "x.npy").write_bytes(content)
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("x.npy", content)
    for read, name in ((array_files.read_npy, "x.npy"), (array_files.read_npz, "x.npz")):
        with pytest.raises(FileError, match=r"says that it is float32\[.*\], [\d,]+ bytes, and holds 64"):
            read(tmp_path / name)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is no array that numpy.save wrote"),
        (b"\x93NUMPY\x07\x00", "is no array that numpy.save wrote"),
        (b"\x93NUMPY\x01\x00\xff\xff{", "is no array that numpy.save wrote"),
        (header((2,))[:20], "is no array that numpy.save wrote"),
        (header((2,), "|V999999999999"), "is no array that numpy.save wrote|says that it is"),
    ],
)
def test_what_is_no_array_is_told(content: bytes, words: str, tmp_path: Path) -> None:
    (tmp_path / "x.npy").write_bytes(content)
    with pytest.raises(FileError, match=words):
        array_files.read_npy(tmp_path / "x.npy")


def test_python_objects_in_an_array_are_not_read(tmp_path: Path) -> None:
    hostile = np.array([Opened(tmp_path / "ran")], dtype=object)
    np.save(tmp_path / "x.npy", hostile, allow_pickle=True)
    np.savez(tmp_path / "x.npz", x=hostile)
    for read, name in ((array_files.read_npy, "x.npy"), (array_files.read_npz, "x.npz")):
        with pytest.raises(FileError, match="holds Python objects, which may run code when they are read"):
            read(tmp_path / name)
    assert not (tmp_path / "ran").exists()
    np.load(tmp_path / "x.npz", allow_pickle=True)["x"]  # what would
    assert (tmp_path / "ran").exists()


def test_arrays_come_back_as_they_were(tmp_path: Path) -> None:
    given = {
        "a": np.arange(6.0).reshape(2, 3).T,
        "b": np.array("x"),
        "c": np.zeros((0, 3)),
        "d": np.array(["é", "b"]),
    }
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / "x.npz", **given)
        held = array_files.read_npz(tmp_path / "x.npz")
        assert list(held) == list(given) == array_files.names_in(tmp_path / "x.npz")
        for name, values in given.items():
            np.testing.assert_array_equal(held[name], values)
        assert list(array_files.read_npz(tmp_path / "x.npz", ["c", "none"])) == ["c"]


def test_masks_that_are_all_ones_may_be_packed_as_well_as_they_can_be(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "x.npz", mask=np.ones((2**21, 8), np.int64))
    assert (tmp_path / "x.npz").stat().st_size < 2**20
    assert array_files.read_npz(tmp_path / "x.npz")["mask"].all()


def test_archives_that_are_read_two_ways_or_have_no_end_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("x.npy", header((0,)))
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("x.npy", header((0,)))
    with pytest.raises(FileError, match=r"has two members 'x\.npy': which is meant\?"):
        array_files.read_npz(tmp_path / "x.npz")
    monkeypatch.setattr(archives, "MOST_MEMBERS", 1)
    with pytest.raises(FileError, match="has 2 members; the most is 1"):
        array_files.read_npz(tmp_path / "x.npz")


def test_more_than_this_machine_has_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez(tmp_path / "x.npz", x=np.zeros(2**18))
    monkeypatch.setattr(archives, "memory_bytes", lambda: 2**20)
    with pytest.raises(
        FileError, match=r"would unpack to 2\.0 MiB, and this machine has 1\.0 MiB of memory: split it"
    ):
        array_files.read_npz(tmp_path / "x.npz")


def test_a_parquet_file_of_one_value_a_thousand_million_times_is_refused(tmp_path: Path) -> None:
    rows = 2**24
    schema = pa.schema([("x", pa.float32()), ("label", pa.int64())])
    file = tmp_path / "x.parquet"
    with parquet.ParquetWriter(file, schema) as writer:
        part = pa.table(
            {"x": pa.array(np.zeros(rows, np.float32)), "label": pa.array(np.zeros(rows, np.int64))}, schema
        )
        for _ in range(4):
            writer.write_table(part)
    assert file.stat().st_size < 2**20
    with pytest.raises(
        DataError, match=r"MiB would unpack to 768\.0 MiB, .* times as much; the most is 100 times"
    ):
        examples.read(file, [Port("x", (None,), "float32")])
