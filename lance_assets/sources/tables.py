"""Rows of files that are tables: parquet, and Arrow as Hugging Face's save_to_disk writes it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from lance_assets.errors import BadInput
from lance_assets.sources.base import Columns
from lance_assets.sources.columns import EMBEDDED, image_names, wanted_names
from lance_assets.sources.embedded import PICTURES, Batches, images_in_parquet, pictures, rows_of
from lance_assets.sources.parquet import filled, groups, leaves, open_parquet
from lance_assets.sources.row_format import Cells, RowFormat

#: Rows without pictures that become Python objects at a time.
ROWS = 1000
#: What save_to_disk writes beside the files of one split.
STATE = "state.json"


class Parquet(RowFormat):
    """Read by row group, only the columns that say something. Of pictures inside the file only the statistics are read,
    unless some rows of a row group have one and others not."""

    def survey(self, path: Path) -> tuple[int, set[str]]:
        with open_parquet(path) as file:
            return file.metadata.num_rows, set(file.schema_arrow.names)

    def rows(self, path: Path, first: int, columns: Columns) -> Iterator[Cells | str]:
        with open_parquet(path) as file:
            row = first
            try:
                for group, start, _ in groups(file, first, file.metadata.num_rows):
                    for cells in self._group(file, group, start, row, path.name, columns):
                        yield cells
                        row += 1
            except (pa.ArrowException, OSError) as error:
                raise BadInput(f"{path} cannot be read at row {row}: {error}") from error

    def _group(
        self, file: pq.ParquetFile, group: int, start: int, first: int, where: str, columns: Columns
    ) -> Iterator[Cells | str]:
        images = image_names(columns)
        read, everywhere, rows = [], {}, ROWS
        for leaf in leaves(file, wanted_names(columns)):
            state = filled(file, group, leaf) if leaf.binary and leaf.column in images else None
            if state:
                everywhere[leaf.column] = EMBEDDED
            elif state is None:
                read.append(leaf)
                rows = PICTURES if leaf.binary and leaf.column in images else rows
        paths = [leaf.path for leaf in read if leaf.column not in everywhere]
        for batch in file.iter_batches(rows, [group], paths):
            skip = min(max(0, first - start), batch.num_rows)
            for cells in rows_of(batch.slice(skip), images, where, start + skip):
                yield {**cells, **everywhere} if everywhere and isinstance(cells, dict) else cells
            start += batch.num_rows

    def images(self, path: Path, columns: Columns, rows: Sequence[int]) -> Iterator[bytes | None]:
        return images_in_parquet(path, columns, rows)


class Arrow(RowFormat):
    """An Arrow stream or file, mapped into memory: pictures that are not asked for are not read."""

    def survey(self, path: Path) -> tuple[int, set[str]]:
        count, names = 0, set[str]()
        for start, batch in _batches(path, None):
            count, names = start + batch.num_rows, set(batch.schema.names)
        return count, names

    def rows(self, path: Path, first: int, columns: Columns) -> Iterator[Cells | str]:
        images = image_names(columns)
        for start, whole in _batches(path, wanted_names(columns)):
            for at in range(max(0, first - start), whole.num_rows, ROWS):
                yield from rows_of(whole.slice(at, ROWS), images, path.name, start + at)

    def images(self, path: Path, columns: Columns, rows: Sequence[int]) -> Iterator[bytes | None]:
        return pictures(_batches(path, frozenset(image_names(columns))), columns, rows, path)

    def belongs(self, path: Path) -> bool:
        """Not what `datasets` left beside the data: its caches are Arrow files, too."""
        try:
            state = json.loads(path.with_name(STATE).read_bytes())
            return path.name in {one["filename"] for one in state["_data_files"]}
        except FileNotFoundError:
            return True
        except (ValueError, TypeError, KeyError) as error:
            raise BadInput(f"{path.with_name(STATE)} is not what save_to_disk writes: {error!r}") from error


def _batches(path: Path, names: frozenset[str] | None) -> Batches:
    """The batches of a file, reduced to the named columns and checked: a buffer that lies about its offsets would end
    the process. Raises BadInput."""
    start = 0
    try:
        with pa.memory_map(str(path)) as source:
            for batch in _all(source):
                if names is not None:
                    batch = batch.select([name for name in batch.schema.names if name in names])
                    batch.validate(full=True)
                yield start, batch
                start += batch.num_rows
    except (FileNotFoundError, PermissionError):
        raise
    except (pa.ArrowException, OSError) as error:
        raise BadInput(f"{path} is not an Arrow file, or damaged at row {start}: {error}") from error


def _all(source: pa.NativeFile) -> Iterator[pa.RecordBatch]:
    if source.read_at(6, 0) == b"ARROW1":
        with pa.ipc.open_file(source) as file:
            yield from (file.get_batch(number) for number in range(file.num_record_batches))
    else:
        with pa.ipc.open_stream(source) as stream:
            yield from stream
