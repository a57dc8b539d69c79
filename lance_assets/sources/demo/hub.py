"""A loopback stand-in of the ModelScope hub: as much of it as `MsDataset.load` and `HubApi` ask for.

The answers follow what the SDK (1.40) parses; folder `root/<namespace>/<name>/` is a data set repository at its branch
master, `root/<namespace>/<name>@<revision>/` the same at another branch or tag.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from lance_assets.sources.demo.loopback import LoopbackHandler, LoopbackServer

HUB_LOG = "hub_requests.jsonl"
REVISION = "master"
API = re.compile(
    r"/api/v1/datasets/(?P<repo>[^/]+(?:/[^/]+)?)(?P<rest>|/repo|/repo/tree|/revisions|/download/increase)"
)
RESOLVE = re.compile(r"/datasets/(?P<repo>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<path>.+)")
RANGE = re.compile(r"bytes=(\d+)-(\d*)")
PIECE = 1 << 16


class HubServer(LoopbackServer):
    """Serves the repositories under demo_dir/hub."""

    def __init__(self, port: int, demo_dir: Path, handler: type[HubHandler] | None = None) -> None:
        super().__init__(port, handler or HubHandler, demo_dir, HUB_LOG)
        self.root = (demo_dir / "hub").resolve()
        self._digests: dict[tuple[str, int, int], str] = {}
        self._state = threading.Lock()

    def repository(self, name: str) -> Path | None:
        """The folder of a repository by `namespace/name` or by its number; None where there is none."""
        for folder in sorted(self.root.glob("*/*")):
            repo = folder.relative_to(self.root).as_posix()
            if folder.is_dir() and "@" not in repo and name in (repo, str(repository_number(repo))):
                return folder
        return None

    def at(self, base: Path, revision: str) -> Path | None:
        """The folder of a repository at a revision; None where it has none of that name."""
        folder = base if revision == REVISION else base.parent / f"{base.name}@{revision}"
        return folder if "/" not in revision and folder.is_dir() else None

    def revisions(self, base: Path) -> list[str]:
        """All of them."""
        return [REVISION, *sorted(folder.name.partition("@")[2] for folder in base.parent.glob(f"{base.name}@*"))]

    def digest(self, path: Path) -> str:
        """sha256 (hex) of a file, computed once per content."""
        stat = path.stat()
        key = (str(path), stat.st_mtime_ns, stat.st_size)
        with self._state:
            if key not in self._digests:
                self._digests[key] = _sha256(path)
            return self._digests[key]


def repository_number(repo: str) -> int:
    """The hub's stable number of a repository."""
    return int(hashlib.sha256(repo.encode()).hexdigest()[:6], 16)


def _sha256(path: Path) -> str:
    with path.open("rb") as body:
        return hashlib.file_digest(body, "sha256").hexdigest()


def inside(base: Path, relative: str) -> Path | None:
    """The file of a repository, or None where it is absent or would lie outside of it."""
    path = (base / relative).resolve()
    return path if path.is_relative_to(base.resolve()) and path.is_file() else None


