"""Publishes frames as a data set repository of the stand-in hub, in the layout of SA1B-Paired-Captions."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lance_assets.errors import BadInput
from lance_assets.sources.demo.captions import SPOILT_KINDS, spoil
from lance_assets.sources.demo.images import PLANTED

REPOSITORY = "lance_assets/crafter-captions"
SHARD_ROWS = 300
SPOILT_SHARE = 0.06
FAULT_ROWS = {17: "404", 38: "html", 59: "truncated", 80: "503"}
"""Row within each shard -> what the image server does when asked for it (503: once, then the image)."""
log = logging.getLogger(__name__)

SCHEMA = pa.schema(
    [("opensource_url", pa.string()), ("global_caption", pa.string()), ("matched_local_urls", pa.list_(pa.string()))]
)
STATE = "published.json"


def publish(
    demo_dir: Path,
    rows: int,
    seed: int,
    image_port: int,
    say: Callable[[str], None] = log.info,
    shard_rows: int = SHARD_ROWS,
) -> None:
    """Adds the whole shards of `shard_rows` rows that are missing for `rows` rows; never touches one that exists.

    Each shard appears at once (its images, its planted faults and the state are there before). The same seed and port
    give the same bytes. Raises BadInput for fewer than one row, and where the folder holds another seed, port or shard
    size.
    """
    if rows < 1:
        raise BadInput(f"the demo needs at least 1 row, {rows} were asked")
    data = demo_dir / "hub" / REPOSITORY / "data"
    data.mkdir(parents=True, exist_ok=True)
    (demo_dir / "images").mkdir(exist_ok=True)
    wanted = -(-rows // shard_rows)
    present = 0
    while (data / shard_name(present)).is_file():
        present += 1
    state = _state(demo_dir, seed=seed, image_port=image_port, shard_rows=shard_rows)
    if present >= wanted:
        return
    if present > len(state["last_episodes"]):
        raise BadInput(f"{demo_dir / STATE} knows fewer shards than {data} holds: use a fresh home")
    from lance_assets.sources.demo.game import play  # a missing game only matters where frames are missing

    seen = {hashlib.sha256(image_file(demo_dir, row).read_bytes()).digest() for row in range(present * shard_rows)}
    first_episode = state["last_episodes"][present - 1] if present else 0
    frames = play((wanted - present) * shard_rows, seed, first_episode, seen)
    for shard in range(present, wanted):
        first = shard * shard_rows
        captions: list[str] = []
        episode = first_episode
        for frame in islice(frames, shard_rows):
            image_file(demo_dir, first + len(captions)).write_bytes(frame.jpeg)
            captions.append(frame.caption)
            episode = frame.state["episode"]
            if len(captions) % 50 == 0:
                say(f"demo: {first + len(captions)} of {wanted * shard_rows} frames")
        state["last_episodes"][shard:] = [episode]
        planted = list(_plant(captions, shard, first, seed))
        _write_planted(demo_dir, first, planted)
        _replace(demo_dir / STATE, json.dumps(state).encode())
        _write_shard(data / shard_name(shard), captions, first, image_port)
        say(f"demo: published {shard_name(shard)}")


def shard_name(shard: int) -> str:
    """train-0000.parquet, train-0001.parquet ..."""
    return f"train-{shard:04d}.parquet"


def image_file(demo_dir: Path, row: int) -> Path:
    """The JPEG of a row, counted over all shards."""
    return demo_dir / "images" / f"{row:06d}.jpg"


def _plant(captions: list[str], shard: int, first: int, seed: int) -> Iterator[dict[str, Any]]:
    """Spoils SPOILT_SHARE of a shard's captions in place and yields what was planted, faults of images included."""
    for row, kind in FAULT_ROWS.items():
        yield {"row": first + row, "kind": kind, "image": image_file(Path(), first + row).name}
    random = np.random.RandomState((seed * 7919 + shard) % 2**31)
    candidates = [row for row in random.permutation(len(captions)).tolist() if row not in FAULT_ROWS]
    true = list(captions)
    for n, row in enumerate(candidates[: round(len(captions) * SPOILT_SHARE)]):
        kind = SPOILT_KINDS[(n + shard) % len(SPOILT_KINDS)]
        other = next(c for c in true[row + 1 :] + true[:row] if c != true[row])
        captions[row] = spoil(true[row], other, kind)
        yield {"row": first + row, "kind": kind, "caption": captions[row], "true_caption": true[row]}


def _write_planted(demo_dir: Path, first: int, records: list[dict[str, Any]]) -> None:
    path = demo_dir / PLANTED
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    kept = [line for line in lines if json.loads(line)["row"] < first]  # a killed run may have left this shard's
    kept += [json.dumps(record) for record in sorted(records, key=lambda r: r["row"])]
    _replace(path, ("\n".join(kept) + "\n").encode())


def _write_shard(path: Path, captions: list[str], first: int, image_port: int) -> None:
    rows = range(first, first + len(captions))
    urls = [f"http://127.0.0.1:{image_port}/images/{image_file(Path(), row).name}" for row in rows]
    columns = {"opensource_url": urls, "global_caption": captions, "matched_local_urls": [[] for _ in captions]}
    tmp = path.with_suffix(".tmp")
    pq.write_table(pa.table(columns, schema=SCHEMA), tmp)
    tmp.replace(path)


def _state(demo_dir: Path, **asked: int) -> dict[str, Any]:
    """What this folder was published with; `last_episodes` = the episode of each shard's last row, to go on from."""
    path = demo_dir / STATE
    if not path.exists():
        return {**asked, "last_episodes": []}
    state = json.loads(path.read_text(encoding="utf-8"))
    for key, value in asked.items():
        if state.get(key) != value:
            raise BadInput(f"{demo_dir} was published with {key} {state.get(key)}, not {value}: use a fresh home")
    return state


def _replace(path: Path, body: bytes) -> None:
    tmp = path.with_name(path.name + ".tmp")
    tmp.write_bytes(body)
    tmp.replace(path)
