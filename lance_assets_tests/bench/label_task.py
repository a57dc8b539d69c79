"""What `bench label` has done in one process: a task, and the ways to do it."""

from __future__ import annotations

import json
import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow.fs as pafs
from numpy.typing import NDArray


@dataclass(frozen=True)
class Task:
    """Score every image of a case. `source` is where the case lies, a folder or the URI of a bucket's; `place` the same
    for what may be changed: there `platform` is a data root, `guide.lance` a table. `warm` is a small case of this
    machine, `work` an empty folder. `column` names the new column, `rows` are read at a time, `ray` is a cluster to
    join, and `others` are its processes."""

    scorer: str
    column: str
    batches: Sequence[str]
    rows: int
    source: str
    place: str
    warm: str
    work: str
    ray: str | None = None
    others: Sequence[int] = ()

    def as_json(self) -> str:
        return json.dumps(asdict(self))

    @property
    def target(self) -> str:
        """Where new Parquet files go; a folder of its own."""
        return f"{self.place}/{self.column}"


class Variant(ABC):
    """One way to label. Only `act` is measured. `reads` is the folder of the case whose files it reads."""

    name: str
    reads = "platform/images.lance/data"
    on_ray = False

    def start(self, task: Task) -> None:
        """What is up and warm before the clock starts: imports, a cluster."""
        return None

    @abstractmethod
    def act(self, task: Task) -> None: ...

    def scores(self, task: Task) -> NDArray[np.float32] | None:
        """What was stored, in the order of the rows; None where nothing was scored."""
        return None

    def stop(self, task: Task) -> None:
        """Takes away what would be in the way of the next one, and ends what it started."""
        return None


def filesystem(uri: str) -> tuple[pafs.FileSystem, str]:
    """Of a folder, or of a bucket with the credentials of the environment; and the path there."""
    if "://" not in uri:
        return pafs.LocalFileSystem(), uri
    endpoint = os.environ["AWS_ENDPOINT"].removeprefix("http://")
    store = pafs.S3FileSystem(
        access_key=os.environ["AWS_ACCESS_KEY_ID"],
        secret_key=os.environ["AWS_SECRET_ACCESS_KEY"],
        region=os.environ["AWS_REGION"],
        endpoint_override=endpoint,
        scheme="http",
    )
    return store, uri.removeprefix("s3://")


def parquet_files(folder: str) -> tuple[pafs.FileSystem, list[str]]:
    """Paths of the files in a folder, in the order of their rows."""
    store, path = filesystem(folder)
    found = [info.path for info in store.get_file_info(pafs.FileSelector(path)) if info.path.endswith(".parquet")]
    return store, sorted(found, key=lambda name: int(Path(name).stem.split("-")[-2]))


def delete(folder: str) -> None:
    """A folder and what is in it."""
    store, path = filesystem(folder)
    store.delete_dir(path)
