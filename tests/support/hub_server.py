"""A Hugging Face Hub on loopback: repositories with branches and commits, as huggingface_hub and datasets ask for them.

The protocol is that of huggingface_hub 2.4: with another version, look here first for what a test cannot explain.
Large files go by the LFS protocol; multipart and the Xet storage are not there (clients need HF_HUB_DISABLE_XET=1).
"""

from __future__ import annotations

import base64
import fnmatch
import hashlib
import importlib
import json
import os
import re
import secrets
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from unittest.mock import patch
from urllib.parse import parse_qs, unquote

import yaml

from support.http_server import Handler, HttpServer

WRITER, READER = "hf_writer", "hf_reader"
"""Tokens of the user ``me``."""

GITATTRIBUTES = b"*.safetensors filter=lfs diff=lfs merge=lfs -text\n*.parquet filter=lfs diff=lfs merge=lfs -text\n"


@dataclass
class Commit:
    """``files``: content by path; that of a file in LFS is its SHA-256 as text."""

    oid: str
    parent: str | None
    summary: str
    files: dict[str, bytes | str]


@dataclass
class Repo:
    kind: str
    name: str
    private: bool
    commits: dict[str, Commit] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)

    def commit(self, branch: str, summary: str, files: dict[str, bytes | str]) -> Commit:
        parent = self.branches.get(branch)
        before = self.commits[parent].files if parent else {}
        made = Commit(secrets.token_hex(20), parent, summary, {**before, **files})
        self.commits[made.oid] = made
        self.branches[branch] = made.oid
        return made

    def at(self, revision: str) -> Commit | None:
        return self.commits.get(self.branches.get(revision, revision))

    def history(self, branch: str = "main") -> list[Commit]:
        """Newest first, without the one that made the repository."""
        found = []
        oid: str | None = self.branches[branch]
        while oid is not None:
            found.append(self.commits[oid])
            oid = self.commits[oid].parent
        return found[:-1]


@dataclass
class Fault:
    """What a request gets in place of its answer, where ``path`` is part of its own.

    A status; ``drop``: the connection ends before anything is done; ``lose``: it is done, and then the connection ends;
    ``stall``: nothing. Something to call: what happens meanwhile, before the answer. ``times``: -1 without end.
    """

    method: str
    path: str
    what: int | str | Callable[[], object]
    times: int = -1


@dataclass(frozen=True)
class Request:
    """``head``: the request line and the headers, as text. ``body``: not that of an upload, which is kept as a file."""

    method: str
    path: str
    token: str | None
    body: bytes
    head: str


class HubServer(HttpServer):
    """``repos``: by kind and name. ``requests``: what was asked. ``moved``: old names that answer with a redirect.

    ``folder``: where the content of large files is kept. ``sent``: how many bytes of each were sent.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self.repos: dict[tuple[str, str], Repo] = {}
        self.moved: dict[str, str] = {}
        self.faults: list[Fault] = []
        self.requests: list[Request] = []
        self.sent: Counter[str] = Counter()
        self.lock = threading.Lock()
        super().__init__(type("Bound", (_Handler,), {"hub": self}))

    @property
    def storage(self) -> str:
        """Where large files are kept: another host than the Hub's, which clients must notice."""
        return f"http://localhost:{self.port}/lfs"

    def environment(self, token: str | None = WRITER) -> dict[str, str]:
        """Of a process whose Hub this is. The token is given as a variable, or none is to be found."""
        return {"HF_ENDPOINT": self.url, "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1", "HF_TOKEN": token or ""}

    @contextmanager
    def of_this_process(self, **environment: str) -> Iterator[None]:
        """Inside, this is the Hub of huggingface_hub in this process, which reads the environment at import."""
        from huggingface_hub import constants

        try:
            with patch.dict(os.environ, {**self.environment(), **environment}):
                importlib.reload(constants)
                yield
        finally:
            importlib.reload(constants)

    def repo(self, name: str, kind: str = "model", private: bool = False) -> Repo:
        """The repository, made if it does not exist; as on the Hub, its first commit has .gitattributes."""
        if (kind, name) not in self.repos:
            self.repos[kind, name] = made = Repo(kind, name, private)
            made.commit("main", "initial commit", {".gitattributes": GITATTRIBUTES})
        return self.repos[kind, name]

    def add(self, name: str, filename: str, content: bytes, revision: str = "main") -> None:
        """A file of a data set."""
        repo = self.repo(name, "dataset")
        repo.commit(revision, f"Add {filename}", {filename: self.keep(content) if is_large(filename) else content})

    def keep(self, content: bytes) -> str:
        digest = hashlib.sha256(content).hexdigest()
        (self.folder / digest).write_bytes(content)
        return digest

    def asked(self, method: str, path: str = "") -> list[Request]:
        return [r for r in self.requests if r.method == method and path in r.path]


