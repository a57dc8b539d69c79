"""What the planners ask for and what they have to know of runs: plain values, no Dagster."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from lance_assets.partitions import contiguous

#: A run that changed nothing is followed by another after `retry_after_s`, then twice that, ...; this is the most.
LONGEST_WAIT_S = 3600.0
#: So far back runs are looked at: long enough to see that a request waits LONGEST_WAIT_S by now.
LOOK_BACK_S = 12 * 3600.0

RAW_CAPTIONS, IMAGES, MODEL = "raw_captions", "image_dataset", "alignment_model"


def score_asset(scorer: str) -> str:
    """Name of the asset of a score column."""
    return f"score/{scorer}"


@dataclass(frozen=True)
class Request:
    """A run to ask for: assets by name (`score/sharpness`), the batches from the first to the last of `ends` (None =
    assets without partitions), the tags that say why."""

    assets: tuple[str, ...]
    ends: tuple[str, str] | None
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Limits:
    """`runs` may be waiting or running at once, of `batches` each."""

    runs: int
    batches: int


@dataclass(frozen=True)
class Flight:
    """What is queued or running, runs and backfills alike. `busy`: batches by asset; an asset without partitions that
    is in flight is there with none. `runs`: how many of the sensors' own runs, by what they are for."""

    busy: Mapping[str, Collection[str]] = field(default_factory=dict)
    runs: Mapping[str, int] = field(default_factory=dict)

    def holds(self, asset: str, batch: str | None = None) -> bool:
        """Whether a batch of an asset, or an asset of any batch, is in flight."""
        return asset in self.busy if batch is None else batch in self.busy.get(asset, ())


@dataclass(frozen=True)
class Tried:
    """A run of a sensor that is over, successful or not: what it was asked for (no batches = without partitions),
    `made` as the sensor saw it then (see Attempts), and when it began and ended (POSIX seconds)."""

    assets: Collection[str]
    batches: Collection[str]
    made: Mapping[str, str]
    began: float
    ended: float


@dataclass(frozen=True)
class Attempts:
    """Keeps what cannot get better by being asked again from being asked on every tick: a column that fails for its
    batch as a whole, a batch whose source is gone, a budget that is spent.

    A run that is over and left what it was asked for undone counts as in vain, unless something was published for the
    batch after it began, or the asset is made in another way by now (`made`: version and config of a scorer, settings
    of a source). After n such runs in a row the next one waits `first_s` * 2^(n-1) seconds, at most an hour.

    What this gives up: something that was mended without a trace here (a server is back, a package was installed) waits
    for its turn, an hour at the latest. Materializing it in the UI or `lance-assets run` does not wait. Runs that
    nobody but people asked for are not counted.
    """

    tried: Sequence[Tried]
    first_s: float
    _by: dict[tuple[str, str | None], list[Tried]] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        for one in self.tried:
            for asset in one.assets:
                for batch in one.batches or (None,):
                    self._by.setdefault((asset, batch), []).append(one)

    def wait_until(self, asset: str, batch: str | None, made: str, since: float) -> float:
        """POSIX seconds before which nothing is to be asked again; -inf where nothing was tried in vain since."""
        ends = self._ends(asset, batch, made, since)
        if not ends:
            return float("-inf")
        return max(ends) + min(self.first_s * 2 ** min(len(ends) - 1, 30), LONGEST_WAIT_S)

    def count(self, asset: str, batch: str | None, made: str, since: float = float("-inf")) -> int:
        """How often it was tried in vain since then, as it would be made now."""
        return len(self._ends(asset, batch, made, since))

    def _ends(self, asset: str, batch: str | None, made: str, since: float) -> list[float]:
        runs = self._by.get((asset, batch), ())
        return [one.ended for one in runs if one.made.get(asset, made) == made and one.began > since]


def ranges(batches: Iterable[str], order: Sequence[str], most: int) -> list[tuple[tuple[str, str], int]]:
    """Contiguous (first, last) in `order` with at most so many batches each, and how many it has."""
    position = {key: at for at, key in enumerate(order)}
    found: list[tuple[tuple[str, str], int]] = []
    for first, last in contiguous(batches, order):
        for at in range(position[first], position[last] + 1, most):
            end = min(at + most - 1, position[last])
            found.append(((order[at], order[end]), end - at + 1))
    return found
