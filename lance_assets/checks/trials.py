"""The sensor `trials`: evaluates the check drift of batches on trial that no run checked.

Dagster skips the checks of a run in which one batch failed, of its good batches, too; their labels would stay on trial
until somebody starts the check by hand.
"""

import hashlib
from collections.abc import Iterator

import dagster as dg
import lance

from lance_assets.assets.common import PlatformParam, data_root
from lance_assets.assets.scores import score_key
from lance_assets.checks.finding import evaluation
from lance_assets.checks.scores import DRIFT, Column
from lance_assets.compute.drift import drift_limits
from lance_assets.compute.registry import active_scorers
from lance_assets.errors import BadInput, Unreachable
from lance_assets.settings import Platform
from lance_assets.store.claims import Busy
from lance_assets.store.table import exists, open_images
from lance_assets.store.trials import comparable, judge_now, unjudged

#: So many batches are compared on a tick.
MOST = 20


@dg.sensor(
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Evaluates the check drift of batches whose run failed before its checks.",
)
def trials(context: dg.SensorEvaluationContext, platform: PlatformParam) -> dg.SensorResult | dg.SkipReason:
    """A table that was looked through is not looked at again with the same limits. Batches that somebody works on
    wait for a later tick."""
    try:
        if not exists(data_root(platform)):
            return dg.SkipReason("no image is stored yet")
        dataset = open_images(data_root(platform))
        seen = hashlib.sha256(f"{dataset.version} {drift_limits(platform)}".encode()).hexdigest()[:16]
        if context.cursor == seen:
            return dg.SkipReason("nothing changed")
        waiting = list(_waiting(platform, dataset))
        done = [one for column, batch in waiting[:MOST] if (one := _evaluated(column, batch))]
    except (BadInput, Unreachable) as error:  # said on the tick, as the other sensors do
        return dg.SkipReason(str(error))
    return dg.SensorResult(asset_events=done, cursor=seen if len(done) == len(waiting) else None)


def _waiting(platform: Platform, dataset: lance.LanceDataset) -> Iterator[tuple[Column, str]]:
    for scorer in active_scorers(platform).values():
        if comparable(scorer.type) and not scorer.across:
            column = Column(platform, scorer)
            for batch in unjudged(column.root, dataset, column.name, drift_limits(platform)):
                yield column, batch


def _evaluated(column: Column, batch: str) -> dg.AssetCheckEvaluation | None:
    try:
        report = judge_now(column.root, column.name, batch, drift_limits(column.platform))
    except Busy:
        return None
    return evaluation(dg.AssetCheckKey(score_key(column.scorer.name), DRIFT), column.drifted(report), batch)
