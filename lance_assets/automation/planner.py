"""What there is to do. Pure functions over plain values; sensors, jobs and the command line are shells around them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from lance_assets.partitions import Batch, batch_keys, new_batches
from lance_assets.sources.base import Source
from lance_assets.sources.digest import rows_digest
from lance_assets.store.captions import Footer


@dataclass(frozen=True)
class Found:
    """What looking at a source found: keys of batches to add, keys of batches of which a row changed (or whose images
    do not follow their captions yet), and paths of files that are gone: reported, never deleted. Not `complete`: there
    are more new files, and the other two were not looked for."""

    new: list[str]
    changed: list[str] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    complete: bool = True

    def in_words(self) -> str:
        """One line for people."""
        lost = f"; gone from the source, kept here: {', '.join(self.gone)}" if self.gone else ""
        return f"{len(self.new)} new batches, {len(self.changed)} with changed rows{lost}"


def look(
    source: Source,
    known: Iterable[str],
    footers: Mapping[str, Footer],
    batch_rows: int,
    limit: int | None,
    most: int | None = None,
) -> Found:
    """Compares a source with the batches there are. A file that did not change is not read. After `most` files of which
    there is no batch yet it stops (None = never). Raises BadInput."""
    keys = [Batch.parse(key) for key in batch_keys(known)]
    paths = {key: footer.path for key, footer in footers.items()}
    seen = {*paths.values(), *(batch.file for batch in keys)}
    files = _Files(source, seen, most)
    new = [str(batch) for batch in new_batches(source.id, files, keys, batch_rows, limit, paths)]
    if files.left:
        return Found(new, complete=False)
    mine = {key: footer for key, footer in footers.items() if Batch.parse(key).source == source.id}
    listing = source.listing() if mine else {}
    gone = sorted({footer.path for footer in mine.values()} - set(listing))
    return Found(new, list(_changed(source, mine, listing)), gone)


class _Files:
    """(path, sha256, rows) of the files of a source, in its order, the first `most` new ones of them."""

    def __init__(self, source: Source, seen: Collection[str], most: int | None) -> None:
        self._source, self._seen, self._most = source, seen, most
        self.left = False

    def __iter__(self) -> Iterator[tuple[str, str, int]]:
        new = 0
        for file in self._source.files():
            if file.path not in self._seen and file.sha256[:8] not in self._seen:
                if new == self._most:
                    self.left = True
                    return
                new += 1
            yield file.path, file.sha256, file.rows


def _changed(source: Source, mine: Mapping[str, Footer], listing: Mapping[str, str]) -> Iterator[str]:
    for key, footer in mine.items():
        batch, now = Batch.parse(key), listing.get(footer.path)
        same = now is None or (now == footer.sha256 if footer.sha256 else now.startswith(batch.file))
        if footer.unsettled or not (same or _same_rows(source, batch, footer)):
            yield key


def _same_rows(source: Source, batch: Batch, footer: Footer) -> bool:
    """Whether a file that changed still says the same in the rows of a batch: most files only grow."""
    file = source.file(footer.path)
    end = min(batch.end, file.rows)
    return end <= batch.first or rows_digest(source, file, batch.first, end) == footer.rows_sha256
