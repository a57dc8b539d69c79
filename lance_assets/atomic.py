"""Files that appear whole or not at all."""

from __future__ import annotations

import json
import os
import uuid
from pathlib import Path
from typing import Any


def write_atomically(path: Path, data: bytes) -> None:
    """A reader sees the old file or the whole new one, also after a crash."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    with draft.open("wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
    draft.replace(path)


def write_json(path: Path, value: Any) -> None:
    write_atomically(path, as_json(value))


def as_json(value: Any) -> bytes:
    """JSON as people read it: UTF-8, indented, ending with a newline."""
    return (json.dumps(value, ensure_ascii=False, indent=2) + "\n").encode()
