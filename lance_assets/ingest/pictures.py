"""Where the picture of a caption row comes from: the web, a folder, the source's own file, or what landed before."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from lance_assets.ingest.fetch import Fetcher
from lance_assets.ingest.landing import Landing
from lance_assets.ingest.limits import Limits
from lance_assets.ingest.local import checked_bytes, read_local
from lance_assets.ingest.outcome import Fetched, FetchError, Outcome
from lance_assets.sources.base import Source, SourceFile

Row = dict[str, Any]


class Pictures:
    """Loads the pictures of caption rows, in order, each outcome a Fetched or a FetchError.

    A URL that several rows share is fetched once. `landing` keeps what comes from the web until it is in the table.
    """

    def __init__(
        self,
        fetcher: Fetcher,
        landing: Landing,
        source: Source | None = None,
        roots: Sequence[Path] = (),
        threads: int = 16,
    ) -> None:
        self._fetcher, self._landing, self._source, self._threads = fetcher, landing, source, threads
        self._roots = (*(source.image_roots() if source else ()), *roots)

    def load(self, rows: Sequence[Row]) -> Iterator[Fetched | FetchError]:
        """One outcome per row, in order; none raises for a row."""
        kinds = [row["image_from"] or "url" for row in rows]
        web = self._web([row["image_url"] for row, kind in zip(rows, kinds, strict=True) if kind == "url"])
        inside = self._inside([row for row, kind in zip(rows, kinds, strict=True) if kind == "embedded"])
        for row, kind in zip(rows, kinds, strict=True):
            if kind == "url":
                yield next(web)
            elif kind == "embedded":
                yield next(inside)
            else:
                yield _tried(lambda url=row["image_url"]: read_local(url, self._roots, self._limits))

    @property
    def _limits(self) -> Limits:
        return self._fetcher.limits

    def _web(self, urls: Sequence[str]) -> Iterator[Fetched | FetchError]:
        asked = list(dict.fromkeys(url for url in urls if url not in self._landing))
        coming = self._fetcher.fetch_all(
            asked, self._threads, lambda number, outcome: self._landing.put(asked[number], outcome)
        )
        ahead = set(asked)
        failed: dict[str, FetchError] = {}
        for url in urls:
            if url in ahead:
                ahead.remove(url)
                outcome = _image_or_error(next(coming))
                if isinstance(outcome, FetchError) and url not in self._landing:
                    failed[url] = outcome
                yield outcome
            else:
                yield failed.get(url) or self._landing.get(url) or FetchError("internal_error", f"{url} did not land")

    def _inside(self, rows: Sequence[Row]) -> Iterator[Fetched | FetchError]:
        """Pictures that lie in the source's own files, a file at a time."""
        for (path, sha256), some in groupby(rows, key=lambda row: (row["source_path"], row["source_sha256"])):
            numbers = [row["row_in_file"] for row in some]
            if self._source is None:
                yield from (FetchError("file_missing", f"{path}: its source is unknown") for _ in numbers)
                continue
            for data in self._source.images(SourceFile(path, sha256, numbers[-1] + 1), numbers):
                yield _tried(lambda data=data: checked_bytes(data or b"", self._limits))


def _tried(load: Callable[[], Fetched]) -> Fetched | FetchError:
    try:
        return load()
    except FetchError as error:
        return error


def _image_or_error(outcome: Outcome) -> Fetched | FetchError:
    """Nothing was asked conditionally here, so a server that says `unmodified` is wrong."""
    if isinstance(outcome, Fetched | FetchError):
        return outcome
    return FetchError("http_304", "nothing was asked conditionally", outcome.attempts)
