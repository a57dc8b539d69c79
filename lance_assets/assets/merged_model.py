"""merged_model: the newest checkpoint as a model that loads without its base."""

import dagster as dg
from dagster_ray import RayResource

from lance_assets.assets.checkpoint import qwen_vl_checkpoint
from lance_assets.assets.common import PlatformParam
from lance_assets.compute.train import Places, latest_checkpoint, merged
from lance_assets.errors import BadInput


@dg.asset(deps=[qwen_vl_checkpoint], group_name="training", code_version="1", kinds={"ray", "pytorch", "huggingface"})
def merged_model(
    context: dg.AssetExecutionContext, platform: PlatformParam, ray_cluster: RayResource
) -> dg.MaterializeResult:
    """The adapter merged into its base, for whoever serves it; a checkpoint that was trained in full is passed on. Only
    made when asked for: it is as large as the base."""
    places = Places(platform.home.models, platform.home.checkpoints)
    summary = latest_checkpoint(places)
    if summary is None:
        raise BadInput("there is no checkpoint yet: materialize qwen_vl_checkpoint first")
    path, digests = merged(summary, places, context.log.info)
    return dg.MaterializeResult(
        metadata={
            "path": dg.MetadataValue.path(str(path)),
            "base": summary["base"],
            "merged": str(path) != summary["path"],
            "digests": dg.MetadataValue.json(digests),
        }
    )
