"""sft_dataset: which rows train and which are held out, pinned by a Lance tag."""

from collections.abc import Sequence
from functools import partial

import dagster as dg
import pyarrow as pa

from lance_assets.assets.common import PlatformParam, data_root, table_schema
from lance_assets.compute.drift import drift_limits
from lance_assets.compute.groups import content_groups
from lance_assets.compute.registry import active_scorers
from lance_assets.compute.scorers import SEEN_VERSION, SELECTION, selection_of
from lance_assets.preview.selection import makers_markdown, promotions_markdown, selection_markdown
from lance_assets.store.columns import column_of
from lance_assets.store.comparison import named_in
from lance_assets.store.promotions import promotions
from lance_assets.store.schema import IMAGES
from lance_assets.store.selection import COLUMNS, manifest_name, pin
from lance_assets.store.table import open_images
from lance_assets.store.trials import require_accepted


def sft_dataset_asset(deps: Sequence[dg.AssetKey]) -> dg.AssetsDefinition:
    """The asset, depending on every score column (a filter may name any of them)."""

    @dg.asset(
        deps=deps,
        group_name="training",
        code_version="2",
        kinds={"lance"},
        metadata={"dagster/column_schema": table_schema(pa.schema([IMAGES.field(name) for name in COLUMNS]))},
    )
    def sft_dataset(context: dg.AssetExecutionContext, platform: PlatformParam) -> dg.MaterializeResult:
        """The rows that train and those held out, pinned.

        A manifest: Lance version and tag, filter, split by content group, hash of the rows. Nothing is copied. The same
        selection gives the same manifest, so training is not repeated for nothing. Labels that fail the check `drift`
        of a column that the filter names are refused until they are promoted.
        """
        root, sft = data_root(platform), platform.config().sft
        scorers = active_scorers(platform)
        seen = open_images(root).version  # before it is looked at: what lands meanwhile is for the next time
        columns = list(map(column_of, scorers))
        used = named_in(sft.filter, columns)
        allow = partial(require_accepted, root, columns=used, limits=drift_limits(platform))
        manifest = pin(root, sft.filter, sft.split, columns, content_groups(platform, scorers), allow)
        promoted = [one for one in promotions(root) if one["column"] in manifest["scorers"]]
        excluded = manifest.get("excluded", {})
        left_out = "".join(f", {count} left out ({reason})" for reason, count in excluded.items() if count)
        context.log.info(f"{manifest['rows']['train']} rows to train on, {manifest['rows']['test']} held out{left_out}")
        return dg.MaterializeResult(
            metadata={
                "selection": dg.MetadataValue.md(selection_markdown(manifest)),
                "rows": manifest["rows"]["train"] + manifest["rows"]["test"],
                "rows_train": manifest["rows"]["train"],
                "rows_test": manifest["rows"]["test"],
                **{f"rows_{reason}": count for reason, count in excluded.items()},
                "filter": str(sft.filter),
                "scorers": dg.MetadataValue.md(makers_markdown(manifest["scorers"])),
                **({"promotions": dg.MetadataValue.md(promotions_markdown(promoted))} if promoted else {}),
                "lance_version": manifest["version"],
                "lance_tag": manifest["tag"],
                **{f"row_ids_{side}": f"{digest[:16]}…" for side, digest in manifest["row_ids_sha256"].items()},
                SEEN_VERSION: seen,
                SELECTION: selection_of(platform, scorers),
                "manifest": dg.MetadataValue.path(root.at(manifest_name(manifest["tag"]))),
            },
            data_version=dg.DataVersion(manifest["sha256"]),
        )

    return sft_dataset
