"""discover_batches: refills Dagster's partitions from the catalog and from what the sources have now."""

import dagster as dg

from lance_assets.automation.planner import discover
from lance_assets.partitions import PARTITIONS
from lance_assets.settings import Platform
from lance_assets.sources.open import open_source
from lance_assets.store.captions import catalog
from lance_assets.store.files import DataRoot


@dg.op
def discover_new_batches(context: dg.OpExecutionContext, platform: dg.ResourceParam[Platform]) -> None:
    """Registers every batch of the catalog and every range of rows that no batch covers yet. Removes none."""
    config = platform.config()
    known = {*context.instance.get_dynamic_partitions(PARTITIONS), *catalog(DataRoot(platform.home.data))}
    found: list[str] = []
    for entry in config.sources:
        source = open_source(**platform.source_arguments(entry))
        new = discover(source, known, config.batch_rows(entry), entry.rows)
        context.log.info(f"source {entry.id} ({entry.spec}): {len(new)} new batches")
        found += new
    context.instance.add_dynamic_partitions(PARTITIONS, [*sorted(known), *found])
    context.add_output_metadata({"batches": len(known) + len(found), "new": len(found), "new_keys": found[:50]})


@dg.job(
    description="Looks at every source for rows that no batch covers yet and registers them as partitions.",
    executor_def=dg.in_process_executor,
)
def discover_batches() -> None:
    discover_new_batches()
