"""HTTP servers on loopback for tests: one that answers as told, and a stand-in for the Hugging Face Hub."""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True)
class Reply:
    """One answer. ``promise``: a false Content-Length; ``unsized``: none at all, the connection's end is the body's."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    promise: int | None = None
    unsized: bool = False


class Server:
    """``replies``: by path, the answers in order; the last is given from then on. ``requests``: what was asked."""

    def __init__(self) -> None:
        self.replies: dict[str, list[Reply]] = {}
        self.requests: list[tuple[str, str]] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                path = self.path.partition("?")[0]
                server.requests.append((self.command, path))
                waiting = server.replies.get(path, [Reply(404)])
                reply = waiting.pop(0) if len(waiting) > 1 else waiting[0]
                self.send_response(reply.status)
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                if not reply.unsized:
                    self.send_header("Content-Length", str(reply.promise or len(reply.body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(reply.body)

            do_GET = do_HEAD = do_POST = do_PUT = answer  # noqa: N815

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Server:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class Hub(Server):
    """Files of data set repositories, for a process with ``HF_ENDPOINT`` set to ``url``."""

    def add(self, repo: str, filename: str, content: bytes) -> None:
        digest = hashlib.sha256(content).hexdigest()
        headers = {"ETag": f'"{digest}"', "X-Repo-Commit": digest[:40]}
        self.replies[f"/datasets/{repo}/resolve/main/{filename}"] = [Reply(body=content, headers=headers)]
