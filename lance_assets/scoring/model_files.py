"""What is in a folder with a model, by its content and without reading all of its weights."""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache
from pathlib import Path

from lance_assets.errors import BadInput

#: Files that a model and its processor are loaded from, besides the weights. Others (README, optimizer state) are not
#: part of the model.
SMALL = (".json", ".txt", ".model", ".jinja")
WEIGHTS = ".safetensors"
#: Bytes that are read at the beginning, in the middle and at the end of each tensor.
SAMPLE = 64
#: A header of a safetensors file is a few hundred kB at most.
MOST_HEADER = 100_000_000


def folder_digest(folder: Path) -> str:
    """SHA-256 (hex) over the names and contents of a model's small files and, of its safetensors files, size, header
    and samples of every tensor. So a copy elsewhere has the same digest, and a model that was trained on has another
    one, though its files have the same names and sizes. Takes milliseconds, and less where nothing was written since.

    Raises BadInput where the folder holds no safetensors file, or a broken one.
    """
    try:
        files = sorted(file for file in folder.iterdir() if file.suffix in (*SMALL, WEIGHTS) and file.is_file())
        if not any(file.suffix == WEIGHTS for file in files):
            raise BadInput(f"{folder} holds no safetensors file, and other weight files are not loaded")
        stats = [file.stat() for file in files]
        return _digest(tuple((file, of.st_size, of.st_mtime_ns) for file, of in zip(files, stats, strict=True)))
    except OSError as error:
        raise BadInput(f"the model in {folder} cannot be read: {error}") from error


@lru_cache(maxsize=32)
def _digest(files: tuple[tuple[Path, int, int], ...]) -> str:
    digest = hashlib.sha256()
    for file, size, _ in files:
        content = _sampled(file, size) if file.suffix == WEIGHTS else file.read_bytes()
        digest.update(f"\n{file.name} {size} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()


def _sampled(file: Path, size: int) -> bytes:
    """Header of a safetensors file, and a sample of each tensor. Raises BadInput."""
    with file.open("rb", buffering=0) as opened:
        length = int.from_bytes(opened.read(8), "little")
        if not 0 < length <= min(size - 8, MOST_HEADER):
            raise BadInput(f"{file} is no safetensors file")
        header = opened.read(length)
        try:
            entries = {name: entry for name, entry in json.loads(header).items() if name != "__metadata__"}
            tensors = sorted(tuple(entry["data_offsets"]) for entry in entries.values())
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise BadInput(f"{file} is no safetensors file: {error}") from error
        parts = [header]
        for start, end in tensors:
            for at in sorted({start, max(start, (start + end - SAMPLE) // 2), max(start, end - SAMPLE)}):
                opened.seek(8 + length + at)
                parts.append(opened.read(min(SAMPLE, end - at)))
    return b"".join(parts)
