"""The judge against an endpoint on loopback: what goes out, and what comes back."""

from __future__ import annotations

import base64
import io
import json

import pytest
from PIL import Image

from lance_assets.scoring.api import Item, State
from lance_assets.scoring.judge import reasons
from lance_assets.scoring.passes import score_items
from lance_assets_tests.fault_files import jpeg
from lance_assets_tests.judge_server import judge_server
from lance_assets_tests.judging import KEY, judge, rows


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


@pytest.fixture
def model():
    with judge_server() as server:
        yield server


def test_every_row_gets_the_score_of_the_model_and_its_reason_is_kept(model, tmp_path):
    with judge(model, tmp_path) as ours:
        scored = score_items({"judge": ours}, rows(30))["judge"]
        assert scored.values.to_pylist() == [float(model.behaviour.score(item.caption)) for item in rows(30)]
        assert set(scored.states.tolist()) == {State.OK} and scored.messages == {}
        use = ours.usage(tmp_path)
    assert (use.rows, use.requests, use.input_tokens, use.output_tokens) == (30, 30, 15_000, 1200)
    [reason] = reasons(tmp_path, ["id-3"])["id-3"]
    assert reason.reason == "it is so" and reason.score == scored.values[3].as_py()


def test_the_picture_goes_out_as_base64_and_no_address_does(model, tmp_path):
    item = Item("a", "a cat", data=jpeg(64), others={"image_url": "https://example.org/secret.jpg"})
    with judge(model, tmp_path) as ours:
        ours.score([item])
    [entry] = model.log
    kind, _, data = entry.image.partition(",")
    assert kind == "data:image/jpeg;base64" and base64.b64decode(data) == item.data
    assert "example.org" not in json.dumps(entry.body)
    assert entry.body["response_format"]["json_schema"]["strict"] is True
    assert entry.headers["authorization"] == f"Bearer {KEY}"


def test_a_large_picture_or_an_unusual_format_goes_out_as_a_smaller_jpeg(model, tmp_path):
    bmp = io.BytesIO()
    Image.new("RGB", (30, 20)).save(bmp, "BMP")
    with judge(model, tmp_path, max_side=100) as ours:
        ours.score([Item("a", "wide", data=jpeg(900)), Item("b", "odd", data=bmp.getvalue())])
    sizes = {}
    for entry in model.log:
        sent = Image.open(io.BytesIO(base64.b64decode(entry.image.partition(",")[2])))
        sizes[entry.caption] = sent.format, sent.size
    assert sizes == {"wide": ("JPEG", (100, 100)), "odd": ("JPEG", (30, 20))}


def test_equal_rows_are_asked_once_also_at_the_same_time(model, tmp_path):
    model.behaviour.latency_s = 0.05
    twins = [Item(f"twin-{at}", "the same", data=jpeg(64)) for at in range(10)]
    with judge(model, tmp_path) as ours:
        assert len(set(ours.score(twins))) == 1
    assert len(model.log) == 1
    found = reasons(tmp_path, [twin.id for twin in twins])
    assert all(len(one) == 1 for one in found.values())


def test_a_server_that_does_not_count_tokens_is_counted_by_what_was_expected(model, tmp_path):
    model.behaviour.says_usage = False
    with judge(model, tmp_path) as ours:
        ours.score(rows(2))
        use = ours.usage(tmp_path)
    assert use.output_tokens == 600 and use.input_tokens > 200


def test_a_server_that_knows_no_schema_is_asked_for_a_json_object(model, tmp_path):
    with judge(model, tmp_path, answer="json_object", extra={"enable_thinking": False}) as ours:
        ours.score(rows(1))
    assert model.log[0].body["response_format"] == {"type": "json_object"}
    assert model.log[0].body["enable_thinking"] is False
