"""`lance-assets bench fused`: five scorers of pictures in one pass over 1024 px JPEG files, against five passes of one
scorer each. In one process, from memory, so that only decoding and scoring count; what five passes read from the table
five times comes on top."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa
from PIL import Image

from lance_assets.compute.fragment import rows_of
from lance_assets.scoring.api import Item, Scorer
from lance_assets.scoring.decoding import SHARED_SIZE
from lance_assets.scoring.functions import scorer_of
from lance_assets.scoring.passes import score_items
from lance_assets.scoring.perceptual_hash import BASIS, SIDE
from lance_assets.scoring.registry import scorers
from lance_assets_tests.bench.photos import jpeg, pieces
from lance_assets_tests.bench.report import Goal, Report, Value
from lance_assets_tests.bench.sizes import Say

WIDTH, HEIGHT = 1024, 768
TITLE = f"Medians per picture of {WIDTH} x {HEIGHT} pixels; decode share = decoding once over all of the fused pass."
BOUND = 0.4
BUILT_IN = ("sharpness", "exposure", "entropy")


def fingerprint(item: Item) -> bytes:
    """256 bits of what a picture looks like, as duplicates are found by, out of the shared decode."""
    whole = Image.fromarray(item.luma(SHARED_SIZE).astype(np.uint8))
    luma = whole.resize((SIDE, SIDE), Image.Resampling.LANCZOS, reducing_gap=2.0)
    coefficients = (BASIS @ np.asarray(luma, dtype=np.float64) @ BASIS.T).ravel()
    return np.packbits(coefficients > np.median(coefficients)).tobytes()


def colourfulness(item: Item) -> float:
    """Hasler and Suesstrunk, "Measuring colourfulness in natural images" (2003), without the fine detail."""
    small = np.asarray(item.picture(SHARED_SIZE).reduce(4), dtype=np.float32)
    red, green, blue = small[..., 0], small[..., 1], small[..., 2]
    across, along = red - green, (red + green) / 2 - blue
    return float(np.hypot(across.std(), along.std()) + 0.3 * np.hypot(across.mean(), along.mean()))


@dataclass(frozen=True)
class Spent:
    """Seconds of both clocks."""

    wall_s: float
    cpu_s: float


def run(quick: bool, say: Say) -> Report:
    """Nothing is written."""
    count, turns = (16, 3) if quick else (100, 9)
    table = pa.table({"id": list(map(str, range(count))), "image": [jpeg(one) for one in pieces(count, WIDTH, HEIGHT)]})
    own = {
        one.__name__: scorer_of(one, "1", ("image",), type=kind)()
        for one, kind in ((fingerprint, pa.binary()), (colourfulness, pa.float32()))
    }
    light = {**scorers(BUILT_IN), **own}
    heavy = {**scorers((*BUILT_IN, "brisque")), "fingerprint": own["fingerprint"]}
    rows: list[dict[str, Value]] = []
    goals: list[Goal] = []
    for case, five in (("five light scorers", light), ("BRISQUE and four light scorers", heavy)):
        fused, separate, decoding = _measured(table, five, turns)
        say(f"{case}: {', '.join(five)}, {turns} turns over {count} pictures")
        ratios = fused.cpu_s / separate.cpu_s, fused.wall_s / separate.wall_s
        acts = {"one fused pass": fused, "five separate passes": separate, "decoding once": decoding}
        for what, spent in acts.items():
            of_fused = spent is fused
            rows.append(
                {
                    "what": what,
                    "case": case,
                    "wall_s": spent.wall_s / count,
                    "cpu_s": spent.cpu_s / count,
                    "cpu_over_separate": ratios[0] if of_fused else None,
                    "decode_share": decoding.cpu_s / fused.cpu_s if of_fused else None,
                }
            )
        if five is light:
            goals += [
                Goal("fused_cpu_over_five_separate_passes", ratios[0], BOUND),
                Goal("fused_wall_over_five_separate_passes", ratios[1], BOUND),
            ]
    return Report(f"{'QUICK, fewer pictures. ' if quick else ''}{TITLE}", rows, goals)


def _measured(table: pa.Table, five: Mapping[str, Scorer], turns: int) -> list[Spent]:
    """Fused, separate and decoding alone, turn by turn so that a busy moment of the machine hits them all."""
    acts = [
        partial(_pass, table, five),
        lambda: [_pass(table, {name: one}) for name, one in five.items()],
        partial(_decode, table),
    ]
    for act in acts:
        act()  # the first time takes longer
    spent = [[_spent(act) for act in acts] for _ in range(turns)]
    return [_median(column) for column in zip(*spent, strict=True)]


def _pass(table: pa.Table, wanted: Mapping[str, Scorer]) -> None:
    for name, column in score_items(wanted, rows_of(table)).items():
        if column.states.any():
            raise RuntimeError(f"{name} failed: {column.messages}")


def _decode(table: pa.Table) -> None:
    for item in rows_of(table):
        item.luma(SHARED_SIZE)
        item.forget_pictures()


def _spent(act: Callable[[], object]) -> Spent:
    wall, cpu = time.perf_counter(), time.process_time()
    act()
    return Spent(time.perf_counter() - wall, time.process_time() - cpu)


def _median(many: Sequence[Spent]) -> Spent:
    return Spent(statistics.median(one.wall_s for one in many), statistics.median(one.cpu_s for one in many))
