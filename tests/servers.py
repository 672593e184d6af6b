"""HTTP servers on loopback for tests: one that answers as told, and a stand-in for the Hugging Face Hub."""

from __future__ import annotations

import hashlib
import ssl
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

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


class Server:
    """``replies``: by path, the answers in order; the last is given from then on. ``requests``: what was asked, and
    ``headers`` with which. ``tls``: it speaks https.
    """

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.replies: dict[str, list[Reply]] = {}
        self.requests: list[tuple[str, str]] = []
        self.headers: list[Message] = []
        self.stopping = threading.Event()
        server = self

        class Handler(BaseHTTPRequestHandler):
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

            do_GET = do_HEAD = do_POST = do_PUT = answer  # noqa: N815

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._scheme = "http"
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
            self._scheme = "https"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)

    @property
    def url(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Server:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class Hub(Server):
    """Files of data set repositories, for a process with ``HF_ENDPOINT`` set to ``url``."""

    def add(self, repo: str, filename: str, content: bytes) -> None:
        digest = hashlib.sha256(content).hexdigest()
        headers = {"ETag": f'"{digest}"', "X-Repo-Commit": digest[:40]}
        self.replies[f"/datasets/{repo}/resolve/main/{filename}"] = [Reply(body=content, headers=headers)]
