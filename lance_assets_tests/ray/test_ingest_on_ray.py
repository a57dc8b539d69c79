"""Downloads over a real Ray: no row lost, nothing fetched or written twice, only what changed is done again."""

import json
from collections import Counter

import pytest

from lance_assets.automation.planner import look
from lance_assets.compute.captions import Surveyed, collect
from lance_assets.compute.ingest import Mode, ingest
from lance_assets.compute.slices import make_plan
from lance_assets.sources.base import Columns
from lance_assets.sources.files import FilesSource
from lance_assets.store.captions import footers
from lance_assets.store.rejects import read_rejects, reasons
from lance_assets.store.rights import rights, rights_history
from lance_assets.store.table import batch_fragments, open_images

pytestmark = pytest.mark.usefixtures("joined")


class Shots:
    """A source of one file whose rows a test may change, and the batches made of it."""

    def __init__(self, root, pictures, folder):
        self.root, self.pictures, self.folder = root, pictures, folder / "source"
        self.folder.mkdir()
        self.plan = make_plan(root, {"attempts": 2}, frozenset({pictures.host}), 8, folder / "shared")
        self.lines, self.said = [], []

    def write(self, urls, captions=None):
        self.lines = [
            {"opensource_url": url, "global_caption": (captions or {}).get(n, f"Row {n} of many.")}
            for n, url in enumerate(urls)
        ]
        (self.folder / "rows.jsonl").write_text("\n".join(map(json.dumps, self.lines)))

    def look(self, batch_rows=100):
        source = FilesSource("shots", str(self.folder), Columns())
        known = footers(self.root)
        return source, look(source, known, known, batch_rows, None)

    def ingest(self, batch_rows=100, **mode):
        """Collects what is new or changed, stores every batch."""
        source, found = self.look(batch_rows)
        for key in [*found.new, *found.changed]:
            collect(self.root, Surveyed(source), key)
        keys = sorted(footers(self.root), key=lambda key: int(key.split("-")[2]))
        return list(ingest(self.plan, keys, "run", self.said.append, Mode(**mode)))

    def rows(self):
        columns = ["id", "image_url", "image_sha256", "messages", "is_placeholder"]
        found = open_images(self.root).to_table(columns=columns).to_pylist()
        return {int("".join(filter(str.isdigit, row["image_url"].rpartition("/")[2]))): row for row in found}

    def fragments(self):
        table = open_images(self.root)
        return {one.fragment_id: str(one.data_files()[0].path) for one in table.get_fragments()}


@pytest.fixture
def shots(root, pictures, tmp_path):
    return Shots(root, pictures, tmp_path)


def urls(pictures, *numbers, kind=""):
    return [pictures.url(number, kind) for number in numbers]


def test_good_rows_are_stored_beside_bad_ones_which_are_rejected_with_their_reason(shots, pictures):
    bad = [pictures.url(6, "gone"), pictures.url(7, "html"), "http://127.0.0.1:1/x.jpg", ""]
    shots.write([*urls(pictures, *range(6)), *bad])
    (done,) = shots.ingest()
    assert done.failure is None
    assert (done.asked, done.stored, done.downloaded) == (10, 6, 6)
    assert done.rejected == {"http_404": 1, "not_an_image": 1, "blocked_address": 1, "missing_url": 1}
    assert reasons(read_rejects(shots.root)) == done.rejected
    assert any("http_404 1" in line and "images/s" in line and "MB/s" in line for line in shots.said)


def test_a_batch_again_downloads_nothing_and_changes_no_version(shots, pictures):
    shots.write(urls(pictures, *range(8)))
    assert [done.changed for done in shots.ingest(4)] == [True, True]
    requests, version = len(pictures.paths), open_images(shots.root).version
    assert [done.changed for done in shots.ingest(4)] == [False, False]
    assert (len(pictures.paths), open_images(shots.root).version) == (requests, version)


def test_a_batch_without_captions_fails_alone(shots, pictures):
    shots.write(urls(pictures, *range(4)))
    source, found = shots.look()
    collect(shots.root, Surveyed(source), found.new[0])
    missing, good = ingest(shots.plan, ["shots-00000000-0-4", *found.new], "run", shots.said.append)
    assert "no captions yet" in (missing.failure or "")
    assert good.failure is None and good.stored == 4


def test_forcing_asks_conditionally_and_only_images_that_changed_come_again(shots, pictures):
    shots.write(urls(pictures, *range(400)))
    shots.ingest(400)
    before, files = shots.rows(), shots.fragments()
    pictures.changed.add(5)
    (done,) = shots.ingest(400, force=True)
    assert (done.failure, done.downloaded, done.stored) == (None, 1, 400)
    assert len(pictures.unmodified) == 399 and Counter(pictures.paths)["/5.jpg"] == 2
    after = shots.rows()
    assert {n for n in after if after[n] != before[n]} == {5}
    assert len(set(files.values()) & set(shots.fragments().values())) == len(files) - 1, "one fragment was rewritten"


def test_forcing_a_batch_whose_server_is_gone_keeps_every_image_and_says_so(shots, pictures):
    shots.write(urls(pictures, *range(4)))
    shots.ingest()
    version = open_images(shots.root).version
    pictures.shutdown()
    pictures.server_close()
    (done,) = shots.ingest(force=True)
    assert (done.failure, done.stored, done.changed) == (None, 4, False)
    assert open_images(shots.root).version == version and read_rejects(shots.root).num_rows == 0
    assert rights(shots.root, done.batch)["reason"].to_pylist() == ["connection"] * 4
    assert rights_history(shots.root, done.batch).num_rows == 8


