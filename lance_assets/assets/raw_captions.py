"""raw_captions[batch]: what the source says about each picture."""

from collections.abc import Iterable

import dagster as dg

from lance_assets.assets.batches import Batches, Told
from lance_assets.assets.common import BATCHES, PlatformParam, data_root, table_schema
from lance_assets.assets.sources import source_of
from lance_assets.compute.captions import Surveyed, collect
from lance_assets.partitions import Batch
from lance_assets.store.captions import captions_name
from lance_assets.store.schema import CAPTIONS


@dg.asset(
    partitions_def=BATCHES,
    group_name="ingest",
    code_version="1",
    kinds={"parquet", "modelscope"},
    backfill_policy=dg.BackfillPolicy.single_run(),
    metadata={"dagster/column_schema": table_schema(CAPTIONS)},
)
def raw_captions(context: dg.AssetExecutionContext, platform: PlatformParam) -> Iterable[Told]:
    """What the source says: image URLs and captions.

    Every row of a batch, parsed and marked.
    A missing caption gets the default description and `caption_missing`; a row without URL or that cannot be read
    keeps its place with a `problem` and ends in the rejects. Where the file of a batch changed, its rows are read anew.
    """
    batches = Batches(context)
    sources: dict[str, Surveyed] = {}
    for key in context.partition_keys:
        try:
            id = Batch.parse(key).source
            if id not in sources:
                sources[id] = Surveyed(source_of(platform, id))
            table = collect(data_root(platform), sources[id], key)
        except Exception as error:  # one batch never stops the others; all are named at the end
            batches.failed(key, str(error))
            continue
        context.log.info(f"{key}: {table.num_rows} captions")
        batches.done(
            context.asset_key,
            key,
            {
                "rows": table.num_rows,
                "dagster/partition_row_count": table.num_rows,
                "captions_missing": table["caption_missing"].to_pylist().count(True),
                "problems": table.num_rows - table["problem"].null_count,
                "example": table["caption"][0].as_py()[:300] if table.num_rows else "",
                "dagster/uri": data_root(platform).at(captions_name(key)),
            },
        )
    yield from batches.finish()
    yield dg.MaterializeResult()
