"""Runs that the web UI or the daemon launched, when no code server of their home lives any more."""

from __future__ import annotations

import dagster as dg
from dagster._core.storage.dagster_run import ACTIVE_RUN_STATUSES
from dagster._core.storage.tags import GRPC_INFO_TAG

DIED = "the process of this run ended with lance-assets dev"


def fail_launched(instance: dg.DagsterInstance) -> list[str]:
    """Fails every launched run that counts as started and frees its pool slots; returns their ids. Queued runs stay.

    Only for whoever holds the home's dev lock and has no Dagster of the home running: Dagster itself does not notice
    such runs, they would keep their slots for ever.
    """
    launched = instance.get_runs(dg.RunsFilter(statuses=list(ACTIVE_RUN_STATUSES)))
    dead = [run for run in launched if GRPC_INFO_TAG in run.tags]
    for run in dead:
        instance.report_run_failed(run, DIED)
        instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
    return [run.run_id for run in dead]
