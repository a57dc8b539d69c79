"""evaluation: does the tuned model beat its base, and does it look at the picture?"""

from typing import Any

import dagster as dg
from dagster_ray import RayResource

from lance_assets.assets.checkpoint import qwen_vl_checkpoint
from lance_assets.assets.common import PlatformParam, forced
from lance_assets.compute.train import Places, assess, latest_checkpoint, manifest_of
from lance_assets.errors import BadInput
from lance_assets.preview.verdict import against_base_markdown, examples_markdown, facts_markdown

ROWS = 40


@dg.asset(deps=[qwen_vl_checkpoint], group_name="training", code_version="1", kinds={"ray", "pytorch"}, pool="gpu")
def evaluation(
    context: dg.AssetExecutionContext, platform: PlatformParam, ray_cluster: RayResource
) -> dg.MaterializeResult:
    """Does the tuned model beat its base, and does it look?

    Held-out loss and text overlap, base against tuned, and facts read from the screen against a model that is shown a
    blank image or another row's image.
    """
    places = Places(platform.home.models, platform.home.checkpoints)
    summary = latest_checkpoint(places)
    if summary is None:
        raise BadInput("there is no checkpoint yet: materialize qwen_vl_checkpoint first")
    manifest = manifest_of(summary)
    result = assess(manifest, summary, ROWS, context.log.info, forced(context))
    context.log.info(result["verdict"])
    return dg.MaterializeResult(metadata=_metadata(result) | _origin(summary, manifest))


def _metadata(result: dict[str, Any]) -> dict[str, Any]:
    return {
        "verdict": result["verdict"],
        "against_base": dg.MetadataValue.md(against_base_markdown(result)),
        "rows": result["rows"],
        "loss_base": result["loss"]["base"],
        "loss_tuned": result["loss"]["tuned"],
        "overlap_base": result["overlap"]["base"],
        "overlap_tuned": result["overlap"]["tuned"],
        "beats_base": result["beats_base"],
        "facts": dg.MetadataValue.md(facts_markdown(result["facts"])),
        "examples": dg.MetadataValue.md(examples_markdown(result["examples"])),
        "details": dg.MetadataValue.json(result),
    }


def _origin(summary: dict[str, Any], manifest: dict[str, Any]) -> dict[str, Any]:
    return {
        "checkpoint": dg.MetadataValue.asset(qwen_vl_checkpoint.key),
        "checkpoint_path": dg.MetadataValue.path(summary["path"]),
        "lance_version": manifest["version"],
        "lance_tag": manifest["tag"],
    }
