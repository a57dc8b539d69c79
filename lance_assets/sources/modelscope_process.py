"""The parent's side of the process with the ModelScope SDK: its start, its surroundings, its failures in sentences."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from lance_assets.errors import BadInput

TICK_SECONDS = 1.0
ENDED = b'{"error": "failed", "message": "its process ended"}'
DEFAULTS = {
    "MODELSCOPE_API_CONNECT_TIMEOUT": "5",
    "MODELSCOPE_API_MAX_RETRIES": "2",
    "MODELSCOPE_DOWNLOAD_MAX_RETRIES": "3",
    # the SDK's hour is not enough for 10 GB at 2 MB/s; a download that stalls ends by its own limits
    "MODELSCOPE_DOWNLOAD_TOTAL_TIMEOUT": "86400",
}
"""Patience of the SDK, unless the environment says otherwise."""


class Child:
    """The process with the SDK, started by the first question. Its own output goes to `cache_dir/sdk.log`."""

    def __init__(self, repo: str, revision: str, endpoint: str | None, cache_dir: Path) -> None:
        self._repo, self._revision, self._endpoint, self._cache = repo, revision, endpoint, cache_dir
        self._hub = f"the ModelScope hub at {without_user(endpoint)}" if endpoint else "the public ModelScope hub"
        self._process: subprocess.Popen[bytes] | None = None
        self._replies = queue.SimpleQueue[bytes]()

    def ask(self, do: str, seconds: float, watch: Callable[[], bool] | None = None, **request: Any) -> Any:
        """The answer to one request. Raises BadInput with one sentence: also where for `seconds` the child neither
        said that it goes on nor what it downloads, as `watch` sees it, grew."""
        process = self._process = self._process or self._start()
        line = json.dumps({"do": do, "repo": self._repo, "revision": self._revision, **request})
        with suppress(BrokenPipeError):  # a process that ended answers with the end of its output, below
            _pipe(process.stdin).write(line.encode() + b"\n")
            _pipe(process.stdin).flush()
        deadline = time.monotonic() + seconds
        while True:
            try:
                reply = json.loads(self._replies.get(timeout=min(TICK_SECONDS, seconds)) or ENDED)
            except queue.Empty:
                if watch is not None and watch():
                    deadline = time.monotonic() + seconds
                elif time.monotonic() > deadline:
                    self.close()
                    raise BadInput(f"{self._hub} did not answer within {seconds:.0f} s") from None
                continue
            if "error" in reply:
                raise BadInput(self._sentence(reply["error"], reply["message"], request.get("path")))
            if "ok" in reply:
                return reply["ok"]
            deadline = time.monotonic() + seconds

    def close(self) -> None:
        """Ends the process; one that is busy is not waited for."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                with suppress(BrokenPipeError):
                    _pipe(pipe).close()

    def _start(self) -> subprocess.Popen[bytes]:
        sdk = self._cache / "sdk"
        sdk.mkdir(exist_ok=True)  # also the working folder: a local folder called like the repository would be loaded
        local = "127.0.0.1,localhost"
        env = {
            **DEFAULTS,
            **os.environ,
            "MODELSCOPE_CACHE": str(sdk),
            "HF_HOME": str(sdk / "hf"),
            "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_UPDATE_DOWNLOAD_COUNTS": "0",  # `datasets` would tell another server of every load
            "NO_PROXY": ",".join(filter(None, (os.environ.get("NO_PROXY"), local))),
            "no_proxy": ",".join(filter(None, (os.environ.get("no_proxy"), local))),
        }
        if self._endpoint:
            env["MODELSCOPE_ENDPOINT"] = self._endpoint
            env["MODELSCOPE_DOWNLOAD_INTRA_CLOUD"] = "false"  # would ask an address that the hub names, not this one
        with (self._cache / "sdk.log").open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "lance_assets.sources.modelscope_child"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
                cwd=sdk,
                env=env,
            )
        self._replies = queue.SimpleQueue()
        threading.Thread(target=_read, args=(_pipe(process.stdout), self._replies), daemon=True).start()
        return process

    def _sentence(self, kind: str, message: str, path: str | None) -> str:
        where = f"{path} of {self._repo}" if path else f"the data set {self._repo}"
        message = " ".join(message.split())[:300]
        if kind == "missing" and path:
            return f"{self._hub} lists {where} at revision {self._revision} and does not have it: {message}"
        if kind == "missing":
            return f"{self._hub} has no data set {self._repo} at revision {self._revision}: {message}"
        if kind == "network":
            return f"{self._hub} cannot be reached: {message}"
        if kind == "digest":
            return f"{where} was damaged on its way from {self._hub}: {message}"
        if kind == "dependency":
            return f"loading data sets needs more of the ModelScope SDK: pip install 'modelscope[datasets]' ({message})"
        return f"{where} could not be loaded from {self._hub}: {message} (more in {self._cache / 'sdk.log'})"


def _read(pipe: IO[bytes], replies: queue.SimpleQueue[bytes]) -> None:
    """Lines as they come, then an empty one."""
    while line := pipe.readline():
        replies.put(line)
    replies.put(b"")


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    if pipe is None:
        raise RuntimeError("the child has pipes")
    return pipe


def without_user(endpoint: str) -> str:
    """An address as it may be shown: without user name and password."""
    user, at, _ = urlsplit(endpoint).netloc.rpartition("@")
    return endpoint.replace(user + at, "", 1) if at else endpoint
