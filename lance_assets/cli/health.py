"""Whether what works by itself does: the daemon, sensors and schedules, and backfills under way."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

import dagster as dg
from dagster._core.execution.backfill import BULK_ACTION_TERMINAL_STATUSES, BulkActionStatus
from dagster._core.scheduler.instigation import InstigatorState, InstigatorStatus

from lance_assets.errors import in_one_line

#: A living daemon says so every 30 s.
SILENT_S = 90.0


def daemon(instance: dg.DagsterInstance, now: float | None = None) -> dict[str, Any]:
    """`alive`: some part of the daemon said so within SILENT_S; `silent`: parts that did not while another one did;
    `seen`: the last time, None = never; `errors`: what a part stumbled over last, by part."""
    beats = instance.get_daemon_heartbeats()
    now = time.time() if now is None else now
    ages = {name: now - beat.timestamp for name, beat in beats.items()}
    alive = any(age < SILENT_S for age in ages.values())
    return {
        "alive": alive,
        "seen": _when(max((beat.timestamp for beat in beats.values()), default=None)),
        "silent": sorted(name for name, age in ages.items() if age >= SILENT_S) if alive else [],
        "errors": {name: in_one_line(beat.errors[0].message) for name, beat in sorted(beats.items()) if beat.errors},
    }


def instigators(instance: dg.DagsterInstance, definitions: dg.Definitions) -> list[dict[str, Any]]:
    """Sensors and schedules, switched on or off by people or else by the code, and how their last tick ended."""
    known = [*(definitions.sensors or ()), *(definitions.schedules or ())]
    states = {state.instigator_name: state for state in instance.all_instigator_state()}
    found = []
    for one in known:
        name, default = one.name, getattr(one, "default_status", None)
        by_code = default in (dg.DefaultSensorStatus.RUNNING, dg.DefaultScheduleStatus.RUNNING)
        found.append({"name": name, **_state(instance, states.get(name), by_code)})
    return sorted(found, key=lambda one: one["name"])


def _state(instance: dg.DagsterInstance, state: InstigatorState | None, by_code: bool) -> dict[str, Any]:
    if state is None:
        return {"on": by_code, "ticked": None, "tick": None, "error": None}
    on = by_code if state.status == InstigatorStatus.DECLARED_IN_CODE else state.is_running
    ticks = instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=1)
    if not ticks:
        return {"on": on, "ticked": None, "tick": None, "error": None}
    last = ticks[0]
    error = in_one_line(last.error.message) if last.error else None
    return {"on": on, "ticked": _when(last.timestamp), "tick": last.status.value.lower(), "error": error}


def backfills(instance: dg.DagsterInstance) -> list[dict[str, Any]]:
    """Those that are not done yet."""
    open_ones = [status for status in BulkActionStatus if status not in BULK_ACTION_TERMINAL_STATUSES]
    found = (one for status in open_ones for one in instance.get_backfills(status=status))
    return [{"id": one.backfill_id, "title": one.title, "status": one.status.value.lower()} for one in found]


def _when(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def health_words(found: dict[str, Any]) -> list[str]:
    """The same for people, as lines of `status`."""
    said = found["daemon"]
    if said["alive"]:
        silent = f"; silent: {', '.join(said['silent'])}" if said["silent"] else ""
        lines = [f"daemon    alive{silent}"]
    else:
        lines = [f"daemon    NOT running, {'never seen' if said['seen'] is None else 'last seen ' + said['seen']}"]
    lines += [f"daemon    {name}: {error}" for name, error in said["errors"].items()]
    for one in found["automation"]:
        ticked = f", last look {one['ticked']}: {one['tick']}" if one["ticked"] else ", never looked"
        lines.append(f"{'on ' if one['on'] else 'off'}       {one['name']}{ticked}")
        lines += [f"          {one['error']}"] if one["error"] else []
    return lines