def test_rows_that_changed_in_their_file_are_done_again_and_no_others(shots, pictures):
    shots.write(urls(pictures, *range(12)))
    shots.ingest(4)
    requests, before = len(pictures.paths), shots.rows()
    shots.write([*urls(pictures, *range(5)), pictures.url(105), *urls(pictures, *range(6, 14))], {8: "Other words."})
    _, found = shots.look(4)
    assert [key.split("-")[2] for key in found.new] == ["12"]
    assert sorted(key.split("-")[2] for key in found.changed) == ["4", "8"]
    done = shots.ingest(4)
    assert [(one.changed, one.downloaded) for one in done] == [(False, 0), (True, 1), (True, 0), (True, 2)]
    assert sorted(pictures.paths[requests:]) == ["/105.jpg", "/12.jpg", "/13.jpg"]
    after = shots.rows()
    assert {n for n in after if n not in before or after[n] != before[n]} == {105, 8, 12, 13} and 5 not in after
    assert after[8]["messages"][1]["content"] == "Other words."
    assert shots.look(4)[1].changed == [] and [one.changed for one in shots.ingest(4)] == [False] * 4


def test_changed_captions_of_which_the_images_were_never_stored_are_found_again(shots, pictures):
    shots.write(urls(pictures, *range(4)))
    shots.ingest()
    shots.write(urls(pictures, *range(4)), {0: "Other words."})
    source, found = shots.look()
    collect(shots.root, Surveyed(source), found.changed[0])  # and then its run was killed
    assert shots.look()[1].changed == found.changed
    shots.ingest()
    assert shots.look()[1].changed == [] and shots.rows()[0]["messages"][1]["content"] == "Other words."


def test_a_file_that_lost_rows_or_is_gone_costs_nothing_that_is_stored(shots, pictures):
    shots.write(urls(pictures, *range(6)))
    shots.ingest(3)
    shots.write(urls(pictures, *range(4)))
    assert [(one.failure, one.stored) for one in shots.ingest(3)] == [(None, 3), (None, 3)]
    assert shots.look(3)[1].changed == []
    (shots.folder / "rows.jsonl").rename(shots.folder / "other.jsonl")
    (shots.folder / "other.jsonl").write_text(json.dumps(shots.lines[0]))
    assert shots.look(3)[1].gone == ["rows.jsonl"] and len(shots.rows()) == 6


def test_a_row_whose_new_url_cannot_be_had_keeps_its_image(shots, pictures):
    shots.write(urls(pictures, 0, 1, 2))
    shots.ingest()
    before = shots.rows()
    shots.write([pictures.url(0), pictures.url(1, "gone"), pictures.url(2)])
    (done,) = shots.ingest()
    assert (done.failure, done.kept, done.stored, done.rejected) == (None, 1, 3, {})
    assert shots.rows() == before
    assert any("1 rows keep their stored image" in line for line in shots.said)


def test_a_retry_fetches_the_rejects_of_one_reason_and_lands_them_beside_their_batch(shots, pictures):
    bad = [*urls(pictures, 4, 5, kind="gone"), *urls(pictures, 6, 7, 8, kind="busy"), pictures.url(9, "html")]
    shots.write([*urls(pictures, *range(4)), *bad])
    (first,) = shots.ingest()
    assert first.rejected == {"http_404": 2, "http_503": 3, "not_an_image": 1}
    files = shots.fragments()
    pictures.mended.set()
    requests = len(pictures.paths)
    (done,) = shots.ingest(retry=True, reason="http_404")
    assert (done.downloaded, done.stored, done.rejected) == (2, 6, {"http_503": 3, "not_an_image": 1})
    assert sorted(pictures.paths[requests:]) == ["/gone/4.jpg", "/gone/5.jpg"]
    assert files.items() <= shots.fragments().items(), "no stored image was written again"
    assert batch_fragments(open_images(shots.root), done.batch) == sorted(shots.fragments())
    (again,) = shots.ingest(retry=True)
    assert (again.downloaded, again.stored, again.rejected) == (3, 9, {"not_an_image": 1})
    assert Counter(pictures.paths)["/html/9.jpg"] == 1, "what is final is attempted once"


def test_attempts_add_up_over_retries_and_rejects_that_were_not_tried_stay_as_they_are(shots, pictures):
    shots.write([pictures.url(0), pictures.url(1, "gone"), pictures.url(2, "busy")])
    shots.ingest()
    once = {row["reason"]: row for row in read_rejects(shots.root).to_pylist()}
    shots.ingest(retry=True)
    twice = {row["reason"]: row for row in read_rejects(shots.root).to_pylist()}
    assert (once["http_503"]["attempts"], twice["http_503"]["attempts"]) == (2, 4)
    assert twice["http_503"]["first_time"] == once["http_503"]["first_time"]
    assert twice["http_404"] == once["http_404"]


def test_a_placeholder_gives_way_when_its_image_comes(shots, pictures):
    shots.plan = make_plan(
        shots.root, {"attempts": 2}, frozenset({pictures.host}), 8, shots.plan.shared, placeholder=True
    )
    shots.write([pictures.url(0), pictures.url(1, "gone")])
    (done,) = shots.ingest()
    assert (done.stored, done.downloaded, done.rejected) == (2, 1, {})
    assert [row["is_placeholder"] for _, row in sorted(shots.rows().items())] == [False, True]
    pictures.mended.set()
    assert [one.changed for one in shots.ingest(retry=True)] == [False]
    assert [one.downloaded for one in shots.ingest(retry=True, reason="http_404")] == [1]
    assert not any(row["is_placeholder"] for row in shots.rows().values()) and len(shots.rows()) == 2
