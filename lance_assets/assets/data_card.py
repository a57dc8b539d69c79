"""data_card: what the data set is, counted from the table: for whoever is to use it, or to answer for it."""

import dagster as dg

from lance_assets.assets.common import PlatformParam, data_root
from lance_assets.audit.card import data_card as counted
from lance_assets.compute.checkpoints import finished_checkpoints
from lance_assets.preview.card import html, markdown
from lance_assets.store.files import write

#: Beside the table.
MARKDOWN, HTML = "data_card.md", "data_card.html"
#: Characters of Markdown that an event carries; the file has all.
SHOWN = 40_000


@dg.asset(deps=["sft_dataset"], group_name="training", code_version="1", kinds={"markdown"})
def data_card(context: dg.AssetExecutionContext, platform: PlatformParam) -> dg.MaterializeResult:
    """Counts, sources, rights, formats, score distributions, duplicates, rejects, versions and training sets, as
    Markdown and as one HTML page. The same as `lance-assets audit card`."""
    root = data_root(platform)
    trained = finished_checkpoints(platform.home.checkpoints)
    card = counted(root, [{"path": one.path, "tag": one.tag} for one in trained])
    text = markdown(card)
    write(root, MARKDOWN, text.encode())
    write(root, HTML, html(card).encode())
    shown = text if len(text) <= SHOWN else f"{text[:SHOWN].rpartition(chr(10))[0]}\n\n... {root.at(MARKDOWN)} has all"
    return dg.MaterializeResult(
        metadata={
            "card": dg.MetadataValue.md(shown),
            "rows": card["rows"],
            "batches": card["batches"],
            "rows_rejected": sum(card["rejected"].values()),
            "lance_version": card["version"],
            "markdown": dg.MetadataValue.path(root.at(MARKDOWN)),
            "html": dg.MetadataValue.path(root.at(HTML)),
        }
    )
