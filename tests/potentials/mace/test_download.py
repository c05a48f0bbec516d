"""A file over HTTP: whatever server and connection do, the place holds the right file or what it held before."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import threading
import time
from collections import namedtuple
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refine.errors import InputError
from refine.potentials.mace import download as module
from refine.potentials.mace.download import digest, download, is_whole
from refine.progress import NullProgress
from tests.loopback import Loopback, loopback

CONTENT = random.Random(1).randbytes(3_500_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
OTHER = random.Random(2).randbytes(len(CONTENT))


class Notes(NullProgress):
    """A progress that remembers."""

    def __init__(self) -> None:
        self.messages: list[str] = []
        self.stages: list[tuple[str, int]] = []
        self.advanced = 0

    def stage(self, label: str, total: int) -> None:
        self.stages.append((label, total))
        self.advanced = 0

    def advance(self, n: int) -> None:
        self.advanced += n

    def message(self, text: str) -> None:
        self.messages.append(text)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAUSE", 0.0)
    monkeypatch.setenv("no_proxy", "*")


@pytest.fixture
def server() -> Iterator[Loopback]:
    with loopback(model=CONTENT) as state:
        yield state


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "models" / "a.model"


Get = Callable[..., str]


@pytest.fixture
def get(server: Loopback, place: Path) -> Get:
    def call(*paths: str, **changes: Any) -> str:
        urls = [path if ":" in path else server.base + path for path in paths or ("/model",)]
        known = {"size": len(CONTENT), "sha256": SHA256, "progress": Notes(), "otherwise": "do it by hand"}
        return download(urls, place, **{**known, **changes})

    return call


def left(place: Path) -> list[str]:
    """Names of all files beside the place."""
    return sorted(path.name for path in place.parent.iterdir()) if place.parent.exists() else []


def nothing_known() -> dict[str, Any]:
    return {"size": None, "sha256": None, "accept": lambda path: None}


@pytest.mark.parametrize("known", [{}, {"size": None}, nothing_known()], ids=["all", "sha256", "nothing"])
@pytest.mark.parametrize("length", ["true", "none", "chunked"])
def test_arrives(server: Loopback, get: Get, place: Path, known: dict[str, Any], length: str) -> None:
    server.length = length
    assert get(**known) == SHA256
    assert place.read_bytes() == CONTENT
    assert left(place) == ["a.model"]
    assert place.stat().st_mode & 0o777 == 0o644


def test_progress_counts_megabytes(get: Get) -> None:
    notes = Notes()
    get(progress=notes)
    assert notes.stages == [("fetching a.model (3.5 MB)", 3)]
    assert notes.advanced == 3


def test_what_is_there_whole_is_not_fetched(server: Loopback, get: Get, place: Path) -> None:
    place.parent.mkdir()
    place.write_bytes(CONTENT)
    assert get() == SHA256
    assert get(size=None, sha256=None) == SHA256
    assert server.requests == []


@pytest.mark.parametrize("content", [CONTENT[:100], OTHER, b""])
def test_what_is_there_damaged_is_replaced(get: Get, place: Path, content: bytes) -> None:
    place.parent.mkdir()
    place.write_bytes(content)
    get()
    assert place.read_bytes() == CONTENT


@pytest.mark.parametrize("length", ["true", "chunked"])
@pytest.mark.parametrize("reset", [False, True])
def test_a_cut_connection_goes_on(server: Loopback, get: Get, place: Path, length: str, reset: bool) -> None:
    server.cuts, server.length, server.reset = [1_000_000, 1_500_000], length, reset
    notes = Notes()
    get(progress=notes)
    assert place.read_bytes() == CONTENT
    assert len(server.requests) == 3
    assert all(asked is not None for asked in server.ranges_asked()[1:])
    assert len(notes.messages) == 2
    assert notes.messages[0].startswith("cut at ")
    if not reset:  # a reset may take with it what has come last
        assert server.ranges_asked()[1:] == ["bytes=1000000-", "bytes=2500000-"]


def test_a_cut_connection_without_progress_is_an_error_and_the_next_call_goes_on(
    server: Loopback, get: Get, place: Path
) -> None:
    server.cuts = [1_000_000, 0]
    with pytest.raises(InputError, match=r"cut at 1000000 of 3500000 bytes .*goes on where it stopped; do it by hand$"):
        get()
    assert left(place) == ["a.model.part", "a.model.part.from"]
    get()
    assert server.ranges_asked() == [None, "bytes=1000000-", "bytes=1000000-"]
    assert server.requests[2][1]["If-Range"].startswith('"')
    assert place.read_bytes() == CONTENT
    assert left(place) == ["a.model"]


def test_tries_are_counted(server: Loopback, get: Get, place: Path) -> None:
    server.cuts = [1000] * 50
    with pytest.raises(InputError, match="cut at 10000 of"):
        get()
    assert len(server.requests) == module.ATTEMPTS


def test_server_without_ranges_begins_anew(server: Loopback, get: Get, place: Path) -> None:
    server.ranges, server.cuts = False, [1_000_000, 2_000_000, None]
    get()
    assert place.read_bytes() == CONTENT
    assert len(server.requests) == 3


def test_server_without_ranges_that_never_gets_further(server: Loopback, get: Get) -> None:
    server.ranges, server.cuts = False, [1_000_000] * 20
    with pytest.raises(InputError, match="cut at 1000000 of"):
        get()
    assert len(server.requests) == 2


def test_another_version_begins_anew(server: Loopback, get: Get, place: Path) -> None:
    server.files["/model"], server.cuts = OTHER, [1_000_000, 0]
    with pytest.raises(InputError, match="cut"):
        get(**nothing_known())
    server.files["/model"] = CONTENT
    assert get(**nothing_known()) == SHA256
    assert place.read_bytes() == CONTENT


def test_without_sha256_and_validator_nothing_is_continued(server: Loopback, get: Get, place: Path) -> None:
    server.validators, server.cuts = False, [1_000_000, 0]
    with pytest.raises(InputError, match="cut"):
        get(**nothing_known())
    assert get(**nothing_known()) == SHA256
    assert server.ranges_asked() == [None, None, None]


def test_without_sha256_nothing_is_continued_from_another_url(server: Loopback, get: Get, place: Path) -> None:
    server.files["/elsewhere"], server.cuts = OTHER, [1_000_000, 0]
    with pytest.raises(InputError, match="cut"):
        get("/elsewhere", **nothing_known())
    assert get(**nothing_known()) == SHA256


def test_with_sha256_another_url_continues(server: Loopback, get: Get, place: Path) -> None:
    server.files["/elsewhere"], server.cuts = CONTENT, [1_000_000, 0]
    with pytest.raises(InputError, match="cut"):
        get("/elsewhere")
    get()
    assert server.ranges_asked()[-1] == "bytes=1000000-"
    assert "If-Range" not in server.requests[-1][1]


@pytest.mark.parametrize(
    "origin",
    [
        b"",
        b"{",
        b"[]",
        b"\xff",
        b'{"url": 3}',
        b'{"url": "URL", "validator": 3}',
        b'{"url": "URL", "validator": "a\\nb"}',
    ],
)
def test_damaged_note_of_the_origin(server: Loopback, get: Get, place: Path, origin: bytes) -> None:
    place.parent.mkdir()
    place.with_name("a.model.part").write_bytes(CONTENT[:1000])
    place.with_name("a.model.part.from").write_bytes(origin.replace(b"URL", f"{server.base}/model".encode()))
    get()
    assert server.ranges_asked() == ["bytes=1000-"]
    assert left(place) == ["a.model"]


def test_whole_part_of_a_process_that_was_killed(server: Loopback, get: Get, place: Path) -> None:
    place.parent.mkdir()
    place.with_name("a.model.part").write_bytes(CONTENT)
    get()
    assert server.requests == []
    assert place.read_bytes() == CONTENT


def test_range_that_is_not_there_begins_anew(server: Loopback, get: Get, place: Path) -> None:
    place.parent.mkdir()
    place.with_name("a.model.part").write_bytes(CONTENT)
    get(size=None)
    assert server.ranges_asked() == [f"bytes={len(CONTENT)}-", None]
    assert place.read_bytes() == CONTENT


def test_part_that_is_too_long_begins_anew(server: Loopback, get: Get, place: Path) -> None:
    place.parent.mkdir()
    place.with_name("a.model.part").write_bytes(CONTENT + b"x")
    get()
    assert server.ranges_asked() == [None]


@pytest.mark.parametrize("answer", ["bytes 5-6/7", "bytes 0-1/2", "items 1-2/3", ""])
def test_another_range_than_asked_for_begins_anew(server: Loopback, get: Get, place: Path, answer: str) -> None:
    server.cuts, server.headers = [1000], {}
    notes = Notes()
    notes.message = lambda text: server.headers.update({"Content-Range": answer})  # type: ignore[method-assign]
    get(progress=notes)
    assert server.ranges_asked() == [None, "bytes=1000-", None]
    assert place.read_bytes() == CONTENT


def test_wrong_content(server: Loopback, get: Get, place: Path) -> None:
    server.files["/model"] = OTHER
    found = hashlib.sha256(OTHER).hexdigest()
    with pytest.raises(InputError, match=f"/model: sha256 is {found}, of the published file {SHA256}; .* by hand$"):
        get()
    assert left(place) == []


def test_wrong_content_leaves_what_was_there(server: Loopback, get: Get, place: Path) -> None:
    place.parent.mkdir()
    place.write_bytes(b"old")
    server.files["/model"] = OTHER
    with pytest.raises(InputError, match="sha256"):
        get()
    assert place.read_bytes() == b"old"
    assert left(place) == ["a.model"]


def test_damaged_part_is_found_at_the_end(get: Get, place: Path) -> None:
    place.parent.mkdir()
    place.with_name("a.model.part").write_bytes(OTHER[:1000])
    with pytest.raises(InputError, match="sha256"):
        get()
    assert left(place) == []
    get()
    assert place.read_bytes() == CONTENT


@pytest.mark.parametrize("content", [CONTENT[:-1], CONTENT + b"x", b""])
def test_wrong_size_is_seen_before_anything_comes(server: Loopback, get: Get, place: Path, content: bytes) -> None:
    server.files["/model"] = content
    message = f"size of the server's file is {len(content)} bytes, of the published file {len(CONTENT)}"
    with pytest.raises(InputError, match=message):
        get()
    assert left(place) == []


@pytest.mark.parametrize("length", ["none", "chunked"])
def test_more_than_expected_is_not_written(server: Loopback, get: Get, place: Path, length: str) -> None:
    server.files["/model"], server.length = OTHER + OTHER, length
    with pytest.raises(InputError, match="sha256"):
        get()
    assert left(place) == []


@pytest.mark.parametrize("length", ["true", "none", "chunked"])
def test_a_file_of_unknown_size_is_bounded(
    server: Loopback, get: Get, place: Path, length: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_BYTES", 1_000_000)
    server.length = length
    with pytest.raises(InputError, match=r"no model is that large|at most 1000000 are taken"):
        get(**nothing_known())
    assert left(place) == []
    server.files["/model"] = CONTENT[:1_000_000]
    get(**nothing_known())
    assert place.stat().st_size == 1_000_000


def test_length_that_is_a_lie(server: Loopback, get: Get, place: Path) -> None:
    server.files["/model"], server.length = CONTENT[:1000], len(CONTENT)
    with pytest.raises(InputError, match="cut at 1000 of 3500000"):
        get()


def test_what_is_not_accepted_is_removed(get: Get, place: Path) -> None:
    def refuse(path: Path) -> None:
        assert path.read_bytes() == CONTENT
        raise InputError("not a zip file", where=str(path))

    with pytest.raises(InputError, match=r"not a model that refine reads .*not a zip file.* and is removed"):
        get(sha256=None, accept=refuse)
    assert left(place) == []


@pytest.mark.parametrize(("status", "words"), [(404, "404 Not Found"), (403, "403 Forbidden"), (503, "503 Service")])
def test_refusals_of_the_server(server: Loopback, get: Get, place: Path, status: int, words: str) -> None:
    server.status = status
    with pytest.raises(InputError, match=rf"/model: the server answers {words}.*; do it by hand$"):
        get()
    assert left(place) == []
    assert len(server.requests) == 1


def test_second_address(server: Loopback, get: Get, place: Path) -> None:
    get("/nothing/here", "/model")
    assert [path for path, _ in server.requests] == ["/nothing/here", "/model"]
    with pytest.raises(InputError, match="/nor/there: the server answers 404"):
        get("/nothing/here", "/nor/there", sha256=hashlib.sha256(OTHER).hexdigest())


@pytest.mark.parametrize("status", [204, 206])
def test_answers_without_the_file(server: Loopback, get: Get, status: int) -> None:
    server.status = status
    with pytest.raises(InputError, match=f"answers {status} to a plain request"):
        get()


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        ({"Content-Type": "text/html; charset=utf-8"}, "a web page, not the file"),
        ({"Content-Encoding": "gzip"}, "sends it encoded"),
    ],
)
def test_pages_and_encodings(server: Loopback, get: Get, place: Path, headers: dict[str, str], message: str) -> None:
    server.headers = headers
    with pytest.raises(InputError, match=message):
        get()
    assert left(place) == []


def test_nobody_listens(get: Get, place: Path) -> None:
    with loopback() as gone:
        pass
    with pytest.raises(InputError, match=r"cannot be reached \(Connection refused\); do it by hand$"):
        get(f"{gone.base}/model")
    assert left(place) == []


def test_what_has_come_survives_a_network_that_went_away(server: Loopback, get: Get, place: Path) -> None:
    with loopback() as gone:
        pass
    server.cuts = [1000, 0]
    with pytest.raises(InputError, match="cut"):
        get()
    with pytest.raises(InputError, match="cannot be reached"):
        get(f"{gone.base}/model")
    assert place.with_name("a.model.part").read_bytes() == CONTENT[:1000]


@pytest.mark.timeout(30)
def test_silent_server(server: Loopback, get: Get, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TIMEOUT", 1.0)  # a busy machine answers within that
    server.stall = threading.Event()
    with pytest.raises(InputError, match=r"cut at .* bytes .*timed out"):
        get()
    server.stall.set()


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("file:///etc/hostname", "not an http"),
        ("ftp://example.org/a", "not an http"),
        ("/a/path", "not an http"),
        ("http:///a", "not an http"),
        ("http://[", "not an http"),
        ("http://example.org/a b", "ASCII characters only and no blanks"),
        ("http://example.org/Å", "ASCII characters only"),
        ("http://example.org/a\nb", "ASCII characters only|not an http"),
        ("http://example.org:x/a", "cannot be reached"),
    ],
)
def test_urls_that_are_none(place: Path, url: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        download([url], place, size=None, sha256=SHA256, progress=Notes(), otherwise="")
    assert "\n" not in str(caught.value)
    assert left(place) == []


def test_passwords_are_not_repeated(place: Path) -> None:
    with pytest.raises(InputError, match="user name or password") as caught:
        download(["https://me:secret@example.org/a"], place, size=None, sha256=None, progress=Notes(), otherwise="")
    assert "secret" not in str(caught.value)


def test_redirect(server: Loopback, get: Get, place: Path) -> None:
    server.redirects = {"/old": f"{server.base}/model"}
    server.cuts = [1000]
    get("/old")
    assert place.read_bytes() == CONTENT
    assert server.ranges_asked() == [None, None, "bytes=1000-", "bytes=1000-"]


@pytest.mark.parametrize("target", ["file:///etc/hostname", "ftp://example.org/a", "data:,a"])
def test_redirect_to_another_scheme(server: Loopback, get: Get, place: Path, target: str) -> None:
    server.redirects = {"/old": target}
    with pytest.raises(InputError, match=r"redirects to .* which refine does not follow|cannot be reached|answers 302"):
        get("/old")
    assert left(place) == []


def test_redirect_from_https_to_http_is_not_followed() -> None:
    from email.message import Message
    from io import BytesIO
    from urllib.request import Request

    def follow(schemes: tuple[str, ...], target: str) -> Any:
        redirects = module._Redirects(schemes, "do it by hand")
        asked = Request("https://example.org/a", headers={"Range": "bytes=5-"})
        return redirects.redirect_request(asked, BytesIO(), 302, "Found", Message(), target)

    assert follow(("https",), "https://example.org/b").headers == {"Range": "bytes=5-"}
    assert follow(("http", "https"), "http://example.org/b") is not None
    with pytest.raises(InputError, match=r"https://example.org/a: redirects to http://example.org/b"):
        follow(("https",), "http://example.org/b")


def test_redirect_loop(server: Loopback, get: Get) -> None:
    server.redirects = {"/old": f"{server.base}/old"}
    with pytest.raises(InputError, match="the server answers 302") as caught:
        get("/old")
    assert "\n" not in str(caught.value)


def test_folder_that_cannot_be(server: Loopback, get: Get, tmp_path: Path) -> None:
    (tmp_path / "models").write_text("a file")
    with pytest.raises(InputError, match=r"cannot write .*; choose a folder that you may write to; do it by hand$"):
        get()
    assert server.requests == []


def test_folder_that_may_not_be_written_to(get: Get, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: Any) -> int:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(module.os, "open", refuse)  # root may write anywhere
    with pytest.raises(InputError, match=r"a\.model: cannot write \(Permission denied\)"):
        get()


def test_no_space_is_seen_before_anything_comes(get: Get, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**9, 10**9, len(CONTENT) - 1))
    with pytest.raises(InputError, match=r"No space left.*free some space, or choose another folder"):
        get()
    assert left(place) == []


def test_disk_that_fills_up_keeps_what_has_come(server: Loopback, get: Get, place: Path) -> None:
    # The limit on the size of a file stands for a full disk: the write fails in the middle, in a process of its own.
    program = f"""
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
from pathlib import Path
from refine.errors import InputError
from refine.potentials.mace.download import download
from refine.progress import NullProgress
try:
    download(["{server.base}/model"], Path({str(place)!r}), size={len(CONTENT)}, sha256="{SHA256}",
             progress=NullProgress(), otherwise="")
