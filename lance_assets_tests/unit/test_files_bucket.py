"""Files in an object store: listed once, fetched once, and no word about credentials."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import obstore
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lance_assets import objects
from lance_assets.errors import BadInput
from lance_assets.objects import bucket
from lance_assets.sources import bucket as bucket_module
from lance_assets.sources.base import Columns, RawRow
from lance_assets.sources.files import FilesSource
from lance_assets.sources.open import open_source
from lance_assets_tests.s3_server import S3, SECRET


def lines(*numbers: int) -> bytes:
    return b"".join(json.dumps({"url": f"http://h/{n}.jpg", "caption": f"c {n}"}).encode() + b"\n" for n in numbers)


class Shelf:
    """A prefix of the bucket of its own, and how often an object was asked for."""

    def __init__(self, s3: S3, prefix: str, cache: Path) -> None:
        self.uri, self.cache, self._s3, self._prefix = f"{s3.uri}/{prefix}", cache, s3, prefix
        self.gets: list[str] = []

    def put(self, name: str, data: bytes) -> None:
        obstore.put(bucket(self._s3.uri), f"{self._prefix}/{name}", data)

    def source(self, rest: str = "", **columns: str) -> FilesSource:
        return FilesSource("s", f"{self.uri}{rest}", Columns(**columns), self.cache)


@pytest.fixture
def shelf(s3: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shelf:
    shelf = Shelf(s3, tmp_path.name, tmp_path / "cache")
    plain = obstore.get

    def get(store: Any, path: str, **options: Any) -> Any:
        shelf.gets.append(path.rpartition("/")[2])
        return plain(store, path, **options)

    monkeypatch.setattr(bucket_module.obstore, "get", get)
    return shelf


def images(source: FilesSource) -> list[tuple[str, list[Any]]]:
    return [(file.path, [row.image for row in source.read(file, 0, file.rows)]) for file in source.files()]


def test_a_prefix_is_read_like_a_folder(shelf: Shelf) -> None:
    shelf.put("b.jsonl", lines(1))
    shelf.put("a/x.jsonl", lines(2, 3))
    shelf.put(".hidden/x.jsonl", lines(4))
    shelf.put("notes.txt", b"hello")
    for rest in ("", "/"):
        source = shelf.source(rest)
        assert images(source) == [("a/x.jsonl", ["http://h/2.jpg", "http://h/3.jpg"]), ("b.jsonl", ["http://h/1.jpg"])]
    assert source.image_roots() == ()


def test_the_signature_moves_with_every_object_and_fetches_none(shelf: Shelf) -> None:
    shelf.put("a.jsonl", lines(1))
    opened = shelf.source()
    first = opened.signature()
    assert opened.signature() == shelf.source().signature() == first
    shelf.put("a.jsonl", lines(2))
    second = opened.signature()
    shelf.put("b.jsonl", lines(1))
    assert len({first, second, opened.signature()}) == 3 and shelf.gets == []


def test_one_object_and_globs_name_the_same_files_as_on_disk(shelf: Shelf) -> None:
    for name in ("part-1.jsonl", "part-2.jsonl", "sub/part-3.jsonl", "sub/deep/part-4.jsonl", "other.csv"):
        shelf.put(name, lines(1) if name.endswith("l") else b"url\nu\n")
    wanted = {
        "/part-1.jsonl": ["part-1.jsonl"],
        "/part-*.jsonl": ["part-1.jsonl", "part-2.jsonl"],
        "/part-[2-9].*": ["part-2.jsonl"],
        "/s?b/*.jsonl": ["sub/part-3.jsonl"],
        "/sub/**/*.jsonl": ["deep/part-4.jsonl", "part-3.jsonl"],
        "/**/*.jsonl": ["part-1.jsonl", "part-2.jsonl", "sub/deep/part-4.jsonl", "sub/part-3.jsonl"],
    }
    for rest, names in wanted.items():
        assert [file.path for file in shelf.source(rest).files()] == names
    assert shelf.source("/sub/part-3.jsonl").listing().keys() == {"part-3.jsonl"}


def test_an_object_is_fetched_once_and_again_only_when_it_changed(shelf: Shelf) -> None:
    shelf.put("a.jsonl", lines(1))
    shelf.put("b.jsonl", lines(2))
    first = list(shelf.source().files())
    assert shelf.gets == ["a.jsonl", "b.jsonl"]
    assert list(shelf.source().files()) == first and shelf.gets == ["a.jsonl", "b.jsonl"]
    shelf.put("b.jsonl", lines(3))
    again = list(shelf.source().files())
    assert shelf.gets == ["a.jsonl", "b.jsonl", "b.jsonl"]
    assert again[0] == first[0] and again[1].sha256 != first[1].sha256
    assert images(shelf.source())[1] == ("b.jsonl", ["http://h/3.jpg"])


def test_another_process_reads_a_listed_file_from_the_cache(shelf: Shelf) -> None:
    shelf.put("a.jsonl", lines(1, 2))
    [file] = shelf.source().files()
    assert [row.caption for row in shelf.source().read(file, 1, 2)] == ["c 2"]
    assert shelf.gets == ["a.jsonl"]


def test_a_file_that_changed_after_the_listing_is_refused_by_its_uri(shelf: Shelf) -> None:
    shelf.put("a.jsonl", lines(1))
    [file] = shelf.source().files()
    shelf.put("a.jsonl", lines(2))
    with pytest.raises(BadInput, match=f"{shelf.uri}/a.jsonl changed since it was listed"):
        list(shelf.source().read(file, 0, 1))


def test_an_object_that_changes_between_listing_and_fetch_is_not_taken_for_the_listed_one(shelf: Shelf) -> None:
    shelf.put("a.jsonl", lines(1))
    place = bucket_module.Bucket(shelf.uri, shelf.cache)
    [name] = place.names()
    shelf.put("a.jsonl", lines(2, 3))
    with pytest.raises(BadInput, match="changed while it was fetched"):
        place.local(name)
    assert not [path for path in shelf.cache.rglob("*") if path.is_file() and path.name != ".lock"]


def test_a_fetch_that_breaks_off_leaves_no_file(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    shelf.put("a.jsonl", lines(*range(1000)))
    plain = obstore.get

    class Cut:
        def __init__(self, found: Any) -> None:
            self._found = found

        def stream(self, size: int) -> Iterator[bytes]:
            yield bytes(next(iter(self._found.stream(100))))[:100]
            raise OSError("the disk is gone")

    monkeypatch.setattr(bucket_module.obstore, "get", lambda *given, **more: Cut(plain(*given, **more)))
    with pytest.raises(BadInput, match="the disk is gone"):
        list(shelf.source().files())
    monkeypatch.setattr(bucket_module.obstore, "get", plain)
    assert [file.rows for file in shelf.source().files()] == [1000]


def test_pictures_inside_a_parquet_object_are_given(shelf: Shelf) -> None:
    sink = pa.BufferOutputStream()
    cells = [{"bytes": b"zero", "path": None}, {"bytes": b"one", "path": None}]
    pq.write_table(pa.table({"image": pa.array(cells), "caption": ["a", "b"]}), sink)
    shelf.put("x.parquet", sink.getvalue().to_pybytes())
    source = shelf.source("/*.parquet")
    [file] = source.files()
    assert list(source.read(file, 0, 1)) == [RawRow(0, None, "a", embedded=True)]
    assert list(source.images(file, [1])) == [b"one"]


@pytest.mark.parametrize(
    ("rest", "data", "words"),
    [
        ("/none", b"", "/none holds no .arrow, .csv, .json, .jsonl, .parquet object"),
        ("/x.txt", b"hello", "/x.txt holds no .arrow, .csv"),
        ("/x.jsonl", b"garbage\n", "x.jsonl holds no valid record"),
        ("/x.parquet", b"garbage", "{uri}/x.parquet is not a parquet file"),
        ("/x.jsonl", b'{"foo": 1}\n', "{uri}/x.jsonl has no image column"),
    ],
)
def test_unusable_objects_are_named_by_their_uri(shelf: Shelf, rest: str, data: bytes, words: str) -> None:
    if data:
        shelf.put(rest[1:], data)
    with pytest.raises(BadInput) as caught:
        list(shelf.source(rest).files())
    assert words.format(uri=shelf.uri) in str(caught.value)
    assert str(shelf.cache) not in str(caught.value) and "\n" not in str(caught.value)


def test_a_bucket_that_is_not_there_is_one_sentence_without_credentials(shelf: Shelf) -> None:
    with pytest.raises(BadInput, match="s3://no-such-bucket does not answer: NoSuchBucket") as caught:
        list(FilesSource("s", "s3://no-such-bucket/x", Columns(), shelf.cache).files())
    assert SECRET not in str(caught.value) and "\n" not in str(caught.value)


def test_a_store_that_is_not_there_is_given_up_in_time(tmp_path: Path, s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        monkeypatch.setitem(os.environ, "AWS_ENDPOINT", f"http://127.0.0.1:{taken.getsockname()[1]}")
        monkeypatch.setattr(bucket_module, "RETRY_S", 0.5)
        objects.bucket.cache_clear()
        with pytest.raises(BadInput, match="the object store s3://away does not answer") as caught:
            list(FilesSource("s", "s3://away/x", Columns(), tmp_path).files())
    objects.bucket.cache_clear()
    assert SECRET not in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("s3://key:hunter2@bucket/x", "credentials of object stores come from the environment"),
        ("s3://", "with a bucket"),
        ("ftp://host/x", "expected s3://, gs://, az://"),
        ("https://host/x.parquet?signature=hunter2", "expected s3://, gs://, az://"),
    ],
)
def test_a_uri_of_no_known_kind_is_refused_at_once_and_no_secret_repeated(tmp_path: Path, uri: str, words: str) -> None:
    with pytest.raises(BadInput) as caught:
        open_source("s", f"files:{uri}", None, None, None, 0, tmp_path, tmp_path)
    assert words in str(caught.value) and "hunter2" not in str(caught.value)
