"""A file server on 127.0.0.1 that misbehaves as it is told to."""

from __future__ import annotations

import hashlib
import re
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Loopback:
    """What the server has and how it behaves; tests change it between requests.

    Attributes:
        files: by path, with the slash at its beginning.
        requests: path and headers of every request so far.
        cuts: after how many bytes of the body the next responses are cut; None is not at all.
        reset: a cut resets the connection instead of closing it.
        ranges: it knows the Range header.
        validators: it sends an ETag, and minds If-Range.
        length: "true", "none" (the end of the connection ends the file), "chunked", or a number that is claimed.
        status: of every response, where not None.
        redirects: path -> URL.
        headers: sent with every response, in the place of its own.
        stall: wait for this event in the middle of every body.
    """

    files: dict[str, bytes]
    base: str = ""
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    cuts: list[int | None] = field(default_factory=list)
    reset: bool = False
    ranges: bool = True
    validators: bool = True
    length: str | int = "true"
    status: int | None = None
    redirects: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    stall: threading.Event | None = None

    def ranges_asked(self) -> list[str | None]:
        """The Range header of every request."""
        return [headers.get("Range") for _, headers in self.requests]


@contextmanager
def loopback(**files: bytes) -> Iterator[Loopback]:
    """The server, for the time of a test."""
    state = Loopback({f"/{name}": content for name, content in files.items()})

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            _answer(self, state)

        def log_message(self, *arguments: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    state.base = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _answer(handler: BaseHTTPRequestHandler, state: Loopback) -> None:
    state.requests.append((handler.path, dict(handler.headers)))
    content = state.files.get(handler.path)
    handler.close_connection = True
    if handler.path in state.redirects:
        return _head(handler, 302, {"Location": state.redirects[handler.path], "Content-Length": "0"})
    if state.status is not None or content is None:
        return _head(handler, state.status or 404, {"Content-Length": "0"})
    etag = f'"{hashlib.sha256(content).hexdigest()[:16]}"'
    headers = {"ETag": etag} if state.validators else {}
    start, status = 0, 200
    asked = re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range", ""))
    if asked and state.ranges and handler.headers.get("If-Range") in (None, etag):
        start, status = int(asked[1]), 206
        if start >= len(content):
            return _head(handler, 416, {"Content-Range": f"bytes */{len(content)}", "Content-Length": "0"})
        headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
    body = content[start:]
    if state.length == "chunked":
        headers["Transfer-Encoding"] = "chunked"
    elif state.length != "none":
        headers["Content-Length"] = str(len(body) if state.length == "true" else state.length)
    _head(handler, status, headers | state.headers)
    _body(handler, state, body)


def _head(handler: BaseHTTPRequestHandler, status: int, headers: dict[str, str]) -> None:
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name, value)
    handler.end_headers()


def _body(handler: BaseHTTPRequestHandler, state: Loopback, body: bytes) -> None:
    cut = state.cuts.pop(0) if state.cuts else None
    try:
        if state.stall is not None:
            handler.wfile.write(body[: len(body) // 2])
            state.stall.wait(10)
            body = body[len(body) // 2 :]
        if state.length == "chunked":
            for start in range(0, len(body[:cut]), 1000):
                chunk = body[start : min(start + 1000, cut or len(body))]
                handler.wfile.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
            if cut is None:
                handler.wfile.write(b"0\r\n\r\n")
        else:
            handler.wfile.write(body[:cut])
    except OSError:
        return  # the other side has seen enough
    if cut is not None and state.reset:
        handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        handler.connection.close()
