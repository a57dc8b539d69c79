"""The demo as a source: a ModelScope repository like any other, once its frames are published and served."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import AbstractContextManager
from pathlib import Path

from lance_assets.sources.base import Columns, SourceFile
from lance_assets.sources.demo.loopback import HOST
from lance_assets.sources.demo.publish import REPOSITORY, SHARD_ROWS, publish
from lance_assets.sources.demo.servers import DemoServers
from lance_assets.sources.modelscope import ModelScopeSource


class DemoSource(ModelScopeSource):
    """Frames of the game with captions, `rows` of them (whole shards), behind the loopback hub of `demo_dir`."""

    def __init__(
        self,
        id: str,
        demo_dir: Path,
        rows: int,
        seed: int,
        cache_dir: Path,
        columns: Columns | None = None,
        shard_rows: int = SHARD_ROWS,
    ) -> None:
        super().__init__(id, REPOSITORY, None, cache_dir, columns or Columns())
        self._servers = DemoServers(demo_dir)
        self._rows = rows
        self._seed = seed
        self._shard_rows = shard_rows

    def endpoint(self) -> str:
        """The stand-in of the hub."""
        return f"http://{HOST}:{self._servers.ports().hub}"

    def files(self) -> Generator[SourceFile]:
        """Publishes the shards that are missing, then lists what the hub has. Raises BadInput."""
        with self.serving():
            ports = self._servers.ports()
            publish(self._servers.demo_dir, self._rows, self._seed, ports.image, shard_rows=self._shard_rows)
            yield from super().files()

    def signature(self) -> str:
        """What there will be once it is asked for: nobody else adds frames."""
        return f"{self._rows} {self._seed} {self._shard_rows}"

    def own_hosts(self) -> frozenset[str]:
        """The image server, which is on loopback."""
        return frozenset({f"{HOST}:{self._servers.ports().image}"})

    def serving(self) -> AbstractContextManager[None]:
        """Both servers up while inside; may be nested."""
        return self._servers.serving()