except InputError as error:
    print(error)
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "a.model: cannot write (File too large)" in ended.stdout
    assert place.with_name("a.model.part").stat().st_size == 1_000_000
    get()
    assert server.ranges_asked() == [None, "bytes=1000000-"]
    assert place.read_bytes() == CONTENT


def test_links_are_not_followed(get: Get, place: Path, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("precious")
    place.parent.mkdir()
    place.with_name("a.model.part").symlink_to(precious)
    with pytest.raises(InputError, match="cannot write"):
        get()
    assert precious.read_text() == "precious"


def test_two_at_a_time(server: Loopback, get: Get, place: Path) -> None:
    server.stall = threading.Event()
    notes, results = [Notes(), Notes()], []
    threads = [threading.Thread(target=lambda n=n: results.append(get(progress=n))) for n in notes]
    threads[0].start()
    while not server.requests:
        time.sleep(0.005)
    threads[1].start()
    while not notes[1].messages:
        time.sleep(0.005)
    server.stall.set()
    for thread in threads:
        thread.join()
    assert results == [SHA256, SHA256]
    assert notes[1].messages == ["another process is fetching a.model; waiting for it"]
    assert len(server.requests) == 1
    assert left(place) == ["a.model"]


def test_the_second_begins_anew_where_the_first_came_to_nothing(server: Loopback, get: Get, place: Path) -> None:
    server.stall = threading.Event()
    errors, notes = [], Notes()

    def refuse(path: Path) -> None:
        raise InputError("not a zip file")

    def first() -> None:
        try:
            get(sha256=None, accept=refuse)
        except InputError as error:
            errors.append(error)

    threads = [threading.Thread(target=first), threading.Thread(target=lambda: get(progress=notes))]
    threads[0].start()
    while not server.requests:
        time.sleep(0.005)
    threads[1].start()
    while not notes.messages:
        time.sleep(0.005)
    server.stall.set()
    for thread in threads:
        thread.join()
    assert len(errors) == 1
    assert server.ranges_asked() == [None, None]
    assert place.read_bytes() == CONTENT
    assert left(place) == ["a.model"]


@given(
    cuts=st.lists(st.none() | st.integers(0, 3000), max_size=12),
    ranges=st.booleans(),
    validators=st.booleans(),
    length=st.sampled_from(["true", "none", "chunked", 2999]),
    known=st.sampled_from(["size sha256", "sha256", "size", ""]),
    versions=st.lists(st.booleans(), min_size=4, max_size=4),
)
@settings(max_examples=60, deadline=None)
def test_the_place_holds_the_right_file_or_none(
    cuts: list[int | None], ranges: bool, validators: bool, length: str | int, known: str, versions: list[bool]
) -> None:
    right, wrong = CONTENT[:3000], OTHER[:3000]
    sha256 = hashlib.sha256(right).hexdigest()
    with loopback() as server, TemporaryDirectory() as folder, patch.object(module, "PAUSE", 0.0):
        server.cuts, server.ranges, server.validators, server.length = list(cuts), ranges, validators, length
        place = Path(folder, "a.model")
        for is_right in versions:
            server.files["/model"] = right if is_right else wrong
            with suppress(InputError):
                download(
                    [f"{server.base}/model"],
                    place,
                    size=3000 if "size" in known else None,
                    sha256=sha256 if "sha256" in known else None,
                    progress=NullProgress(),
                    otherwise="",
                )
            if not place.exists():
                continue
            if known == "" and length in ("none", 2999):  # nobody can tell that it ended too early
                assert right.startswith(place.read_bytes()) or wrong.startswith(place.read_bytes())
            elif "sha256" in known:
                assert place.read_bytes() == right
            else:
                assert place.read_bytes() in (right, wrong)


def test_origin_is_noted(server: Loopback, get: Get, place: Path) -> None:
    server.cuts = [1000, 0]
    with pytest.raises(InputError):
        get()
    noted = json.loads(place.with_name("a.model.part.from").read_text())
    assert noted["url"] == f"{server.base}/model"


def test_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "a"
    assert not is_whole(path, None, None)
    path.write_bytes(CONTENT)
    assert is_whole(path, len(CONTENT), SHA256)
    assert not is_whole(path, 3, None)
    assert not is_whole(path, None, "0" * 64)
    assert not is_whole(tmp_path, None, None)
    assert digest(path) == SHA256
