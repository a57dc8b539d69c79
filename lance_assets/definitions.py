"""The only wiring. Read top to bottom: the order is the order of the lineage."""

from __future__ import annotations

import dagster as dg

from lance_assets.assets.checkpoint import qwen_vl_checkpoint
from lance_assets.assets.data_card import data_card
from lance_assets.assets.evaluation import evaluation
from lance_assets.assets.image_dataset import image_dataset
from lance_assets.assets.merged_model import merged_model
from lance_assets.assets.raw_captions import raw_captions
from lance_assets.assets.scores import (
    alignment_model,
    duplicate_score,
    labeller_checkpoint,
    light_scores,
    own_score,
    score_key,
)
from lance_assets.assets.sft_dataset import sft_dataset_asset
from lance_assets.automation.alerts import alert_on_failure
from lance_assets.automation.backfills import relabel_column_job, seed
from lance_assets.automation.check_batches import check_after_failure, check_batches_job
from lance_assets.automation.dead_runs import free_dead_runs
from lance_assets.automation.jobs import discover_batches
from lance_assets.automation.maintenance import maintenance, nightly_maintenance
from lance_assets.automation.run_log import run_log
from lance_assets.automation.sensors import sensors
from lance_assets.checks.fresh import fresh_checks, freshness
from lance_assets.checks.images import image_checks
from lance_assets.checks.scores import score_checks
from lance_assets.checks.trials import trials
from lance_assets.compute.cluster import RayCluster
from lance_assets.compute.labeller import Labeller
from lance_assets.compute.registry import active_scorers
from lance_assets.scoring.api import Scorer
from lance_assets.scoring.registry import in_the_pass
from lance_assets.settings import Home, Platform


def build(platform: Platform) -> dg.Definitions:
    """The definitions of one platform. Reads platform.yaml; no network, no table."""
    config = platform.config()
    scorers = active_scorers(platform)
    across = [scorer for scorer in scorers.values() if scorer.across]
    light = {name: one for name, one in scorers.items() if in_the_pass(one)}
    own = {name: one for name, one in scorers.items() if not one.across and name not in light}
    by_batch = [
        image_checks,
        *([score_checks("light_scores", light)] if light else []),
        *(score_checks(f"{one.name}_score", {one.name: one}) for one in (*own.values(), *across)),
    ]
    checking = check_batches_job(by_batch)
    return dg.Definitions(
        assets=[
            *dg.with_source_code_references([raw_captions, image_dataset]),
            *([light_scores(light)] if light else []),
            *(dg.with_source_code_references([alignment_model]) if "alignment" in own else []),
            *([labeller_checkpoint] if any(isinstance(scorer, Labeller) for scorer in own.values()) else []),
            *(own_score(scorer, _models_of(scorer)) for scorer in own.values()),
            *(duplicate_score(scorer) for scorer in across),
            *dg.with_source_code_references(
                [
                    sft_dataset_asset([score_key(name) for name in scorers]),
                    data_card,
                    qwen_vl_checkpoint,
                    merged_model,
                    evaluation,
                ]
            ),
        ],
        asset_checks=[*by_batch, fresh_checks(list(scorers))],
        jobs=[seed, discover_batches, relabel_column_job(list(scorers)), checking, maintenance],
        schedules=[nightly_maintenance],
        sensors=[
            *sensors(platform, list(scorers)),
            freshness,
            check_after_failure(checking, by_batch),
            trials,
            free_dead_runs,
            alert_on_failure,
        ],
        resources={
            "platform": platform,
            "ray_cluster": RayCluster(address=config.ray.address, num_cpus=config.ray.num_cpus),
        },
        executor=dg.in_process_executor,  # Ray does the parallel work; one cluster per run, not per step
        loggers={"console": run_log},
    )


def _models_of(scorer: Scorer) -> list[dg.AssetKey]:
    if isinstance(scorer, Labeller):
        return [labeller_checkpoint.key]
    return [alignment_model.key] if scorer.name == "alignment" else []


defs = build(Platform(Home.find()))
