"""An HTTP server that gives the answers a test has prepared, sound or broken."""

from __future__ import annotations

import ssl
from contextlib import suppress
from dataclasses import dataclass, field
from email.message import Message

from support.http_server import Handler, HttpServer

PIECE = 10_000
"""Bytes that are sent at once where a reply has a pause or no end."""


@dataclass(frozen=True)
class Reply:
    """One answer. ``promise``: a false Content-Length; ``unsized``: none at all, the connection's end is the body's.

    ``etag``: the server sends pieces of the body on the condition that the file is still this one. ``cut``: of the
    body only so many bytes are sent, then the connection is closed or, with ``stalls``, held open in silence.
    ``pause``: seconds after each piece. ``endless``: the body again and again.
    """

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    promise: int | None = None
    unsized: bool = False
    etag: str | None = None
    cut: int | None = None
    stalls: bool = False
    pause: float = 0.0
    endless: bool = False


class Server(HttpServer):
    """``replies``: by path, the answers in order; the last is given from then on. ``requests``: what was asked, and
    ``headers`` with which. ``tls``: it speaks https.
    """

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.replies: dict[str, list[Reply]] = {}
        self.requests: list[tuple[str, str]] = []
        self.headers: list[Message] = []
        server = self

        class Prepared(Handler):
            def answer(self) -> None:
                path = self.path.partition("?")[0]
                server.requests.append((self.command, path))
                server.headers.append(self.headers)
                waiting = server.replies.get(path, [Reply(404)])
                reply = waiting.pop(0) if len(waiting) > 1 else waiting[0]
                start = self.asked_start(reply)
                body = reply.body[start:]
                self.send_response(206 if start else reply.status)
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                if reply.etag:
                    self.send_header("Accept-Ranges", "bytes")
                    self.send_header("ETag", reply.etag)
                if start:
                    self.send_header("Content-Range", f"bytes {start}-{len(reply.body) - 1}/{len(reply.body)}")
                if not reply.unsized:
                    self.send_header("Content-Length", str(reply.promise or len(body)))
                self.end_headers()
                if self.command != "HEAD":
                    with suppress(ConnectionError):  # the client has had enough
                        self.send(reply, body)

            def asked_start(self, reply: Reply) -> int:
                if reply.etag is None or self.headers.get("If-Range") != reply.etag:
                    return 0
                return int(self.headers["Range"].removeprefix("bytes=").removesuffix("-"))

            def send(self, reply: Reply, body: bytes) -> None:
                if reply.cut is not None:
                    body = body[: reply.cut]
                pieced = reply.pause or reply.endless
                size = PIECE if pieced else len(body) or 1
                while not server.stopping.is_set():
                    for i in range(0, len(body), size):
                        self.wfile.write(body[i : i + size])
                        if reply.pause and server.stopping.wait(reply.pause):
                            break
                    if not reply.endless:
                        break
                if reply.stalls:
                    server.stopping.wait()

        super().__init__(Prepared, tls)
