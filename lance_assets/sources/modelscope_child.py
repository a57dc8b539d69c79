"""The one process that imports the ModelScope SDK: python -m lance_assets.sources.modelscope_child

The SDK reads its endpoint when it is imported and patches `datasets`, so it gets a process of its own. Requests come as
JSON lines on stdin ({"do": "list" | "load", ...}), each is answered by one JSON line on stdout: {"ok": ...}, or
{"error": kind, "message": ...} with kind one of missing, network, digest, dependency, failed. It ends with its stdin.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from pathlib import Path
from typing import Any

BATCH_ROWS = 1000


class DigestMismatch(Exception):
    """What was downloaded is not what the hub's listing announced."""


def list_files(repo: str, revision: str) -> list[dict[str, Any]]:
    """path, sha256 (hex) and size in bytes of every file of a data set repository; one request per 500 files or so."""
    from modelscope_hub import HubApi

    api = HubApi(endpoint=os.environ.get("MODELSCOPE_ENDPOINT"))
    files = api.list_repo_files(repo, "dataset", revision=revision)
    return [{"path": f.path, "sha256": f.sha256 or "", "size": f.size} for f in files if f.type != "tree"]


def load_shard(repo: str, revision: str, split: str, path: str, sha256: str, work: str, out: str) -> int:
    """Loads one file through MsDataset.load into `work`, checks its digest, and writes its rows to `out`; their number.

    Columns of images stay as they are stored ({bytes, path}): nothing is decoded.
    """
    from modelscope import MsDataset

    try:
        loaded: Any = MsDataset.load(repo, split=split, data_files={split: [path]}, version=revision, cache_dir=work)
    except Exception:
        check_download(Path(work), path, sha256)  # a damaged file fails to parse: say rather that it is damaged
        raise
    check_download(Path(work), path, sha256)
    dataset = loaded.to_hf_dataset() if hasattr(loaded, "to_hf_dataset") else loaded
    write_rows(dataset, Path(out))
    return len(dataset)


def check_download(work: Path, path: str, sha256: str) -> None:
    """Raises DigestMismatch unless one of the files downloaded under `work` is the listed one; none there is fine."""
    found = [p for p in (work / "downloads").glob("*") if p.is_file() and p.suffix not in (".json", ".lock")]
    if found and sha256 not in [digest(p) for p in found]:
        raise DigestMismatch(f"{path} does not have the listed sha256 {sha256[:12]}...")


def digest(path: Path) -> str:
    """sha256 (hex) of a file of any size."""
    with path.open("rb") as body:
        return hashlib.file_digest(body, "sha256").hexdigest()


def write_rows(dataset: Any, out: Path) -> None:
    """The rows as they are stored, a batch at a time, to a parquet file that appears at once."""
    import pyarrow.parquet as pq

    tmp = out.with_name(f"{out.name}.{os.getpid()}.tmp")
    schema = dataset.features.arrow_schema.remove_metadata()
    with pq.ParquetWriter(tmp, schema) as writer:
        for batch in dataset.with_format("arrow").iter(batch_size=BATCH_ROWS):
            writer.write_table(batch.replace_schema_metadata(None).cast(schema))
    tmp.replace(out)


def kind_of(error: Exception) -> str:
    """Which of the kinds of failure an exception of the SDK is."""
    from modelscope_hub.errors import NetworkError, NotExistError

    if isinstance(error, DigestMismatch):
        return "digest"
    if isinstance(error, NotExistError):
        return "missing"
    if isinstance(error, (NetworkError, ConnectionError, TimeoutError)):
        return "network"
    # the SDK wraps a failing import of one of its parts in a RuntimeError
    if isinstance(error, ImportError) or isinstance(error.__cause__, ImportError):
        return "dependency"
    return "failed"


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """The reply to one request; every failure is told, none ends the process."""
    do = {"list": list_files, "load": load_shard}[request.pop("do")]
    try:
        return {"ok": do(**request)}
    except Exception as error:
        cause = error.__cause__ if isinstance(error.__cause__, ImportError) else error
        return {"error": kind_of(error), "message": f"{type(cause).__name__}: {cause}"}


def main() -> None:
    """Answers until stdin ends. The SDK prints to stdout: that is sent to stderr, so that replies stay alone."""
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as replies:
        os.dup2(2, 1)
        for line in sys.stdin:
            replies.write(json.dumps(answer(json.loads(line))) + "\n")
            replies.flush()


if __name__ == "__main__":
    main()
