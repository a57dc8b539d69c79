"""Counts the calls of the store's own functions, stops nothing, and keeps the last place in a file that outlives us."""

from __future__ import annotations

import mmap
import sys
from collections.abc import Callable
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import lance

import lance_assets.store

STORE = Path(lance_assets.store.__file__).parent
LANCE = Path(lance.__file__).parent
#: Functions of Lance that change what lies on disk.
WRITES = {
    "commit",
    "write_dataset",
    "add_columns",
    "compact_files",
    "optimize_indices",
    "create_scalar_index",
    "cleanup_old_versions",
    "close",
    "Tags.create",
    "Tags.delete",
    "Compaction.commit",
}
#: Bytes of the file that says where we are.
SIZE = 200


class Trace:
    """Lists the calls, and what Lance wrote, while it is entered. In the `at`-th call, from 1, `reached` is called."""

    def __init__(self, at: int = 0, reached: Callable[[], None] = lambda: None, place: Path | None = None) -> None:
        self.at, self.reached = at, reached
        self.calls: list[str] = []
        self.writes: dict[str, list[int]] = {}
        self.names: dict[CodeType, tuple[bool, str] | None] = {}
        self.place: mmap.mmap | None = None
        if place is not None:
            place.write_bytes(bytes(SIZE))
            with place.open("r+b") as file:
                self.place = mmap.mmap(file.fileno(), SIZE)

    def __enter__(self) -> Trace:
        sys.setprofile(self._event)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)
        self._note("after the last call")

    def _event(self, frame: FrameType, event: str, arg: Any) -> None:
        if event == "c_call" and getattr(arg, "__qualname__", "") == "Compaction.commit":
            self._count_write("Compaction.commit")
        if event not in ("call", "return"):
            return
        found = self._name(frame.f_code)
        if found is None:
            return
        if self.place is not None:
            self._note(self._where(frame if event == "call" else frame.f_back))
        if event == "call" and found[0]:
            self.calls.append(found[1])
            if len(self.calls) == self.at:
                self.reached()
        elif event == "call":
            self._count_write(frame.f_code.co_qualname)

    def _count_write(self, name: str) -> None:
        """`writes` holds, by name, after how many calls Lance was asked to write."""
        short = name if name in WRITES else name.rpartition(".")[2]
        if short in WRITES:
            self.writes.setdefault(short, []).append(len(self.calls))

    def _name(self, code: CodeType) -> tuple[bool, str] | None:
        """(is it the store's, its name); None for code that is neither the store's nor Lance's."""
        if code not in self.names:
            path = Path(code.co_filename)
            ours = path.is_relative_to(STORE)
            known = ours or path.is_relative_to(LANCE)
            self.names[code] = (ours, f"{path.stem}.{code.co_name}") if known else None
        return self.names[code]

    def _where(self, frame: FrameType | None) -> str:
        """The innermost function of the store, and of Lance below it."""
        inside = ""
        while frame is not None:
            found = self._name(frame.f_code)
            if found is not None and found[0]:
                return f"{found[1]} > lance {inside}" if inside else found[1]
            if found is not None and not inside:
                inside = found[1]
            frame = frame.f_back
        return "between two calls"

    def _note(self, text: str) -> None:
        if self.place is not None:
            self.place[:] = text.encode()[:SIZE].ljust(SIZE)
