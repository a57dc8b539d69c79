"""The only wiring. Read top to bottom: the order is the order of the lineage."""

from __future__ import annotations

import dagster as dg

from lance_assets.assets.checkpoint import qwen_vl_checkpoint
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
from lance_assets.automation.jobs import discover_batches
from lance_assets.automation.run_log import run_log
from lance_assets.compute.cluster import RayCluster
from lance_assets.compute.labeller import Labeller
from lance_assets.compute.registry import active_scorers
from lance_assets.scoring.api import Scorer
from lance_assets.scoring.registry import reads
from lance_assets.settings import Home, Platform


def build(platform: Platform) -> dg.Definitions:
    """The definitions of one platform. Reads platform.yaml; no network, no table."""
    config = platform.config()
    scorers = active_scorers(platform)
    across = [scorer for scorer in scorers.values() if scorer.across]
    own = {name: one for name, one in scorers.items() if not one.across and (one.served or reads(one))}
    light = {name: one for name, one in scorers.items() if not one.across and name not in own}
    return dg.Definitions(
        assets=[
            raw_captions,
            image_dataset,
            *([light_scores(light)] if light else []),
            *([alignment_model] if "alignment" in own else []),
            *([labeller_checkpoint] if any(isinstance(scorer, Labeller) for scorer in own.values()) else []),
            *(own_score(scorer, _models_of(scorer)) for scorer in own.values()),
            *(duplicate_score(scorer) for scorer in across),
            sft_dataset_asset([score_key(name) for name in scorers]),
            qwen_vl_checkpoint,
            merged_model,
            evaluation,
        ],
        jobs=[discover_batches],
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
