"""A Hub of one's own on 127.0.0.1: the part of the Hugging Face Hub's HTTP interface that push and load use.

Speaks create, settings, model info, refs, tag, branch, preupload, LFS batch with upload and verification, commit and
resolve, for models; private repositories, tokens with and without the right to write; and faults on demand.
"""

import base64
import hashlib
import json
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlparse

from huggingface_hub import ModelCard
from huggingface_hub.utils._validators import REPO_ID_REGEX

WRITE, READ = "hf_writer", "hf_reader"  # tokens
LICENSES = {"apache-2.0", "cc-by-4.0", "cc-by-nc-4.0", "mit", "other"}  # some of those that the Hub knows
OWNED = "derm"  # the organisation whose repositories WRITE may change


@dataclass
class Commit:
    sha: str
    files: dict[str, bytes]
    message: str = ""


@dataclass
class Repo:
    private: bool
    commits: dict[str, Commit] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)

    def commit(self, files: dict[str, bytes], message: str, branch: str = "main") -> str:
        head = self.branches.get(branch)
        kept = dict(self.commits[head].files) if head else {}
        sha = hashlib.sha1(f"{head}{message}{len(self.commits)}".encode()).hexdigest()
        self.commits[sha] = Commit(sha, {**kept, **files}, message)
        self.branches[branch] = sha
        return sha

    def at(self, revision: str) -> Commit | None:
        return self.commits.get(self.branches.get(revision) or self.tags.get(revision) or revision)


