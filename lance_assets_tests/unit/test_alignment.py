"""Alignment learnt from pictures drawn here, with captions that say what was drawn."""

from __future__ import annotations

import functools
import hashlib
import io
import json

import numpy as np
import pytest
from PIL import Image, ImageDraw

from lance_assets.errors import BadInput
from lance_assets.scoring.alignment import Alignment, AlignmentModel, NothingToLearn, fit_alignment
from lance_assets.scoring.alignment_model import FOLDS, fold_of
from lance_assets.scoring.api import Item, State
from lance_assets.scoring.passes import score_items

COLOURS = {"red": (200, 40, 40), "green": (40, 170, 60), "blue": (50, 70, 200), "yellow": (220, 200, 50)}
SIDES = {"left": 0.25, "right": 0.75}


def draw(rng: np.random.RandomState, side: int = 96) -> tuple[bytes, str]:
    """A coloured disc on one side by day or by night, and the caption that says so."""
    colour, where = str(rng.choice(list(COLOURS))), str(rng.choice(list(SIDES)))
    day = rng.rand() < 0.6
    image = Image.new("RGB", (side, side), (190, 200, 210) if day else (30, 30, 45))
    x, y = SIDES[where] * side + rng.uniform(-6, 6), side / 2 + rng.uniform(-12, 12)
    ImageDraw.Draw(image).ellipse((x - 16, y - 16, x + 16, y + 16), fill=COLOURS[colour])
    noise = rng.normal(0, 6, (side, side, 3))
    out = io.BytesIO()
    Image.fromarray(np.clip(np.asarray(image) + noise, 0, 255).astype(np.uint8)).save(out, "JPEG", quality=88)
    return out.getvalue(), f"A {colour} disc on the {where} side. It is {'daytime' if day else 'night'}."


@functools.cache
def table(rows: int = 240) -> tuple[list[bytes], list[str], list[str]]:
    rng = np.random.RandomState(7)
    drawn = [draw(rng) for _ in range(rows)]
    return [b for b, _ in drawn], [c for _, c in drawn], [hashlib.sha256(b).hexdigest() for b, _ in drawn]


@functools.cache
def model() -> AlignmentModel:
    return fit_alignment(*table())


def swapped(caption: str) -> str:
    return caption.replace("daytime", "night") if "daytime" in caption else caption.replace("night", "daytime")


