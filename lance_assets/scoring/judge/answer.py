"""The server's body, taken apart. Nothing in it is trusted: neither the score nor the token counts."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

#: Characters of a reason that are kept, and tokens that no answer costs.
REASON_CHARACTERS, IMPOSSIBLE = 500, 10_000_000


class Verdict(BaseModel):
    """Strict: 85.0, true and "85" are no scores."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    score: int = Field(ge=0, le=100)
    reason: str


@dataclass(frozen=True)
class Answer:
    """One paid answer: a verdict, a refusal, or its fault. Tokens are None where the server does not say."""

    verdict: Verdict | None = None
    refusal: str | None = None
    fault: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None


def read_answer(body: str) -> Answer:
    """Never raises: what cannot be read is a fault."""
    try:
        said = json.loads(body)
        choice = said["choices"][0]
        message, ended = choice["message"], choice.get("finish_reason")
        content, refusal = message.get("content"), message.get("refusal")
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError):
        return Answer(fault="the answer is no chat completion")
    usage = said.get("usage")
    paid = Answer(input_tokens=_count(usage, "prompt_tokens"), output_tokens=_count(usage, "completion_tokens"))
    if refusal or ended == "content_filter":
        return replace(paid, refusal=tidy(str(refusal or "the content filter of the endpoint stopped it")))
    if ended == "length":
        return replace(paid, fault="the answer is longer than max_tokens")
    if not isinstance(content, str):
        return replace(paid, fault="the answer has no text")
    try:
        verdict = Verdict.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "it"
        return replace(paid, fault=f"the answer is not as asked: {where}: {first['msg']}"[:300])
    return replace(paid, verdict=verdict.model_copy(update={"reason": tidy(verdict.reason)}))


def tidy(text: str) -> str:
    """One line, cut, without characters that change a terminal or that UTF-8 does not know."""
    plain = re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+", " ", text).strip()
    return plain if len(plain) <= REASON_CHARACTERS else f"{plain[: REASON_CHARACTERS - 1]}…"


def _count(usage: Any, name: str) -> int | None:
    count = usage.get(name) if isinstance(usage, dict) else None
    known = isinstance(count, int) and not isinstance(count, bool) and 0 <= count < IMPOSSIBLE
    return count if known else None
