"""What `bench label` compares: images, scorers, and who labels them how often."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lance_assets_tests.bench.label_data import LARGE, SMALL, Images
from lance_assets_tests.bench.label_ours import InProcess, OnRay, ThroughDagster
from lance_assets_tests.bench.label_plain import Bare, Limit, Rewrite, Sidecar
from lance_assets_tests.bench.label_rivals import Guide, RayData
from lance_assets_tests.bench.label_scorers import FullDecode, NoOp, Thumbnail
from lance_assets_tests.bench.label_task import Variant

#: What is read at a time, by those who choose it by themselves.
READ_BYTES = 4_000_000


@dataclass(frozen=True)
class Wire:
    """An object store's."""

    latency_s: float = 0.02
    bytes_per_s: float = 100e6


@dataclass(frozen=True)
class Case:
    """`turns` of each variant; what all others must have stored is what the first of `variants` that scores did."""

    name: str
    images: Images
    image_bytes: int
    scorer: str
    variants: Mapping[Variant, int]
    wire: Wire | None = None

    @property
    def rows(self) -> int:
        """Rows that are read at a time."""
        return READ_BYTES // self.image_bytes

    @property
    def forms(self) -> set[str]:
        """What the images must be stored as."""
        return {variant.reads.partition("/")[0] for variant in self.variants}


def cases(counts: Sequence[int], turns: int, slow: int, ray: bool = True) -> list[Case]:
    """So many images in each case, so many turns, `slow` of those that take long; without `ray` nothing on Ray. With a
    single turn decoding scorers are only held against the bare loop."""
    noop, thumbnail, full, large, remote = counts
    quick: dict[Variant, int] = {Limit(): turns, Bare(): turns, InProcess(): turns}
    parquet: dict[Variant, int] = {Rewrite(): turns, Sidecar(): turns}
    on_ray: dict[Variant, int] = {OnRay(): slow} if ray else {}
    dagster: dict[Variant, int] = {ThroughDagster(): slow} if ray else {}
    rivals: dict[Variant, int] = {RayData(): slow, Guide(): slow} if ray else {}
    decoding = {**quick, **on_ray} if turns > 1 else {Bare(): turns, InProcess(): turns}
    return [
        Case("no-op", Images(noop, SMALL), 15_000, NoOp.name, {**quick, **on_ray, **dagster, **parquet, **rivals}),
        Case(
            "thumbnail",
            Images(thumbnail, SMALL),
            15_000,
            Thumbnail.name,
            {**decoding, **(parquet if turns > 1 else {})},
        ),
        Case("full decode", Images(full, SMALL), 15_000, FullDecode.name, decoding),
        Case("full decode, large", Images(large, LARGE), 125_000, FullDecode.name, decoding),
        Case("no-op, object store", Images(remote, SMALL), 15_000, NoOp.name, {**quick, **parquet}, Wire()),
    ]


FULL = cases((100_000, 20_000, 20_000, 5_000, 10_000), 3, 2)
QUICK = cases((4_000, 400, 400, 80, 400), 1, 1)