def test_own_captions_score_higher_than_spoilt_ones():
    images, captions, keys = table()
    own = model().predict(images, captions, keys)
    assert own.dtype == np.float32 and own.min() >= 0 and own.max() <= 100
    spoilt = {
        "of another picture": captions[1:] + captions[:1],
        "day and night swapped": [swapped(caption) for caption in captions],
        "cut": [caption[: len(caption) // 2] for caption in captions],
        "a file name": ["IMG_2034.JPG"] * len(captions),
        "empty": [""] * len(captions),
    }
    for kind, texts in spoilt.items():
        scores = model().predict(images, texts, keys)
        differ = np.array([a != b for a, b in zip(texts, captions, strict=True)])
        assert own[differ].mean() - scores[differ].mean() > 20, kind
        assert np.mean(own[differ] > scores[differ]) > 0.9, kind
    assert own.mean() > 80 and model().metrics["auc"] > 0.9 and model().metrics["rows"] == len(images)


def test_new_pictures_of_the_same_kind_are_judged_too():
    rng = np.random.RandomState(99)
    drawn = [draw(rng, side=200) for _ in range(60)]
    images, captions = [b for b, _ in drawn], [c for _, c in drawn]
    keys = [hashlib.sha256(b).hexdigest() for b in images]
    own, swap = (model().predict(images, texts, keys) for texts in (captions, [swapped(c) for c in captions]))
    assert np.mean(own > swap) > 0.95


def test_a_row_never_has_a_say_in_the_weights_that_score_it():
    images, captions, keys = table()
    at = 5
    lied = [*captions[:at], "Nothing but a purple elephant in the snow, twice.", *captions[at + 1 :]]
    other = fit_alignment(images, lied, keys)
    f = fold_of(keys[at])
    assert np.array_equal(other.folds[f].weights, model().folds[f].weights)
    assert not np.array_equal(other.folds[1 - f].weights, model().folds[1 - f].weights)


def test_captions_that_have_nothing_to_do_with_the_pictures_teach_nothing():
    images, captions, keys = table()
    shuffled = [captions[at] for at in np.random.RandomState(1).permutation(len(captions))]
    blind = fit_alignment(images, shuffled, keys)
    assert blind.metrics["auc"] < 0.65
    assert abs(float(blind.predict(images, shuffled, keys).mean()) - 50) < 10


def test_the_order_of_the_rows_does_not_matter():
    images, captions, keys = table()
    assert fit_alignment(images[::-1], captions[::-1], keys[::-1]).digest == model().digest


def test_a_score_does_not_depend_on_the_other_rows_of_its_call():
    images, captions, keys = table()
    together = model().predict(images[:9], captions[:9], keys[:9])
    alone = [model().predict([i], [c], [k])[0] for i, c, k in zip(images[:9], captions[:9], keys[:9], strict=True)]
    assert together.tolist() == alone


def test_a_saved_model_scores_as_before_and_has_the_same_bytes_each_time(tmp_path):
    images, captions, keys = table()
    assert model().save(tmp_path / "a") == model().digest == model().save(tmp_path / "b")
    for name in ("model.npz", "model.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    again = AlignmentModel.load(tmp_path / "a")
    assert again.digest == model().digest and again.metrics == model().metrics
    assert again.predict(images, captions, keys).tolist() == model().predict(images, captions, keys).tolist()


def test_a_damaged_or_foreign_model_is_refused(tmp_path):
    with pytest.raises(BadInput, match="no readable alignment model"):
        AlignmentModel.load(tmp_path / "absent")
    model().save(tmp_path)
    arrays = dict(np.load(tmp_path / "model.npz"))
    np.savez(tmp_path / "model.npz", **{**arrays, "fold0_weights": arrays["fold0_weights"] + 1})
    with pytest.raises(BadInput, match="damaged"):
        AlignmentModel.load(tmp_path)
    np.savez(tmp_path / "model.npz", **{**arrays, "fold0_weights": arrays["fold0_weights"][:-1]})
    with pytest.raises(BadInput, match="weights has the shape"):
        AlignmentModel.load(tmp_path)
    np.savez(tmp_path / "model.npz", **{**arrays, "fold0_terms": np.array([{"a": 1}], dtype=object)})
    with pytest.raises(BadInput, match="allow_pickle"):
        AlignmentModel.load(tmp_path)
    (tmp_path / "model.npz").write_bytes(b"PK\3\4 cut")
    with pytest.raises(BadInput, match="no readable alignment model"):
        AlignmentModel.load(tmp_path)


def test_a_model_of_another_format_is_refused(tmp_path):
    model().save(tmp_path)
    card = json.loads((tmp_path / "model.json").read_text())
    (tmp_path / "model.json").write_text(json.dumps({**card, "format": 2}))
    with pytest.raises(BadInput, match="its format is 2"):
        AlignmentModel.load(tmp_path)


@pytest.mark.parametrize("rows", [2, 3, 5, 12])
def test_a_tiny_table_gets_a_model_that_admits_to_know_little(rows):
    images, captions, keys = table(rows)
    scores = fit_alignment(images, captions, keys).predict(images, captions, keys)
    assert np.isfinite(scores).all() and (abs(scores - 50) < 50).all()


def test_a_table_that_holds_nothing_to_learn_is_refused_by_name():
    images, captions, keys = table()
    with pytest.raises(NothingToLearn, match="1 readable rows with 1 different"):
        fit_alignment(images[:1], captions[:1], keys[:1])
    with pytest.raises(NothingToLearn, match="9 readable rows with 1 different"):
        fit_alignment(images[:9], ["the same"] * 9, keys[:9])
    with pytest.raises(NothingToLearn, match="1 readable rows"):
        fit_alignment([images[0], b"broken"], captions[:2], keys[:2])
    with pytest.raises(BadInput, match="do not match"):
        fit_alignment(images[:2], captions[:3], keys[:2])
    with pytest.raises(BadInput, match="at most 2000 rows"):
        fit_alignment([b""] * 2001, [""] * 2001, [""] * 2001)


def test_broken_images_are_left_out_of_the_fit_and_score_nothing():
    images, captions, keys = table()
    with_broken = fit_alignment([*images, b"broken"], [*captions, "Broken."], [*keys, "0" * 64])
    assert with_broken.digest == model().digest and with_broken.metrics["skipped"] == 1
    assert np.isnan(model().predict([b"broken"], ["Broken."], ["0" * 64])).all()


def test_equal_pictures_share_a_fold_and_both_folds_are_used():
    assert {fold_of(key) for key in table()[2]} == set(range(FOLDS))
    assert fold_of("abc") == fold_of("abc")


def test_chinese_captions_are_learnt_too():
    names = {"red": "红", "green": "绿", "blue": "蓝", "yellow": "黄", "left": "左", "right": "右"}
    images, captions, keys = table()

    def chinese(caption: str) -> str:
        word = caption.replace(".", "").split()
        return f"{names[word[5]]}边有一个{names[word[1]]}色的圆，现在是{'白天' if word[-1] == 'daytime' else '夜晚'}。"

    texts = [chinese(caption) for caption in captions]
    learnt = fit_alignment(images, texts, keys)
    own = learnt.predict(images, texts, keys)
    swap = learnt.predict(images, [chinese(swapped(caption)) for caption in captions], keys)
    assert learnt.metrics["auc"] > 0.9 and np.mean(own > swap) > 0.9


def test_the_scorer_scores_as_its_model_does_and_carries_its_digest():
    images, captions, keys = table()
    scorer = Alignment.of(model())
    items = [Item(str(at), captions[at], data=images[at]) for at in range(6)]
    column = score_items({"alignment": scorer}, items)["alignment"]
    assert column.values.to_numpy().tolist() == model().predict(images[:6], captions[:6], keys[:6]).tolist()
    assert scorer.config.model_digest == model().digest
    assert scorer.config_hash() != Alignment().config_hash() and scorer.version == Alignment.version


def test_without_its_model_the_scorer_fails_for_now_and_never_guesses():
    column = score_items({"alignment": Alignment()}, [Item("a", "x", data=table()[0][0])])["alignment"]
    assert column.states.tolist() == [State.FAILED_TRANSIENT] and column.values.null_count == 1
    with pytest.raises(BadInput, match="configured for the model None"):
        Alignment(None, model())
