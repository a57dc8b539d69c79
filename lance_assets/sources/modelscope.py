"""Data set repositories of the ModelScope hub, loaded incrementally, file by file, with the hub's own SDK."""

from __future__ import annotations

import logging
import os
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from lance_assets.errors import BadInput
from lance_assets.sources.base import Columns, RawRow, Source, SourceFile
from lance_assets.sources.columns import check_columns
from lance_assets.sources.modelscope_fetch import drop_others, fetch
from lance_assets.sources.modelscope_listing import Listed, Listing, choose, read_listing
from lance_assets.sources.modelscope_process import Child
from lance_assets.sources.modelscope_shard import Shard

log = logging.getLogger(__name__)

DEFAULT_REVISION = "master"
LIST_SECONDS = 45.0
"""A page of the list of files that takes longer counts as an endpoint that does not answer."""


class ModelScopeSource(Source):
    """Captions of one split of a data set repository; what was loaded stays in `cache_dir`, by sha256.

    A set without parquet, csv or jsonl files, or one of which a `subset` is named, is loaded as a whole and counts as
    one file, which changes when any of its files does.
    """

    def __init__(
        self,
        id: str,
        repo: str,
        revision: str | None,
        cache_dir: Path,
        columns: Columns,
        endpoint: str | None = None,
        split: str = "train",
        subset: str | None = None,
    ) -> None:
        self.id = id
        self.revision = revision or DEFAULT_REVISION
        self._asked = revision
        self._repo = repo
        self._cache = cache_dir
        self._columns = columns
        self._endpoint = endpoint
        self._split = split
        self._subset = subset
        self._chosen: list[Listed] | None = None
        self._listing = Listing((), None)

    def endpoint(self) -> str | None:
        """The hub's address: as given, else the environment's MODELSCOPE_ENDPOINT; None = the public hub."""
        return self._endpoint or os.environ.get("MODELSCOPE_ENDPOINT")

    def files(self) -> Generator[SourceFile]:
        """The split's files in the order of their paths, listed anew; one that is not in the cache is loaded when its
        turn comes. Empty ones are skipped and logged.

        Without a revision asked for, `revision` becomes the commit that was there, or "master" with the digest of the
        list where the hub tells no commit. Raises BadInput: hub out of reach, no such repository, revision or split, a
        file without or against its listed sha256, an unknown column.
        """
        with self._child() as child:
            for listed in self._list(child):
                file = self._load(child, listed)
                if file.rows:
                    yield file
                else:
                    log.warning("%s of %s holds no rows and is skipped", file.path, self._repo)

    def listing(self) -> dict[str, str]:
        """sha256 of the split's files by path, as last listed; asks the hub where this object has not yet."""
        return {listed.path: listed.sha256 for listed in self._known()}

    def signature(self) -> str:
        """As in Source; asks the hub each time."""
        self._chosen = None
        return super().signature()

    def file(self, path: str) -> SourceFile:
        """One of the files last listed, loaded unless it is in the cache. Raises BadInput."""
        return self._again(path, None)

    def read(self, file: SourceFile, first: int, end: int) -> Iterator[RawRow]:
        """Rows from the cache alone; the hub is asked only where the cache lost the file. Raises BadInput."""
        if not 0 <= first <= end <= file.rows:
            raise BadInput(f"{file.path} of {self._repo} has {file.rows} rows: there are no rows [{first}, {end})")
        return self._shard(file).rows(first, end)

    def images(self, file: SourceFile, rows: Sequence[int]) -> Iterator[bytes | None]:
        """Pictures of a parquet file that holds them; from the cache, as rows are. Raises BadInput."""
        return self._shard(file).images(rows)

    def _shard(self, file: SourceFile) -> Shard:
        shard = self._shard_of(file.path, file.sha256)
        if not shard.exists():
            self._again(file.path, file.sha256)
        return shard

    def _again(self, path: str, sha256: str | None) -> SourceFile:
        """A listed file, with that digest where given, brought into the cache."""
        for listed in self._known():
            if listed.path == path and sha256 in (None, listed.sha256):
                with self.serving(), self._child() as child:
                    return self._load(child, listed)
        changed = " with that content" if any(listed.path == path for listed in self._known()) else ""
        raise BadInput(f"the data set {self._repo} has no file {path}{changed} any more")

    def _known(self) -> list[Listed]:
        if self._chosen is None:
            with self.serving(), self._child() as child:
                return self._list(child)
        return self._chosen

    def _list(self, child: Child) -> list[Listed]:
        """Asks the hub."""
        self._listing = read_listing(child.ask("list", LIST_SECONDS), self._repo)
        at = self._listing.commit or f"{DEFAULT_REVISION}:{self._listing.digest()[:12]}"
        self.revision = self._asked or at
        self._chosen = choose(self._listing, self._repo, self._split, self._subset)
        drop_others(self._cache, self._chosen)
        return self._chosen

    def _load(self, child: Child, listed: Listed) -> SourceFile:
        shard = self._shard_of(listed.path, listed.sha256)
        if not shard.exists():
            fetch(child, shard, listed, self._chosen or [], self._listing, self._split, self._subset)
        rows, names = shard.survey()
        if rows:
            check_columns(names, self._columns, shard.name)
        return SourceFile(listed.path, listed.sha256, rows)

    def _shard_of(self, path: str, sha256: str) -> Shard:
        return Shard(self._cache, path, sha256, self._columns, f"{path} of {self._repo}")

    @contextmanager
    def _child(self) -> Iterator[Child]:
        self._cache.mkdir(parents=True, exist_ok=True)
        child = Child(self._repo, self._asked or DEFAULT_REVISION, self.endpoint(), self._cache.resolve())
        try:
            yield child
        finally:
            child.close()
