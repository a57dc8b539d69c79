"""Runs that a command line started and whose process is dead: without help they count as running for ever, and keep
their slots in pools. Whatever the daemon launched, Dagster's code server watches itself."""

import socket

import dagster as dg
import psutil
from dagster._core.storage.dagster_run import IN_PROGRESS_RUN_STATUSES

from lance_assets.compute.processes import same

#: Tag of a run that names its process.
PID_TAG = "lance_assets/process"


def process_tag() -> str:
    """Pid, start time and host of this process: a pid alone may be somebody else's by now, or on another machine."""
    me = psutil.Process()
    return f"{me.pid}-{int(me.create_time())}-{socket.gethostname()}"


def reap(instance: dg.DagsterInstance) -> list[str]:
    """Fails such runs and frees their slots; returns their ids."""
    dead: list[str] = []
    for run in dead_runs(instance):
        instance.report_run_failed(run, "the process of this run died")
        instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
        dead.append(run.run_id)
    return dead


def dead_runs(instance: dg.DagsterInstance) -> list[dg.DagsterRun]:
    """Runs that count as in progress although the command line that started them is gone. A re-execution from the UI
    carries the tags of its parent, but not its process."""
    open_runs = instance.get_runs(dg.RunsFilter(statuses=[*IN_PROGRESS_RUN_STATUSES, dg.DagsterRunStatus.NOT_STARTED]))
    ours = [run for run in open_runs if PID_TAG in run.tags and run.parent_run_id is None]
    return [run for run in ours if not _alive(run.tags[PID_TAG])]


def _alive(tag: str) -> bool:
    """Also where it cannot be known: on another machine. A tag of an earlier release names no host."""
    pid, started, host = [*tag.split("-", 2), ""][:3]
    if host and host != socket.gethostname():
        return True
    return pid.isdigit() and started.isdigit() and same(int(pid), int(started)) is not None


@dg.sensor(minimum_interval_seconds=30, default_status=dg.DefaultSensorStatus.RUNNING)
def free_dead_runs(context: dg.SensorEvaluationContext) -> dg.SkipReason:
    """Fails runs of the command line whose process died on this machine, so that nothing waits for their slots."""
    dead = reap(context.instance)
    return dg.SkipReason(f"marked as failed: {', '.join(dead)}" if dead else "every run has its process")
