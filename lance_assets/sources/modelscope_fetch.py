"""How one file of a ModelScope repository gets into the cache: by MsDataset.load, or by a download that is resumed."""

from __future__ import annotations

import glob
import shutil
from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout

from lance_assets.sources.modelscope_listing import Listed, Listing
from lance_assets.sources.modelscope_process import Child
from lance_assets.sources.modelscope_shard import Shard
from lance_assets.sources.progress import Progress

STALL_SECONDS = 300.0
"""A download that grows by nothing for so long is given up; the SDK's own limits are shorter."""
WHOLE_BYTES, WHOLE_FILES = 64_000_000, 32
"""A split of parquet files that is no larger is loaded by MsDataset.load. It costs nine requests a file (two of them
lists of all files), writes a file twice more, holds 1 GB for a file of 150 MB, and starts again where it breaks off. A
file of a larger split is one request that is resumed, and is read as it is."""


def fetch(
    child: Child,
    shard: Shard,
    listed: Listed,
    chosen: Sequence[Listed],
    listing: Listing,
    split: str,
    subset: str | None,
) -> None:
    """Brings a listed file into the cache; a second process that wants it waits for the first. Raises BadInput."""
    with FileLock(shard.lock):
        if shard.exists():
            return
        work = work_folder(shard.cache, listed.sha256)
        by_load = goes_whole(listed, chosen)
        if by_load:
            shutil.rmtree(work, ignore_errors=True)  # left by a run that was killed; a download goes on there
        work.mkdir(parents=True, exist_ok=True)
        progress = Progress(shard.name, work, listed.size)
        request = {"path": listed.path, "sha256": listed.sha256, "size": listed.size, "folder": str(work)}
        if by_load:
            digests = [file.sha256 for file in listing.files] if listed.whole else [listed.sha256]
            request = {
                "path": None if listed.whole else listed.path,
                "split": split,
                "subset": subset,
                "digests": digests,
                "work": str(work),
                "out": str(shard.path.resolve()),
            }
            child.ask("load", STALL_SECONDS, progress.grew, **request)
        else:
            shard.take(Path(child.ask("download", STALL_SECONDS, progress.grew, **request)))
        progress.done(listed.size or shard.path.stat().st_size)
        shutil.rmtree(work)


def goes_whole(listed: Listed, chosen: Sequence[Listed]) -> bool:
    """Whether MsDataset.load gets a file: text is read row by row by ourselves, so that one bad row is one reject and
    no cell is guessed to be a number or missing; a path with wildcards would mean other files to the SDK."""
    if listed.whole:
        return True
    small = len(chosen) <= WHOLE_FILES and sum(file.size for file in chosen) <= WHOLE_BYTES
    known = all(file.size for file in chosen)  # the hub may list a size of 0 for any file
    return small and known and listed.path.endswith(".parquet") and not glob.has_magic(listed.path)


def work_folder(cache: Path, sha256: str) -> Path:
    """Where a file is downloaded to before it is checked."""
    return cache.resolve() / "work" / sha256


def drop_others(cache: Path, chosen: Collection[Listed]) -> None:
    """Deletes unfinished downloads of files that changed meanwhile, unless somebody is at them."""
    wanted = {listed.sha256 for listed in chosen}
    for folder in (cache / "work").glob("*"):
        if folder.name not in wanted:
            with suppress(Timeout), FileLock(cache / f"{folder.name}.lock", timeout=0):
                shutil.rmtree(folder, ignore_errors=True)
