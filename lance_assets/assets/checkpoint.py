"""qwen_vl_checkpoint: a Qwen-VL fine-tuned by LLaMA-Factory straight from the Lance table."""

from typing import Any

import dagster as dg
from dagster_ray import RayResource
from pydantic import Field

from lance_assets.assets.common import PlatformParam, data_root, forced
from lance_assets.compute.train import Order, Places, fine_tune
from lance_assets.errors import BadInput
from lance_assets.preview.curve import curve_markdown
from lance_assets.preview.selection import selection_markdown
from lance_assets.preview.sparkline import sparkline_markdown
from lance_assets.store.selection import latest_manifest


class Training(dg.Config):
    """What one materialization does otherwise. `overrides` are LLaMA-Factory keys, checked as a recipe's are."""

    recipe: str | None = Field(default=None, description="a packaged recipe or a YAML file; None = platform.yaml's")
    overrides: dict[str, Any] = Field(default={}, description="keys of the recipe that are replaced")
    gpus: int | None = Field(default=None, ge=0, description="GPUs of one node; None = one, if there is one")


@dg.asset(
    deps=["sft_dataset"], group_name="training", code_version="1", kinds={"ray", "pytorch", "huggingface"}, pool="gpu"
)
def qwen_vl_checkpoint(
    context: dg.AssetExecutionContext, config: Training, platform: PlatformParam, ray_cluster: RayResource
) -> dg.MaterializeResult:
    """The tuned Qwen-VL, with the exact rows that it saw.

    Trained by LLaMA-Factory straight from the table, on sft_dataset's manifest, which lies beside its weights.
    """
    manifest = latest_manifest(data_root(platform))
    if manifest is None:
        raise BadInput("there is no training set yet: materialize sft_dataset first")
    home = platform.home
    places = Places(home.models, home.checkpoints)
    order = Order(config.recipe or platform.config().recipe, config.overrides, config.gpus)
    summary = fine_tune(manifest, order, places, context.run.run_id, context.log.info, forced(context))
    curve = [(point["step"], point["loss"]) for point in summary["curve"]]
    return dg.MaterializeResult(
        metadata={
            "loss": dg.MetadataValue.md(sparkline_markdown([loss for _, loss in curve], "training loss")),
            "trained_on": dg.MetadataValue.md(selection_markdown(manifest)),
            "training_set": dg.MetadataValue.asset(dg.AssetKey("sft_dataset")),
            "path": dg.MetadataValue.path(summary["path"]),
            "base": summary["base"],
            "rows": manifest["rows"]["train"],
            "lance_tag": manifest["tag"],
            "lance_version": manifest["version"],
            "steps": summary["steps"],
            "resumed_from_step": summary.get("resumed_from") or 0,
            "loss_first": round(summary["loss_first"], 4),
            "loss_last": round(summary["loss_last"], 4),
            "loss_curve": dg.MetadataValue.md(curve_markdown(curve, "training loss", "loss")),
            "seconds": summary["seconds"],
            "read": dg.MetadataValue.json(summary["reader"]),
        },
        data_version=dg.DataVersion(f"{manifest['sha256'][:16]}-{summary['recipe_sha256'][:16]}"),
    )
