"""Labelling with what scorers need around them: models on disk, applications of Ray Serve, a check of settings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from lance_assets.compute.fragment import Tools
from lance_assets.compute.label import Labelled, Narrow, Report, identity_of, label
from lance_assets.compute.serve import served
from lance_assets.compute.valuable import within
from lance_assets.errors import BadInput, in_one_line
from lance_assets.scoring.api import Scorer
from lance_assets.settings import Home
from lance_assets.store.files import DataRoot
from lance_assets.store.labelling import any_stale
from lance_assets.store.staleness import StaleCell


def label_with_models(
    root: DataRoot,
    batches: Sequence[str],
    scorers: Mapping[str, Scorer],
    run_id: str,
    report: Report,
    home: Home,
    force: bool = False,
    due: datetime | None = None,
) -> Iterator[Labelled]:
    """As `label`, with served scorers behind Ray Serve for as long as they have something to do. A scorer that lacks
    something (a model, a package, a key) fails alone, for all batches, before a row is read."""
    able: dict[str, Scorer] = {}
    for name, scorer in scorers.items():
        try:
            scorer.check(home.models)
            able[name] = scorer
        except BadInput as error:
            report(f"{name} cannot score: {error}")
            yield from (Labelled(batch, name, 0, [], failure=in_one_line(str(error))) for batch in batches)
    behind_serve = {
        name: scorer
        for name, scorer in able.items()
        if scorer.served is not None and any_stale(root, batches, [identity_of(scorer)], force, due)
    }
    narrow = list if force else budgeted(root, batches, able, home, report, due)
    if not behind_serve:
        tools = Tools(home.models)
        yield from label(root, batches, able, run_id, report, tools, force, narrow=narrow, due=due) if able else ()
        return
    with served(behind_serve, home.models, home.cache / "serve") as asks:
        tools = Tools(home.models, asks)
        yield from label(root, batches, able, run_id, report, tools, force, narrow=narrow, due=due)


def budgeted(
    root: DataRoot,
    batches: Sequence[str],
    scorers: Mapping[str, Scorer],
    home: Home,
    report: Report,
    due: datetime | None = None,
) -> Narrow:
    """Only what budgets pay for, the most valuable rows first."""
    bounds: list[Narrow] = []
    for name, scorer in scorers.items():
        allowed = scorer.allowance(home.models)
        if allowed is None:
            continue
        narrow, left = within(root, batches, scorer, allowed, due)
        if left:
            report(f"{name}: the budget pays for {allowed.rows} more rows; {left} stale ones wait for a larger one")
        bounds.append(narrow)

    def all_bounds(cells: Sequence[StaleCell]) -> list[StaleCell]:
        kept = list(cells)
        for narrow in bounds:
            kept = narrow(kept)
        return kept

    return all_bounds
