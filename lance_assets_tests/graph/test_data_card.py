"""data_card on a real, ephemeral instance: what it writes and what its page shows."""

import dagster as dg

from lance_assets.assets.data_card import HTML, MARKDOWN, SHOWN, data_card
from lance_assets.settings import Home, Platform
from lance_assets.store.files import DataRoot
from lance_assets_tests.histories import eventful


def test_the_card_is_written_beside_the_table_and_shown(tmp_path):
    platform = Platform(Home(tmp_path, tmp_path / "data"))
    root = DataRoot(platform.home.data)
    eventful(root)
    with dg.DagsterInstance.ephemeral() as instance:
        done = dg.materialize([data_card], instance=instance, resources={"platform": platform})
    [event] = done.asset_materializations_for_node("data_card")
    text = (root.folder / MARKDOWN).read_text()
    assert event.metadata["card"].value == text and len(text) < SHOWN
    assert event.metadata["rows"].value == 10 and "score&#95;sharp" in text
    assert (root.folder / HTML).read_text().endswith("</body></html>\n")
    assert event.metadata["html"].value == root.at(HTML)
