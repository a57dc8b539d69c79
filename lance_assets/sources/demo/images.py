"""The loopback image server, with the faults that publish planted."""

from __future__ import annotations

import json
import re
import threading
from pathlib import Path
from urllib.parse import urlsplit

from lance_assets.sources.demo.loopback import LoopbackHandler, LoopbackServer

PLANTED = "planted.jsonl"
REQUEST_LOG = "requests.jsonl"
IMAGE_PATH = re.compile(r"/images/([0-9]{6,12}\.jpg)")
LOGIN_PAGE = b"<!doctype html><html><head><title>Sign in</title></head><body>Please sign in to see this.</body></html>"


class ImageServer(LoopbackServer):
    """Serves demo_dir/images; knows from demo_dir/planted.jsonl which of them fail, and how."""

    def __init__(self, port: int, demo_dir: Path) -> None:
        super().__init__(port, ImageHandler, demo_dir, REQUEST_LOG)
        self._faults: dict[str, str] = {}
        self._stamp: tuple[int, int] | None = None
        self._refused: set[str] = set()
        self._state = threading.Lock()

    def fault(self, name: str) -> str | None:
        """The fault of an image, None for none. A `503` shows once per life of the server."""
        with self._state:
            self._refresh()
            fault = self._faults.get(name)
            if fault == "503":
                if name in self._refused:
                    return None
                self._refused.add(name)
            return fault

    def _refresh(self) -> None:
        path = self.demo_dir / PLANTED
        try:
            stat = path.stat()
        except FileNotFoundError:
            return
        if self._stamp != (stat.st_mtime_ns, stat.st_size):
            records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
            self._faults = {record["image"]: record["kind"] for record in records if "image" in record}
            self._stamp = (stat.st_mtime_ns, stat.st_size)


class ImageHandler(LoopbackHandler):
    """GET /images/<row>.jpg"""

    def answer(self) -> None:
        """The image, or its planted fault: 404, a login page in its place, a body shorter than announced, or 503."""
        match = IMAGE_PATH.fullmatch(urlsplit(self.path).path)
        server = self.server
        if match is None or not isinstance(server, ImageServer):
            return self.send(404, b"not found", "text/plain")
        path = server.demo_dir / "images" / match[1]
        fault = server.fault(match[1])
        if fault == "404" or not path.is_file():
            return self.send(404, b"not found", "text/plain")
        if fault == "503":
            return self.send(503, b"try again", "text/plain", {"Retry-After": "0"})
        if fault == "html":
            return self.send(200, LOGIN_PAGE, "image/jpeg")
        body = path.read_bytes()
        if fault == "truncated":
            return self.send(200, body[: len(body) // 2], "image/jpeg", length=len(body))
        return self.send(200, body, "image/jpeg")
