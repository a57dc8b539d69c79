"""discover_batches: refills Dagster's partitions from the catalog and from what the sources have now."""

import dagster as dg

from lance_assets.automation.planner import look
from lance_assets.errors import BadInput
from lance_assets.partitions import PARTITIONS
from lance_assets.settings import Platform
from lance_assets.sources.open import open_source
from lance_assets.store.captions import footers
from lance_assets.store.files import DataRoot


@dg.op
def discover_new_batches(context: dg.OpExecutionContext, platform: dg.ResourceParam[Platform]) -> None:
    """Registers every batch of the catalog and every range of rows that no batch covers yet. Removes none.

    Batches of which a row changed in the source, and files that are gone from it, are named in the metadata.
    """
    raise_unread(register_new(context, platform))


def register_new(context: dg.OpExecutionContext, platform: Platform) -> list[str]:
    """Does so and returns why sources could not be read, one line each; the others are done."""
    config, stored = platform.config(), footers(DataRoot(platform.home.data))
    known = {*context.instance.get_dynamic_partitions(PARTITIONS), *stored}
    found: list[str] = []
    changed: list[str] = []
    gone: list[str] = []
    failed: list[str] = []
    for entry in config.sources:
        try:
            source = open_source(**platform.source_arguments(entry))
            seen = look(source, known, stored, config.batch_rows(entry), entry.rows)
        except BadInput as error:  # the other sources go on; all that failed are named at the end
            failed.append(str(error))
            continue
        context.log.info(f"source {entry.id} ({entry.spec}): {seen.in_words()}")
        found += seen.new
        changed += seen.changed
        gone += [f"{entry.id}: {path}" for path in seen.gone]
    context.instance.add_dynamic_partitions(PARTITIONS, [*sorted(known), *found])
    counts = {"batches": len(known) + len(found), "new": len(found), "changed": len(changed), "gone": len(gone)}
    names = {"new_keys": found[:50], "changed_keys": changed[:50], "gone_files": gone[:50]}
    context.add_output_metadata({**counts, **names})
    return failed


def raise_unread(failed: list[str]) -> None:
    if failed:
        raise dg.Failure("; ".join(failed), allow_retries=False)


@dg.job(
    description="Looks at every source for rows that no batch covers yet and registers them as partitions.",
    executor_def=dg.in_process_executor,
)
def discover_batches() -> None:
    discover_new_batches()
