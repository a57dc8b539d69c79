"""From an older format of the tables to the present one, in place: metadata only, images and labels stay."""

from __future__ import annotations

import lance
import pyarrow as pa

from lance_assets.errors import BadInput
from lance_assets.store.claims import claim
from lance_assets.store.files import DataRoot, table_exists
from lance_assets.store.schema import LEDGER
from lance_assets.store.table import FORMAT, FORMAT_KEY, READABLE, format_of


def migrate(root: DataRoot) -> tuple[str, str]:
    """Returns the format found and the format now. Running it again, or after a crash, completes it.

    1 -> 2: the ledger learns to speak of some rows of a file, of carried cells, retries and checksums; its old rows say
    nothing of these. Raises BadInput where there is no table or its format is unknown.
    """
    if not table_exists(root.images):
        raise BadInput(f"there is no image table at {root.images}: nothing to migrate")
    with claim(root, "images.lance"), claim(root, "ledger.lance"):
        dataset = lance.dataset(root.images)
        found = format_of(dataset)
        if found not in READABLE:
            raise BadInput(f"{root.images} has format {found or 'unknown'}; formats {', '.join(READABLE)} are known")
        if found == FORMAT:
            return found, FORMAT
        _extend_ledger(root)
        # The format comes last: until then the next try begins again.
        said = {key.decode(): value.decode() for key, value in (dataset.schema.metadata or {}).items()}
        dataset.replace_schema_metadata({**said, FORMAT_KEY: FORMAT})
    return found, FORMAT


def _extend_ledger(root: DataRoot) -> None:
    if not table_exists(root.ledger):
        return
    dataset = lance.dataset(root.ledger)
    missing = [pa.field(field.name, field.type) for field in LEDGER if field.name not in dataset.schema.names]
    if missing:
        dataset.add_columns(missing)
    if not dataset.list_indices():
        lance.dataset(root.ledger).create_scalar_index("batch", "BITMAP")
