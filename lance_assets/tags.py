"""Names of the tags of Dagster runs by which rooms that do not know each other understand one another."""

from __future__ import annotations

#: A run that does its work although nothing is stale.
FORCE_TAG = "lance_assets/force"
#: A run that a sensor asked for: which one, why, and what it would be made of (JSON by asset, see requests.Attempts).
AUTOMATION_TAG, REASON_TAG, MADE_TAG = "lance_assets/automation", "lance_assets/relabel_reason", "lance_assets/made"
#: A run that loads rejected rows again: a reason, or ANY.
RETRY_TAG, ANY = "lance_assets/retry", "any"

#: Dagster's own.
PRIORITY_TAG = "dagster/priority"
PARTITION = "dagster/partition"
RANGE_START, RANGE_END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"


def of_range(ends: tuple[str, str] | None) -> dict[str, str]:
    """The tags of a run for the partitions from the first to the last of `ends`; of one without partitions (None)."""
    if ends is None:
        return {}
    first, last = ends
    return {PARTITION: first} if first == last else {RANGE_START: first, RANGE_END: last}
