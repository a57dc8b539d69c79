"""The data card: counted from the table, and rendered so that nothing in it is obeyed."""

import re
from datetime import UTC, datetime

import pyarrow as pa
import pytest

from lance_assets.audit.card import data_card
from lance_assets.audit.card_scores import histogram, quantiles
from lance_assets.preview.card import html, markdown
from lance_assets.store.captions import write_captions
from lance_assets.store.files import DataRoot
from lance_assets.store.rejects import replace_rejects
from lance_assets.store.rights import RIGHTS, record_rights
from lance_assets.store.schema import CAPTIONS, REJECTS
from lance_assets.store.selection import pin
from lance_assets_tests.histories import BATCH, eventful
from lance_assets_tests.labels import SHARP
from lance_assets_tests.lookalikes import LOOKS, Looker

EVIL = "CC-BY <script>alert(1)</script> | [x](javascript:y) ![](http://evil/x.png)"
TIME = datetime(2026, 1, 2, tzinfo=UTC)


@pytest.fixture
def root(tmp_path):
    """The eventful table with captions, licences, an opt-out, a reject and a training set."""
    place = DataRoot(tmp_path / "data")
    eventful(place)
    plain = {"source_path": "shots.jsonl", "source_sha256": "ab" * 32, "source_revision": "r1", "caption": "A picture."}
    rows = [
        plain | {"id": f"{BATCH}/{n}", "row_in_file": n, "caption_missing": False, "licence": EVIL if n < 4 else None}
        for n in range(11)
    ]
    write_captions(place, BATCH, pa.Table.from_pylist(rows, schema=CAPTIONS))
    said = [{"id": f"{BATCH}/{n}", "time": TIME, "opt_out": "noai" if n == 10 else None} for n in range(11)]
    record_rights(place, BATCH, "one", pa.Table.from_pylist(said, schema=RIGHTS))
    reject = {"id": f"{BATCH}/10", "batch": BATCH, "reason": "opted_out", "detail": "", "transient": False}
    reject |= {"attempts": 1, "first_time": TIME, "last_time": TIME}
    replace_rejects(place, BATCH, pa.Table.from_pylist([reject], schema=REJECTS))
    pin(place, "score_sharp >= 0", 0.2, [SHARP.column])
    return place


def test_the_card_counts_what_is_there(root):
    card = data_card(root, [{"path": "checkpoints/one", "tag": "sft-x"}])
    assert (card["rows"], card["batches"], card["rejected"], card["placeholders"]) == (10, 1, {"opted_out": 1}, 0)
    [source] = card["sources"]
    assert (source["source"], source["asked"], source["stored"], source["rejected"]) == ("shots", 10, 10, 1)
    assert source["files"] == {"shots.jsonl": "ab" * 32}
    assert card["rights"]["licences"] == {"": 7, EVIL: 4} and card["rights"]["opt_outs"] == {"noai": 1}
    assert card["rights"]["asked"] == 11 and card["hosts"] == {"example.org": 10}
    assert card["formats"] == {"JPEG": 10} and card["pictures"]["width"]["p50"] == 32
    assert card["captions"]["characters"] == quantiles([len(f"Picture {n}.") for n in range(10)])
    sharp = next(one for one in card["scores"] if one["column"] == SHARP.column)
    assert sharp["states"] == {"ok": 10} and sum(sharp["numbers"]["bars"]) == 10
    assert card["tags"][0]["tag"] == card["training_sets"][0]["tag"]
    assert card["bytes"]["images"] > card["bytes"]["labels"] > 0


def test_duplicates_are_counted_exact_and_near(tmp_path):
    looker = Looker(DataRoot(tmp_path / "data"), tmp_path / "cache")
    looker.store("a", [0, 0, 3, LOOKS])
    looker("a")
    looker.store("b", [2 * LOOKS])
    card = data_card(looker.root)
    assert card["duplicates"] == {"exact": 1, "near": 1, "not_compared": 1}
    assert "1 rows have the very bytes" in markdown(card)
    assert next(one for one in card["scores"] if one["column"] == "score_duplicate")["numbers"] is None


def test_what_a_source_says_is_shown_and_not_obeyed(root):
    card = data_card(root)
    text, page = markdown(card), html(card)
    assert "<script" not in page and "<script" not in text and "](" not in text and "![" not in text
    assert "CC-BY &lt;script&gt;" in page and "CC-BY &#60;script" in text
    lines = [line for line in text.splitlines() if "CC-BY" in line]
    assert [len(re.findall(r"(?<!\\)\|", line)) for line in lines] == [4]


def test_the_page_loads_nothing_from_elsewhere(root):
    page = html(data_card(root))
    assert "default-src 'none'" in page and not re.search(r"(src|href)=", page)
    assert page.count("<svg") == 2 and page.startswith("<!doctype html>")


def test_a_table_of_markdown_has_as_many_cells_in_each_row(root):
    tables = re.findall(r"(?:^\|.*\n)+", markdown(data_card(root)), re.MULTILINE)
    assert len(tables) > 6
    for table in tables:
        assert len({line.count("|") for line in table.splitlines()}) == 1, table


def test_distributions_of_nothing_and_of_one_value_are_told():
    assert quantiles([float("nan")])["count"] == 0 and quantiles([float("nan")])["mean"] is None
    assert histogram([])["bars"] == [0] * 24
    assert sum(histogram([300.0, 300.0])["bars"]) == 2 and histogram([-5.0, 5.0])["low"] == -5
    assert (histogram([1.0, 99.0])["low"], histogram([1.0, 99.0])["high"]) == (0, 100)
