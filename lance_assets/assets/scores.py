"""score/<name>[batch]: one asset per score column, and the model that one of them learns."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import dagster as dg
from dagster_ray import RayResource

from lance_assets.assets.batches import Batches, Told
from lance_assets.assets.common import PlatformParam, data_root, due_at, forced
from lance_assets.assets.image_dataset import image_dataset
from lance_assets.assets.score_page import page, score_key, score_spec
from lance_assets.compute.duplicates import find_duplicates
from lance_assets.compute.label import Labelled
from lance_assets.compute.label_models import label_with_models
from lance_assets.compute.registry import asked_scorers, fit
from lance_assets.scoring.alignment import FIT_VERSION
from lance_assets.scoring.api import Scorer
from lance_assets.scoring.duplicate import Duplicate
from lance_assets.scoring.registry import reads
from lance_assets.settings import Platform
from lance_assets.store.files import DataRoot


def light_scores(scorers: Mapping[str, Scorer]) -> dg.AssetsDefinition:
    """All scorers that run inside the label tasks: asked together they share one pass, asked alone they run alone."""

    @dg.multi_asset(
        name="light_scores",
        specs=[score_spec(scorer, [image_dataset.key]) for scorer in scorers.values()],
        can_subset=True,
        backfill_policy=dg.BackfillPolicy.single_run(),
    )
    def body(context: dg.AssetExecutionContext, platform: PlatformParam, ray_cluster: RayResource) -> Iterable[Told]:
        yield from _score(context, platform, [n for n in scorers if score_key(n) in context.selected_asset_keys])

    return body


def own_score(scorer: Scorer, deps: Sequence[dg.AssetKey]) -> dg.AssetsDefinition:
    """A scorer that is an op of its own, so that pools can bound it: one whose model is held by Ray Serve, or one that
    reads other score columns, which must have been published before."""

    @dg.multi_asset(
        name=f"{scorer.name}_score",
        pool="gpu" if scorer.served and scorer.served.gpus else None,
        specs=[score_spec(scorer, [image_dataset.key, *deps, *(score_key(name) for name in reads(scorer))])],
        backfill_policy=dg.BackfillPolicy.single_run(),
    )
    def body(context: dg.AssetExecutionContext, platform: PlatformParam, ray_cluster: RayResource) -> Iterable[Told]:
        yield from _score(context, platform, [scorer.name])

    return body


def _score(context: dg.AssetExecutionContext, platform: Platform, names: Sequence[str]) -> Iterable[Told]:
    chosen, started = asked_scorers(platform, names), datetime.now(UTC)
    results = label_with_models(
        data_root(platform),
        context.partition_keys,
        chosen,
        context.run.run_id,
        context.log.info,
        platform.home,
        forced(context),
        due_at(context),
    )
    costs = {name: scorer.spent for name, scorer in chosen.items()}
    yield from _finish(
        context, data_root(platform), chosen, results, lambda name: costs[name](platform.home.models, started)
    )


def duplicate_score(scorer: Scorer) -> dg.AssetsDefinition:
    """Which rows repeat an earlier one, of any batch; an op of its own, since one batch is compared after the other."""

    @dg.multi_asset(
        name=f"{scorer.name}_score",
        specs=[score_spec(scorer, [image_dataset.key])],
        backfill_policy=dg.BackfillPolicy.single_run(),
    )
    def body(context: dg.AssetExecutionContext, platform: PlatformParam, ray_cluster: RayResource) -> Iterable[Told]:
        root, now = data_root(platform), asked_scorers(platform, [scorer.name])[scorer.name]
        if not isinstance(now, Duplicate):
            raise TypeError(f"{now.name} is no scorer of duplicates")
        found = find_duplicates(
            root,
            context.partition_keys,
            now,
            context.run.run_id,
            context.log.info,
            platform.home.cache / "duplicates",
            force=forced(context),
            due=due_at(context),
        )
        yield from _finish(context, root, {now.name: now}, found)

    return body


def _finish(
    context: dg.AssetExecutionContext,
    root: DataRoot,
    scorers: Mapping[str, Scorer],
    results: Iterable[Labelled],
    spent: Callable[[str], Mapping[str, Any]] = lambda name: {},
) -> Iterable[Told]:
    """One materialization per column that no batch failed for, with what the run `spent` on it; of the other columns
    the batches that are done, and the failed ones are raised at the end, by name."""
    batches, failed = Batches(context), set[str]()
    for done in results:
        if done.failure:
            failed.add(done.scorer)
            batches.failed(f"score/{done.scorer} of {done.batch}", done.failure)
        else:
            batches.done(score_key(done.scorer), done.batch, page(root, done, scorers[done.scorer]))
    for name in scorers:
        cost = {f"spent_{what}": value for what, value in spent(name).items()}
        if cost:
            context.log.info(f"{name} in this run: {', '.join(f'{what} {value:,g}' for what, value in cost.items())}")
        if name not in failed:
            yield dg.MaterializeResult(asset_key=score_key(name), metadata=cost)
    yield from batches.finish(told=[score_key(name) for name in scorers if name not in failed])


#: Not made here, so that the graph has no cycle: `lance-assets promote --checkpoint` makes a tuned model the labeller.
labeller_checkpoint = dg.AssetSpec(
    "labeller_checkpoint",
    group_name="scores",
    kinds={"pytorch", "huggingface"},
    description="The tuned model that labels, promoted by hand from a checkpoint that passed its evaluation.",
)


@dg.asset(deps=[image_dataset], group_name="scores", code_version=FIT_VERSION, kinds={"ray", "numpy"})
def alignment_model(
    context: dg.AssetExecutionContext, platform: PlatformParam, ray_cluster: RayResource
) -> dg.MaterializeResult:
    """What pictures and captions here have in common.

    Learnt from the table itself, for score/alignment.

    Fitted when materialized and only then: a new model makes every alignment score stale.
    """
    fitted = fit(data_root(platform), platform.home.models)
    context.log.info(f"{fitted['rows']} rows: {fitted['nothing'] or fitted['metrics']}")
    return dg.MaterializeResult(
        metadata={
            "rows": fitted["rows"],
            "lance_version": fitted["lance_version"],
            "path": dg.MetadataValue.path(fitted["folder"]),
            **{name: value for name, value in fitted["metrics"].items() if isinstance(value, int | float)},
        },
        data_version=dg.DataVersion(fitted["model_digest"]),
    )
