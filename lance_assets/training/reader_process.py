"""A process that reads images for a forked child. Both ends of a private pipe; JSON lines and raw bytes, no pickle.

Request: one JSON line {uri, version, column, rows}. Answer: one JSON line {sizes: [[bytes of each image] per row],
read: bytes read} and then the images, end to end; or {error: sentence}.
"""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import chain
from typing import IO

from lance_assets.errors import BadInput


class ReaderProcess:
    """The asking end. The process ends by itself when this end of the pipe closes."""

    def __init__(self) -> None:
        # exec gives Lance a process without inherited threads and locks
        self.process = subprocess.Popen(
            [sys.executable, "-m", "lance_assets.training.reader_process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def fetch(self, uri: str, version: int, column: str, row_ids: list[int]) -> tuple[list[list[bytes]], int]:
        """As rows.fetch, and with its errors."""
        question, answer = self.process.stdin, self.process.stdout
        if question is None or answer is None:
            raise RuntimeError("the Lance reader process has no pipes")
        request = {"uri": uri, "version": version, "column": column, "rows": row_ids}
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
    from lance_assets.training import rows

    for line in questions:
        asked = json.loads(line)
        try:
            images, read = rows.fetch(asked["uri"], asked["version"], asked["column"], asked["rows"])
        except (BadInput, ValueError, OSError) as error:
            answers.write(json.dumps({"error": str(error)}).encode() + b"\n")
        else:
            sizes = [[len(image) for image in row] for row in images]
            answers.write(json.dumps({"sizes": sizes, "read": read}).encode() + b"\n")
            answers.writelines(chain.from_iterable(images))
        answers.flush()


if __name__ == "__main__":
    serve(sys.stdin.buffer, sys.stdout.buffer)
