"""Settings of the judge: what is asked (part of the hash), and how fast, how dear and where (operational)."""

from __future__ import annotations

import ipaddress
from typing import Any, ClassVar, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from lance_assets.scoring.api import ScorerConfig

__all__ = ["Budget", "JudgeConfig", "Prices"]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Prices(_Part):
    """Money per million tokens, in any one currency."""

    input: float = Field(default=0.0, ge=0)
    output: float = Field(default=0.0, ge=0)

    def cost(self, input_tokens: int, output_tokens: int) -> float:
        return (input_tokens * self.input + output_tokens * self.output) / 1e6


class Budget(_Part):
    """Hard bounds over all that was ever asked with this version and config; None = none."""

    money: float | None = Field(default=None, ge=0)
    tokens: int | None = Field(default=None, ge=0)
    rows: int | None = Field(default=None, ge=0)


class JudgeConfig(ScorerConfig):
    operational: ClassVar[frozenset[str]] = frozenset(
        {
            *("base_url", "allow_http", "key_variable", "first", "prices", "budget", "canary_share"),
            *("requests_per_minute", "tokens_per_minute", "period_s", "ramp_s", "slack_s", "concurrency"),
            *("timeout_s", "patience_s", "attempts", "retries"),
        }
    )

    model: str | None = Field(default=None, description="the model's name at the endpoint")
    question: str | None = Field(default=None, max_length=4000, description="what is judged; None = the built-in one")
    answer: Literal["json_schema", "json_object"] = "json_schema"
    temperature: float | None = Field(default=0.0, ge=0, le=2)
    max_tokens: int = Field(default=300, ge=32, le=8192, description="tokens of an answer at most")
    max_side: int | None = Field(default=1024, ge=64, description="pixels; what is larger is scaled down")
    extra: dict[str, Any] = Field(default={}, description="further keys of the request, e.g. enable_thinking: false")

    allow_http: bool = Field(default=False, description="plain http also to other machines")
    base_url: str | None = Field(default=None, description="https://..., or http:// on loopback")
    key_variable: str = Field(default="OPENAI_API_KEY", pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    timeout_s: float = Field(default=60.0, gt=0, description="silence of the server that ends a request")
    patience_s: float = Field(default=120.0, ge=0, description="longest pause that the server may ask for")
    attempts: int = Field(default=3, ge=1, le=10, description="answers at most for a row whose answers are unusable")
    retries: int = Field(default=6, ge=1, le=20, description="requests at most for one answer")
    concurrency: int = Field(default=64, ge=1, le=1024, description="requests in flight at most; tuned below that")
    requests_per_minute: int | None = Field(default=None, ge=1)
    tokens_per_minute: int | None = Field(default=None, ge=1)
    period_s: float = Field(default=60.0, gt=0, description="the `minute` of the limits")
    ramp_s: float = Field(default=20.0, ge=0, description="time from a fifth of the limits to all of them")
    slack_s: float = Field(default=2.0, ge=0, description="by then at the latest a request has reached the server")
    prices: Prices = Prices()
    budget: Budget = Budget()
    canary_share: float = Field(default=0.01, ge=0, le=1, description="rows also asked with a planted instruction")
    first: str | None = Field(default=None, pattern=r"^score_[a-z_][a-z0-9_]*$", description="highest first")

    @field_validator("base_url")
    @classmethod
    def safe_address(cls, url: str | None, info: ValidationInfo) -> str | None:
        """Images and the key travel there: encrypted, or not beyond this machine, unless somebody says so."""
        if url is None:
            return None
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("must be an http(s) address, as https://host/v1")
        if parts.username or parts.password or parts.query or parts.fragment:
            raise ValueError("must hold no user, password, query or fragment: the key comes from the environment")
        if parts.scheme == "http" and not (on_loopback(url) or info.data.get("allow_http")):
            raise ValueError("must be https: plain http is for loopback, or with allow_http: true")
        return url.rstrip("/")

    @field_validator("extra")
    @classmethod
    def only_further_keys(cls, extra: dict[str, Any]) -> dict[str, Any]:
        if taken := sorted(extra.keys() & {"model", "messages", "response_format", "n", "stream"}):
            raise ValueError(f"must not replace {', '.join(taken)}")
        return extra

    @model_validator(mode="after")
    def money_has_a_measure(self) -> Self:
        if self.budget.money is not None and not (self.prices.input or self.prices.output):
            raise ValueError("budget.money needs prices, per million tokens")
        return self


def on_loopback(url: str) -> bool:
    """Whether an address is on this machine."""
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name
        return False
