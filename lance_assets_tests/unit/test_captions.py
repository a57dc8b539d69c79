"""Captions in every layout of the guide, and the rows made of them."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from lance_assets.ingest.captions import DEFAULT_CAPTION, MAX_LITERAL_CHARS, parse_caption
from lance_assets.ingest.conversation import PROMPT, caption_of, messages
from lance_assets.ingest.rows import captions_table, row_id
from lance_assets.sources.base import RawRow, SourceFile
from lance_assets.store.captions import captions_name, read_captions, write_captions
from lance_assets.store.files import DataRoot
from lance_assets.store.schema import CAPTIONS

FILE = SourceFile("train/a.jsonl", "ab" * 32, 10)


@pytest.mark.parametrize(
    ("value", "caption"),
    [
        ("a red ball", "a red ball"),
        ("  a red ball\n", "a red ball"),
        ("一只猫", "一只猫"),
        ({"global_caption": "a cat", "segments": [1]}, "a cat"),
        ('{"global_caption": "a \\"big\\" cat", "x": null}', 'a "big" cat'),
        ("{'global_caption': 'a cat', 'x': None, 'b': [1, {'c': True}]}", "a cat"),
        ("{'global_caption': \"the cat's eye\"}", "the cat's eye"),
        (" {'global_caption': ' a cat '} ", "a cat"),
        ("{braces} are fine", "{braces} are fine"),
        ("{not a dict}", "{not a dict}"),
        ("{'a', 'b'}", "{'a', 'b'}"),
        ("[1, 2]", "[1, 2]"),
        ("half a smile \ud83d", "half a smile \ufffd"),
    ],
)
def test_the_caption_is_found_in_every_layout(value: Any, caption: str) -> None:
    assert parse_caption(value) == caption
    assert caption.encode("utf-8")


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        " \n",
        float("nan"),
        7,
        [],
        b"bytes",
        {},
        {"global_caption": None},
        {"global_caption": "  "},
        {"global_caption": {"global_caption": "nested"}},
        "{}",
        '{"caption": "other key"}',
        "{'global_caption': 'cut off}",
        "{'global_caption': open('/etc/passwd').read()}",
        "{" * 5000 + "'global_caption'" + "}" * 5000,
        "{'global_caption': '" + "x" * MAX_LITERAL_CHARS + "'}",
    ],
)
def test_what_holds_no_caption_is_none(value: Any) -> None:
    assert parse_caption(value) is None


def test_a_string_dict_is_never_executed(tmp_path: Any) -> None:
    marker = tmp_path / "executed"
    assert parse_caption(f"{{'global_caption': __import__('pathlib').Path({str(marker)!r}).touch()}}") is None
    assert not marker.exists()


def test_the_row_id_depends_on_source_path_and_row_only() -> None:
    one = row_id("demo", "a.parquet", 3)
    assert uuid.UUID(one).version == 5
    assert one == row_id("demo", "a.parquet", 3)
    others = {row_id("demo2", "a.parquet", 3), row_id("demo", "b.parquet", 3), row_id("demo", "a.parquet", 4)}
    assert len(others | {one}) == 4


def test_the_row_id_never_changes_between_releases() -> None:
    assert row_id("demo", "data/train-0000.parquet", 0) == "b7a2de81-5cd8-5978-957b-18c8c3ad7483"


def test_every_source_row_keeps_its_place_in_the_captions_table() -> None:
    rows = [
        RawRow(5, "http://h/1.jpg", "a cat"),
        RawRow(6, {"path": "http://h/2.jpg", "bytes": None}, {"global_caption": "a dog"}),
        RawRow(7, {"url": "http://h/3.jpg"}, json.dumps({"global_caption": "a cow"})),
        RawRow(8, "http://h/4.jpg", None),
        RawRow(9, None, "no image"),
        RawRow(10, {"bytes": b"x", "path": None}, "only bytes"),
        RawRow(11, "  ", "blank"),
        RawRow(12, problem="line 17 of a.jsonl is not a JSON object: it is a list"),
        RawRow(13, "http://h/\ud800.jpg", "half a letter"),
    ]
    table = captions_table("demo", "v1", FILE, iter(rows))
    assert table.schema.equals(CAPTIONS, check_metadata=True)
    assert table["row_in_file"].to_pylist() == list(range(5, 14))
    assert table["id"].to_pylist() == [row_id("demo", FILE.path, row) for row in range(5, 14)]
    assert table["image_url"].to_pylist()[:4] == [f"http://h/{n}.jpg" for n in (1, 2, 3, 4)]
    assert table["caption"].to_pylist()[:4] == ["a cat", "a dog", "a cow", DEFAULT_CAPTION]
    assert table["caption_missing"].to_pylist()[:4] == [False, False, False, True]
    assert table["problem"].to_pylist() == [None] * 4 + ["missing_url"] * 3 + ["malformed_row"] * 2
    assert table["detail"][7].as_py() == "line 17 of a.jsonl is not a JSON object: it is a list"
    assert set(table["source_sha256"].to_pylist()) == {FILE.sha256}
    assert set(table["source_revision"].to_pylist()) == {"v1"}


@pytest.mark.parametrize(
    ("image", "url", "origin"),
    [
        (" http://h/1.jpg ", "http://h/1.jpg", "url"),
        ("HTTPS://h/1.jpg", "HTTPS://h/1.jpg", "url"),
        ({"url": "http://h/1.jpg"}, "http://h/1.jpg", "url"),
        ({"path": "http://h/1.jpg"}, "http://h/1.jpg", "url"),
        ("s3://bucket/1.jpg", "s3://bucket/1.jpg", "url"),
        ("file:///etc/passwd", "file:///etc/passwd", "url"),
        ("file:/etc/passwd", "file:/etc/passwd", "url"),
        ("http:1.jpg", "http:1.jpg", "url"),
        ("javascript:alert(1)", "javascript:alert(1)", "url"),
        ("a/1.jpg", "a/1.jpg", "path"),
        ("/a/1.jpg", "/a/1.jpg", "path"),
        ("../1.jpg", "../1.jpg", "path"),
        ("shot 12:30.jpg", "shot 12:30.jpg", "path"),
        ("//h/1.jpg", "//h/1.jpg", "path"),
        ({"path": "猫.jpg"}, "猫.jpg", "path"),
    ],
)
def test_a_url_is_told_from_a_path(image: Any, url: str, origin: str) -> None:
    [row] = captions_table("s", "", FILE, [RawRow(0, image, "a cat")]).to_pylist()
    assert (row["image_url"], row["image_from"], row["problem"]) == (url, origin, None)


@pytest.mark.parametrize(
    ("image", "problem", "words"),
    [
        ("data:image/png;base64,AAAA", "malformed_row", "row 3 of train/a.jsonl: the image is a data: URI"),
        ("DATA:,x" + "x" * 1_000_000, "malformed_row", "data: URI"),
        ("C:\\images\\1.jpg", "malformed_row", "a path of Windows: C:\\images\\1.jpg"),
        ("c:/images/1.jpg", "malformed_row", "a path of Windows"),
        ("\\\\server\\1.jpg", "malformed_row", "a path of Windows"),
        ("iVBORw0KGgo" * 1000, "malformed_row", "neither a URL nor a path: 'iVBORw0KGgo"),
        ("a\0.jpg", "malformed_row", "neither a URL nor a path"),
        ("a\nb.jpg", "malformed_row", "neither a URL nor a path"),
        (["a.jpg", "b.jpg"], "multi_image", "row 3 of train/a.jsonl has 2 images"),
        ([None, {"path": "b.jpg"}], "multi_image", "has 2 images"),
        ({"path": 7}, "missing_url", "has no image URL"),
        (7, "missing_url", "has no image URL"),
        (b"bytes", "missing_url", "has no image URL"),
    ],
)
def test_what_is_neither_ends_with_a_reason_that_names_the_row(image: Any, problem: str, words: str) -> None:
    [row] = captions_table("s", "", FILE, [RawRow(3, image, "a cat")]).to_pylist()
    assert (row["image_url"], row["image_from"], row["problem"]) == (None, None, problem)
    assert words in row["detail"] and len(row["detail"]) < 400


def test_captions_that_were_written_before_a_column_was_there_have_nulls_in_it(tmp_path: Path) -> None:
    root = DataRoot(tmp_path)
    now = captions_table("s", "", FILE, [RawRow(0, "http://h/1.jpg", "a cat", licence="CC0")])
    key = "s-abababab-0-1"
    write_captions(root, key, now)
    assert read_captions(root, key).equals(now)
    new = ["image_from", "messages", "licence"]
    before = pq.read_table(tmp_path / captions_name(key)).drop_columns(new)
    pq.write_table(before, tmp_path / captions_name(key))
    found = read_captions(root, key)
    assert found.schema.equals(CAPTIONS) and found.schema.metadata == before.schema.metadata
    assert found.select(new).to_pylist() == [dict.fromkeys(new)]
    assert found.drop_columns(new).equals(now.drop_columns(new))


def test_a_conversation_has_two_turns_and_gives_its_caption_back() -> None:
    talk = messages("a cat")
    assert [turn["role"] for turn in talk] == ["user", "assistant"]
    assert talk[0]["content"] == PROMPT and PROMPT.startswith("<image>")
    assert caption_of(talk) == "a cat"
    assert caption_of([]) == ""


def test_a_caption_cannot_smuggle_a_second_image_tag_in() -> None:
    talk = messages("see <image> and <video>")
    assert sum(turn["content"].count("<image>") for turn in talk) == 1
    assert caption_of(talk) == "see image and video"
