"""Sections of platform.yaml that grew too long for settings.py."""

from __future__ import annotations

from pydantic import BaseModel, Field


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
