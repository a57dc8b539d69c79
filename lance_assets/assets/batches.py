"""What a run tells Dagster of its batches, one by one: those that are done are done, whatever became of the others."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

import dagster as dg

from lance_assets.errors import in_one_line

#: What a body of batches yields.
Told = dg.AssetMaterialization | dg.MaterializeResult

#: So many failures are named; the others are counted.
NAMED = 5


class Batches:
    """Gathers what a body says of its batches while it goes on after a failing one."""

    def __init__(self, context: dg.AssetExecutionContext) -> None:
        self._context = context
        self._done: list[dg.AssetMaterialization] = []
        self._failed: list[str] = []

    def done(self, key: dg.AssetKey, batch: str, metadata: Mapping[str, Any]) -> None:
        """A batch of an asset that is stored, and what its page shows."""
        self._context.add_asset_metadata(metadata, asset_key=key, partition_key=batch)
        self._done.append(dg.AssetMaterialization(key, metadata=metadata, partition=batch))

    def failed(self, what: str, why: str) -> None:
        """Something that is not, and the reason."""
        self._failed.append(f"{what}: {in_one_line(why)}")

    def finish(self, told: Collection[dg.AssetKey] = ()) -> Iterator[dg.AssetMaterialization]:
        """To be yielded from at the end of a body. Where something failed, raises dg.Failure that names it; before,
        tells the batches that are done, of all assets but those `told` already: Dagster materializes nothing for a
        step that raises."""
        if self._failed:
            yield from (one for one in self._done if one.asset_key not in told)
            named = "; ".join(self._failed[:NAMED])
            raise dg.Failure(f"{len(self._failed)} failed, the others are done: {named}", allow_retries=False)
