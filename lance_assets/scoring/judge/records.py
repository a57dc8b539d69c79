"""Lines of the journal."""

from __future__ import annotations

from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

Kind = Literal["asked", "answer", "refused", "malformed", "lost", "unpaid", "same"]
"""asked: a request goes out; it may cost `cost`. Then one of: answer, refused (by the model), malformed (paid, of no
use), lost (no answer came, perhaps paid: counted as if), unpaid (the server turned it down). same: another row was
given the answer that `key` has."""
KINDS = get_args(Kind)


class Record(BaseModel):
    """`key` is the digest of what was asked, `number` joins a request with its end, `at` is Unix time in seconds,
    `canary` the score that a planted instruction asked for, `shift` how far it moved the score its way."""

    model_config = ConfigDict(frozen=True)

    kind: Kind
    key: str
    id: str
    version: str
    at: float
    number: str = ""
    input_tokens: int = 0
    output_tokens: int = 0
    cost: float = 0.0
    seconds: float = 0.0
    score: int | None = None
    reason: str | None = None
    canary: int | None = None
    shift: int | None = None

    @property
    def tokens(self) -> int:
        return self.input_tokens + self.output_tokens

    def line(self) -> bytes:
        return self.model_dump_json(exclude_defaults=True).encode() + b"\n"


def read_record(line: bytes) -> Record | None:
    """None for a line that is torn: its writer was killed."""
    try:
        return Record.model_validate_json(line)
    except ValidationError:
        return None
