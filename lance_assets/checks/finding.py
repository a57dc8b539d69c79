"""What a check found, and how Dagster is told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import dagster as dg

from lance_assets.partitions import PARTITIONS, batch_keys


@dataclass(frozen=True)
class Finding:
    """`text` is one sentence for people; `severe` = a failure is an error, not a warning."""

    passed: bool
    text: str
    metadata: Mapping[str, Any] = field(default_factory=dict)
    severe: bool = True


def batches_of(context: dg.AssetCheckExecutionContext) -> Sequence[str]:
    """The batches of a run; all of them where somebody started a check without naming any."""
    if context.has_partition_key or context.has_partition_key_range:
        return context.partition_keys
    return batch_keys(context.instance.get_dynamic_partitions(PARTITIONS))


def evaluation(key: dg.AssetCheckKey, finding: Finding, batch: str | None = None) -> dg.AssetCheckEvaluation:
    """The event of a finding. An AssetCheckResult cannot name its partition, so a run over many could not tell them;
    and one of a blocking check would fail its step, where downstream is to say itself why it refuses."""
    return dg.AssetCheckEvaluation(
        asset_key=key.asset_key,
        check_name=key.name,
        passed=finding.passed,
        description=finding.text,
        metadata=dict(finding.metadata),
        severity=dg.AssetCheckSeverity.ERROR if finding.severe else dg.AssetCheckSeverity.WARN,
        partition=batch,
    )
