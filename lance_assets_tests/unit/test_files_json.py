"""One JSON array as a source: read piece by piece, and other .json files of a folder left alone."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from lance_assets.errors import BadInput
from lance_assets.sources import json_array
from lance_assets.sources.base import Columns, RawRow
from lance_assets.sources.files import FilesSource


def rows_of(path: Path) -> list[RawRow]:
    source = FilesSource("s", str(path), Columns())
    return [row for file in source.files() for row in source.read(file, 0, file.rows)]


def row(number: int, **more: Any) -> dict[str, Any]:
    return {"url": f"http://h/{number}.jpg", "caption": f"c {number} ]}},", **more}


@pytest.mark.parametrize("piece", [1, 7, 64, 1 << 20])
@pytest.mark.parametrize("indent", [None, 2])
def test_an_array_gives_its_rows_whatever_the_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, piece: int, indent: int | None
) -> None:
    monkeypatch.setattr(json_array, "PIECE", piece)
    path = tmp_path / "x.json"
    path.write_text("\ufeff \n" + json.dumps([row(n, more=[{}, [1]]) for n in range(20)], indent=indent) + "\n")
    found = rows_of(path)
    assert found == [RawRow(n, f"http://h/{n}.jpg", f"c {n} ]}},") for n in range(20)]
    source = FilesSource("s", str(path), Columns())
    [file] = source.files()
    assert list(source.read(file, 13, 17)) == found[13:17]


def test_elements_that_are_no_objects_or_no_text_are_problems_in_their_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_array, "PIECE", 3)
    path = tmp_path / "x.json"
    path.write_bytes(json.dumps([row(0), 12345, "a", None, [1]])[:-1].encode() + b', {"url": "\xff"}, {"url": "u"}]')
    found = rows_of(path)
    kinds = ("int", "str", "NoneType", "list")
    assert [one.problem for one in found[1:5]] == [
        f"element {n} of x.json is not a JSON object: it is a {kind}" for n, kind in enumerate(kinds, 1)
    ]
    assert found[5].problem == "element 5 of x.json is not UTF-8"
    assert found[0].problem is None and found[6].image == "u"


@pytest.mark.parametrize(
    "text",
    [
        '[{"url": "u"}',
        '[{"url": "u"},',
        '[{"url": "u"},]',
        '[{"url": "u"} {"url": "v"}]',
        '[{"url": "u"}] x',
        '[{"url": "u}]',
        '{"url": "u"}',
        '{"url": "u"}\n{"url": "v"}\n',
        "[" * 100_000,
        '[{"url": ' + "[" * 100_000,
        '[{"url": ' + "9" * 5000 + "}]",
        "",
    ],
)
def test_a_broken_array_is_bad_input_in_one_sentence(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(BadInput, match=r"x\.json is not a JSON array of objects: ") as caught:
        rows_of(path)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


def test_an_endless_element_is_refused_before_it_is_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_array, "MAX_ELEMENT", 10_000)
    monkeypatch.setattr(json_array, "PIECE", 1000)
    path = tmp_path / "x.json"
    with path.open("w") as stream:
        stream.write('[{"url": "')
        for _ in range(100):
            stream.write("x" * 1_000_000)
    tracemalloc.start()
    with pytest.raises(BadInput, match="more than 10000 characters"):
        rows_of(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 5_000_000


def test_settings_that_lie_beside_the_data_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "data.json").write_text(json.dumps([row(0)]))
    (tmp_path / "more.jsonl").write_text(json.dumps(row(1)) + "\n")
    (tmp_path / "dataset_info.json").write_text(json.dumps({"features": {}}))
    (tmp_path / "words.json").write_text(json.dumps(["a", "b"]))
    (tmp_path / "empty.json").touch()
    found = FilesSource("s", str(tmp_path), Columns())
    assert [file.path for file in found.files()] == ["data.json", "more.jsonl"]
    found = FilesSource("s", f"{tmp_path}/*.json", Columns())
    assert [file.path for file in found.files()] == ["data.json"]


def test_a_conversation_its_images_and_its_licence_are_found_by_their_usual_names(tmp_path: Path) -> None:
    talk = [{"from": "human", "value": "?"}, {"from": "gpt", "value": "a cow"}]
    turns = [{"role": "user", "content": "?"}, {"role": "assistant", "content": "a cow"}]
    rows = [
        {"conversations": talk, "images": ["a.jpg"], "licence": "CC0"},
        {"messages": turns, "image": {"path": "b.jpg"}, "license": {"name": "MIT"}, "caption": "other"},
        {"messages": None, "images": [], "caption": "words"},
        {"messages": turns, "images": ["a.jpg", {"url": "http://h/b.jpg"}]},
    ]
    (tmp_path / "x.json").write_text(json.dumps(rows))
    assert rows_of(tmp_path) == [
        RawRow(0, "a.jpg", None, None, talk, "CC0"),
        RawRow(1, {"path": "b.jpg"}, "other", None, turns, '{"name": "MIT"}'),
        RawRow(2, None, "words"),
        RawRow(3, ["a.jpg", {"url": "http://h/b.jpg"}], None, None, turns),
    ]


def test_the_column_that_is_named_for_the_caption_may_hold_conversations(tmp_path: Path) -> None:
    turns = [{"role": "user", "content": "?"}, {"role": "assistant", "content": "a cow"}]
    rows = [{"url": "u", "talk": turns, "alt": ["a", "b"], "messages": turns}]
    (tmp_path / "x.json").write_text(json.dumps(rows))
    for column, caption, messages in (("talk", None, turns), ("alt", ["a", "b"], None), ("messages", None, turns)):
        source = FilesSource("s", str(tmp_path), Columns(caption=column))
        [file] = source.files()
        assert list(source.read(file, 0, 1)) == [RawRow(0, "u", caption, None, messages)]


def test_conversations_without_an_image_column_are_an_error_that_names_what_was_looked_for(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text(json.dumps([{"messages": [], "id": 1}]))
    with pytest.raises(BadInput, match=r"no image column: looked for .*, image, images, file_name, its"):
        rows_of(tmp_path)
