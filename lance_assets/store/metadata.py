"""metadata.json beside the table: what the guide's converter leaves there, so that its readers go on working."""

from __future__ import annotations

from datetime import UTC, datetime

from lance_assets.store.files import DataRoot, write_json
from lance_assets.store.table import STORAGE_VERSION, open_images

NAME = "metadata.json"


def write_metadata(root: DataRoot, name: str) -> dict[str, object]:
    """Renews metadata.json from the table and returns what it says."""
    dataset = open_images(root)
    said: dict[str, object] = {
        "dataset": name,
        "sample_count": dataset.count_rows(),
        "conversion_date": datetime.now(UTC).isoformat(timespec="seconds"),
        "format": "lance",
        "lance_storage_version": STORAGE_VERSION,
        "lance_version": dataset.version,
        "message_structure": {
            "messages": [
                {"role": "user", "content": "<image>..."},
                {"role": "assistant", "content": "the caption"},
            ],
            "image": "encoded bytes of one image per <image>",
        },
        "columns": dataset.schema.names,
    }
    write_json(root, NAME, said)
    return said
