"""Zip archives: torch's are read, any other is one clear line, and nothing is unpacked."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest

from refine.errors import InputError
from refine.potentials.mace.reader import archives
from refine.potentials.mace.reader.archives import Archive
from tests.potentials.mace.torch_files import TINY, archive_of

ENTRIES = {"data.pkl": b"pickle", "data/0": b"01234567", "byteorder": b"little"}


def test_every_entry_of_a_file_of_torch() -> None:
    data = TINY.read_bytes()
    archive = Archive(data, "tiny")
    with zipfile.ZipFile(io.BytesIO(data)) as reference:
        assert sorted(archive) == sorted(reference.namelist())
        for name in archive:
            assert bytes(archive.read(name)) == reference.read(name)
    assert "tiny/data.pkl" in archive
    assert "tiny/data.pk" not in archive


@pytest.mark.parametrize("root", ["archive", "2023-12-10-mace-128-L0_energy_epoch-249", "modèle (2) été"])
def test_any_folder(root: str) -> None:
    assert bytes(Archive(archive_of(ENTRIES, root), "x").read(f"{root}/data/0")) == b"01234567"


@pytest.mark.parametrize(
    "name",
    [
        "../../etc/passwd",
        "data/../../x",
        "/etc/passwd",
        "data//0",
        "data/./0",
        "..\\x",
        "data/\x00",
        "data/\x1b[31m",
        "x" * 2000,
    ],
)
def test_names_that_lead_elsewhere(name: str) -> None:
    with pytest.raises(InputError, match="odd name"):
        Archive(archive_of({**ENTRIES, name: b""}), "x")


def test_names_without_a_folder() -> None:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("data.pkl", b"")
    with pytest.raises(InputError, match=r"odd name 'data\.pkl'"):
        Archive(data.getvalue(), "x")


def test_repeated_entries() -> None:
    with pytest.raises(InputError, match=r"'tiny/data\.pkl' is there twice"):
        Archive(archive_of([*ENTRIES.items(), ("data.pkl", b"another")]), "x")


def test_a_zip_bomb_is_not_unpacked() -> None:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("tiny/data.pkl", bytes(200 * 2**20))
    assert len(data.getvalue()) < 2**20
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match="compressed"):
            Archive(data.getvalue(), "x").read("tiny/data.pkl")
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


def test_encrypted_entries() -> None:
    data = bytearray(archive_of(ENTRIES))
    at = data.index(b"PK\1\2")
    data[at + 8] |= 1
    with pytest.raises(InputError, match="encrypted"):
        Archive(bytes(data), "x").read("tiny/data.pkl")


def test_entries_that_share_their_bytes() -> None:
    """The other kind of bomb: many entries, one content."""
    inner = archive_of({"data/0": b"0"})
    inner = inner[: inner.index(b"PK\1\2")]
    data = bytearray(archive_of({"data/1": inner, "data/0": b"0"}))
    at = data.rindex(b"PK\1\2")
    data[at + 42 : at + 46] = struct.pack("<L", data.index(inner))
    with pytest.raises(InputError, match="overlap"):
        Archive(bytes(data), "x")


def test_a_directory_of_too_many_entries() -> None:
    data = bytearray(archive_of(ENTRIES))
    data[-14:-10] = struct.pack("<2H", 60_000, 60_000)
    with pytest.raises(InputError, match="60000 entries"):
        Archive(bytes(data), "x")


def test_local_headers_must_agree() -> None:
    data = bytearray(archive_of(ENTRIES))
    data[30] ^= 1
    with pytest.raises(InputError, match="contradicts"):
        Archive(bytes(data), "x")


def test_changed_contents_are_noticed() -> None:
    data = bytearray(archive_of(ENTRIES))
    data[data.index(b"01234567")] ^= 1
    archive = Archive(bytes(data), "x")
    with pytest.raises(InputError, match=r"x: the checksum of 'tiny/data/0' does not match; copy or download it again"):
        archive.read("tiny/data/0")
    with pytest.raises(InputError, match="'tiny/data/1' is missing"):
        archive.read("tiny/data/1")


@pytest.mark.parametrize("kept", [0, 1, 21, 22, 100, 1000, -1])
def test_cut_off(kept: int) -> None:
    with pytest.raises(InputError, match="cut off"):
        Archive(TINY.read_bytes()[:kept], "x")


def test_any_change_of_the_structure_is_an_error_or_harmless() -> None:
    """Bytes of the headers and of the directory, changed at random."""
    good = archive_of({**ENTRIES, **{f"data/{k}": b"content" for k in range(1, 8)}})
    names = [name for name in Archive(good, "x")]
    rng = np.random.default_rng(0)
    survived = 0
    for _ in range(4000):
        data = bytearray(good)
        for _ in range(rng.integers(1, 4)):
            data[rng.integers(len(data))] = rng.choice([0, 1, 255, rng.integers(256)])
        try:
            archive = Archive(bytes(data), "x")
            for name in names:
                assert len(archive.read(name)) <= len(data)
            survived += 1
        except InputError:
            pass
    assert survived < 2000


def test_limit_of_entries_is_beyond_any_model() -> None:
    assert len(list(Archive(TINY.read_bytes(), "x"))) * 10 < archives.MAX_ENTRIES
