"""What an error of the endpoint means: try again, this row never, or nobody with these settings."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from lance_assets.scoring.judge.answer import tidy
from lance_assets.scoring.judge.config import JudgeConfig
from lance_assets.scoring.outcome import ScoreFailure, State, Unusable

if TYPE_CHECKING:
    import openai

#: Statuses that can pass.
PASSING = frozenset({408, 409, 425, 429})
#: Codes by which endpoints say that a picture or a caption offends, and that nothing is left to pay with.
OFFENDS = ("content_filter", "content_policy_violation", "data_inspection_failed", "datainspectionfailed")
BROKE = ("insufficient_quota", "arrearage", "billing_hard_limit_reached")


class Again(Exception):
    """Another request may help. `paid`: this one may have cost something; `overload`: the endpoint has too much to do;
    `after_s`: it asked for a pause of so many seconds."""

    def __init__(self, message: str, paid: bool = False, overload: bool = False, after_s: float | None = None) -> None:
        super().__init__(message)
        self.paid, self.overload, self.after_s = paid, overload, after_s


class Rejected(Exception):
    """The endpoint does not take this request, and it may be the settings or the row."""


def meaning(error: openai.APIError, config: JudgeConfig, key: str) -> Exception:
    """Again, Rejected, ScoreFailure or Unusable; none of them holds the key or the request."""
    import openai

    if isinstance(error, openai.APIConnectionError):
        return _no_answer(error, config)
    if not isinstance(error, openai.APIStatusError):
        return Again("the answer cannot be read", paid=True)
    status, code = error.status_code, (error.code or error.type or "").lower()
    said = tidy(error.message.replace(key, "[key]"))
    if status in (401, 403):  # some endpoints repeat a part of the key
        return Unusable(f"{config.base_url} refuses the key in {config.key_variable} ({status})")
    if status == 402 or code in BROKE:
        return Unusable(f"the account behind {config.key_variable} has nothing left to pay with ({status})")
    if code in OFFENDS:
        return ScoreFailure(State.REFUSED, f"refused by the endpoint: {said}"[:300])
    if status == 404:
        return Unusable(f"{config.base_url} does not know the model {config.model} (404): {said}")
    if status in PASSING or status >= 500:
        after = retry_after(error.response.headers)
        return Again(f"the endpoint answered {status}", overload=status == 429 or status == 503, after_s=after)
    if status < 400:
        return Unusable(f"{config.base_url} redirects ({status}): images are not sent on to another address")
    if "response_format" in said or "json_schema" in said:
        return Unusable(f"{config.base_url} takes no answer format {config.answer} ({status}): set answer to the other")
    return Rejected(f"the endpoint refuses the request ({status}): {said}"[:300])


def _no_answer(error: openai.APIConnectionError, config: JudgeConfig) -> Again:
    import openai

    connected = not type(error.__cause__).__name__.startswith(("Connect", "Pool"))
    if isinstance(error, openai.APITimeoutError):
        return Again(f"the endpoint was silent for {config.timeout_s:g} s", paid=connected, overload=True)
    return Again("the connection broke off" if connected else "no connection to the endpoint", paid=connected)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds of the header Retry-After, which holds seconds or a date; None without one that can be read."""
    text = (headers.get("retry-after") or "").strip()
    try:
        return max(0.0, float(text))
    except ValueError:
        pass
    try:
        date = parsedate_to_datetime(text)
    except ValueError:
        return None
    return max(0.0, ((date if date.tzinfo else date.replace(tzinfo=UTC)) - datetime.now(UTC)).total_seconds())
