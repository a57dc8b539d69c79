"""The part of the data card about rights: what sources say about licences, and hosts against use."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from lance_assets.store.captions import captions_name
from lance_assets.store.files import DataRoot, opened
from lance_assets.store.rights import rights

THREADS = 8
LICENCE = "licence"


def card_rights(root: DataRoot, batches: Sequence[str]) -> dict[str, Any]:
    """`licences`: rows by what their source says (empty = nothing); `opt_outs`: rows by what their host said against
    use when it was asked last; `asked`: rows of which an answer is recorded; `unreadable`: batches whose captions, and
    so their licences, are gone or damaged."""
    with ThreadPoolExecutor(THREADS) as pool:  # on an object store, waiting is all that this costs
        licences = list(pool.map(lambda batch: _licences(root, batch), batches))
        answers = list(pool.map(lambda batch: _answers(root, batch), batches))
    return {
        "licences": _sum(one for one in licences if one is not None),
        "unreadable": [batch for batch, one in zip(batches, licences, strict=True) if one is None],
        "opt_outs": _sum(opt_outs for _, opt_outs in answers),
        "asked": sum(asked for asked, _ in answers),
    }


def _sum(counts: Iterable[Counter[str]]) -> dict[str, int]:
    total = Counter[str]()
    for one in counts:
        total += one
    return dict(total.most_common())


def _licences(root: DataRoot, batch: str) -> Counter[str] | None:
    try:
        with opened(root, captions_name(batch)) as file:
            parquet = pq.ParquetFile(file)
            if LICENCE not in parquet.schema_arrow.names:
                return Counter({"": parquet.metadata.num_rows})
            said = parquet.read(columns=[LICENCE])[LICENCE].to_pylist()
    except (FileNotFoundError, pa.ArrowInvalid):
        return None
    return Counter(licence or "" for licence in said)


def _answers(root: DataRoot, batch: str) -> tuple[int, Counter[str]]:
    said = rights(root, batch)
    return said.num_rows, Counter(text for text in said["opt_out"].to_pylist() if text)
