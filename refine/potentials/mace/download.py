"""One file over HTTP into its place: resumed where it was cut, bounded, verified, and never half there.

What has come so far lies in `<name>.part` beside the place, which a process holds locked while it works on it;
`<name>.part.from` says of which version of which URL it is the beginning. The place itself changes by a rename only.

Ours, because what is ready-made does not go on: pooch (1.9) opens the file anew at every try and removes what came of
one that was cut, so hundreds of megabytes begin again. Nor does it bound a size, look at it before anything comes, or
refuse a redirect from https to http; and it brings requests with it.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import Any, BinaryIO
from urllib import request
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit

import refine
from refine.errors import InputError, RefineError
from refine.files import put_in_place
from refine.progress import Progress

__all__ = ["MAX_BYTES", "digest", "download", "is_whole"]

MAX_BYTES = 2**30
"""A file whose size nobody has published may be this large."""
BLOCK = 2**18
TIMEOUT = 30.0
"""Seconds without a byte after which a connection counts as cut."""
ATTEMPTS = 10
PAUSE = 1.0
"""Seconds before a cut download goes on."""
MEGABYTE = 10**6


def download(
    urls: Sequence[str],
    destination: Path,
    *,
    size: int | None,
    sha256: str | None,
    progress: Progress,
    otherwise: str,
    accept: Callable[[Path], object] | None = None,
) -> str:
    """Bring a file to its place, unless it is there whole, and return its sha256 (hex).

    Args:
        urls: where it may be, http or https; the next one is asked where the server of one does not have it.
        destination: its place; folders are made.
        size: bytes; where None, whatever the server has up to `MAX_BYTES`.
        sha256: hex; where None nothing is verified but by `accept`.
        otherwise: what the user can do where the network is of no help; ends the error's line.
        accept: raises `RefineError` for a file that is not what it should be.

    Raises:
        InputError: not reachable, not there, cut over and over, wrong size, wrong sha256, not accepted, no space or
            not writable. What has come of a file that was cut is kept for the next call; of a wrong one nothing is.
    """
    for url in urls:
        _check_url(url)
    part = destination.with_name(f"{destination.name}.part")
    try:
        if is_whole(destination, size, sha256):
            return digest(destination)
        destination.parent.mkdir(parents=True, exist_ok=True)
        with _held(part, progress) as stream:
            if is_whole(destination, size, sha256):  # by another process that held the part
                part.unlink()
                return digest(destination)
            transfer = _Transfer(stream, part, size, sha256, progress, otherwise)
            try:
                return _verified(transfer, transfer.run(urls), destination, accept)
            finally:
                if not transfer.have():
                    transfer.drop()
    except OSError as error:
        raise _explained(error, destination, otherwise) from error


def is_whole(path: Path, size: int | None, sha256: str | None) -> bool:
    """Whether the file is there with the size and sha256 that it should have, where they are known."""
    try:
        if not path.is_file() or (size is not None and path.stat().st_size != size):
            return False
        return sha256 is None or digest(path) == sha256
    except OSError:  # what cannot be read is of no use
        return False


def digest(path: Path) -> str:
    """Sha256 of a file, hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


class _Cut(Exception):
    """The connection ended before the file did."""


class _NotThere(InputError):
    """The server does not have the file."""


