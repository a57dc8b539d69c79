"""What every asset body needs and nothing else: partitions, properties of a run."""

from datetime import UTC, datetime

import dagster as dg
import pyarrow as pa

from lance_assets.compute.ingest import Mode
from lance_assets.partitions import PARTITIONS
from lance_assets.settings import Platform
from lance_assets.store.files import DataRoot
from lance_assets.store.schema import DESCRIPTIONS
from lance_assets.tags import ANY, AUTOMATION_TAG, FORCE_TAG, RETRY_TAG

#: One partition per batch; a cache of data/captions, refilled by the job discover_batches.
BATCHES = dg.DynamicPartitionsDefinition(name=PARTITIONS)

PlatformParam = dg.ResourceParam[Platform]


def table_schema(schema: pa.Schema) -> dg.TableSchema:
    """An Arrow schema with the descriptions of its fields, as Dagster's Columns section wants it."""
    return dg.TableSchema(
        columns=[dg.TableColumn(field.name, str(field.type), DESCRIPTIONS.get(field.name)) for field in schema]
    )


def data_root(platform: Platform) -> DataRoot:
    return DataRoot(platform.home.data)


def forced(context: dg.AssetExecutionContext) -> bool:
    return context.run.tags.get(FORCE_TAG, "").lower() in ("1", "true", "yes")


def due_at(context: dg.AssetExecutionContext) -> datetime | None:
    """The time at which failures that back off are left alone: a sensor asks only for what is due. Whatever people ask
    for is tried at once (None)."""
    return datetime.now(UTC) if AUTOMATION_TAG in context.run.tags else None


def ingest_mode(context: dg.AssetExecutionContext) -> Mode:
    """What the tags of a run ask of image_dataset."""
    retry = context.run.tags.get(RETRY_TAG)
    return Mode(forced(context), retry is not None, None if retry == ANY else retry)