class HubHandler(LoopbackHandler):
    """The routes of facts: repository, tree, file, revisions, resolve, download statistics."""

    def answer(self) -> None:
        """GET and HEAD."""
        url = urlsplit(self.path)
        query = {name: values[-1] for name, values in parse_qs(url.query).items()}
        path = unquote(url.path)
        if match := API.fullmatch(path):
            return self._api(match["repo"], match["rest"], query)
        if (match := RESOLVE.fullmatch(path)) and (base := self._hub.repository(match["repo"])):
            return self._file(self._hub.at(base, match["revision"]), match["path"])
        return self._missing(f"no such page: {path}")

    def do_POST(self) -> None:
        """Download statistics: taken note of in the log, nothing else."""
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self._ok({})

    @property
    def _hub(self) -> HubServer:
        server = self.server
        if not isinstance(server, HubServer):
            raise TypeError("HubHandler belongs to a HubServer")
        return server

    def _api(self, name: str, rest: str, query: dict[str, str]) -> None:
        base = self._hub.repository(name)
        if base is None:
            return self._missing(f"no such data set: {name}")
        repo = base.relative_to(self._hub.root).as_posix()
        revision = query.get("Revision", REVISION)
        if rest == "":
            namespace, short = repo.split("/")
            number = repository_number(repo)
            return self._ok({"Id": number, "Type": 4, "Visibility": 5, "Name": short, "Namespace": namespace})
        if rest == "/revisions":
            branches = [{"Revision": name} for name in self._hub.revisions(base)]
            return self._ok({"RevisionMap": {"Branches": branches, "Tags": []}})
        if rest == "/download/increase":
            return self._ok({})
        folder = self._hub.at(base, revision)
        if folder is None:
            return self._missing(f"no revision {revision} of {repo}")
        if rest == "/repo":
            return self._file(folder, query.get("FilePath", ""))
        return self._ok({"Files": self._tree(folder, query)})

    def _tree(self, base: Path, query: dict[str, str]) -> list[dict[str, Any]]:
        folder = (base / query.get("Root", "/").strip("/")).resolve()
        if not folder.is_relative_to(base.resolve()) or not folder.is_dir():
            return []
        recursive = query.get("Recursive", "False").lower() == "true"
        entries = sorted(p for p in (folder.rglob("*") if recursive else folder.iterdir()) if p.suffix != ".tmp")
        number, size = int(query.get("PageNumber", 1)), int(query.get("PageSize", 100))
        return [self._entry(base, p) for p in entries[(number - 1) * size : number * size]]

    def _entry(self, base: Path, path: Path) -> dict[str, Any]:
        stat, folder = path.stat(), path.is_dir()
        relative = path.relative_to(base).as_posix()
        digest = "" if folder else self._hub.digest(path)
        return {
            "Name": path.name,
            "Path": relative,
            "Type": "tree" if folder else "blob",
            "Size": 0 if folder else stat.st_size,
            "Sha256": digest,
            "Revision": hashlib.sha256(f"{relative} {digest}".encode()).hexdigest()[:40],  # of its last commit
            "CommittedDate": int(stat.st_mtime),
            "InCheck": False,
            "IsLFS": path.suffix == ".parquet",
        }

    def _file(self, base: Path | None, relative: str) -> None:
        path = inside(base, relative) if base is not None else None
        if path is None:
            return self._missing(f"no such file: {relative}")
        size, digest = path.stat().st_size, self._hub.digest(path)
        headers = {
            "ETag": f'"{digest}"',
            "X-Linked-ETag": f'"{digest}"',
            "X-Linked-Size": str(size),
            "Accept-Ranges": "bytes",
        }
        match = RANGE.fullmatch(self.headers.get("Range") or "")
        first = int(match[1]) if match else 0
        end = min(int(match[2]) + 1, size) if match and match[2] else size
        if match and first >= end:
            return self.send(416, b"", "text/plain", {"Content-Range": f"bytes */{size}"})
        if match:
            headers["Content-Range"] = f"bytes {first}-{end - 1}/{size}"
        pieces = self.pieces(path, first, end)
        self.send_pieces(206 if match else 200, pieces, end - first, "application/octet-stream", headers)

    def pieces(self, path: Path, first: int, end: int) -> Iterator[bytes]:
        """Bytes [first, end) of a file."""
        with path.open("rb") as body:
            body.seek(first)
            while first < end and (piece := body.read(min(PIECE, end - first))):
                first += len(piece)
                yield piece

    def _ok(self, data: Any) -> None:
        reply = {"Code": 200, "Success": True, "Message": "success", "RequestId": "loopback", "Data": data}
        self.send(200, json.dumps(reply).encode(), "application/json")

    def _missing(self, message: str) -> None:
        reply = {"Code": 10010205001, "Success": False, "Message": message, "RequestId": "loopback", "Data": None}
        self.send(404, json.dumps(reply).encode(), "application/json")
