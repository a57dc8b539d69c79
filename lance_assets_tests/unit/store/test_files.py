"""Files below a root: the same on a folder and on an object store."""

import copy
import os
import pickle
import socket
import uuid

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lance_assets.errors import BadInput, Unreachable
from lance_assets.ingest.rows import captions_table
from lance_assets.partitions import KEY
from lance_assets.sources.base import RawRow, SourceFile
from lance_assets.store import captions, files
from lance_assets.store.files import DataRoot
from lance_assets.store.schema import CAPTIONS
from lance_assets.store.table import open_images
from lance_assets_tests.s3_server import SECRET

BATCH = "shots-0123abcd-0-2"


def test_what_is_written_is_read_and_the_newest_counts(root):
    files.write(root, "a/b.bin", b"first")
    files.write(root, "a/b.bin", b"second, and longer")
    assert files.read(root, "a/b.bin") == b"second, and longer"
    files.write_json(root, "a/c.json", {"word": "ü", "number": 1})
    assert files.read_json(root, "a/c.json") == {"word": "ü", "number": 1}


def test_a_file_that_is_not_there_is_told_with_its_place(root):
    with pytest.raises(FileNotFoundError) as caught:
        files.read(root, "a/none")
    assert root.at("a/none") in str(caught.value) and "\n" not in str(caught.value)
    with pytest.raises(FileNotFoundError):
        files.opened(root, "a/none")


def test_reading_a_root_that_nobody_wrote_to_creates_nothing(local_root):
    assert files.names(local_root, "a") == [] == list(files.listing(local_root, "a"))
    assert not files.table_exists(local_root.images)
    assert not local_root.folder.exists()


def test_names_are_those_right_in_the_folder_and_a_listing_goes_below(root):
    for name in ("a/2", "a/1", "a/deep/3", "ab/4", "b"):
        files.write(root, name, b"12345")
    assert files.names(root, "a") == ["1", "2"]
    found = {name: (size, changed.tzinfo) for name, size, changed in files.listing(root, "a")}
    assert sorted(found) == ["1", "2", "deep/3"]
    assert all(size == 5 and zone is not None for size, zone in found.values())


def test_what_is_deleted_is_gone_and_deleting_it_again_is_fine(root):
    files.write(root, "a/b", b"1")
    files.delete(root, "a/b")
    files.delete(root, "a/b")
    assert files.names(root, "a") == []


def test_more_files_than_one_page_of_an_answer_are_all_listed(s3_root):
    for number in range(1100):
        files.write(s3_root, f"many/{number}", b"")
    assert len(files.names(s3_root, "many")) == len(list(files.listing(s3_root, "many"))) == 1100


def test_an_opened_parquet_file_gives_its_schema_and_its_rows(root):
    table = pa.table({"number": range(500_000)}).replace_schema_metadata({"key": "value"})
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    files.write(root, "big.parquet", sink.getvalue().to_pybytes())
    with files.opened(root, "big.parquet") as file:
        assert pq.read_schema(file).metadata[b"key"] == b"value"
    with files.opened(root, "big.parquet") as file:
        assert pq.read_table(file).equals(table)
    with files.opened(root, "big.parquet") as file:
        assert file.read() == files.read(root, "big.parquet")


def test_a_table_exists_once_it_has_a_version(root):
    files.write(root, "t.lance/data/x.lance", b"1")
    assert not files.table_exists(root.at("t.lance"))
    files.write(root, "t.lance/_versions/1.manifest", b"1")
    assert files.table_exists(root.at("t.lance"))


def test_a_root_travels_as_its_address_alone(root):
    files.write(root, "a", b"1")
    sent = pickle.dumps(root)
    assert SECRET.encode() not in sent and len(sent) < 300
    assert copy.copy(root) == root


def test_a_folder_is_the_same_root_however_it_is_named(tmp_path):
    assert DataRoot(tmp_path) == DataRoot(f"{tmp_path}/") == DataRoot(str(tmp_path))
    assert DataRoot("s3://b/p/") == DataRoot("s3://b/p")
    assert DataRoot("s3://b/p").images == "s3://b/p/images.lance"
    with pytest.raises(ValueError, match="no folder"):
        _ = DataRoot("s3://b/p").folder