class LoopbackHub:
    """``with LoopbackHub() as hub: ... hub.url``; what it holds and heard is in ``repos``, ``stored``, ``requests``."""

    def __init__(self) -> None:
        self.repos: dict[str, Repo] = {}
        self.stored: dict[str, bytes] = {}  # LFS objects by their SHA-256
        self.requests: list[tuple[str, str, int]] = []  # method, path, status
        self.cut_uploads = 0  # so many uploads are cut in the middle
        self.damage: bytes | None = None  # appended to what is downloaded of a safetensors file
        self.stopped = False
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Handler,), {"hub": self}))
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def __enter__(self) -> "LoopbackHub":
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Take no more connections, and answer nothing on those that are open."""
        if not self.stopped:
            self.stopped = True
            self.server.shutdown()
            self.server.server_close()

    def add(self, name: str, files: dict[str, bytes], *, private: bool = False) -> Repo:
        repo = self.repos[name] = Repo(private)
        repo.commit({".gitattributes": b"", **files}, "initial commit")
        return repo


class Refused(Exception):
    def __init__(self, status: int, message: str, code: str | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.code = status, message, code


class Handler(BaseHTTPRequestHandler):
    hub: LoopbackHub
    protocol_version = "HTTP/1.1"

    ROUTES = (
        ("POST", r"/api/repos/create", "create"),
        ("POST", r"/api/validate-yaml", "validate"),
        ("PUT", r"/api/models/(\S+?/\S+?)/settings", "settings"),
        ("GET", r"/api/models/(\S+?/\S+?)/refs", "refs"),
        ("POST", r"/api/models/(\S+?/\S+?)/tag/(\S+)", "tag"),
        ("DELETE", r"/api/models/(\S+?/\S+?)/tag/(\S+)", "untag"),
        ("POST", r"/api/models/(\S+?/\S+?)/branch/(\S+)", "branch"),
        ("POST", r"/api/models/(\S+?/\S+?)/preupload/(\S+)", "preupload"),
        ("POST", r"/api/models/(\S+?/\S+?)/commit/(\S+)", "commit"),
        ("GET", r"/api/models/([^/]+/[^/]+)(?:/revision/(\S+))?", "info"),
        ("POST", r"/(\S+?/\S+?)\.git/info/lfs/objects/batch", "batch"),
        ("PUT", r"/lfs/(\w+)", "upload"),
        ("POST", r"/lfs/(\w+)/verify", "verify"),
        ("HEAD", r"/(\S+?/\S+?)/resolve/([^/]+)/(\S+)", "resolve"),
        ("GET", r"/(\S+?/\S+?)/resolve/([^/]+)/(\S+)", "resolve"),
    )

    def handle_any(self) -> None:
        path = urlparse(self.path).path
        if self.hub.stopped:
            self.close_connection = True
            return
        try:
            self.token = (self.headers.get("Authorization") or "").removeprefix("Bearer ") or None
            for method, pattern, action in self.ROUTES:
                if method == self.command and (found := re.fullmatch(pattern, path)):
                    getattr(self, action)(*[unquote(part) if part else part for part in found.groups()])
                    return
            raise Refused(404, f"no such address: {self.command} {path}")
        except Refused as refusal:
            headers = {"X-Error-Message": refusal.message}
            headers |= {"X-Error-Code": refusal.code} if refusal.code else {}
            self.read_body()
            self.answer({"error": refusal.message}, refusal.status, headers)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = handle_any

    def log_message(self, *_: object) -> None:
        pass

    def read_body(self) -> bytes:
        body = getattr(self, "_body", None)
        if body is None:
            body = self._body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        return body

    def parse_request(self) -> bool:
        self._body = None  # one handler serves all requests of a connection
        return super().parse_request()

    def answer(self, content: object, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self.read_body()
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.hub.requests.append((self.command, urlparse(self.path).path, status))
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    # who may do what

    def known(self) -> None:
        if self.token not in (None, WRITE, READ):
            raise Refused(401, "Invalid credentials in Authorization header")

    def readable(self, name: str) -> Repo:
        self.known()
        repo = self.hub.repos.get(name)
        if repo is None or (repo.private and self.token != WRITE):
            raise Refused(401 if self.token is None else 404, "Repository not found", "RepoNotFound")
        return repo

    def writable(self, name: str) -> Repo:
        repo = self.readable(name)
        if self.token != WRITE or not name.startswith(f"{OWNED}/"):
            raise Refused(403, f"Forbidden: you don't have the right to write to {name}")
        return repo

    def at(self, repo: Repo, revision: str) -> Commit:
        commit = repo.at(revision)
        if commit is None:
            raise Refused(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return commit

    # the repository

    def create(self) -> None:
        self.known()
        wanted = json.loads(self.read_body())
        name = f"{wanted['organization']}/{wanted['name']}"
        if name in self.hub.repos:
            raise Refused(409, "You already created this model repo")
        if self.token != WRITE or wanted["organization"] != OWNED:
            raise Refused(403, "You don't have the rights to create a model under this namespace")
        self.hub.add(name, {}, private=wanted.get("private") or wanted.get("visibility") == "private")
        self.answer({"url": f"{self.hub.url}/{name}", "name": name})

    def validate(self) -> None:
        """Of what the Hub refuses in a card, the two that depend on what a user calls things."""
        front = ModelCard(json.loads(self.read_body())["content"]).data.to_dict()
        errors = []
        if front.get("license") not in LICENSES:
            errors.append({"message": f'"license" must be one of {sorted(LICENSES)}'})
        for i, name in enumerate(front.get("datasets", [])):
            if not REPO_ID_REGEX.fullmatch(name):
                errors.append({"message": f'"datasets[{i}]" with value "{name}" is not valid.'})
        self.answer({"errors": errors, "warnings": []}, 400 if errors else 200)

    def settings(self, name: str) -> None:
        repo, wanted = self.writable(name), json.loads(self.read_body())
        repo.private = wanted.get("private", wanted.get("visibility") == "private")
        self.answer({})

    def info(self, name: str, revision: str | None) -> None:
        repo = self.readable(name)
        commit = self.at(repo, revision or "main")
        siblings = [{"rfilename": path} for path in commit.files]
        about = {"id": name, "modelId": name, "sha": commit.sha, "private": repo.private, "siblings": siblings}
        self.answer({**about, "tags": [], "downloads": 0, "likes": 0})

    def refs(self, name: str) -> None:
        repo = self.readable(name)
        listed = {
            kind: [{"name": n, "ref": f"refs/{kind}/{n}", "targetCommit": sha} for n, sha in refs.items()]
            for kind, refs in (("branches", repo.branches), ("tags", repo.tags))
        }
        self.answer({**listed, "converts": []})

    def tag(self, name: str, revision: str) -> None:
        repo, tag = self.writable(name), json.loads(self.read_body())["tag"]
        if tag in repo.tags:
            raise Refused(409, f"Tag reference exists already: {tag}")
        repo.tags[tag] = self.at(repo, revision).sha
        self.answer({})

    def untag(self, name: str, tag: str) -> None:
        del self.writable(name).tags[tag]
        self.answer({})

    def branch(self, name: str, branch: str) -> None:
        repo = self.writable(name)
        if branch in repo.branches:
            raise Refused(409, f"Reference already exists: {branch}")
        repo.branches[branch] = repo.branches["main"]
        self.answer({})

    # the files

    def preupload(self, name: str, revision: str) -> None:
        there = self.at(self.writable(name), revision).files
        answers = []
        for file in json.loads(self.read_body())["files"]:
            mode = "lfs" if file["path"].endswith(".safetensors") else "regular"
            content = there.get(file["path"])
            oid = None if content is None else object_id(content, mode)
            answers.append({"path": file["path"], "uploadMode": mode, "shouldIgnore": False, "oid": oid})
        self.answer({"files": answers})

    def batch(self, name: str) -> None:
        self.writable(name)
        answers = []
        for wanted in json.loads(self.read_body())["objects"]:
            href = f"{self.hub.url}/lfs/{wanted['oid']}"
            actions = {"upload": {"href": href}, "verify": {"href": f"{href}/verify"}}
            new = {} if wanted["oid"] in self.hub.stored else {"actions": actions}
            answers.append({**wanted, "authenticated": True, **new})
        self.answer({"transfer": "basic", "objects": answers}, 200, {"Content-Type": "application/vnd.git-lfs+json"})

    def upload(self, oid: str) -> None:
        if self.hub.cut_uploads > 0:
            self.hub.cut_uploads -= 1
            self.rfile.read(int(self.headers["Content-Length"]) // 2)
            self.hub.requests.append(("PUT", "cut", 0))
            self.close_connection = True
            self.connection.close()
            return
        content = self.read_body()
        if hashlib.sha256(content).hexdigest() != oid:
            raise Refused(400, "the content does not have this SHA-256")
        self.hub.stored[oid] = content
        self.answer(b"")

    def verify(self, oid: str) -> None:
        wanted = json.loads(self.read_body())
        if len(self.hub.stored.get(oid, b"")) != wanted["size"]:
            raise Refused(404, "no such object of this size")
        self.answer({})

    def commit(self, name: str, revision: str) -> None:
        repo = self.writable(name)
        head, files, message = self.at(repo, revision).sha, {}, ""
        for line in self.read_body().splitlines():
            entry = json.loads(line)
            value = entry["value"]
            if entry["key"] == "header":
                message = value["summary"]
                if value.get("parentCommit") not in (None, head):
                    raise Refused(412, "A commit has happened since. Please refresh and try again.")
            elif entry["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif entry["key"] == "lfsFile":
                if value["oid"] not in self.hub.stored:
                    raise Refused(400, f"the LFS object of {value['path']} was never uploaded")
                files[value["path"]] = self.hub.stored[value["oid"]]
        sha = repo.commit(files, message, revision)
        self.answer({"commitUrl": f"{self.hub.url}/{name}/commit/{sha}", "commitOid": sha})

    def resolve(self, name: str, revision: str, path: str) -> None:
        commit = self.at(self.readable(name), revision)
        if path not in commit.files:
            raise Refused(404, f"Entry not found: {path}", "EntryNotFound")
        content = commit.files[path]
        if self.hub.damage and path.endswith(".safetensors"):
            content = self.hub.damage
        etag = object_id(content, "lfs" if path.endswith(".safetensors") else "regular")
        self.answer(content, 200, {"ETag": f'"{etag}"', "X-Repo-Commit": commit.sha, "Accept-Ranges": "none"})


def object_id(content: bytes, mode: str) -> str:
    """What the Hub compares files by: SHA-256 for LFS, git's blob hash else."""
    if mode == "lfs":
        return hashlib.sha256(content).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
