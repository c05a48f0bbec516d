"""The published models: the table itself, finding their files, and bringing them here."""

from __future__ import annotations

import dataclasses
import hashlib
import random
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from refine.errors import InputError
from refine.potentials.mace import catalogue
from refine.potentials.mace.catalogue import (
    CATALOGUE,
    DEFAULT,
    LICENCES,
    Published,
    by_sha256,
    fetch,
    find,
    locate,
    published,
    recognised,
    resolve,
)
from refine.progress import NullProgress
from tests.loopback import Loopback, loopback

CONTENT = random.Random(1).randbytes(30_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
FREE = Published(
    key="free",
    url="https://models.example/releases/download/release_1/Free-Model.model",
    bytes=len(CONTENT),
    sha256=SHA256,
    licence="MIT",
    theory="PBE",
    r_max=6.0,
    summary="a model",
    aliases=("gratis",),
)
BOUND = dataclasses.replace(
    FREE, key="bound", url="https://models.example/r/Bound.model", bytes=None, sha256=None, licence="ASL", aliases=()
)


class Lines(NullProgress):
    """A progress that remembers its lines."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def message(self, text: str) -> None:
        self.lines.append(text)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache folder; the catalogue has the two models of this file only."""
    monkeypatch.setattr(catalogue, "CATALOGUE", (FREE, BOUND))
    monkeypatch.setenv("REFINE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("REFINE_MODELS", raising=False)
    monkeypatch.setenv("no_proxy", "*")
    return tmp_path / "cache" / "mace"


@pytest.fixture
def folder(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder REFINE_MODELS."""
    path = tmp_path / "shared"
    path.mkdir()
    monkeypatch.setenv("REFINE_MODELS", str(path))
    return path


@pytest.fixture
def mirror(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Loopback]:
    """The mirror REFINE_MODELS, empty."""
    with loopback() as state:
        monkeypatch.setenv("REFINE_MODELS", f"{state.base}/mace/")
        yield state


def put(path: Path, content: bytes = CONTENT) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("entry", CATALOGUE, ids=[entry.key for entry in CATALOGUE])
def test_entries(entry: Published) -> None:
    url = urlsplit(entry.url)
    assert (url.scheme, url.netloc) == ("https", "github.com")
    if "/releases/" in url.path:
        assert re.fullmatch(r"/ACEsuit/mace-(mp|foundations)/releases/download/mace_\w+/[\w.-]+\.model", url.path)
    else:
        assert re.fullmatch(r"/ACEsuit/mace(-off)?/raw/main/[\w/-]+\.model", url.path)
    assert entry.url.endswith(f"/{entry.tail}")
    assert (entry.bytes is None) == (entry.sha256 is None)
    assert entry.sha256 is None or re.fullmatch(r"[0-9a-f]{64}", entry.sha256)
    assert entry.bytes is None or 10**7 < entry.bytes < 10**9
    assert entry.licence in LICENCES
    assert entry.elements in (4, 10, 83, 89)
    assert (entry.theory == "by head") == entry.key.startswith("mh-")
    if entry.elements == 89:
        assert entry.r_max == (5.0 if "0b2" in entry.key else 6.0)


def test_licences() -> None:
    """MIT: those trained on the Materials Project and Alexandria, and on ANI; all others are for academic use."""
    free = {entry.key for entry in CATALOGUE if entry.licence == "MIT"}
    assert {key for key in free if "0a" not in key and "0b" not in key} == {
        *("small", "medium", "large", "medium-mpa-0", "ani-cc")
    }
    assert {entry.key for entry in CATALOGUE if entry.sha256 is None} - free == {
        entry.key for entry in CATALOGUE if entry.licence == "ASL"
    }


@pytest.mark.parametrize(
    ("name", "feature"),
    [("polar-1-s", "electrostatics"), ("MACE-POLAR-1-L", "electrostatics"), ("mace-mdp", "dipoles and polaris")],
)
def test_published_models_that_are_not_evaluated(name: str, feature: str) -> None:
    with pytest.raises(InputError, match=f"{name} is a model with .*{feature}.*, which refine does not evaluate"):
        published(name)


def test_names_are_unique() -> None:
    names = [name.lower() for entry in CATALOGUE for name in set(entry.names)]
    assert len(names) == len(set(names))
    sums = [entry.sha256 for entry in CATALOGUE if entry.sha256]
    assert len(sums) == len(set(sums))


def test_level_of_theory() -> None:
    assert {entry.key: entry.theory for entry in CATALOGUE if entry.elements == 89 and entry.theory != "PBE+U"} == {
        "matpes-pbe-0": "PBE",
        "matpes-r2scan-0": "r2SCAN",
        "mh-0": "by head",
        "mh-1": "by head",
    }
    assert dict(published("mh-1").heads)["matpes_r2scan"] == "r2SCAN"
    assert len(published("mh-1").heads) == 6


@pytest.mark.parametrize(
    ("name", "key"),
    [
        (DEFAULT, "medium-mpa-0"),
        ("mace-mpa-0-medium.model", "medium-mpa-0"),
        ("MACE-MPA-0-medium", "medium-mpa-0"),
        ("mace-matpes-r2scan-0", "matpes-r2scan-0"),
        (" Large ", "large"),
    ],
)
def test_published(name: str, key: str) -> None:
    assert published(name).key == key


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("medium-mpa", "no published model is called 'medium-mpa'; did you mean .*medium-mpa-0"),
        ("xyz", "called 'xyz'; `refine models list` shows all"),
        ("", "called ''"),
    ],
)
def test_unknown_name(name: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        published(name)


def test_by_sha256() -> None:
    for entry in CATALOGUE:
        assert entry.sha256 is None or by_sha256(entry.sha256.upper()) is entry
    assert by_sha256("0" * 64) is None


def test_theory_of_a_head() -> None:
    mh1, mh0, mpa = published("mh-1"), published("mh-0"), published("medium-mpa-0")
    assert [mh1.theory_of(head) for head in ("omol", "matpes_r2scan", "pt_head", None)] == [
        "wB97M-V",
        "r2SCAN",
        None,
        None,
    ]
    assert mh0.theory_of("omol") is None
    assert (mpa.theory_of(None), mpa.theory_of("default")) == ("PBE+U", "PBE+U")


def test_a_file_is_recognised_by_its_sum_or_its_name_and_heads() -> None:
    """By the name alone only where nobody states a sum: a model of one's own may have the name of a published one."""
    mpa, mh1, omol = published("medium-mpa-0"), published("mh-1"), published("omol-0")
    heads = tuple(name for name, _ in mh1.heads)
    assert recognised(str(mpa.sha256), "any", ("default",)) is mpa
    assert recognised("0" * 64, mpa.filename, ("default",)) is None
    assert recognised("0" * 64, mh1.filename, heads) is mh1
    assert recognised("0" * 64, mh1.filename, heads[1:]) is None
    assert recognised("0" * 64, omol.filename, ("default",)) is omol
    assert recognised("0" * 64, omol.filename, ("a", "b")) is None


def test_find_what_is_not_here_says_what_to_download_where(cache: Path) -> None:
    place = cache / "Free-Model.model"
    message = f"free is not on this machine; run `refine models fetch free`, or download {FREE.url} (0.0 MB) to {place}"
    with pytest.raises(InputError) as caught:
        find("free")
    assert str(caught.value) == message
    with pytest.raises(InputError, match=r"`refine models fetch bound --accept-licence`.*\(size not known\)"):
        find("bound")
    assert locate(FREE) is None


@pytest.mark.parametrize("name", ["Free-Model.model", "free.model", "free.safetensors"])
@pytest.mark.parametrize("shared", [False, True])
def test_find(cache: Path, folder: Path, name: str, shared: bool) -> None:
    path = put((folder if shared else cache) / name)
    assert find("gratis") == path
    assert locate(FREE) == path


def test_the_folder_of_the_user_comes_first(cache: Path, folder: Path) -> None:
    put(cache / "Free-Model.model")
    path = put(folder / "free.safetensors")
    assert find("free") == path


@pytest.mark.parametrize(
    ("content", "message"),
    [(CONTENT[:-1], "has 29999 bytes, the published free 30000"), (CONTENT[::-1], f"has the sha256 .*, .* {SHA256}")],
)
def test_a_damaged_file_is_not_used(cache: Path, content: bytes, message: str) -> None:
    put(cache / "Free-Model.model", content)
    with pytest.raises(InputError, match=rf"Free-Model\.model: {message}; run `refine models fetch free`"):
        find("free")
    assert (locate(FREE) is None) == (len(content) != len(CONTENT))


def test_a_folder_of_that_name_is_no_file(cache: Path) -> None:
    (cache / "free.model").mkdir(parents=True)
    with pytest.raises(InputError, match="not on this machine"):
        find("free")


def test_resolve(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "free").mkdir()
    here = put(cache / "free.model")
    assert resolve("free") == here
    own = put(tmp_path / "own.model")
    assert resolve(str(own)) == own
    put(tmp_path / "bound")
    assert resolve("bound") == Path("bound")
    with pytest.raises(InputError, match=r"missing\.model: no such file, and no published model; `refine models list`"):
        resolve("missing.model")
    with pytest.raises(InputError, match="no such file, and no published model"):
        resolve("x" * 5000)


def test_fetch(cache: Path) -> None:
    lines = Lines()
    with loopback(any=CONTENT) as server:
        path = fetch("gratis", url=f"{server.base}/any", progress=lines)
    assert path == cache / "Free-Model.model"
    assert find("free") == path
    assert lines.lines == [f"free: {LICENCES['MIT']}"]
    assert fetch("free") == path  # without any server


def test_fetch_elsewhere(cache: Path, tmp_path: Path) -> None:
    with loopback(any=CONTENT) as server:
        path = fetch("free", f"{server.base}/any", tmp_path / "elsewhere")
    assert path == tmp_path / "elsewhere" / "Free-Model.model"
    assert not cache.exists()


def test_fetch_replaces_what_is_damaged_and_says_so(cache: Path) -> None:
    put(cache / "Free-Model.model", CONTENT[::-1])
    lines = Lines()
    with loopback(any=CONTENT) as server:
        fetch("free", url=f"{server.base}/any", progress=lines)
    assert lines.lines[1].endswith("Free-Model.model is not the published file and is fetched anew")
    assert find("free").read_bytes() == CONTENT


def test_fetch_into_the_folder_of_the_user(cache: Path, folder: Path) -> None:
    with loopback(any=CONTENT) as server:
        assert fetch("free", url=f"{server.base}/any") == folder / "Free-Model.model"
        assert len(server.requests) == 1


def test_fetch_where_the_folder_of_the_user_is_read_only(
    cache: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalogue.os, "access", lambda path, mode: path != folder)
    with loopback(any=CONTENT) as server:
        assert fetch("free", url=f"{server.base}/any") == cache / "Free-Model.model"
    put(folder / "Free-Model.model")
    assert fetch("free") == folder / "Free-Model.model"


@pytest.mark.parametrize("path", ["/mace/release_1/Free-Model.model", "/mace/Free-Model.model"])
def test_fetch_from_a_mirror(cache: Path, mirror: Loopback, path: str) -> None:
    mirror.files[path] = CONTENT
    assert fetch("free") == cache / "Free-Model.model"
    assert mirror.requests[-1][0] == path


def test_mirror_without_the_model(cache: Path, mirror: Loopback) -> None:
    with pytest.raises(InputError, match=r"/mace/Free-Model\.model: the server answers 404") as caught:
        fetch("free")
    assert str(caught.value).endswith(
        f"without a network, download {FREE.url} (0.0 MB) to {cache / 'Free-Model.model'}"
    )
    with pytest.raises(InputError, match="not on this machine"):
        find("free")


def test_url_comes_before_the_mirror(cache: Path, mirror: Loopback) -> None:
    mirror.files["/own"] = CONTENT
    fetch("free", url=f"{mirror.base}/own")
    assert [path for path, _ in mirror.requests] == ["/own"]


def test_offline_says_what_to_download_where(cache: Path) -> None:
    with loopback() as gone:
        pass
    with pytest.raises(InputError) as caught:
        fetch("free", url=f"{gone.base}/any")
    assert str(caught.value) == (
        f"{gone.base}/any: cannot be reached (Connection refused); without a network, "
        f"download {FREE.url} (0.0 MB) to {cache / 'Free-Model.model'}"
    )


def test_wrong_file_on_the_server(cache: Path) -> None:
    other = CONTENT[::-1]
    with loopback(any=other) as server, pytest.raises(InputError, match=f"{digest(other)}, of .* {SHA256}"):
        fetch("free", url=f"{server.base}/any")
    assert list(cache.iterdir()) == []


def test_a_licence_that_restricts_must_be_accepted(cache: Path) -> None:
    with loopback(any=CONTENT) as server:
        with pytest.raises(InputError, match=r"bound is under the Academic Software License.*--accept-licence"):
            fetch("bound", url=f"{server.base}/any")
        assert server.requests == []


def test_a_model_without_checksum_is_read_and_its_sum_told(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[bytes] = []
    monkeypatch.setattr("refine.potentials.mace.reader.read_torch", lambda path: read.append(path.read_bytes()))
    lines = Lines()
    with loopback(any=CONTENT) as server:
        path = fetch("bound", url=f"{server.base}/any", progress=lines, accept_licence=True)
    assert read == [CONTENT]
    assert lines.lines == [
        f"bound: {LICENCES['ASL']}",
        f"the publisher's checksum is not known; got sha256 {SHA256}",
    ]
    assert find("bound") == path


def test_a_model_without_checksum_that_is_no_model(cache: Path) -> None:
    with loopback(any=CONTENT) as server, pytest.raises(InputError, match="not a model that refine reads"):
        fetch("bound", url=f"{server.base}/any", accept_licence=True)
    assert list(cache.iterdir()) == []


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
