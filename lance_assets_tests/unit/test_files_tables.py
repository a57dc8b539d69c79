"""Pictures inside parquet and Arrow files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lance_assets.errors import BadInput
from lance_assets.ingest.rows import captions_table
from lance_assets.sources.base import Columns, RawRow
from lance_assets.sources.embedded import images_in_parquet
from lance_assets.sources.files import FilesSource
from lance_assets_tests.unit.arrow_files import write_file, write_stream

STRUCT = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def picture(number: int) -> bytes:
    return f"picture {number}".encode()


def inside(number: int) -> dict[str, Any]:
    return {"bytes": picture(number), "path": f"{number}.png"}


def beside(number: int) -> dict[str, Any]:
    return {"bytes": None, "path": f"{number}.png"}


#: (type of the column, its cells, what they say: (image, embedded)).
SHAPES: dict[str, tuple[pa.DataType, list[Any], list[tuple[Any, bool]]]] = {
    "all structs": (STRUCT, [inside(n) for n in range(40)], [(None, True)] * 40),
    "no bytes": (STRUCT, [beside(n) for n in range(3)], [({"path": f"{n}.png"}, False) for n in range(3)]),
    "some bytes": (STRUCT, [inside(0), beside(1), None], [(None, True), ({"path": "1.png"}, False), (None, False)]),
    "plain bytes": (pa.binary(), [picture(0), None, b""], [(None, True), (None, False), (None, True)]),
    "large bytes": (pa.large_binary(), [picture(n) for n in range(3)], [(None, True)] * 3),
    "one in a list": (pa.list_(STRUCT), [[inside(n)] for n in range(3)], [(None, True)] * 3),
    "lists": (
        pa.list_(STRUCT),
        [[inside(0)], [], None, [inside(3), beside(4)], [None, inside(5)], [beside(6)]],
        [
            (None, True),
            (None, False),
            (None, False),
            ([None, {"path": "4.png"}], False),
            (None, True),
            ({"path": "6.png"}, False),
        ],
    ),
    "lists of bytes": (
        pa.large_list(pa.binary()),
        [[picture(0)], [picture(1), picture(2)], []],
        [(None, True), ([None, None], False), (None, False)],
    ),
    "paths": (pa.string(), ["a.png", None], [("a.png", False), (None, False)]),
    "lists of paths": (
        pa.list_(pa.string()),
        [["a.png"], ["a.png", "b.png"]],
        [("a.png", False), (["a.png", "b.png"], False)],
    ),
}


def table(shape: str) -> pa.Table:
    kind, cells, _ = SHAPES[shape]
    texts = [f"c {n}" for n in range(len(cells))]
    return pa.table({"image": pa.array(cells, kind), "caption": texts, "license": ["MIT"] * len(cells)})


def write_parquet(path: Path, rows: pa.Table) -> None:
    pq.write_table(rows, path, row_group_size=5)


def write_parquet_without_statistics(path: Path, rows: pa.Table) -> None:
    pq.write_table(rows, path, row_group_size=5, write_statistics=False)


WRITERS = {
    "groups.parquet": write_parquet,
    "blind.parquet": write_parquet_without_statistics,
    "stream.arrow": write_stream,
    "file.arrow": write_file,
}


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("shape", SHAPES)
def test_an_image_column_of_any_shape_says_what_is_inside(tmp_path: Path, shape: str, name: str) -> None:
    WRITERS[name](tmp_path / name, table(shape))
    source = FilesSource("s", str(tmp_path / name), Columns())
    [file] = source.files()
    _, cells, said = SHAPES[shape]
    rows = list(source.read(file, 0, file.rows))
    assert [(row.image, row.embedded) for row in rows] == said
    assert [row.caption for row in rows] == [f"c {n}" for n in range(len(said))] and rows[0].licence == "MIT"
    for first in range(len(said) + 1):
        assert list(source.read(file, first, len(said))) == rows[first:]
    here = [row.row for row in rows if row.embedded]
    found = list(source.images(file, here))
    assert all(isinstance(data, bytes) for data in found)
    assert [len(data or b"") > 0 for data in found] == [cells[row] != b"" for row in here]
    assert list(source.images(file, range(file.rows))) == [
        found[here.index(row)] if row in here else None for row in range(file.rows)
    ]
    assert list(source.images(file, here[1:2])) == found[1:2] and list(source.images(file, [])) == []


@pytest.mark.parametrize("name", WRITERS)
def test_pictures_come_from_the_rows_that_were_asked_for(tmp_path: Path, name: str) -> None:
    WRITERS[name](tmp_path / name, table("all structs"))
    source = FilesSource("s", str(tmp_path / name), Columns())
    [file] = source.files()
    for rows in ([0], [39], [4, 5], [3, 17, 18, 39], range(40)):
        assert list(source.images(file, rows)) == [picture(row) for row in rows]
    with pytest.raises(BadInput, match="has no row 40"):
        list(source.images(file, [39, 40]))


def test_captions_of_a_file_full_of_pictures_are_read_without_the_pictures(tmp_path: Path) -> None:
    rows = pa.table(
        {"image": pa.array([inside(n) for n in range(100)], STRUCT), "caption": [f"c {n}" for n in range(100)]}
    )
    path = tmp_path / "x.parquet"
    pq.write_table(rows, path, use_dictionary=False, row_group_size=50)
    said, data = pq.read_metadata(path), bytearray(path.read_bytes())
    for group in range(2):  # who reads a picture now, fails
        chunk = said.row_group(group).column(0)
        assert chunk.path_in_schema == "image.bytes"
        end = chunk.data_page_offset + chunk.total_compressed_size
        data[chunk.data_page_offset : end] = b"\xff" * chunk.total_compressed_size
    path.write_bytes(data)
    source = FilesSource("s", str(path), Columns())
    [file] = source.files()
    assert [row.caption for row in source.read(file, 0, 100) if row.embedded] == [f"c {n}" for n in range(100)]
    with pytest.raises(BadInput, match="cannot be read at row"):
        list(source.images(file, range(100)))


def test_a_url_before_the_picture_wins_and_a_row_without_one_shows_the_picture(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"image": pa.array([inside(0), inside(1)], STRUCT), "url": ["http://h/0.png", None]}), path)
    source = FilesSource("s", str(path), Columns())
    [file] = source.files()
    assert list(source.read(file, 0, 2)) == [RawRow(0, "http://h/0.png"), RawRow(1, embedded=True)]
    assert list(images_in_parquet(path, Columns(), [1])) == [picture(1)]
    assert list(images_in_parquet(path, Columns(url="image"), [0, 1])) == [picture(0), picture(1)]


def test_embedded_rows_of_the_captions_table_name_no_url(tmp_path: Path) -> None:
    write_parquet(tmp_path / "x.parquet", table("lists"))
    source = FilesSource("s", str(tmp_path), Columns())
    [file] = source.files()
    rows = captions_table("s", "", file, source.read(file, 0, file.rows))
    assert rows["image_from"].to_pylist() == ["embedded", None, None, None, "embedded", "path"]
    assert rows["image_url"].to_pylist() == [None, None, None, None, None, "6.png"]
    assert rows["problem"].to_pylist() == [None, "missing_url", "missing_url", "multi_image", None, None]


def test_no_text_can_claim_to_hold_a_picture(tmp_path: Path) -> None:
    cells = [{"bytes": True, "path": None}, {"bytes": "iVBORw0KGgo=", "path": None}, True, [True]]
    lines = [json.dumps({"image": cell}) + "\n" for cell in cells]
    (tmp_path / "x.jsonl").write_text("".join(lines))
    source = FilesSource("s", str(tmp_path), Columns())
    [file] = source.files()
    rows = captions_table("s", "", file, source.read(file, 0, 4))
    assert rows["problem"].to_pylist() == ["missing_url"] * 4
    assert list(source.images(file, [0, 3])) == [None, None]


def test_a_damaged_arrow_file_is_bad_input(tmp_path: Path) -> None:
    path = tmp_path / "x.arrow"
    for damage in (b"", b"garbage", b"ARROW1 garbage"):
        path.write_bytes(damage)
        with pytest.raises(BadInput, match=r"x\.arrow is not an Arrow file"):
            list(FilesSource("s", str(path), Columns()).files())
    write_stream(path, table("all structs"))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(BadInput, match=r"x\.arrow is not an Arrow file, or damaged at row \d+"):
        list(FilesSource("s", str(path), Columns()).files())


def test_an_arrow_buffer_that_lies_about_its_offsets_is_refused_and_nothing_crashes(tmp_path: Path) -> None:
    path = tmp_path / "x.arrow"
    urls = [f"http://h/{n:02d}.png" for n in range(4)]
    write_file(path, pa.table({"url": urls}))
    offsets = b"".join((15 * n).to_bytes(4, "little") for n in range(5))
    data = path.read_bytes()
    assert data.count(offsets) == 1
    lie = offsets[:8] + (1 << 30).to_bytes(4, "little") + offsets[12:]
    path.write_bytes(data.replace(offsets, lie))
    source = FilesSource("s", str(path), Columns())
    [file] = source.files()
    with pytest.raises(BadInput, match="damaged at row 0"):
        list(source.read(file, 0, 4))