def is_large(path: str) -> bool:
    return any(fnmatch.fnmatch(path, line.split()[0].decode()) for line in GITATTRIBUTES.splitlines())


class _RefusedError(Exception):
    def __init__(self, status: int, message: str, code: str | None = None) -> None:
        self.status, self.message, self.code = status, message, code


class _Handler(Handler):
    hub: HubServer
    lost = False

    def answer(self) -> None:
        hub = self.hub
        path, _, query = self.path.partition("?")
        self.query = {key: values[-1] for key, values in parse_qs(query).items()}
        length = int(self.headers.get("Content-Length", 0))
        upload = self.command == "PUT"
        self.body = b"" if upload else self._body(length)
        self.token = (self.headers.get("Authorization") or "").removeprefix("Bearer ") or None
        with hub.lock:
            head = f"{unquote(self.requestline)}\n{self.headers}"
            hub.requests.append(Request(self.command, unquote(path), self.token, self.body, head))
            fault = next((f for f in hub.faults if f.times and f.method == self.command and f.path in path), None)
            if fault:
                fault.times -= 1
        what = fault.what if fault else None
        if what == "stall":
            hub.stopping.wait(20)
        if what in ("drop", "stall"):
            return
        if isinstance(what, int):
            self._json(what, {"error": "as told"})
            return
        if callable(what):
            what()
        self.lost = what == "lose"
        try:
            if self.token not in (None, WRITER, READER):
                raise _RefusedError(401, "Invalid credentials in Authorization header")
            self._route(path)
        except _RefusedError as refusal:
            headers = {"X-Error-Message": refusal.message, "X-Error-Code": refusal.code}
            self._json(refusal.status, {"error": refusal.message}, {k: v for k, v in headers.items() if v})

    def _body(self, length: int) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(length)
        found = b""
        while size := int(self.rfile.readline(), 16):
            found += self.rfile.read(size)
            self.rfile.readline()
        return found

    def _route(self, path: str) -> None:
        for pattern, method in (
            (r"/api/repos/create", self._create),
            (r"/api/validate-yaml", self._validate_yaml),
            (r"/lfs/(?P<oid>[0-9a-f]{64})", self._lfs),
            (r"/(?P<id>.+)\.git/info/lfs/objects/batch", self._batch),
            (r"/api/(?P<kind>model|dataset)s/(?P<id>.+?)/preupload/(?P<rev>[^/]+)", self._preupload),
            (r"/api/(?P<kind>model|dataset)s/(?P<id>.+?)/commit/(?P<rev>[^/]+)", self._commit),
            (r"/api/(?P<kind>model|dataset)s/(?P<id>.+?)/branch/(?P<rev>[^/]+)", self._branch),
            (r"/api/(?P<kind>model|dataset)s/(?P<id>.+?)/paths-info/(?P<rev>[^/]+)", self._paths_info),
            (r"/api/(?P<kind>model|dataset)s/(?P<id>.+?)/tree/(?P<rev>[^/]+)/?(?P<file>.*)", self._tree),
            (r"/api/(?P<kind>model|dataset)s/(?P<id>.+?)/revision/(?P<rev>[^/]+)", self._info),
            (r"/api/(?P<kind>model|dataset)s/(?P<id>[^/]+(?:/[^/]+)?)", self._info),
            (r"/(?P<kind>dataset)s/(?P<id>.+?)/resolve/(?P<rev>[^/]+)/(?P<file>.+)", self._resolve),
            (r"/(?P<id>.+?)/resolve/(?P<rev>[^/]+)/(?P<file>.+)", self._resolve),
        ):
            if match := re.fullmatch(pattern, path):
                parts = {key: unquote(value or "") for key, value in match.groupdict().items()}
                self.repo_id = parts.get("id", "")
                if self.repo_id in self.hub.moved:
                    where = self.path.replace(self.repo_id, self.hub.moved[self.repo_id], 1)
                    self._send(307, b"", {"Location": where})
                    return
                self.kind, self.revision = parts.get("kind") or "model", parts.get("rev") or "main"
                self.file = parts.get("file") or parts.get("oid") or ""
                method()
                return
        raise _RefusedError(404, f"no such route: {path}")

    # What is asked with a token that may not, or for what is not there, gets what the Hub answers.

    def _repo(self) -> Repo:
        repo = self.hub.repos.get((self.kind, self.repo_id))
        if repo is None or (repo.private and self.token is None):
            raise _RefusedError(404 if self.token else 401, "Repository not found", "RepoNotFound")
        return repo

    def _at(self) -> Commit:
        commit = self._repo().at(self.revision)
        if commit is None:
            raise _RefusedError(404, f"Invalid rev id: {self.revision}", "RevisionNotFound")
        return commit

    def _writable(self, namespace: str) -> None:
        if self.token is None:
            raise _RefusedError(401, "Invalid username or password.")
        if self.token != WRITER or namespace != "me":
            raise _RefusedError(403, f"You don't have the rights to write under the namespace {namespace!r}")

    def _create(self) -> None:
        asked = json.loads(self.body)
        namespace = asked["organization"] or "me"
        self._writable(namespace)
        kind, name = asked.get("type") or "model", f"{namespace}/{asked['name']}"
        told = {"url": f"{self.hub.url}/{name}", "name": name}
        if (kind, name) in self.hub.repos:
            self._json(409, {"error": "You already created this model repo", **told})
            return
        self.hub.repo(name, kind, private=asked.get("visibility") == "private" or asked.get("private") is True)
        self._json(200, told)

    def _branch(self) -> None:
        repo = self._repo()
        self._writable(repo.name.partition("/")[0])
        if self.revision in repo.branches:
            raise _RefusedError(409, "Reference already exists")
        repo.branches[self.revision] = repo.branches["main"]
        self._json(201, {})

    def _info(self) -> None:
        repo, commit = self._repo(), self._at()
        siblings = [{"rfilename": path} for path in sorted(commit.files)]
        told = {"_id": "1", "id": repo.name, "sha": commit.oid, "private": repo.private, "siblings": siblings}
        self._json(200, {**told, "modelId": repo.name, "tags": [], "disabled": False, "gated": False, "downloads": 0})

    def _validate_yaml(self) -> None:
        content = json.loads(self.body)["content"]
        if not content.startswith("---\n") or not isinstance(yaml.safe_load(content.split("---\n")[1]), dict):
            self._json(400, {"errors": [{"message": "no metadata"}], "warnings": []})
        else:
            self._json(200, {"errors": [], "warnings": []})

    def _preupload(self) -> None:
        files = self._at().files
        self._writable(self.repo_id.partition("/")[0])
        told = []
        for file in json.loads(self.body)["files"]:
            path = file["path"]
            mode = "lfs" if is_large(path) or file["size"] > 10 << 20 else "regular"
            told.append({"path": path, "uploadMode": mode, "shouldIgnore": False, "oid": _oid(files.get(path))})
        self._json(200, {"files": told})

    def _batch(self) -> None:
        self._writable(self._repo().name.partition("/")[0])
        told = []
        for wanted in json.loads(self.body)["objects"]:
            href = f"{self.hub.storage}/{wanted['oid']}"
            if not (self.hub.folder / wanted["oid"]).exists():
                wanted = {**wanted, "actions": {"upload": {"href": href}, "verify": {"href": href}}}
            told.append(wanted)
        self._json(200, {"transfer": "basic", "objects": told})

    def _lfs(self) -> None:
        """PUT stores, POST verifies; GET and HEAD are for downloads."""
        path = self.hub.folder / self.file
        if self.command == "PUT":
            left, digest = int(self.headers["Content-Length"]), hashlib.sha256()
            part = path.with_suffix(f".{threading.get_ident()}")
            with part.open("wb") as file:
                while left and (block := self.rfile.read(min(left, 1 << 20))):
                    digest.update(block)
                    left -= file.write(block)
            if left or digest.hexdigest() != self.file:
                raise _RefusedError(400, "the content is not what was promised")
            part.replace(path)
            self._send(200, b"")
        elif not path.exists():
            raise _RefusedError(404, "no such object")
        elif self.command == "POST":
            right = path.stat().st_size == json.loads(self.body)["size"]
            self._json(200 if right else 400, {})
        else:
            self._content(path, {"ETag": f'"{self.file}"'})

    def _commit(self) -> None:
        repo = self._repo()
        self._writable(repo.name.partition("/")[0])
        lines = [json.loads(line) for line in self.body.splitlines()]
        header = lines[0]["value"]
        files: dict[str, bytes | str] = {}
        for line in lines[1:]:
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile" and (self.hub.folder / value["oid"]).exists():
                files[value["path"]] = value["oid"]
            else:
                raise _RefusedError(400, f"cannot commit {value['path']}")
        with self.hub.lock:
            if header.get("parentCommit", repo.branches[self.revision]) != repo.branches[self.revision]:
                raise _RefusedError(412, "A commit has happened since. Please refresh and try again.")
            made = repo.commit(self.revision, header["summary"], files)
        told = {"success": True, "commitOid": made.oid, "hookOutput": ""}
        self._json(200, {**told, "commitUrl": f"{self.hub.url}/{repo.name}/commit/{made.oid}"})

    def _paths_info(self) -> None:
        wanted = parse_qs(self.body.decode())["paths"]
        self._json(200, [self._entry(path) for path in wanted if path in self._at().files])

    def _tree(self) -> None:
        under = f"{self.file}/" if self.file else ""
        paths = [p for p in sorted(self._at().files) if p.startswith(under)]
        if self.file and not paths:
            raise _RefusedError(404, f"{self.file} does not exist on {self.revision}", "EntryNotFound")
        found: dict[str, dict[str, object]] = {}
        for path in paths:
            first, deeper, _ = path.removeprefix(under).partition("/")
            if deeper:
                found.setdefault(under + first, {"type": "directory", "path": under + first, "oid": "0", "size": 0})
            if not deeper or self.query.get("recursive", "").lower() == "true":
                found[path] = self._entry(path)
        self._json(200, list(found.values()))

    def _entry(self, path: str) -> dict[str, object]:
        content = self._at().files[path]
        entry: dict[str, object] = {"type": "file", "path": path, "oid": _oid(content)}
        if isinstance(content, bytes):
            return {**entry, "size": len(content)}
        size = (self.hub.folder / content).stat().st_size
        return {**entry, "size": size, "lfs": {"oid": content, "size": size, "pointerSize": 134}}

    def _resolve(self) -> None:
        commit = self._at()
        content = commit.files.get(self.file)
        if content is None:
            raise _RefusedError(404, "Entry not found", "EntryNotFound")
        headers = {"X-Repo-Commit": commit.oid}
        if isinstance(content, bytes):
            self._content(content, {**headers, "ETag": f'"{_oid(content)}"'})
        else:
            size = (self.hub.folder / content).stat().st_size
            linked = {"X-Linked-Size": str(size), "X-Linked-ETag": f'"{content}"'}
            self._send(302, b"", {**headers, **linked, "Location": f"{self.hub.storage}/{content}"})

    def _content(self, content: bytes | Path, headers: dict[str, str]) -> None:
        size = len(content) if isinstance(content, bytes) else content.stat().st_size
        start, stop, status = 0, size, 200
        if match := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or ""):
            start, stop, status = int(match[1]), min(size, int(match[2]) + 1 if match[2] else size), 206
            headers = {**headers, "Content-Range": f"bytes {start}-{stop - 1}/{size}"}
        self.send_response(status)
        for name, value in {**headers, "Accept-Ranges": "bytes", "Content-Length": str(stop - start)}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        if isinstance(content, bytes):
            self.wfile.write(content[start:stop])
            return
        with content.open("rb") as file:
            file.seek(start)
            while start < stop and (block := file.read(min(1 << 20, stop - start))):
                self.wfile.write(block)
                start += len(block)
                self.hub.sent[content.name] += len(block)

    def _json(self, status: int, value: object, headers: dict[str, str] | None = None) -> None:
        self._send(status, json.dumps(value).encode(), {"Content-Type": "application/json", **(headers or {})})

    def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        if self.lost:
            return
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def _oid(content: bytes | str | None) -> str | None:
    """Of a large file its SHA-256, of another the name that git gives it."""
    if content is None or isinstance(content, str):
        return content
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
