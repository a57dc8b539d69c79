"""maintenance: compaction, cleanup and verification of the tables, as `lance-assets maintain` does them, at night."""

from datetime import timedelta

import dagster as dg

from lance_assets.automation.backfills import RETRIES
from lance_assets.settings import Platform
from lance_assets.store.cleanup import cleanup
from lance_assets.store.compact import compact
from lance_assets.store.files import DataRoot
from lance_assets.store.table import exists
from lance_assets.store.verify import verify

#: Problems that the error names; the metadata counts all.
NAMED = 5


class Upkeep(dg.Config):
    """`rows` of a fragment after compaction; versions and files younger than `days` stay."""

    rows: int = 10_000
    days: int = 7


@dg.op
def compact_batches(context: dg.OpExecutionContext, config: Upkeep, platform: dg.ResourceParam[Platform]) -> None:
    """Merges small fragments inside each batch; one that somebody writes is left for the next time."""
    root = DataRoot(platform.home.data)
    done = compact(root, config.rows, report=context.log.info) if exists(root) else []
    context.add_output_metadata({"batches": len(done), "rows_moved": sum(one.rows for one in done)})


@dg.op(ins={"compacted": dg.In(dg.Nothing)})
def clean_up_versions(context: dg.OpExecutionContext, config: Upkeep, platform: dg.ResourceParam[Platform]) -> None:
    """Removes old versions that no tag protects, and files that nobody will ever refer to."""
    root = DataRoot(platform.home.data)
    if not exists(root):
        return
    done = cleanup(root, timedelta(days=config.days))
    context.log.info(f"{done.versions} versions and {len(done.expired)} files removed, {done.bytes / 1e6:.1f} MB")
    counts = {"versions": done.versions, "files": len(done.expired), "bytes": done.bytes, "kept_tags": len(done.kept)}
    context.add_output_metadata({**counts, "busy": done.busy})


@dg.op(ins={"cleaned": dg.In(dg.Nothing)})
def verify_files(context: dg.OpExecutionContext, platform: dg.ResourceParam[Platform]) -> None:
    """Looks at every file, not at every image. Fails where something is wrong, so that the alert goes out; what to do
    about it is for people: `lance-assets maintain verify --relabel`."""
    root = DataRoot(platform.home.data)
    if not exists(root):
        return
    found = verify(root)
    context.add_output_metadata({"files": found.files, "problems": len(found.problems), "orphans": len(found.orphans)})
    if not found.clean:
        said = [f"{one.kind} {one.file} of batch {one.batch}: {one.detail}" for one in found.problems[:NAMED]]
        raise dg.Failure(f"{len(found.problems)} problems: {'; '.join(said)}", allow_retries=False)


@dg.job(
    description="Compaction, cleanup and verification of the tables. Safe while others work.",
    executor_def=dg.in_process_executor,
    tags=RETRIES,
)
def maintenance() -> None:
    verify_files(cleaned=clean_up_versions(compacted=compact_batches()))


#: Off until somebody switches it on: how long old versions are wanted is not for us to say.
nightly_maintenance = dg.ScheduleDefinition(
    name="nightly_maintenance",
    job=maintenance,
    cron_schedule="30 3 * * *",
    default_status=dg.DefaultScheduleStatus.STOPPED,
)
