"""The one form of a pack: whatever is not that is told."""

import io
import random
import stat
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgecomp.errors import FileError
from edgecomp.evidence import archive

MEMBERS = {"pack.json": b"{}", "bench/board/samples.npz": bytes(range(256)) * 8, "a/ü.txt": b""}


def write(place: Path, members: dict[str, bytes] | None = None) -> Path:
    file = place / "pack.zip"
    file.write_bytes(b"".join(archive.written(MEMBERS if members is None else members)))
    return file


def flaw_of(file: Path) -> str:
    try:
        return archive.read(file).flaw
    except FileError as error:
        return str(error)


def test_what_is_written_is_read_again_and_every_program_can_unpack_it(tmp_path: Path) -> None:
    file = write(tmp_path)
    assert archive.read(file) == (frozenset(MEMBERS), MEMBERS, "")
    with zipfile.ZipFile(file) as other:
        assert other.testzip() is None
        assert other.namelist() == sorted(MEMBERS)
        assert {info.date_time for info in other.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert {info.external_attr >> 16 for info in other.infolist()} == {stat.S_IFREG | 0o644}


@settings(deadline=None)
@given(
    st.dictionaries(
        st.from_regex(r"[a-z]{1,3}(/[0-9.]?[A-Z]{1,3}){0,2}", fullmatch=True),
        st.binary(max_size=99),
        max_size=6,
    )
)
def test_its_bytes_follow_from_its_members_alone(members: dict[str, bytes]) -> None:
    one = b"".join(archive.written(members))
    assert one == b"".join(archive.written(dict(reversed(members.items()))))
    with zipfile.ZipFile(io.BytesIO(one)) as other:
        assert {name: other.read(name) for name in other.namelist()} == members


def test_every_byte_counts(tmp_path: Path) -> None:
    file = write(tmp_path)
    content, draw = file.read_bytes(), random.Random(0)
    for place in range(len(content)):
        file.write_bytes(
            content[:place] + bytes([content[place] ^ draw.randrange(1, 256)]) + content[place + 1 :]
        )
        assert flaw_of(file), place


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (b"", b"x", "bytes"),
        (b"x", b"", "from 0 on"),
        (b"PK\5\6" + bytes(18), b"", "from 0 on"),
    ],
)
def test_bytes_around_it_are_told(tmp_path: Path, before: bytes, after: bytes, said: str) -> None:
    file = write(tmp_path)
    file.write_bytes(before + file.read_bytes() + after)
    assert said in flaw_of(file)


def zipped(file: Path, write: dict[str, bytes] | None = None, **given: object) -> Path:
    """As Python's own module writes it."""
    with zipfile.ZipFile(file, "w", **given) as other:  # type: ignore[arg-type]
        for name, content in (MEMBERS if write is None else write).items():
            other.writestr(name, content)
    return file


def test_another_programs_archive_of_the_same_members_is_told(tmp_path: Path) -> None:
    assert "not as a pack is written" in archive.read(zipped(tmp_path / "a.zip")).flaw
    compressed = archive.read(zipped(tmp_path / "b.zip", compression=zipfile.ZIP_DEFLATED))
    assert "is compressed" in compressed.flaw


def test_a_bomb_is_not_unpacked(tmp_path: Path) -> None:
    file = zipped(tmp_path / "bomb.zip", {"pack.json": b"0" * 50_000_000}, compression=zipfile.ZIP_DEFLATED)
    found = archive.read(file)
    assert "is compressed" in found.flaw
    assert not found.members


def test_members_that_share_their_bytes_are_told(tmp_path: Path) -> None:
    """A directory whose entries all point at the same large member."""
    file, large = tmp_path / "overlap.zip", b"0" * 100_000
    content = b"".join(archive.written({"a": large}))
    directory = content[content.index(b"PK\1\2") : content.index(b"PK\5\6")]
    many = b"".join(directory[: archive.CENTRAL.size] + name for name in (b"a", b"b", b"c"))
    start = content.index(b"PK\1\2")
    file.write_bytes(content[:start] + many + archive.END.pack(b"PK\5\6", 0, 0, 3, 3, len(many), start, 0))
    found = archive.read(file)
    assert found.flaw
    assert len(found.members) <= 1


def test_a_member_that_is_there_twice_is_told(tmp_path: Path) -> None:
    file = tmp_path / "twice.zip"
    with zipfile.ZipFile(file, "w") as other:
        other.writestr("a", b"good")
        with pytest.warns(UserWarning, match="Duplicate"):
            other.writestr("a", b"bad")
    assert "two members 'a'" in archive.read(file).flaw


def test_a_header_that_says_something_else_than_the_directory_is_told(tmp_path: Path) -> None:
    file = write(tmp_path, {"good": b"x"})
    content = file.read_bytes()
    file.write_bytes(
        content.replace(b"good", b"evil", 1)
    )  # of the local header, which unpackers differ in reading
    assert archive.read(file).flaw


def test_a_link_is_told(tmp_path: Path) -> None:
    info = zipfile.ZipInfo("a")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "link.zip", "w") as other:
        other.writestr(info, "/etc/passwd")
    assert archive.read(tmp_path / "link.zip").flaw


@pytest.mark.parametrize(
    "name",
    [
        "../a",
        "/a",
        "a/../b",
        "./a",
        "a//b",
        "a/",
        "C:\\a",
        "a\\b",
        "c:a",
        "a\nb",
        "x" * 300,
        "/".join("x" * 600),
        "a\u202eb",
    ],
)
def test_a_name_that_leads_elsewhere_is_told(tmp_path: Path, name: str) -> None:
    assert not archive.is_plain(name)
    file = write(tmp_path, {name: b"x"})
    assert "no plain path" in archive.read(file).flaw


def test_a_file_that_is_a_folder_too_is_told(tmp_path: Path) -> None:
    assert "'a/b' is below a file" in archive.read(write(tmp_path, {"a": b"", "a/b": b""})).flaw


@pytest.mark.parametrize("content", [b"", b"PK", b"no archive", b"PK\5\6" + b"\xff" * 18])
def test_what_is_no_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "pack.zip"
    file.write_bytes(content)
    with pytest.raises(FileError, match=r"no zip archive"):
        archive.read(file)


def test_what_is_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write(tmp_path)
    monkeypatch.setattr(archive, "MOST_BYTES", 1000)
    with pytest.raises(FileError, match="is larger"):
        archive.read(file)
    with pytest.raises(ValueError, match="the most are"):
        list(archive.written(MEMBERS))
    monkeypatch.setattr(archive, "MOST_BYTES", 2**20)
    monkeypatch.setattr(archive, "MOST_MEMBERS", 2)
    with pytest.raises(FileError, match="3 members"):
        archive.read(file)
