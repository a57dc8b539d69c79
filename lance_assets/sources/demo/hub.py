"""A loopback stand-in of the ModelScope hub: as much of it as `MsDataset.load` and `HubApi` ask for.

The answers follow what the SDK (1.40) parses; folder `root/<namespace>/<name>/` is a data set repository.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
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


class HubServer(LoopbackServer):
    """Serves the repositories under demo_dir/hub."""

    def __init__(self, port: int, demo_dir: Path) -> None:
        super().__init__(port, HubHandler, demo_dir, HUB_LOG)
        self.root = (demo_dir / "hub").resolve()
        self._digests: dict[tuple[str, int, int], str] = {}
        self._state = threading.Lock()

    def repository(self, name: str) -> Path | None:
        """The folder of a repository by `namespace/name` or by its number; None where there is none."""
        for folder in sorted(self.root.glob("*/*")):
            repo = folder.relative_to(self.root).as_posix()
            if folder.is_dir() and name in (repo, str(repository_number(repo))):
                return folder
        return None

    def digest(self, path: Path) -> str:
        """sha256 (hex) of a file, computed once per content."""
        stat = path.stat()
        key = (str(path), stat.st_mtime_ns, stat.st_size)
        with self._state:
            if key not in self._digests:
                self._digests[key] = hashlib.sha256(path.read_bytes()).hexdigest()
            return self._digests[key]


def repository_number(repo: str) -> int:
    """The hub's stable number of a repository."""
    return int(hashlib.sha256(repo.encode()).hexdigest()[:6], 16)


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
        if match := RESOLVE.fullmatch(path):
            return self._file(self._hub.repository(match["repo"]), match["revision"], match["path"])
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
            return self._ok({"RevisionMap": {"Branches": [{"Revision": REVISION}], "Tags": []}})
        if rest == "/repo":
            return self._file(base, revision, query.get("FilePath", ""))
        if rest == "/repo/tree" and revision == REVISION:
            return self._ok({"Files": self._tree(base, query)})
        return self._missing(f"no revision {revision} of {repo}")

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
        return {
            "Name": path.name,
            "Path": path.relative_to(base).as_posix(),
            "Type": "tree" if folder else "blob",
            "Size": 0 if folder else stat.st_size,
            "Sha256": "" if folder else self._hub.digest(path),
            "Revision": "0" * 40,
            "CommittedDate": int(stat.st_mtime),
            "InCheck": False,
            "IsLFS": path.suffix == ".parquet",
        }

    def _file(self, base: Path | None, revision: str, relative: str) -> None:
        path = inside(base, relative) if base is not None and revision == REVISION else None
        if path is None:
            return self._missing(f"no such file: {relative}")
        body, digest = path.read_bytes(), self._hub.digest(path)
        headers = {
            "ETag": f'"{digest}"',
            "X-Linked-ETag": f'"{digest}"',
            "X-Linked-Size": str(len(body)),
            "Accept-Ranges": "bytes",
        }
        match = RANGE.fullmatch(self.headers.get("Range") or "")
        if match is None:
            return self.send(200, body, "application/octet-stream", headers)
        first = int(match[1])
        last = min(int(match[2]) if match[2] else len(body) - 1, len(body) - 1)
        if first > last:
            return self.send(416, b"", "text/plain", {"Content-Range": f"bytes */{len(body)}"})
        headers["Content-Range"] = f"bytes {first}-{last}/{len(body)}"
        return self.send(206, body[first : last + 1], "application/octet-stream", headers)

    def _ok(self, data: Any) -> None:
        reply = {"Code": 200, "Success": True, "Message": "success", "RequestId": "loopback", "Data": data}
        self.send(200, json.dumps(reply).encode(), "application/json")

    def _missing(self, message: str) -> None:
        reply = {"Code": 10010205001, "Success": False, "Message": message, "RequestId": "loopback", "Data": None}
        self.send(404, json.dumps(reply).encode(), "application/json")