@dataclass
class _Transfer:
    """The part file on its way to being whole."""

    stream: BinaryIO
    part: Path
    size: int | None
    sha256: str | None
    progress: Progress
    otherwise: str
    expected: int | None = None

    @property
    def origin(self) -> Path:
        """The file that says where the part is from."""
        return self.part.with_name(f"{self.part.name}.from")

    def have(self) -> int:
        """Bytes that have come so far."""
        self.stream.flush()
        return os.fstat(self.stream.fileno()).st_size

    def clear(self) -> None:
        """Forget what has come."""
        self.stream.truncate(0)
        self.origin.unlink(missing_ok=True)

    def drop(self) -> None:
        """Remove the part file; the lock is still held."""
        self.part.unlink(missing_ok=True)
        self.origin.unlink(missing_ok=True)

    def run(self, urls: Sequence[str]) -> str:
        """Get all bytes, from the first of the URLs that has them, and return that URL."""
        for url in urls[:-1]:
            try:
                return self._from(url)
            except _NotThere:
                continue
        return self._from(urls[-1])

    def _from(self, url: str) -> str:
        best, attempts = self.have(), 0
        while True:
            try:
                self._attempt(url)
                return url
            except _Cut as cut:
                have, attempts = self.have(), attempts + 1
                if have <= best or attempts == ATTEMPTS:
                    total = "an unknown number of" if self.expected is None else self.expected
                    what = f"the connection was cut at {have} of {total} bytes ({cut})"
                    fix = f"the same command goes on where it stopped; {self.otherwise}"
                    raise InputError(what, where=url, fix=fix) from None
                best = have
                self.progress.message(f"cut at {megabytes(have)} ({cut}); going on")
                time.sleep(PAUSE)

    def _attempt(self, url: str) -> None:
        if self.size is not None and self.have() == self.size:
            return
        with self._answer(url) as response:
            have = self.have()
            limit = MAX_BYTES if self.expected is None else self.expected
            if self.expected is not None:
                free = shutil.disk_usage(self.part.parent).free
                if free < self.expected - have:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            label = f"fetching {self.part.stem} ({megabytes(self.expected)})"
            self.progress.stage(label, (self.expected or 0) // MEGABYTE)
            self.progress.advance(have // MEGABYTE)
            self.stream.seek(have)
            while have < limit:
                block = _next_block(response, limit - have)
                if not block:
                    break
                self.stream.write(block)
                self.progress.advance((have + len(block)) // MEGABYTE - have // MEGABYTE)
                have += len(block)
            if self.expected is None and have == limit and _next_block(response, 1):
                self.drop()
                raise InputError(f"more than {megabytes(limit)}; no model is that large", where=url, fix=self.otherwise)
        if self.expected is not None and have < self.expected:
            raise _Cut("the server closed it")

    def _answer(self, url: str) -> HTTPResponse:
        """The response whose body continues the part; what cannot be continued is cleared first."""
        have = self.have()
        headers = self._continuing(url, have)
        if have and not headers:
            self.clear()
        response = self._open(url, headers)
        if response is None or (response.status == 206 and not self._continues(response, have)):
            if response is not None:
                response.close()
            self.clear()
            response = self._open(url, {})
        if response is None or response.status not in (200, 206) or (response.status == 206 and not self.have()):
            status = 416 if response is None else response.status
            raise InputError(f"the server answers {status} to a plain request", where=url, fix=self.otherwise)
        self._check(response, url)
        if response.status == 200:
            self.clear()
            self._remember(url, response)
        return response

    def _continuing(self, url: str, have: int) -> dict[str, str]:
        """Headers that ask for the rest only; none where the part may be of another file and no sha256 would tell."""
        if not have or (self.size is not None and have > self.size):
            return {}
        headers = {"Range": f"bytes={have}-"}
        try:
            origin = json.loads(self.origin.read_text(encoding="utf-8"))
            validator = str(origin["validator"])
            if origin["url"] == url and validator.isascii() and validator.isprintable():
                return headers | {"If-Range": validator}
        except (OSError, ValueError, KeyError, TypeError):
            pass  # not there or damaged: as if nothing were known
        return headers if self.sha256 is not None else {}

    def _open(self, url: str, headers: dict[str, str]) -> HTTPResponse | None:
        """The response; None where the server has no such range."""
        own = {"User-Agent": f"refine/{refine.__version__}", "Accept-Encoding": "identity"}
        try:
            asked = request.Request(url, headers=own | headers)
            answer: HTTPResponse = _opener(url, self.otherwise).open(asked, timeout=TIMEOUT)
            return answer
        except HTTPError as error:
            error.close()
            if error.code == 416 and headers:
                return None
            kind = _NotThere if error.code in (404, 410) else InputError
            raise kind(f"the server answers {error.code} {error.reason}", where=url, fix=self.otherwise) from None
        except (OSError, HTTPException, ValueError) as error:
            reason = error.reason if isinstance(error, URLError) else error
            if isinstance(reason, OSError) and reason.strerror:
                reason = reason.strerror
            what = f"cannot be reached ({reason or type(reason).__name__})"
            raise InputError(what, where=url, fix=self.otherwise) from None

    def _continues(self, response: HTTPResponse, have: int) -> bool:
        found = re.fullmatch(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)", response.headers.get("Content-Range", ""))
        if found is None or int(found[1]) != have:
            return False
        self.expected = self.size if found[3] == "*" else int(found[3])
        return True

    def _check(self, response: HTTPResponse, url: str) -> None:
        """Settle how many bytes are expected, and refuse what cannot be the file."""
        kind = response.headers.get_content_type()
        if kind == "text/html" or response.headers.get("Content-Encoding", "identity") != "identity":
            response.close()
            what = "the server sends a web page, not the file" if kind == "text/html" else "the server sends it encoded"
            raise InputError(what, where=url, fix=self.otherwise)
        if response.status == 200:
            length = response.headers.get("Content-Length", "")
            self.expected = int(length) if re.fullmatch(r"\d{1,18}", length) else self.size
        if self.expected is None:
            return
        if self.expected > MAX_BYTES if self.size is None else self.expected != self.size:
            response.close()
            known = f"at most {MAX_BYTES} are taken" if self.size is None else f"of the published file {self.size}"
            what = f"the size of the server's file is {self.expected} bytes, {known}"
            raise InputError(what, where=url, fix=self.otherwise)

    def _remember(self, url: str, response: HTTPResponse) -> None:
        """Note what the server says identifies this version: a strong ETag, else the time of its last change."""
        etag = response.headers.get("ETag", "")
        validator = etag if etag.startswith('"') else response.headers.get("Last-Modified")
        if validator:
            self.origin.write_text(json.dumps({"url": url, "validator": validator}), encoding="utf-8")


def _verified(transfer: _Transfer, url: str, destination: Path, accept: Callable[[Path], object] | None) -> str:
    """Put the part, all of which has come, in its place if it is what it should be."""
    transfer.stream.flush()
    found = digest(transfer.part)
    if transfer.sha256 is not None and found != transfer.sha256:
        transfer.drop()
        what = f"sha256 is {found}, of the published file {transfer.sha256}; what came is removed"
        raise InputError(what, where=url, fix=transfer.otherwise)
    if accept is not None:
        try:
            accept(transfer.part)
        except RefineError as error:
            transfer.drop()
            what = f"what came is not a model that refine reads ({error}) and is removed"
            raise InputError(what, where=url, fix=transfer.otherwise) from None
    put_in_place(transfer.part, destination)
    transfer.origin.unlink(missing_ok=True)
    return found


@contextmanager
def _held(part: Path, progress: Progress) -> Iterator[BinaryIO]:
    """The part file, open and locked; the operating system lets go of it when the process ends, however it ends."""
    while True:
        # A link in a folder that others may write to would have its target overwritten.
        handle = os.open(part, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        with os.fdopen(handle, "r+b") as stream:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                progress.message(f"another process is fetching {part.stem}; waiting for it")
                fcntl.flock(handle, fcntl.LOCK_EX)
            if _is_at(handle, part):  # else the one that held it has renamed or removed it
                yield stream
                return


def _is_at(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False


def _next_block(response: HTTPResponse, most: int) -> bytes:
    try:
        return response.read1(min(BLOCK, most))
    except (OSError, HTTPException) as error:
        raise _Cut(str(error) or type(error).__name__) from None


def _check_url(url: str) -> None:
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise InputError(f"not an http(s) URL ({error})", where=url) from None
    if parts.username is not None or parts.password is not None:
        raise InputError("a URL with a user name or password is not supported", where=parts.hostname)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InputError("not an http(s) URL", where=url)
    if not url.isascii() or not url.isprintable() or " " in url:
        raise InputError("a URL has ASCII characters only and no blanks", where=url, fix="percent-encode the others")


class _Redirects(request.HTTPRedirectHandler):
    """Redirects to https; to http only for a user who asked over http."""

    def __init__(self, schemes: tuple[str, ...], otherwise: str) -> None:
        self._schemes, self._otherwise = schemes, otherwise

    def redirect_request(self, req: request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        """The next request. Raises InputError for one that is not allowed."""
        if urlsplit(newurl).scheme not in self._schemes:
            fp.close()
            what = f"redirects to {newurl}, which refine does not follow"
            raise InputError(what, where=req.full_url, fix=self._otherwise)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _opener(url: str, otherwise: str) -> request.OpenerDirector:
    """Speaks http and https only (urllib's own also reads local files), through the proxies of the environment."""
    opener = request.OpenerDirector()
    schemes = ("http", "https") if urlsplit(url).scheme == "http" else ("https",)
    for handler in (
        request.ProxyHandler(),
        request.UnknownHandler(),
        request.HTTPHandler(),
        request.HTTPSHandler(),
        request.HTTPDefaultErrorHandler(),
        _Redirects(schemes, otherwise),
        request.HTTPErrorProcessor(),
    ):
        opener.add_handler(handler)
    return opener


def megabytes(size: int | None) -> str:
    """Size for people: millions of bytes.

    >>> megabytes(44_000_000)
    '44.0 MB'
    """
    return "size not known" if size is None else f"{size / MEGABYTE:.1f} MB"


def _explained(error: OSError, path: Path, otherwise: str) -> InputError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        fix = "free some space, or choose another folder; the same command goes on where it stopped"
    else:
        fix = f"choose a folder that you may write to; {otherwise}"
    return InputError(f"cannot write ({error.strerror or error})", where=str(path), fix=fix)
