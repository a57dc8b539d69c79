"""What went wrong in a run, in one line for each step that failed."""

from __future__ import annotations

from typing import Any

import dagster as dg

from lance_assets.errors import in_one_line


def failed_steps(instance: dg.DagsterInstance, run_id: str) -> list[tuple[str | None, str]]:
    """(step, what went wrong), in one line each; for a run that failed between its steps, one without a step."""
    found: list[tuple[str | None, str]] = []
    for event in events_of(instance, run_id, dg.DagsterEventType.STEP_FAILURE):
        data = event.step_failure_data
        found.append((event.step_key, _cause(data.user_failure_data, data.error)))
    if found:
        return found
    for kind in (dg.DagsterEventType.RUN_FAILURE, dg.DagsterEventType.RUN_CANCELED):
        for event in events_of(instance, run_id, kind):
            error = getattr(event.event_specific_data, "error", None)
            found.append((None, _cause(None, error, event.message)))
    return found or [(None, "it ended without success and gave no reason")]


def failures(instance: dg.DagsterInstance, run_id: str) -> list[str]:
    """The same as text: `step: what went wrong`."""
    return [f"{step or f'run {run_id}'}: {why}" for step, why in failed_steps(instance, run_id)]


def events_of(instance: dg.DagsterInstance, run_id: str, kind: dg.DagsterEventType) -> list[dg.DagsterEvent]:
    """The events of one kind that a run stored."""
    records = instance.get_records_for_run(run_id, of_type=kind).records
    return [record.event_log_entry.get_dagster_event() for record in records]


def _cause(failure: Any, error: Any, otherwise: str | None = "") -> str:
    """What the body said when it gave up, else the first error of the chain, else the event's own words."""
    if failure is not None and failure.description:
        return in_one_line(failure.description)
    while error is not None and error.cause is not None:
        error = error.cause
    return in_one_line(error.message if error is not None else otherwise or "")
