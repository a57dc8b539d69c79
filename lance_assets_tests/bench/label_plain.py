"""Labelling without a platform: the disk alone, a bare loop over Lance, and Parquet by pyarrow."""

from __future__ import annotations

import uuid
from pathlib import Path

import lance
import numpy as np
import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq
from lance.file import LanceFileWriter
from lance.fragment import DataFile
from numpy.typing import NDArray

from lance_assets_tests.bench.label_data import PARQUET
from lance_assets_tests.bench.label_scorers import FUNCTIONS
from lance_assets_tests.bench.label_task import Task, Variant, delete, filesystem, parquet_files

#: Bytes of a file that are read at a time.
PIECE = 8 << 20
SCORE = "score"


class Limit(Variant):
    """Reads the files that hold the images and writes four bytes for each image; nothing is scored."""

    name = "physical limit"

    def act(self, task: Task) -> None:
        store, path = filesystem(f"{task.source}/platform/images.lance/data")
        piece = bytearray(PIECE)
        for info in store.get_file_info(pafs.FileSelector(path)):
            with store.open_input_stream(info.path) as stream:
                while stream.readinto(piece):
                    pass
        rows = sum(int(end) - int(start) for start, end in (batch.split("-")[-2:] for batch in task.batches))
        (Path(task.work) / "scores").write_bytes(bytes(4 * rows))


class Bare(Variant):
    """Scan, score, one file for each fragment, one commit: no plan, no ledger, no states, nothing is checked."""

    name = "bare loop"

    def act(self, task: Task) -> None:
        uri, score = f"{task.place}/platform/images.lance", FUNCTIONS[task.scorer]
        dataset = lance.dataset(uri)
        dataset.add_columns(pa.field(task.column, pa.float32()))
        schema = pa.schema([dataset.schema.field(task.column)])
        groups: list[lance.LanceOperation.DataReplacementGroup] = []
        for fragment in dataset.get_fragments():
            scanner = dataset.scanner(
                columns=["image"],
                fragments=[fragment],
                batch_size=task.rows,
                blob_handling="all_binary",
                scan_in_order=True,
            )
            scores = np.concatenate([score(batch["image"]) for batch in scanner.to_batches()])
            name = f"{uuid.uuid4().hex}.lance"
            with LanceFileWriter(f"{uri}/data/{name}", schema, version=dataset.data_storage_version) as writer:
                writer.write_batch(pa.record_batch([pa.array(scores)], schema=schema))
            file = DataFile.create(dataset, name)
            groups.append(lance.LanceOperation.DataReplacementGroup(fragment.fragment_id, file))
        operation = lance.LanceOperation.DataReplacement(groups)
        lance.LanceDataset.commit(dataset, operation, read_version=dataset.version)

    def scores(self, task: Task) -> NDArray[np.float32]:
        return lance_scores(f"{task.place}/platform/images.lance", task.column)


class Rewrite(Variant):
    """Parquet cannot add a column in place: the files are written anew."""

    name, reads = "Parquet rewrite, pyarrow", "parquet"

    def act(self, task: Task) -> None:
        store, files = parquet_files(f"{task.source}/parquet")
        target = _made(task)
        for source in files:
            with pq.ParquetFile(store.open_input_file(source)) as file:
                schema = file.schema_arrow.append(pa.field(SCORE, pa.float32()))
                sink = f"{target}/{Path(source).name}"
                with pq.ParquetWriter(sink, schema, filesystem=store, **PARQUET) as writer:
                    for batch in file.iter_batches(task.rows):
                        scores = pa.array(FUNCTIONS[task.scorer](batch["image"]))
                        writer.write_batch(pa.record_batch([*batch.columns, scores], schema=schema))

    def scores(self, task: Task) -> NDArray[np.float32]:
        return parquet_scores(task)

    def stop(self, task: Task) -> None:
        delete(task.target)


class Sidecar(Rewrite):
    """Files with id and score beside the others: cheap, and every reader has to join them."""

    name = "Parquet sidecar, pyarrow"

    def act(self, task: Task) -> None:
        store, files = parquet_files(f"{task.source}/parquet")
        target = _made(task)
        schema = pa.schema([pa.field("id", pa.string()), pa.field(SCORE, pa.float32())])
        for source in files:
            sink = f"{target}/{Path(source).name}"
            with (
                pq.ParquetFile(store.open_input_file(source)) as file,
                pq.ParquetWriter(sink, schema, filesystem=store) as writer,
            ):
                for batch in file.iter_batches(task.rows, columns=["id", "image"]):
                    scores = pa.array(FUNCTIONS[task.scorer](batch["image"]))
                    writer.write_batch(pa.record_batch([batch["id"], scores], schema=schema))


def _made(task: Task) -> str:
    store, path = filesystem(task.target)
    store.create_dir(path)
    return path


def lance_scores(uri: str, column: str) -> NDArray[np.float32]:
    """A column of a table, by id."""
    return by_id(lance.dataset(uri).to_table(columns=["id", column]).rename_columns(["id", SCORE]))


def parquet_scores(task: Task) -> NDArray[np.float32]:
    """The scores in the new files, by id."""
    store, path = filesystem(task.target)
    return by_id(pq.read_table(path, columns=["id", SCORE], filesystem=store))


def by_id(table: pa.Table) -> NDArray[np.float32]:
    """Ids ascend with the rows of the case."""
    return table.sort_by("id")[SCORE].to_numpy()
