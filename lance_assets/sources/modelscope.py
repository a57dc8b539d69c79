"""Data set repositories of the ModelScope hub, loaded shard by shard with the SDK's own MsDataset.load."""

from __future__ import annotations

import json
import os
import re
import select
import shutil
import subprocess
import sys
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock

from lance_assets.errors import BadInput
from lance_assets.sources.base import Columns, RawRow, Source, SourceFile
from lance_assets.sources.columns import CAPTION_NAMES, URL_NAMES, check_columns, pick

SUFFIXES = (".parquet", ".csv", ".jsonl")
SPLIT_WORDS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing", "eval", "evaluation"),
}
"""How file and folder names call a split, as `datasets` understands them."""
DEFAULT_REVISION = "master"
LIST_SECONDS = 45.0
"""A listing that takes longer counts as an endpoint that does not answer."""
READ_ROWS = 1000


class ModelScopeSource(Source):
    """Captions of one split of a data set repository; each file is kept as `cache_dir/<sha256>.parquet`."""

    def __init__(
        self,
        id: str,
        repo: str,
        revision: str | None,
        cache_dir: Path,
        columns: Columns,
        endpoint: str | None = None,
        split: str = "train",
    ) -> None:
        self.id = id
        self.revision = revision or DEFAULT_REVISION
        self._repo = repo
        self._cache = cache_dir
        self._columns = columns
        self._endpoint = endpoint
        self._split = split

    def endpoint(self) -> str | None:
        """The hub's address: as given, else the environment's MODELSCOPE_ENDPOINT; None = the public hub."""
        return self._endpoint or os.environ.get("MODELSCOPE_ENDPOINT")

    def files(self) -> Generator[SourceFile]:
        """The split's files in the order of their paths; one that is not in the cache is loaded when its turn comes.

        Raises BadInput: hub out of reach, no such repository, revision or split, a file without or against its listed
        sha256, an unknown column.
        """
        with self._child() as child:
            for path, sha256 in self._listed(child):
                self._fetch(child, path, sha256)
                with pq.ParquetFile(self._cached(sha256)) as shard:
                    check_columns(shard.schema_arrow.names, self._columns, f"{path} of {self._repo}")
                    rows = shard.metadata.num_rows
                yield SourceFile(path, sha256, rows)

    def read(self, file: SourceFile, first: int, end: int) -> Iterator[RawRow]:
        """Rows from the cache alone; the hub is asked only where the cache lost the file. Raises BadInput."""
        if not 0 <= first <= end <= file.rows:
            raise BadInput(f"{file.path} of {self._repo} has {file.rows} rows: there are no rows [{first}, {end})")
        if not self._cached(file.sha256).exists():
            with self.serving(), self._child() as child:
                self._fetch(child, file.path, file.sha256)
        with pq.ParquetFile(self._cached(file.sha256)) as shard:
            names = shard.schema_arrow.names
            check_columns(names, self._columns, f"{file.path} of {self._repo}")
            wanted = {*URL_NAMES, *CAPTION_NAMES, self._columns.url, self._columns.caption}
            row = 0
            for group in range(shard.num_row_groups):
                rows = shard.metadata.row_group(group).num_rows
                if row + rows > first and row < end:
                    table = shard.read_row_group(group, columns=[name for name in names if name in wanted])
                    yield from self._raw_rows(table, row, max(first, row), min(end, row + rows))
                row += rows

    def _raw_rows(self, table: pa.Table, offset: int, first: int, end: int) -> Iterator[RawRow]:
        for at in range(first, end, READ_ROWS):
            part = table.slice(at - offset, min(READ_ROWS, end - at)).to_pylist()
            for row, values in enumerate(part, at):
                image, caption = pick(values, self._columns)
                yield RawRow(row, image, caption)

    def _listed(self, child: Child) -> list[tuple[str, str]]:
        """(path, sha256) of the split's files."""
        listing = child.ask("list", LIST_SECONDS)
        digests = {entry["path"]: entry["sha256"] for entry in listing}
        chosen = files_of_split(list(digests), self._split)
        if not chosen:
            data = sorted(path for path in digests if path.endswith(SUFFIXES))
            kinds = ", ".join(data[:5]) or f"no {', '.join(SUFFIXES)} file at all"
            raise BadInput(f"the data set {self._repo} has no split {self._split!r}; it holds: {kinds}")
        for path in chosen:
            if not re.fullmatch("[0-9a-f]{64}", digests[path]):
                raise BadInput(f"the hub lists {path} of {self._repo} without a sha256, so it cannot be checked")
        return [(path, digests[path]) for path in chosen]

    def _cached(self, sha256: str) -> Path:
        return self._cache / f"{sha256}.parquet"

    def _fetch(self, child: Child, path: str, sha256: str) -> None:
        """Loads a file into the cache unless it is there; a second process that wants it waits for the first."""
        out, work = self._cached(sha256), self._cache / "work" / sha256
        with FileLock(self._cache / f"{sha256}.lock"):
            if out.exists():
                return
            shutil.rmtree(work, ignore_errors=True)  # of a run that was killed
            work.mkdir(parents=True)
            try:
                paths = {"work": str(work.resolve()), "out": str(out.resolve())}
                child.ask("load", None, split=self._split, path=path, sha256=sha256, **paths)
            finally:
                shutil.rmtree(work, ignore_errors=True)

    @contextmanager
    def _child(self) -> Iterator[Child]:
        self._cache.mkdir(parents=True, exist_ok=True)
        child = Child(self._repo, self.revision, self.endpoint(), self._cache.resolve())
        try:
            yield child
        finally:
            child.close()


