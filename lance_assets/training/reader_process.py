"""A process that reads Lance for a forked child. Both ends of a private pipe; JSON lines and raw bytes, no pickle.

Request: one JSON line, {fetch: [uri, version, column, row ids]} or {scan: [source, columns, part]}. Answer: one JSON
line {sizes: [[bytes of each blob] per row], read: bytes read} and then the blobs, end to end, a table being one Arrow
stream; or {error: sentence}.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from itertools import chain
from typing import IO, Any

import pyarrow as pa

from lance_assets.errors import BadInput
from lance_assets.training import rows


class ReaderProcess:
    """The asking end. The process ends by itself when this end of the pipe closes."""

    def __init__(self) -> None:
        # exec gives Lance a process without inherited threads and locks
        self.process = subprocess.Popen(
            [sys.executable, "-m", "lance_assets.training.reader_process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def fetch(self, uri: str, version: int, column: str, row_ids: Sequence[int]) -> tuple[list[list[bytes]], int]:
        """As rows.fetch, and with its errors."""
        return self._ask({"fetch": [uri, version, column, list(row_ids)]})

    def scan(self, source: rows.LanceRows, columns: Sequence[str], part: rows.Part) -> tuple[pa.Table, int]:
        """As rows.scan, and with its errors."""
        [[stream]], read = self._ask({"scan": [vars(source), list(columns), part]})
        return pa.ipc.open_stream(stream).read_all(), read

    def _ask(self, request: dict[str, Any]) -> tuple[list[list[bytes]], int]:
        question, answer = self.process.stdin, self.process.stdout
        if question is None or answer is None:
            raise RuntimeError("the Lance reader process has no pipes")
        question.write(json.dumps(request).encode() + b"\n")
        question.flush()
        header = answer.readline()
        if not header:
            raise RuntimeError(f"the Lance reader process ended with status {self.process.wait()}")
        reply = json.loads(header)
        if "error" in reply:
            raise BadInput(reply["error"])
        return [[_exactly(answer, size) for size in row] for row in reply["sizes"]], reply["read"]


def _exactly(stream: IO[bytes], size: int) -> bytes:
    data = stream.read(size)
    if len(data) != size:
        raise RuntimeError(f"the Lance reader process ended in the middle of an image ({len(data)} of {size} bytes)")
    return data


def serve(questions: IO[bytes], answers: IO[bytes]) -> None:
    """The answering end: until the pipe closes."""
    for line in questions:
        try:
            blobs, read = _answer(json.loads(line))
        except (BadInput, ValueError, OSError) as error:
            answers.write(json.dumps({"error": str(error)}).encode() + b"\n")
        else:
            sizes = [[len(blob) for blob in row] for row in blobs]
            answers.write(json.dumps({"sizes": sizes, "read": read}).encode() + b"\n")
            answers.writelines(chain.from_iterable(blobs))
        answers.flush()


def _answer(asked: dict[str, Any]) -> tuple[list[list[bytes]], int]:
    if "fetch" in asked:
        return rows.fetch(*asked["fetch"])
    source, columns, part = asked["scan"]
    table, read = rows.scan(rows.LanceRows(**source), columns, rows.Part(*part))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return [[sink.getvalue().to_pybytes()]], read


if __name__ == "__main__":
    serve(sys.stdin.buffer, sys.stdout.buffer)
