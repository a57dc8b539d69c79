"""Which score column is stale and why, always visible: the check `fresh` of each column, and a sensor that renews it.

Dagster itself cannot show that partitions are stale, and a changed scorer touches nothing until somebody relabels.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import dagster as dg

from lance_assets.assets.common import PlatformParam, data_root
from lance_assets.assets.scores import score_key
from lance_assets.checks.finding import Finding, evaluation
from lance_assets.compute.label import identity_of
from lance_assets.compute.registry import active_scorers, asked_scorers
from lance_assets.errors import BadInput, Unreachable
from lance_assets.settings import Platform
from lance_assets.store.backlog import backlog
from lance_assets.store.staleness import Identity, versions_in_use
from lance_assets.store.table import exists, open_images

FRESH = "fresh"
#: What the reasons of stale cells mean.
REASONS = {
    "new": "never scored",
    "version": "scored by another version",
    "config": "scored with another config",
    "failed": "failed in passing, to be tried again",
    "damaged": "damaged on disk",
    "unknown": "of unknown origin",
}


def fresh_spec(name: str) -> dg.AssetCheckSpec:
    return dg.AssetCheckSpec(
        FRESH,
        asset=score_key(name),
        description="No cell of the column is stale, in any batch: each was scored by the present version and config.",
    )


def fresh_checks(names: Sequence[str]) -> dg.AssetChecksDefinition:
    """The check of every column, as one op: staleness is found for all of them at once."""
    specs = {name: fresh_spec(name) for name in names}

    @dg.multi_asset_check(name="fresh_checks", specs=list(specs.values()), can_subset=True)
    def body(context: dg.AssetCheckExecutionContext, platform: PlatformParam) -> Iterable[Any]:
        chosen = {name: spec for name, spec in specs.items() if spec.key in context.selected_asset_check_keys}
        asked_scorers(platform, chosen)
        found = staleness(platform)
        for name, spec in specs.items():
            if name in chosen:
                yield evaluation(spec.key, found[name])
                yield dg.Output(None, output_name=spec.get_python_identifier())

    return body


@dg.sensor(
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Renews the check fresh of a score column where what is stale, or why, is not what it told last.",
)
def freshness(context: dg.SensorEvaluationContext, platform: PlatformParam) -> dg.SensorResult | dg.SkipReason:
    before: Mapping[str, str] = json.loads(context.cursor or "{}")
    try:
        found = staleness(platform)
    except (BadInput, Unreachable) as error:  # said on the tick, as the other sensors do
        return dg.SkipReason(str(error))
    now = {name: hashlib.sha256(one.text.encode()).hexdigest()[:16] for name, one in found.items()}
    changed = [name for name in found if now[name] != before.get(name)]
    if not changed:
        return dg.SkipReason("nothing changed")
    return dg.SensorResult(
        asset_events=[evaluation(fresh_spec(name).key, found[name]) for name in changed], cursor=json.dumps(now)
    )


def staleness(platform: Platform) -> dict[str, Finding]:
    """What is stale in each column of the platform, by scorer."""
    root, scorers = data_root(platform), active_scorers(platform)
    identities = {name: identity_of(scorer) for name, scorer in scorers.items()}
    if not exists(root):
        return {name: Finding(True, "no image is stored yet", severe=False) for name in scorers}
    dataset = open_images(root)
    stale = backlog(root, dataset, list(identities.values())).stale
    made = versions_in_use(root, dataset, list({column for found in stale.values() for column in found}))
    return {
        name: _finding(one, made.get(one.column, []), [found.get(one.column, {}) for found in stale.values()])
        for name, one in identities.items()
    }


def _finding(identity: Identity, made: Sequence[Mapping[str, str]], stale: Sequence[Mapping[str, int]]) -> Finding:
    """`stale`: rows by reason of each batch."""
    rows: Counter[str] = Counter()
    batches: Counter[str] = Counter()
    for one in stale:
        rows.update(one)
        batches.update(one.keys())
    now = f"version {identity.version}, config {identity.config_hash}"
    if not rows:
        return Finding(True, f"every cell is of {now}", {"stale_rows": 0}, severe=False)
    stored = ", ".join(f"version {one['version']}, config {one['config_hash']}" for one in made) or "nobody"
    why = "; ".join(
        f"{count} rows in {batches[reason]} batch{'es' if batches[reason] > 1 else ''} {REASONS.get(reason, reason)}"
        for reason, count in rows.items()
    )
    counts = {f"stale_{reason}": count for reason, count in rows.items()}
    text = f"{why}. The scorer is now {now}; labels are of {stored}"
    return Finding(False, text, {"stale_rows": sum(rows.values()), **counts}, severe=False)
