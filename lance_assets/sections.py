"""Sections of platform.yaml that grew too long for settings.py."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field


class Automation(BaseModel, extra="forbid", frozen=True):
    """What the daemon does by itself; read at each tick. `paused` names scorers whose columns are left as they are."""

    new_samples: bool = Field(default=True, description="new rows of the sources are downloaded")
    relabel: bool = Field(default=True, description="stale cells are scored")
    training_set: bool = Field(default=True, description="it is pinned anew once its score columns are fresh")
    train: Literal["manual", "auto"] = Field(default="manual", description="whether a new training set is trained on")
    paused: list[str] = Field(default=[])
    runs: int = Field(default=4, ge=1, description="of each sensor, waiting and running ones at most")
    batches_per_run: int = Field(default=50, ge=1)
    files_per_tick: int = Field(default=100, ge=1, description="new files of a source that one look takes in")
    sources_every_s: int = Field(default=60, ge=1, description="taken over when the code location is loaded")
    labels_every_s: int = Field(default=30, ge=1, description="taken over when the code location is loaded")
    retry_after_s: float = Field(default=60, gt=0, description="doubled with each run that changes nothing, to an hour")


class DriftLimits(BaseModel, extra="forbid", frozen=True):
    """How far labels may move when another version of their scorer replaces them, batch by batch. `psi`: population
    stability index; `crossing_share`: share of rows that change sides at a threshold of sft.filter; `correlation`: of
    old and new numbers, at least (-1 = any)."""

    psi: float = Field(default=0.25, ge=0)
    crossing_share: float = Field(default=0.05, ge=0, le=1)
    correlation: float = Field(default=0.5, ge=-1, le=1)


class Checks(BaseModel, extra="forbid", frozen=True):
    """Limits of the asset checks. `coverage`: share of the rows tried that must have a score; `decoded`: images of a
    batch that are read and decoded again."""

    drift: DriftLimits = DriftLimits()
    coverage: float = Field(default=0.5, ge=0, le=1)
    decoded: int = Field(default=16, ge=0, le=1000)


class Downloads(BaseModel, extra="forbid", frozen=True):
    """Limits of the downloader; None = the downloader's own default. Sizes in bytes and pixels, times in seconds."""

    max_bytes: int | None = None
    max_pixels: int | None = None
    min_side: int | None = None
    read_s: float | None = None
    total_s: float | None = None
    attempts: int | None = None
    per_host: int | None = None
    host_delay_s: float | None = None
    host_wait_s: float | None = None
    robots: bool | None = None
    opt_out_headers: bool | None = None
    strip_location: bool | None = None
    proxies: bool | None = None
    threads: int = Field(default=16, ge=1, le=256)
    placeholder: bool = Field(default=False, description="a marked grey image for a row whose image cannot be had")