def some_captions() -> pa.Table:
    file = SourceFile("shots.jsonl", "0123abcd", 2)
    return captions_table("shots", "1", file, [RawRow(number, f"http://x/{number}", "a cat") for number in range(2)])


def test_captions_are_kept_and_their_folder_is_the_catalog(root):
    captions.write_captions(root, BATCH, some_captions())
    assert captions.catalog(root) == [BATCH]
    assert captions.footers(root) == {BATCH: captions.Footer("shots.jsonl", "0123abcd")}
    assert captions.read_captions(root, BATCH).cast(CAPTIONS).equals(some_captions())
    with pytest.raises(BadInput, match="no captions yet"):
        captions.read_captions(root, "shots-0123abcd-2-4")


def test_foreign_files_among_the_captions_are_ignored(root):
    captions.write_captions(root, BATCH, some_captions())
    for name in ("notes.txt", "notes.parquet", f".{BATCH}.parquet", f"old/{BATCH}.parquet", f"{BATCH}.parquet.bak"):
        files.write(root, f"captions/{name}", b"not ours")
    assert list(captions.footers(root)) == captions.catalog(root) == [BATCH]


@pytest.mark.parametrize("name", [b"with\nnewline", b"\xff\xfe.parquet", b"%41#1"])
def test_a_foreign_file_with_a_strange_name_stops_nobody(local_root, name):
    captions.write_captions(local_root, BATCH, some_captions())
    (local_root.folder / "captions" / os.fsdecode(name)).write_bytes(b"")
    assert captions.catalog(local_root) == [BATCH]
    assert len(list(files.listing(local_root, "captions"))) == 2


def test_a_damaged_captions_file_is_named(root):
    files.write(root, captions.captions_name(BATCH), b"not parquet")
    with pytest.raises(BadInput, match=f"captions/{BATCH}.parquet is damaged"):
        captions.footers(root)


def test_the_catalog_knows_exactly_the_keys_of_the_grammar(local_root):
    for key in (BATCH, "a-00000000-0-1", "a_b9-ffffffff-10-200", "a-0000000-0-1", "-00000000-0-1", "A-00000000-0-1"):
        files.write(local_root, captions.captions_name(key), b"")
        assert (key in captions.catalog(local_root)) == bool(KEY.fullmatch(key)), key


@pytest.fixture
def no_bucket(s3):
    """A root whose bucket nobody made. No other test uses the name, as clients remember their server."""
    return DataRoot(f"s3://none-{uuid.uuid4().hex}/data")


@pytest.fixture
def no_server(no_bucket, monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv("AWS_ENDPOINT", f"http://me:{SECRET}@127.0.0.1:{free.getsockname()[1]}")
    return no_bucket


USES = {
    "read": lambda root: files.read(root, "a"),
    "write": lambda root: files.write(root, "a", b""),
    "names": lambda root: files.names(root, "a"),
    "listing": lambda root: list(files.listing(root, "a")),
    "delete": lambda root: files.delete(root, "a"),
    "opened": lambda root: files.opened(root, "a"),
    "open_images": open_images,
}
#: A server that is gone costs seconds to find out. What asks for the headers of a file alone is not told why it fails.
TOLD = [("no_server", use) for use in ("read", "write", "listing", "open_images")] + [
    ("no_bucket", use) for use in USES if use != "opened"
]


@pytest.mark.parametrize(("place", "use"), TOLD)
def test_an_object_store_that_does_not_answer_is_told_in_one_line_without_credentials(place, use, request):
    root = request.getfixturevalue(place)
    with pytest.raises(Unreachable) as caught:
        USES[use](root)
    said = str(caught.value)
    assert said.startswith(f"the object store {root.uri}") and "does not answer: " in said
    assert "\n" not in said and len(said) < 400 and SECRET not in said and "me:" not in said
    assert caught.value.__suppress_context__ and caught.value.__cause__ is None