class Child:
    """The process with the SDK, started by the first question. Its own output goes to `cache_dir/sdk.log`."""

    def __init__(self, repo: str, revision: str, endpoint: str | None, cache_dir: Path) -> None:
        self._repo, self._revision, self._endpoint, self._cache = repo, revision, endpoint, cache_dir
        self._hub = f"the ModelScope hub at {endpoint}" if endpoint else "the public ModelScope hub"
        self._process: subprocess.Popen[bytes] | None = None

    def ask(self, do: str, seconds: float | None, **request: Any) -> Any:
        """The answer to one request, within `seconds` where given. Raises BadInput with one sentence."""
        process = self._process = self._process or self._start()
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("the child has pipes")
        line = json.dumps({"do": do, "repo": self._repo, "revision": self._revision, **request})
        with suppress(BrokenPipeError):  # a process that ended answers with the end of its output, below
            process.stdin.write(line.encode() + b"\n")
            process.stdin.flush()
        if not select.select([process.stdout], [], [], seconds)[0]:
            raise BadInput(f"{self._hub} did not answer within {seconds:.0f} s")
        reply = json.loads(process.stdout.readline() or b'{"error": "failed", "message": "its process ended"}')
        if "error" in reply:
            raise BadInput(self._sentence(reply["error"], reply["message"], request.get("path")))
        return reply["ok"]

    def close(self) -> None:
        """Ends the process; one that is busy is not waited for."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.communicate()

    def _start(self) -> subprocess.Popen[bytes]:
        sdk = self._cache / "sdk"
        sdk.mkdir(exist_ok=True)  # also the working folder: a local folder called like the repository would be loaded
        local = "127.0.0.1,localhost"
        env = {
            **os.environ,
            "MODELSCOPE_CACHE": str(sdk),
            "MODELSCOPE_API_CONNECT_TIMEOUT": "5",
            "MODELSCOPE_API_MAX_RETRIES": "2",
            "HF_HOME": str(sdk / "hf"),
            "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "NO_PROXY": ",".join(filter(None, (os.environ.get("NO_PROXY"), local))),
            "no_proxy": ",".join(filter(None, (os.environ.get("no_proxy"), local))),
        }
        if self._endpoint:
            env["MODELSCOPE_ENDPOINT"] = self._endpoint
        with (self._cache / "sdk.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "lance_assets.sources.modelscope_child"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=sdk,
                env=env,
            )

    def _sentence(self, kind: str, message: str, path: str | None) -> str:
        where = f"{path} of {self._repo}" if path else f"the data set {self._repo}"
        message = " ".join(message.split())[:300]
        if kind == "missing":
            return f"{self._hub} has no data set {self._repo} at revision {self._revision}: {message}"
        if kind == "network":
            return f"{self._hub} cannot be reached: {message}"
        if kind == "digest":
            return f"{where} was damaged on its way from {self._hub}: {message}"
        if kind == "dependency":
            return f"loading data sets needs more of the ModelScope SDK: pip install 'modelscope[datasets]' ({message})"
        return f"{where} could not be loaded from {self._hub}: {message} (more in {self._cache / 'sdk.log'})"


def files_of_split(paths: Sequence[str], split: str) -> list[str]:
    """The data files of a split, sorted: those whose path names it; where no path names any split, all are train.

    The rule of `datasets` for repositories that do not say otherwise (a word ends at -, _, ., / or a digit).
    """
    data = sorted(path for path in paths if path.lower().endswith(SUFFIXES))
    words = {split: (split,), **SPLIT_WORDS}
    named = {path: _split_of(path, words) for path in data}
    if split == "train" and not any(named.values()):
        return data
    return [path for path in data if named[path] == split]


def _split_of(path: str, words: dict[str, tuple[str, ...]]) -> str | None:
    """The split that the file's name tells, else the one that its innermost telling folder tells."""
    for part in reversed(path.lower().split("/")):
        found = re.split(r"[-_. 0-9]+", part)
        for split, names in words.items():
            if any(name in found for name in names):
                return split
    return None
