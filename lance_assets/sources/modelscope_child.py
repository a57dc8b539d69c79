"""The one process that imports the ModelScope SDK: python -m lance_assets.sources.modelscope_child

The SDK reads its endpoint when it is imported, patches `datasets` and keeps listings in memory, so it gets a process of
its own. Requests come as JSON lines on stdin ({"do": "list" | "download" | "load", ...}), each is answered by one JSON
line on stdout: {"ok": ...}, or {"error": kind, "message": ...} with kind one of missing, network, digest, dependency,
failed; {"alive": ...} lines may come before. It ends with its stdin, also in the middle of a download.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

from lance_assets.sources.modelscope_failures import DigestMismatch, digest, kind_of

PAGE = 500
"""Entries of a listing per request: what the hub itself serves at most."""
Say = Callable[[dict[str, Any]], None]


def list_files(say: Say, repo: str, revision: str) -> list[dict[str, Any]]:
    """The hub's entries of a data set repository as they are; one request per PAGE of them.

    HubApi.list_repo_files would take a page that failed with HTTP 200 for the end of the list, and drops the commits.
    """
    from modelscope_hub.errors import NetworkError

    found: dict[str, dict[str, Any]] = {}
    for number, entries, error in hub().legacy.iter_dataset_file_pages(repo, revision, page_size=PAGE):
        if error is not None:
            raise error
        page = {str(entry.get("Path")): entry for entry in entries}
        if page.keys() & found.keys():  # also a hub that serves one page for ever
            raise NetworkError(f"the list of files changed while it was read (page {number})")
        found.update(page)
        say({"alive": len(found)})
    return list(found.values())


def download(say: Say, repo: str, revision: str, path: str, sha256: str, size: int, folder: str) -> str:
    """Downloads one file to `folder`/`path`, going on where an earlier attempt ended; where it lies now.

    The SDK retries, resumes by Range, and checks size and digest; the digest is checked again here.
    """
    file = hub().download_file(
        repo, "dataset", path, revision=revision, local_dir=folder, expected_sha256=sha256, file_size=size or None
    )
    if digest(file) != sha256:
        file.unlink()
        raise DigestMismatch(f"{path} does not have the listed sha256 {sha256[:12]}...")
    return str(file)


def load(say: Say, **request: Any) -> int:
    """See modelscope_load.load, which takes seconds to import."""
    from lance_assets.sources.modelscope_load import load

    return load(**request)


def hub() -> Any:
    """The SDK's client; one a request, so that nothing is remembered between two."""
    from modelscope_hub import HubApi

    return HubApi(endpoint=os.environ.get("MODELSCOPE_ENDPOINT"))


def answer(request: dict[str, Any], say: Say) -> dict[str, Any]:
    """The reply to one request; every failure is told, none ends the process."""
    do = {"list": list_files, "download": download, "load": load}[request.pop("do")]
    try:
        return {"ok": do(say, **request)}
    except Exception as error:
        cause = error.__cause__ if isinstance(error.__cause__, ImportError) else error
        return {"error": kind_of(error), "message": without_token(f"{type(cause).__name__}: {cause}")}


def without_token(message: str) -> str:
    """A hub may repeat what it was sent; the token must not get into our logs."""
    token = os.environ.get("MODELSCOPE_API_TOKEN")
    return message.replace(token, "***") if token else message


def requests_until_the_end() -> Iterator[dict[str, Any]]:
    """One request after the other; the process ends with stdin, whatever it is doing then."""
    lines: queue.SimpleQueue[str] = queue.SimpleQueue()

    def read() -> None:
        for line in sys.stdin:
            lines.put(line)
        os._exit(0)

    threading.Thread(target=read, daemon=True).start()
    while True:
        yield json.loads(lines.get())


def main() -> None:
    """Answers until stdin ends. The SDK prints to stdout: that is sent to stderr, so that replies stay alone."""
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as replies:
        os.dup2(2, 1)

        def say(reply: dict[str, Any]) -> None:
            replies.write(json.dumps(reply) + "\n")
            replies.flush()

        for request in requests_until_the_end():
            say(answer(request, say))


if __name__ == "__main__":
    main()
