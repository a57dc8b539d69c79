"""sft_dataset: which rows train and which are held out, pinned by a Lance tag."""

from collections.abc import Sequence

import dagster as dg

from lance_assets.assets.common import PlatformParam, data_root
from lance_assets.compute.groups import content_groups
from lance_assets.compute.registry import active_scorers
from lance_assets.compute.scorers import SEEN_VERSION, SELECTION, selection_of
from lance_assets.store.columns import column_of
from lance_assets.store.selection import manifest_name, pin
from lance_assets.store.table import open_images


def sft_dataset_asset(deps: Sequence[dg.AssetKey]) -> dg.AssetsDefinition:
    """The asset, depending on every score column (a filter may name any of them)."""

    @dg.asset(deps=deps, group_name="training", code_version="2", kinds={"lance"})
    def sft_dataset(context: dg.AssetExecutionContext, platform: PlatformParam) -> dg.MaterializeResult:
        """The training set as a manifest: Lance version and tag, filter, split by content group, hash of the rows.

        Nothing is copied. The same selection gives the same manifest, so training is not repeated for nothing.
        """
        root, sft = data_root(platform), platform.config().sft
        scorers = active_scorers(platform)
        seen = open_images(root).version  # before it is looked at: what lands meanwhile is for the next time
        manifest = pin(root, sft.filter, sft.split, list(map(column_of, scorers)), content_groups(platform, scorers))
        excluded = manifest.get("excluded", {})
        left_out = "".join(f", {count} left out ({reason})" for reason, count in excluded.items() if count)
        context.log.info(f"{manifest['rows']['train']} rows to train on, {manifest['rows']['test']} held out{left_out}")
        return dg.MaterializeResult(
            metadata={
                "rows": manifest["rows"]["train"] + manifest["rows"]["test"],
                "rows_train": manifest["rows"]["train"],
                "rows_test": manifest["rows"]["test"],
                **{f"rows_{reason}": count for reason, count in excluded.items()},
                "filter": str(sft.filter),
                "scorers": dg.MetadataValue.json(manifest["scorers"]),
                "lance_version": manifest["version"],
                "lance_tag": manifest["tag"],
                "row_ids_sha256": dg.MetadataValue.json(manifest["row_ids_sha256"]),
                SEEN_VERSION: seen,
                SELECTION: selection_of(platform, scorers),
                "manifest": dg.MetadataValue.path(root.at(manifest_name(manifest["tag"]))),
            },
            data_version=dg.DataVersion(manifest["sha256"]),
        )

    return sft_dataset
