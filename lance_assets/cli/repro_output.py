"""Where `lance-assets repro` trains: a folder of its own, which it alone may empty."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from lance_assets.atomic import write_json
from lance_assets.errors import BadInput

#: In a folder that repro made: the checkpoint whose training it repeats there.
MARKER = "repro.json"


def claim_output(out: Path, folder: Path, summary: dict[str, Any]) -> Path:
    """The folder `out`, marked as made for the checkpoint in `folder`; training empties what is in it.

    Raises BadInput where it holds anything that a repro of this checkpoint did not put there, or the checkpoint.
    """
    out, folder = out.resolve(), folder.resolve()
    if folder.is_relative_to(out):
        raise BadInput(f"--output {out} holds the checkpoint {folder} itself: name another folder")
    if out.exists() and not out.is_dir():
        raise BadInput(f"--output {out} is a file: name a folder")
    wanted = {key: summary.get(key) for key in ("manifest_sha256", "recipe_sha256")}
    marker = out / MARKER
    if not marker.exists():
        if out.exists() and any(out.iterdir()):
            raise BadInput(f"--output {out} is not empty, and repro did not make it: name a new folder, or delete it")
        out.mkdir(parents=True, exist_ok=True)
        write_json(marker, wanted)
    elif json.loads(marker.read_text()) != wanted:
        raise BadInput(f"--output {out} holds the repro of another checkpoint: name a new folder, or delete it")
    return out
