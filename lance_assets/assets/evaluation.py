"""evaluation: does the tuned model beat its base, and does it look at the picture?"""

from typing import Any

import dagster as dg
from dagster_ray import RayResource
from pydantic import Field

from lance_assets.assets.checkpoint import qwen_vl_checkpoint
from lance_assets.assets.common import PlatformParam, forced
from lance_assets.compute.train import (
    BLOCKING,
    CHECKS,
    Places,
    assess,
    known_facts,
    latest_checkpoint,
    manifest_of,
)
from lance_assets.errors import BadInput
from lance_assets.preview.verdict import against_base_markdown, examples_markdown, facts_markdown, slices_markdown


class Evaluating(dg.Config):
    """How thoroughly one materialization looks."""

    rows: int = Field(default=40, ge=1, description="held-out rows that are drawn; more of them add to the same")


@dg.asset(
    deps=[qwen_vl_checkpoint],
    group_name="training",
    code_version="2",
    kinds={"ray", "pytorch"},
    pool="gpu",
    check_specs=[dg.AssetCheckSpec(name, asset="evaluation", blocking=name in BLOCKING) for name in CHECKS],
)
def evaluation(
    context: dg.AssetExecutionContext, config: Evaluating, platform: PlatformParam, ray_cluster: RayResource
) -> dg.MaterializeResult:
    """Does the tuned model beat its base, and does it look?

    Held-out loss and text overlap, base against tuned, as a whole and by slice, and facts read from the picture against
    a model that is shown a blank image or another row's image. Its checks say whether the tuned model is better than
    its base, looks at the image, was not trained on held-out rows, and is no worse than the one evaluated before.
    """
    places = Places(platform.home.models, platform.home.checkpoints)
    summary = latest_checkpoint(places)
    if summary is None:
        raise BadInput("there is no checkpoint yet: materialize qwen_vl_checkpoint first")
    manifest = manifest_of(summary)
    facts = known_facts(platform.config().sources)
    result = assess(manifest, summary, config.rows, facts, context.log.info, forced(context))
    context.log.info(result["verdict"])
    for one in result["checks"]:
        context.log.info(f"{one['name']}: {'passed' if one['passed'] else 'FAILED'}, {one['why']}")
    return dg.MaterializeResult(
        metadata=_metadata(result) | _origin(summary, manifest),
        check_results=[
            dg.AssetCheckResult(passed=one["passed"], check_name=one["name"], metadata={"why": one["why"]})
            for one in result["checks"]
        ],
    )


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
        "loss_with_another_image": result["loss"]["other"],
        "facts": dg.MetadataValue.md(facts_markdown(result["facts"])),
        "slices": dg.MetadataValue.md(slices_markdown(result["slices"])),
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
