"""image_dataset[batch]: the pictures of a batch, downloaded, checked and stored once in the Lance table."""

from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import Any

import dagster as dg
from dagster_ray import RayResource

from lance_assets.assets.batches import Batches, Told
from lance_assets.assets.common import BATCHES, PlatformParam, data_root, ingest_mode, table_schema
from lance_assets.assets.raw_captions import raw_captions
from lance_assets.assets.sources import plan_of, source_of
from lance_assets.compute.ingest import Ingested, ingest
from lance_assets.compute.preview import sample_sheet
from lance_assets.partitions import Batch
from lance_assets.preview.rejects import rejects_markdown
from lance_assets.settings import Platform
from lance_assets.store.metadata import write_metadata
from lance_assets.store.rejects import read_rejects
from lance_assets.store.schema import IMAGES
from lance_assets.store.table import refresh_index


@dg.asset(
    deps=[raw_captions],
    partitions_def=BATCHES,
    group_name="ingest",
    code_version="1",
    kinds={"ray", "lance"},
    pool="images",
    backfill_policy=dg.BackfillPolicy.single_run(),
    metadata={"dagster/column_schema": table_schema(IMAGES)},
)
def image_dataset(
    context: dg.AssetExecutionContext, platform: PlatformParam, ray_cluster: RayResource
) -> Iterable[Told]:
    """The pictures, downloaded, checked and stored once.

    One row per picture, with its caption as a conversation; one atomic commit per batch. Downloads over Ray Data with
    retries and limits; what cannot be stored goes to the rejects with a typed reason. Running a batch again loads only
    rows that changed. The tag lance_assets/force asks every server whether its image is still the same;
    lance_assets/retry tries rejects again, of one reason or "any" that may go better by now.

    `rows_asked` = `rows_stored` + `rows_rejected`, which the check `complete` proves; `rejected` says why rows are not
    there, `samples` are pictures spread over the batch.
    """
    batches, stored = Batches(context), 0
    for source_id, keys in groupby(context.partition_keys, key=lambda key: Batch.parse(key).source):
        source = source_of(platform, source_id)
        mode = ingest_mode(context)
        with source.serving():
            for done in ingest(plan_of(platform, source), list(keys), context.run.run_id, context.log.info, mode):
                if done.failure:
                    batches.failed(done.batch, done.failure)
                else:
                    batches.done(context.asset_key, done.batch, _shown(platform, done))
                    stored += 1
    if stored:
        refresh_index(data_root(platform))
        write_metadata(data_root(platform), "image_dataset")
    yield from batches.finish()
    yield dg.MaterializeResult()


def _shown(platform: Platform, done: Ingested) -> Mapping[str, Any]:
    root = data_root(platform)
    return {
        "rows_asked": done.asked,
        "rows_stored": done.stored,
        "rows_rejected": sum(done.rejected.values()),
        **{f"rejected_{reason}": count for reason, count in done.rejected.items()},
        "dagster/partition_row_count": done.stored,
        "lance_version": done.version,
        "new": done.changed,
        "downloaded": done.downloaded,
        "kept": done.kept,
        "images_per_second": round(done.downloaded / done.seconds, 1) if done.seconds else 0.0,
        "megabytes": round(done.bytes / 1e6, 2),
        "megabytes_per_second": round(done.bytes / 1e6 / done.seconds, 2) if done.seconds else 0.0,
        "samples": dg.MetadataValue.md(sample_sheet(root, done.batch)),
        "rejected": dg.MetadataValue.md(rejects_markdown(read_rejects(root, done.batch).to_pylist())),
        "dagster/uri": root.images,
    }
