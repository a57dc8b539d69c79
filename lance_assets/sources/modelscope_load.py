"""MsDataset.load in the child process, with its traps cured: only modelscope_child imports this module."""

from __future__ import annotations

import logging
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from modelscope import MsDataset
from modelscope.msdatasets.utils import hf_datasets_util
from modelscope_hub.errors import NetworkError, NotExistError

from lance_assets.sources.modelscope_failures import DigestMismatch, digest, kind_of

ATTEMPTS = 3
BATCH_ROWS = 1000
PICTURE_ROWS = 100
"""A batch of rows that hold pictures: some 100 MB at most."""
LOST = "file list failed"
"""How the SDK says, in its log alone, that it goes on with a part of the list of files."""

if endpoint := os.environ.get("MODELSCOPE_ENDPOINT"):
    # what the SDK reads in place, archives above all, it would read from https://www.modelscope.cn all the same
    hf_datasets_util.get_endpoint = lambda *_, **__: endpoint


def load(
    repo: str,
    revision: str,
    split: str,
    subset: str | None,
    path: str | None,
    digests: Sequence[str],
    work: str,
    out: str,
) -> int:
    """Loads one file of a split, or with path None the whole split, through MsDataset.load in the empty folder `work`,
    and writes its rows to `out`; their number.

    `digests` are the sha256 that the hub lists: of the file, or of all files. A fresh cache folder each time: the SDK's
    cache would give an old file under the same name. The SDK tries nothing again after an error status (of a GET it
    keeps the error page as the file), so this does.
    """
    for attempt in range(1, ATTEMPTS + 1):
        try:
            rows = load_once(repo, revision, split, subset, path, digests, Path(work))
            return write_rows(rows, Path(work), Path(out))
        except Exception as error:
            if attempt == ATTEMPTS or kind_of(error) not in ("network", "digest"):
                raise
            time.sleep(0.5 * attempt)
            shutil.rmtree(work)
            Path(work).mkdir()
    raise AssertionError("the last attempt returns or raises")


def load_once(
    repo: str, revision: str, split: str, subset: str | None, path: str | None, digests: Sequence[str], work: Path
) -> Any:
    """The `datasets.Dataset` of a file or a split; images are not decoded. Raises what the SDK raises, but
    DigestMismatch where a damaged file is the reason."""
    files = {split: [path]} if path is not None else None
    try:
        with telling_what_is_lost():
            loaded: Any = MsDataset.load(
                repo, subset_name=subset, split=split, data_files=files, version=revision, cache_dir=str(work)
            )
    except Exception as error:
        check_downloads(work, path, digests)  # a damaged file fails to parse: say rather that it is damaged
        if path is not None and isinstance(error, FileNotFoundError):
            raise NotExistError(str(error)) from error
        raise
    check_downloads(work, path, digests)
    return loaded.to_hf_dataset() if hasattr(loaded, "to_hf_dataset") else loaded


@contextmanager
def telling_what_is_lost() -> Iterator[None]:
    """Raises NetworkError where the SDK loads a part of a set because a page of the list of files failed."""
    lost: list[str] = []

    class Ear(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if LOST in record.getMessage():
                lost.append(record.getMessage())

    ear, logger = Ear(logging.ERROR), logging.getLogger("modelscope")
    logger.addHandler(ear)
    try:
        yield
    except Exception as error:
        if lost:
            raise NetworkError(lost[0]) from error
        raise
    finally:
        logger.removeHandler(ear)
    if lost:
        raise NetworkError(lost[0])


def check_downloads(work: Path, path: str | None, digests: Sequence[str]) -> None:
    """Raises DigestMismatch unless the files downloaded under `work` are the listed ones; nothing there is fine."""
    files = [file for file in (work / "downloads").glob("*") if file.is_file()]
    found = {digest(file) for file in files if file.suffix not in (".json", ".lock")}
    if found and not (found.issuperset(digests) if path is not None else found.issubset(digests)):
        raise DigestMismatch(f"{path or 'one of its files'} does not have the listed sha256")


def write_rows(dataset: Any, work: Path, out: Path) -> int:
    """The rows as they are stored, a batch at a time, to a parquet file that appears at once; their number."""
    schema = dataset.features.arrow_schema.remove_metadata()
    pictures = [field.name for field in schema if is_picture(field.type)]
    draft = work / "rows.parquet"
    with pq.ParquetWriter(draft, schema, compression="zstd") as writer:
        batches = dataset.with_format("arrow").iter(batch_size=PICTURE_ROWS if pictures else BATCH_ROWS)
        for batch in batches:
            table = batch.replace_schema_metadata(None).cast(schema)
            for name in pictures:
                table = with_bytes(table, name, work)
            writer.write_table(table)
    draft.replace(out)
    return len(dataset)


def is_picture(kind: pa.DataType) -> bool:
    """Whether a column is one of {bytes, path}."""
    return pa.types.is_struct(kind) and {field.name for field in kind.fields} == {"bytes", "path"}


def with_bytes(table: pa.Table, name: str, work: Path) -> pa.Table:
    """The table with the bytes of pictures that were unpacked under `work`, which is about to go; any other path is
    somebody's word and stays unread."""
    if not table.select([name]).flatten()[f"{name}.bytes"].null_count:
        return table
    cells = [unpacked(cell, work) for cell in table[name].to_pylist()]
    return table.set_column(table.schema.get_field_index(name), name, pa.array(cells, table[name].type))


def unpacked(cell: dict[str, Any] | None, work: Path) -> dict[str, Any] | None:
    """One cell {bytes, path} with its bytes, where its path is a file under `work`."""
    if cell is None or cell["bytes"] is not None or not cell["path"]:
        return cell
    path = Path(cell["path"]).resolve()
    if not path.is_relative_to(work.resolve()) or not path.is_file():
        return cell
    return {"bytes": path.read_bytes(), "path": path.name}
