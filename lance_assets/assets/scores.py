"""score/<name>[batch]: one asset per score column, and the model that one of them learns."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import dagster as dg
from dagster_ray import RayResource

from lance_assets.assets.common import BATCHES, PlatformParam, data_root, forced, raise_failures
from lance_assets.assets.image_dataset import image_dataset
from lance_assets.compute.duplicates import find_duplicates
from lance_assets.compute.duplicates_preview import duplicate_numbers, pairs_sheet
from lance_assets.compute.label import Labelled, batch_values, identity_of, label
from lance_assets.compute.preview import extremes_sheet
from lance_assets.compute.registry import active_scorers, fit, with_model
from lance_assets.compute.serve import served
from lance_assets.preview.histogram import histogram_markdown
from lance_assets.preview.numbers import score_numbers
from lance_assets.scoring.alignment import FIT_VERSION
from lance_assets.scoring.api import Scorer
from lance_assets.scoring.duplicate import MAX_RADIUS, Duplicate
from lance_assets.settings import Platform
from lance_assets.store.columns import column_of
from lance_assets.store.files import DataRoot
from lance_assets.store.labelling import any_stale


def score_key(name: str) -> dg.AssetKey:
    return dg.AssetKey(["score", name])


def platform_scorers(platform: Platform) -> dict[str, Scorer]:
    """The scorers that platform.yaml asks for, with the model fitted last and the radius of the duplicates."""
    config = platform.config()
    configs = config.scorer_configs()
    configs[Duplicate.name] = {"radius": config.duplicates.radius, **configs.get(Duplicate.name, {})}
    return active_scorers(config.scorer_names(), configs, platform.home.models)


def score_spec(scorer: Scorer, deps: Sequence[dg.AssetKey]) -> dg.AssetSpec:
    """The asset of one column; its code version is the scorer's declared version and nothing else."""
    return dg.AssetSpec(
        score_key(scorer.name),
        deps=deps,
        group_name="scores",
        code_version=scorer.version,
        kinds={"ray", "lance"},
        description=scorer.description,
        partitions_def=BATCHES,
        metadata={"column": column_of(scorer.name), "reads": ", ".join(scorer.fields), "scale": scorer.unit},
    )


def light_scores(scorers: Mapping[str, Scorer]) -> dg.AssetsDefinition:
    """All scorers that run inside the label tasks: asked together they share one pass, asked alone they run alone."""

    @dg.multi_asset(
        name="light_scores",
        specs=[score_spec(scorer, [image_dataset.key]) for scorer in scorers.values()],
        can_subset=True,
        backfill_policy=dg.BackfillPolicy.single_run(),
    )
    def body(
        context: dg.AssetExecutionContext, platform: PlatformParam, ray_cluster: RayResource
    ) -> Iterable[dg.MaterializeResult]:
        now = platform_scorers(platform)
        chosen = {name: now[name] for name in scorers if score_key(name) in context.selected_asset_keys}
        results = label(
            data_root(platform),
            context.partition_keys,
            chosen,
            context.run.run_id,
            context.log.info,
            force=forced(context),
        )
        yield from _finish(context, data_root(platform), chosen, results)

    return body


def served_score(scorer: Scorer, deps: Sequence[dg.AssetKey]) -> dg.AssetsDefinition:
    """A scorer whose model is held by Ray Serve; an op of its own, so that pools can bound it."""

    @dg.multi_asset(
        name=f"{scorer.name}_score",
        specs=[score_spec(scorer, [image_dataset.key, *deps])],
        backfill_policy=dg.BackfillPolicy.single_run(),
    )
    def body(
        context: dg.AssetExecutionContext, platform: PlatformParam, ray_cluster: RayResource
    ) -> Iterable[dg.MaterializeResult]:
        root, run_id, say, force = data_root(platform), context.run.run_id, context.log.info, forced(context)
        now = platform_scorers(platform)[scorer.name]
        ready = with_model(now, platform.home.models)
        if any_stale(root, context.partition_keys, [identity_of(now)], force):
            with served(ready, run_id) as call:
                results = list(label(root, context.partition_keys, {now.name: now}, run_id, say, call, force))
        else:
            results = list(label(root, context.partition_keys, {now.name: ready}, run_id, say))
        yield from _finish(context, root, {now.name: now}, results)

    return body


def duplicate_score(scorer: Scorer) -> dg.AssetsDefinition:
    """Which rows repeat an earlier one, of any batch; an op of its own, since one batch is compared after the other."""

    @dg.multi_asset(
        name=f"{scorer.name}_score",
        specs=[score_spec(scorer, [image_dataset.key])],
        backfill_policy=dg.BackfillPolicy.single_run(),
    )
    def body(
        context: dg.AssetExecutionContext, platform: PlatformParam, ray_cluster: RayResource
    ) -> Iterable[dg.MaterializeResult]:
        root, now = data_root(platform), platform_scorers(platform)[scorer.name]
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
        )
        yield from _finish(context, root, {now.name: now}, found)

    return body


def _finish(
    context: dg.AssetExecutionContext, root: DataRoot, scorers: Mapping[str, Scorer], results: Iterable[Labelled]
) -> Iterable[dg.MaterializeResult]:
    """One materialization per column that no batch failed for; the failed ones are raised at the end, by name."""
    failures: list[tuple[str, str]] = []
    failed: set[str] = set()
    for done in results:
        if done.failure:
            failed.add(done.scorer)
            failures.append((f"score/{done.scorer} of {done.batch}", done.failure))
        else:
            _describe(context, root, done, scorers[done.scorer].across)
    for name in scorers:
        if name not in failed:
            yield dg.MaterializeResult(asset_key=score_key(name))
    raise_failures(context, failures)


def _describe(context: dg.AssetExecutionContext, root: DataRoot, done: Labelled, across: bool) -> None:
    shown, rows = _duplicates_shown(root, done) if across else _scores_shown(root, done)
    context.add_asset_metadata(
        {
            **shown,
            "scorer_calls": done.calls,
            "why": ", ".join(done.reasons) or "up to date",
            **({"first_failure": done.message} if done.message else {}),
            "lance_version": done.version,
            "dagster/partition_row_count": rows,
        },
        asset_key=score_key(done.scorer),
        partition_key=done.batch,
    )


def _scores_shown(root: DataRoot, done: Labelled) -> tuple[dict[str, Any], int]:
    stored = batch_values(root, done.batch, done.scorer)
    numbers = score_numbers(stored["values"], stored["states"])
    sheets = {
        "histogram": dg.MetadataValue.md(histogram_markdown(stored["values"])),
        "lowest_and_highest": dg.MetadataValue.md(extremes_sheet(root, done.batch, done.scorer)),
    }
    return {**sheets, **numbers}, int(numbers["rows"])


def _duplicates_shown(root: DataRoot, done: Labelled) -> tuple[dict[str, Any], int]:
    numbers = duplicate_numbers(root, done.batch)
    distances = numbers.pop("distances")
    sheets = {
        "distances": dg.MetadataValue.md(histogram_markdown(distances, high=MAX_RADIUS + 1)),
        "pairs": dg.MetadataValue.md(pairs_sheet(root, done.pairs)),
    }
    return {**sheets, **numbers}, numbers["rows"]


@dg.asset(deps=[image_dataset], group_name="scores", code_version=FIT_VERSION, kinds={"ray", "numpy"})
def alignment_model(
    context: dg.AssetExecutionContext, platform: PlatformParam, ray_cluster: RayResource
) -> dg.MaterializeResult:
    """What pictures and captions of this table have in common, learnt from the table itself.

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
