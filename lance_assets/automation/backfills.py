"""Jobs that ask for a backfill: `seed`, the first fill of all that the sources have, and `relabel_column`.

Dagster cannot backfill a job in ranges, so each adds a backfill of assets, which the daemon turns into one run per
contiguous range. Bodies plan against the store: what is done already costs a look, and a run that dies is started
again where it stopped.
"""

import time
from collections.abc import Mapping, Sequence

import dagster as dg
from dagster._core.definitions.assets.graph.asset_graph import AssetGraph
from dagster._core.execution.backfill import PartitionBackfill
from dagster._core.utils import make_new_backfill_id

from lance_assets.automation.jobs import raise_unread, register_new
from lance_assets.errors import BadInput
from lance_assets.partitions import PARTITIONS, batch_keys
from lance_assets.settings import Platform
from lance_assets.store.backlog import backlog
from lance_assets.store.columns import column_of, scorer_of
from lance_assets.store.files import DataRoot
from lance_assets.store.table import exists, open_images
from lance_assets.tags import FORCE_TAG

FILLED = (dg.AssetKey(["raw_captions"]), dg.AssetKey(["image_dataset"]))
#: As in assets.common, which this room does not know.
BATCHES = dg.DynamicPartitionsDefinition(name=PARTITIONS)
#: A run whose process dies is started again so often (deploy/dagster.yaml: never by default, since sensors ask again).
RETRIES = {"dagster/max_retries": "2"}


def request_backfill(
    instance: dg.DagsterInstance,
    assets: Sequence[dg.AssetKey],
    batches: Sequence[str],
    title: str,
    tags: Mapping[str, str],
) -> str:
    """Asks for these assets in these batches; returns the id of the backfill. Nothing runs before the daemon does."""
    # The daemon looks at the real graph; here only the partitions of the assets are asked for.
    specs = [dg.AssetSpec(key, partitions_def=BATCHES) for key in assets]
    graph = AssetGraph.from_assets([dg.AssetsDefinition(specs=specs)])
    backfill = PartitionBackfill.from_asset_partitions(
        backfill_id=make_new_backfill_id(),
        asset_graph=graph,
        partition_names=batches,
        asset_selection=assets,
        backfill_timestamp=time.time(),
        tags=tags,
        dynamic_partitions_store=instance,
        all_partitions=False,
        title=title,
        description=None,
        run_config=None,
    )
    instance.add_backfill(backfill)
    return backfill.backfill_id


def stored_batches(root: DataRoot) -> set[str]:
    """Keys of the batches of which a row is stored."""
    if not exists(root):
        return set()
    return set(backlog(root, open_images(root), []).stale)


@dg.op
def discover_and_fill(context: dg.OpExecutionContext, platform: dg.ResourceParam[Platform]) -> None:
    """Registers new batches and asks for captions and images of all that have no row yet. Labels follow by the relabel
    sensor. A source that cannot be read is named at the end; the others are filled."""
    unread = register_new(context, platform)
    stored = stored_batches(DataRoot(platform.home.data))
    known = batch_keys(context.instance.get_dynamic_partitions(PARTITIONS))
    batches = [key for key in known if key not in stored]
    _request(context, FILLED, batches, "first fill", {})
    raise_unread(unread)


@dg.job(
    description="First fill: registers every batch that the sources have and asks for the captions and images of those "
    "that have none. Labels follow by the relabel sensor.",
    executor_def=dg.in_process_executor,
    tags=RETRIES,
)
def seed() -> None:
    discover_and_fill()


class Relabel(dg.Config):
    """`column` is the name of a scorer; `force` scores every row again, also where nothing is stale."""

    column: str
    force: bool = False


def relabel_column_job(scorers: Sequence[str]) -> dg.JobDefinition:
    """The job, for the scorers that there are."""

    @dg.op
    def relabel_stored_batches(
        context: dg.OpExecutionContext, config: Relabel, platform: dg.ResourceParam[Platform]
    ) -> None:
        """Asks for a score column in every batch that has images. Raises BadInput for one that is no asset."""
        name = scorer_of(config.column)
        if name not in scorers:
            raise BadInput(f"there is no score column {config.column!r}: platform.yaml has {', '.join(scorers)}")
        stored = stored_batches(DataRoot(platform.home.data))
        batches = [one for one in context.instance.get_dynamic_partitions(PARTITIONS) if one in stored]
        tags = {FORCE_TAG: "true"} if config.force else {}
        _request(context, [dg.AssetKey(["score", name])], batches, f"relabel {column_of(name)}", tags)

    @dg.job(
        description="Asks for one score column in every stored batch: stale cells only, or with force every row.",
        executor_def=dg.in_process_executor,
        tags=RETRIES,
    )
    def relabel_column() -> None:
        relabel_stored_batches()

    return relabel_column


def _request(
    context: dg.OpExecutionContext,
    assets: Sequence[dg.AssetKey],
    batches: Sequence[str],
    title: str,
    tags: Mapping[str, str],
) -> None:
    found: dict[str, str | int] = {"batches": len(batches)}
    if batches:
        found["backfill"] = request_backfill(context.instance, assets, batches, title, {**tags, **RETRIES})
        context.log.info(f"asked for {len(batches)} batches: backfill {found['backfill']}, done by the daemon")
    else:
        context.log.info("no batch needs it")
    context.add_output_metadata(found)
