"""The answers of `audit row` and `audit column`, as data and as words, on a table with a history."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from lance_assets.audit import column, row
from lance_assets.audit.text import aligned, shown
from lance_assets.errors import BadInput
from lance_assets.store.captions import captions_name, write_captions
from lance_assets.store.cells import Cells
from lance_assets.store.cleanup import cleanup
from lance_assets.store.compact import compact
from lance_assets.store.files import DataRoot, write
from lance_assets.store.rejects import replace_rejects
from lance_assets.store.schema import CAPTIONS, REJECTS
from lance_assets.store.staging import publish
from lance_assets.store.table import open_images
from lance_assets.store.verify import Problem, relabel
from lance_assets_tests.histories import BATCH, FAILS, SHARP_MADE, WORDS_MADE, eventful, failing, scored, store
from lance_assets_tests.labels import SHARP, WORDS, Labeller, expected
from lance_assets_tests.tables import add_batch, image_rows, picture

REJECTED = f"{BATCH}/10"
TIME = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture
def root(tmp_path):
    return DataRoot(tmp_path / "data")


@pytest.fixture
def lived(root):
    """The eventful table with captions, and one rejected row."""
    eventful(root)
    plain = {"source_path": "shots.jsonl", "source_sha256": "ab" * 32, "source_revision": "r1", "caption": "A picture."}
    rows = [plain | {"id": f"{BATCH}/{n}", "row_in_file": 100 + n, "caption_missing": False} for n in range(11)]
    write_captions(root, BATCH, pa.Table.from_pylist(rows, schema=CAPTIONS))
    reject = {"id": REJECTED, "batch": BATCH, "image_url": "http://example.org/x", "reason": "not_found"}
    reject |= {"detail": "HTTP 404", "transient": False, "attempts": 3, "first_time": TIME, "last_time": TIME}
    replace_rejects(root, BATCH, pa.Table.from_pylist([reject], schema=REJECTS))
    return root


def text(lines):
    return "\n".join(lines)


def test_a_row_tells_its_image_its_origin_and_the_run_that_stored_it(lived):
    found = row.audit_row(lived, f"{BATCH}/0")
    image, origin = found["image"], found["origin"]
    assert (image["url"], image["bytes"], image["format"]) == ("http://example.org/0.jpg", len(picture(0)), "JPEG")
    assert image["intact"] and (image["width"], image["height"]) == (32, 32)
    assert (origin["source"], origin["source_path"], origin["row_in_file"]) == ("shots", "shots.jsonl", 100)
    assert (origin["source_revision"], origin["missing"]) == ("r1", None)
    assert found["stored"]["runs"] == ["download"] and found["stored"]["copies_in"] == []
    said = text(row.words(found))
    for word in (
        "shots.jsonl row 100, revision r1",
        "JPEG 32x32",
        "intact",
        "run download",
        "http://example.org/0.jpg",
    ):
        assert word in said


def makers(root, name):
    scores = {id: row.audit_row(root, id)["scores"][name] for id in SHARP_MADE}
    assert all(score["state"] == "ok" for score in scores.values())
    return {id: (one["made"]["run_id"], [hop["came"] for hop in one["made"]["path"]]) for id, one in scores.items()}


def test_each_score_of_a_row_names_who_made_it_from_what_and_how_it_came(lived):
    assert makers(lived, SHARP.column) == SHARP_MADE
    assert makers(lived, WORDS.column) == WORDS_MADE
    found = row.audit_row(lived, FAILS)["scores"][SHARP.column]
    assert found["value"] == pytest.approx(expected(SHARP, FAILS, row.audit_row(lived, FAILS)["image"]["sha256"]))
    made = found["made"]
    assert (made["scorer"], made["version"], made["config_hash"], made["attempts"]) == ("sharp", "1", "c0ffee", 2)
    assert made["inputs_unchanged"] is True and made["scored_at"].endswith("Z") and made["due"] is None
    assert 0 < made["lance_version_read"] < open_images(lived).version
    said = text(row.words(row.audit_row(lived, f"{BATCH}/5")))
    assert "kept, others were scored again" in said and "not compared" in said and "sharp 1" in said


SAME = ("scorer", "version", "config_hash", "input_digest", "run_id", "lance_version_read", "scored_at", "attempts")


def test_compaction_and_cleanup_change_nothing_but_where_a_cell_lies(lived):
    def told():
        return {
            id: {
                name: (one["value"], one["state"], *(one["made"][key] for key in SAME))
                for name, one in row.audit_row(lived, id)["scores"].items()
            }
            for id in SHARP_MADE
        }

    before, columns = told(), column.audit_column(lived, "sharp")["makers"]
    compact(lived)
    cleanup(lived, older_than=timedelta(0))
    assert told() == before
    assert makers(lived, SHARP.column)[FAILS] == ("second", ["compacted", "computed"])
    assert "moved by compaction" in text(row.words(row.audit_row(lived, FAILS)))
    assert column.audit_column(lived, "sharp")["makers"] == [columns[0] | {"carried": 10}]


def test_a_rejected_row_answers_with_its_reason(lived):
    found = row.audit_row(lived, REJECTED)
    [reject] = found["rejected"]
    assert (reject["reason"], reject["attempts"], reject["last_time"]) == ("not_found", 3, "2026-01-02T03:04:05Z")
    assert found["stored"] is None and found["origin"]["row_in_file"] == 110
    assert "not_found, for good: HTTP 404" in text(row.words(found))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda root: (root.folder / captions_name(BATCH)).unlink(), "is not there"),
        (lambda root: write(root, captions_name(BATCH), b"rubbish"), "is damaged"),
        (lambda root: write_captions(root, BATCH, CAPTIONS.empty_table()), "does not have the row any more"),
    ],
    ids=["gone", "damaged", "without the row"],
)
def test_an_origin_that_is_lost_is_said_to_be_and_the_rest_is_answered(lived, spoil, said):
    spoil(lived)
    found = row.audit_row(lived, FAILS)
    assert said in found["origin"]["missing"] and captions_name(BATCH) in found["origin"]["missing"]
    assert found["scores"][SHARP.column]["made"]["run_id"] == "second"
    assert f"unknown: {found['origin']['missing']}" in text(row.words(found))


def test_an_image_that_is_not_the_one_of_its_digest_is_told(root):
    rows = image_rows(BATCH, 2).to_pylist()
    rows[1]["image"] = picture(77)
    store(root, pa.RecordBatch.from_pylist(rows, schema=image_rows(BATCH, 1).schema), "download", fragments=1)
    assert row.audit_row(root, f"{BATCH}/0")["image"]["intact"] is True
    found = row.audit_row(root, f"{BATCH}/1")
    assert found["image"]["intact"] is False and "NOT what is stored" in text(row.words(found))


def test_cells_without_a_score_and_cells_without_an_explanation_are_told_apart(root):
    add_batch(root, "a", 2)
    add_batch(root, "b", 2)
    Labeller(root)("a", SHARP)
    publish(root, [scored(root, "a", SHARP, None).staged], {})
    never, unknown = (row.audit_row(root, id)["scores"][SHARP.column] for id in ("b/0", "a/0"))
    assert (never["state"], never["value"], never["made"]) == ("never scored", None, None)
    assert (unknown["state"], unknown["made"]) == ("ok", None) and unknown["value"] is not None
    assert "UNEXPLAINED" in text(row.words(row.audit_row(root, "a/0")))
    assert "UNEXPLAINED" not in text(row.words(row.audit_row(root, "b/0")))
    found = column.audit_column(root, SHARP.column)
    assert (found["never_scored"], found["unexplained"], found["makers"]) == (2, 2, [])
    assert "UNEXPLAINED" in text(column.words(found)) and "batch a" in text(column.words(found))


def test_a_column_tells_its_makers_and_what_is_due(root):
    add_batch(root, "a", 4)
    add_batch(root, "b", 3)
    labeller = Labeller(root, cells=failing({"a/1"}))
    labeller("a", SHARP, run_id="one")
    labeller("b", replace(SHARP, version="2"), run_id="two")
    found = column.audit_column(root, "sharp")
    assert (found["column"], found["type"], found["rows"], found["transient_due"]) == (SHARP.column, "float", 7, 0)
    first, second = found["makers"]
    assert (first["version"], first["rows"]["ok"], first["rows"]["failed_transient"]) == ("1", 3, 1)
    assert (second["version"], second["batches"], second["runs"]) == ("2", ["b"], ["two"])
    said = text(column.words(found))
    assert f"0 transient failures due now, more at {found['next_due']}" in said
    assert any(line.split()[:4] == ["sharp", "2", "c0ffee", "3"] for line in said.splitlines())


def test_damage_that_verify_found_is_told(lived):
    place = row.audit_row(lived, FAILS)
    file = place["scores"][SHARP.column]["made"]["path"][0]["file"]
    relabel(lived, [Problem("short", BATCH, place["stored"]["fragment"], file, SHARP.column, "1 row for 5")])
    assert row.audit_row(lived, FAILS)["scores"][SHARP.column]["made"]["damage"] == "short: 1 row for 5"
    assert "DAMAGED: short" in text(row.words(row.audit_row(lived, FAILS)))
    found = column.audit_column(lived, "sharp")
    assert found["damaged"] == 5 and "DAMAGED" in text(column.words(found))


def test_values_of_any_type_are_told_and_become_json(root):
    add_batch(root, "a", 2)
    tags = replace(
        SHARP, column="score_tags", type=pa.list_(pa.struct([("at", pa.timestamp("us")), ("raw", pa.binary())]))
    )
    value = [{"at": TIME.replace(tzinfo=None), "raw": b"\xff"}] * 9
    cells = Cells.of(pa.array([value, None], tags.type), np.array([0, 2], np.uint8))
    Labeller(root, cells=lambda identity, rows: cells)("a", tags)
    for id, state in (("a/0", "ok"), ("a/1", "failed_permanent")):
        found = row.audit_row(root, id)
        assert found["scores"]["score_tags"]["state"] == state
        assert json.loads(json.dumps(found, default=str))["id"] == id
        assert all("\n" not in line and len(line) < 250 for line in row.words(found))


def test_an_id_and_a_column_that_are_not_there_are_bad_input_that_names_what_is(lived):
    with pytest.raises(BadInput, match=r'no row has the id "it.s": 10 are stored, such as shots-.*, 1 are rejected'):
        row.audit_row(lived, "it's")
    with pytest.raises(BadInput, match=r"no score column 'nope' .*: there are sharp, words"):
        column.audit_column(lived, "nope")
    with pytest.raises(BadInput, match="no score column 'image_url'"):
        column.audit_column(lived, "image_url")


def test_a_place_without_a_table_is_bad_input(root):
    with pytest.raises(BadInput, match=r"no row has the id 'x': no image is stored at .*, 0 are rejected"):
        row.audit_row(root, "x")
    with pytest.raises(BadInput, match="there is no image table"):
        column.audit_column(root, "sharp")
    assert not root.folder.exists()


def test_values_are_shown_in_one_short_line():
    assert [shown(value) for value in (None, 1 / 3, "a\nb", True)] == ["-", "0.333333", "a b", "true"]
    assert shown("x" * 100, 10) == "xxxxxxx..."
    assert aligned(["a", "b"], [["long", "1"], ["", "22"]]) == ["a     b", "long  1", "      22"]
