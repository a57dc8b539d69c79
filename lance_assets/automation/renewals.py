"""How the training set, the checkpoint and the evaluation stand against what is there now."""

from __future__ import annotations

from collections.abc import Mapping

import dagster as dg

from lance_assets.automation.tail import TRAINING_SET, Renewal, Tail
from lance_assets.compute.scorers import SEEN_VERSION, SELECTION, selection_of
from lance_assets.compute.train import Places, evaluation_of, latest_checkpoint, recipe_sha256
from lance_assets.scoring.api import Scorer
from lance_assets.settings import Platform
from lance_assets.store.files import DataRoot
from lance_assets.store.selection import latest_manifest
from lance_assets.training.recipe import load_recipe


def tail_of(
    platform: Platform, instance: dg.DagsterInstance, scorers: Mapping[str, Scorer], version: int, unsettled: str
) -> Tail:
    """`version` of the table that was looked at; `unsettled`: see Tail. Raises BadInput."""
    checkpoint, evaluation = _checkpoint(platform)
    return Tail(unsettled, _training_set(platform, instance, scorers, version), checkpoint, evaluation)


def _training_set(
    platform: Platform, instance: dg.DagsterInstance, scorers: Mapping[str, Scorer], version: int
) -> Renewal:
    """Renewed where the table or the selection is not the one that was last looked at. The manifest would not tell: it
    is an earlier one where a look found the same rows."""
    selection = selection_of(platform, scorers)
    made = f"{version} {selection}"
    event = instance.get_latest_materialization_event(dg.AssetKey([TRAINING_SET]))
    if event is None or event.asset_materialization is None:
        return Renewal("it was never pinned", made)
    said = event.asset_materialization.metadata
    if SELECTION not in said or said[SELECTION].value != selection:
        return Renewal("another selection in platform.yaml", made)
    return Renewal("the table changed" if said[SEEN_VERSION].value != version else "", made)


def _checkpoint(platform: Platform) -> tuple[Renewal, Renewal]:
    manifest = latest_manifest(DataRoot(platform.home.data))
    if manifest is None:
        return Renewal(), Renewal()
    recipe = recipe_sha256(load_recipe(platform.config().recipe))
    made = f"{manifest['sha256'][:16]} {recipe[:16]}"
    last = latest_checkpoint(Places(platform.home.models, platform.home.checkpoints))
    if last is None:
        return Renewal("nothing was trained yet", made), Renewal()
    if last["manifest_sha256"] != manifest["sha256"]:
        return Renewal("it was trained on another training set", made), Renewal()
    if last["recipe_sha256"] != recipe:
        return Renewal("it was trained by another recipe", made), Renewal()
    return Renewal(), Renewal() if evaluation_of(last) else Renewal("the checkpoint was not evaluated", made)
