"""The sensor `relabel` on a real instance and a real table; its plans on plain values are in unit/test_relabel.py."""

from __future__ import annotations

import json

from lance_assets.compute.scorers import needs_fit
from lance_assets.scoring.alignment import NOTHING
from lance_assets_tests.graph.platforms import LABELS, STARTED
from lance_assets_tests.tables import add_batch


def test_stale_columns_are_asked_for_together_and_unknown_batches_registered(platform, found):
    first, middle, _ = platform.partitions()
    add_batch(platform.root, first, 2)
    add_batch(platform.root, middle, 2)
    add_batch(platform.root, "other-0123abcd-0-3", 3)
    asked = platform.tick("relabel")
    assert asked.registered == ["other-0123abcd-0-3"]
    assert asked.runs == [(LABELS, (first, middle)), (LABELS, ("other-0123abcd-0-3",) * 2)]
    assert asked.tags[0]["lance_assets/relabel_reason"] == "never scored (8)"
    platform.run(LABELS, asked.tags[0], STARTED)
    assert platform.tick("relabel").runs == asked.runs[1:]
    platform.say(automation={"paused": ["words"]})
    assert platform.tick("relabel").runs == [(LABELS[:1], asked.runs[1][1])]
    platform.say(automation={"paused": ["beauty", "words"]})
    assert platform.tick("relabel").runs == [(LABELS[:1], asked.runs[1][1])], "a name of nobody stops nothing"
    platform.say(automation={"paused": ["beauty", "sharpness", "words"]})
    assert "automation.paused: there is no scorer beauty" in platform.tick("relabel").says


def test_the_alignment_model_is_fitted_once_there_are_images_and_its_column_waits_for_it(platform, found):
    first = platform.partitions()[0]
    add_batch(platform.root, first, 2)
    platform.say(scorers=[{"name": "sharpness"}, {"name": "alignment"}])
    assert platform.tick("relabel").runs == [(["alignment_model"], None), (LABELS[:1], (first, first))]
    platform.run(["alignment_model"], {}, STARTED)
    assert platform.tick("relabel").runs == [(LABELS[:1], (first, first))]
    platform.say(automation={"paused": ["alignment"]})
    assert platform.tick("relabel").runs == [(LABELS[:1], (first, first))]


def test_a_model_that_had_nothing_to_learn_is_fitted_again_when_there_are_more_rows(platform):
    models = platform.home.models
    assert needs_fit(models)
    (models / "alignment").mkdir(parents=True)
    (models / "alignment" / "current.json").write_text(json.dumps({"model_digest": NOTHING, "rows": 2}))
    assert needs_fit(models) and needs_fit(models, 3) and not needs_fit(models, 2)
    (models / "alignment" / "current.json").write_text(json.dumps({"model_digest": "c0ffee"}))
    assert not needs_fit(models, 3)
