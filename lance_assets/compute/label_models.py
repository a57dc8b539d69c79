"""Labelling with what scorers need around them: models on disk, applications of Ray Serve, a check of settings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from lance_assets.compute.fragment import Tools
from lance_assets.compute.label import Labelled, Report, identity_of, label
from lance_assets.compute.serve import served
from lance_assets.errors import BadInput, in_one_line
from lance_assets.scoring.api import Scorer
from lance_assets.settings import Home
from lance_assets.store.files import DataRoot
from lance_assets.store.labelling import any_stale


def label_with_models(
    root: DataRoot,
    batches: Sequence[str],
    scorers: Mapping[str, Scorer],
    run_id: str,
    report: Report,
    home: Home,
    force: bool = False,
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
        if scorer.served is not None and any_stale(root, batches, [identity_of(scorer)], force)
    }
    if not behind_serve:
        yield from label(root, batches, able, run_id, report, Tools(home.models), force) if able else ()
        return
    with served(behind_serve, home.models, home.cache / "serve") as asks:
        yield from label(root, batches, able, run_id, report, Tools(home.models, asks), force)
