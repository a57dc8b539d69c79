"""The parts of `bench ingest` that its figures stand on: the server, the accounting, the meter."""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import psutil
import pytest
import urllib3
from PIL import Image

from lance_assets.errors import BadInput
from lance_assets_tests.bench import img2dataset
from lance_assets_tests.bench.ingest_clients import Client, one_turn
from lance_assets_tests.bench.ingest_server import EVERY, FAULTS, Asked, Web, fault, web
from lance_assets_tests.bench.photos import HEIGHT, WIDTH, photo
from lance_assets_tests.bench.processes import Failed, spent_by

#: Downloads one after the other: what is no image it leaves out, and with the argument `careless` it errs four times.
DOWNLOAD = """
import json, pathlib, sys, urllib.request
folder, urls, careless = pathlib.Path(sys.argv[1]), sys.argv[2:-1], sys.argv[-1] == "careless"
found = []
for url in urls:
    try:
        data = urllib.request.urlopen(url, timeout=10).read()
    except Exception:
        continue
    if data[:2] == b"\\xff\\xd8":
        found.append([url, data.hex()])
if careless and len(urls) > 1:
    found[1][1] = found[0][1]                     # the bytes of another one
    del found[3]                                  # gone
    found.append(found[5])                        # twice
    found.append(["http://nowhere/1.jpg", "00"])  # made up
    urllib.request.urlopen(urls[0]).read()
(folder / "found.json").write_text(json.dumps(found))
"""


class Downloader(Client):
    def __init__(self, name: str) -> None:
        self.name = name

    def prepare(self, say) -> None:
        """Nothing."""

    def command(self, folder: Path, urls: Sequence[str], captions: Sequence[str], threads: int) -> list[str]:
        return [sys.executable, "-c", DOWNLOAD, str(folder), *urls, self.name]

    def stored(self, folder: Path) -> list[tuple[str, str]]:
        rows = json.loads((folder / "found.json").read_text())
        return [(url, hashlib.sha256(bytes.fromhex(data)).hexdigest()) for url, data in rows]


@pytest.fixture(scope="module")
def server() -> Iterator[Web]:
    with web() as server:
        yield server


def test_photos_differ_in_bytes_and_weigh_what_photographs_weigh():
    files = [photo(number) for number in range(0, 1000, 7)]
    assert len(set(files)) == len(files) and photo(7) == files[1]
    assert all(20_000 < len(file) < 35_000 for file in files)
    for file in files[::40]:
        with Image.open(BytesIO(file), formats=("JPEG",)) as image:
            image.load()
            assert image.size == (WIDTH, HEIGHT)


def test_one_url_in_twenty_is_a_fault_and_the_kinds_take_turns():
    faults = [kind for kind in map(fault, range(3000)) if kind]
    assert len(faults) == 3000 / EVERY == 150
    assert {kind: faults.count(kind) for kind in FAULTS} == dict.fromkeys(FAULTS, 50)


def test_the_server_gives_each_number_its_answer_over_one_connection_and_counts(server):
    server.asked()
    started, pool = time.monotonic(), urllib3.PoolManager(retries=False)
    first = {kind: next(number for number in range(100) if fault(number) == kind) for kind in (None, *FAULTS)}
    good, missing, html = (pool.request("GET", server.url(first[kind], 0)) for kind in (None, "missing", "html"))
    assert (good.status, good.data) == (200, photo(first[None]))
    assert missing.status == 404 and html.status == 200 and html.data.startswith(b"<!DOCTYPE html>")
    with pytest.raises(urllib3.exceptions.ProtocolError, match="IncompleteRead"):
        pool.request("GET", server.url(first["truncated"], 0))
    assert pool.request("GET", f"http://{server.host}/robots.txt").status == 404
    asked = server.asked()
    assert asked.connections == 2  # a truncated body ends the first
    assert set(asked.requests.values()) == {1} and len(asked.requests) == 5
    assert asked.first is not None and started < asked.first < time.monotonic()
    assert server.asked() == Asked()


def test_answers_that_are_late_hold_nobody_up(server):
    pool = urllib3.PoolManager(maxsize=32)
    started = time.monotonic()
    with ThreadPoolExecutor(32) as threads:
        answers = list(threads.map(lambda number: pool.request("GET", server.url(number, 300)).status, range(9)))
    assert answers == [200] * 9
    assert 0.3 <= time.monotonic() - started < 9 * 0.3


def test_what_is_stored_as_served_is_not_lost_and_faults_are_not_missed(server):
    turn = one_turn(Downloader("careful"), server, 60, 0, 1)
    assert (turn.images, turn.lost, turn.again, turn.connections) == (57, 0, 0, 60)
    assert turn.whole.cpu_s > turn.single.cpu_s > 0 and turn.start.wall_s > 0 and turn.start.cpu_s > 0


def test_a_client_that_loses_doubles_alters_or_invents_images_is_found_out(server):
    turn = one_turn(Downloader("careless"), server, 60, 0, 1)
    # the altered one counts as a file that is missing and as one that is wrong
    assert (turn.lost, turn.again) == (2 + 1 + 1 + 1, 1)


def test_processor_time_of_children_counts_from_the_moment_that_is_asked_for(tmp_path):
    burn = "import time\nwhile time.process_time() < 0.8: pass"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {burn!r}])"
    spent = spent_by([sys.executable, "-c", parent], tmp_path / "log", {}, 60)
    wall, cpu = spent.between(None, None)
    assert 0.8 <= cpu < 5 and wall >= 0.8 and spent.peak_bytes > 5_000_000
    middle = spent.looks[0].moment + wall / 2
    (_, before), (_, after) = spent.between(None, middle), spent.between(middle, None)
    assert before > 0 and after > 0 and before + after == pytest.approx(cpu)


def test_a_command_that_takes_too_long_is_ended_with_all_that_it_started(tmp_path):
    sleep = [sys.executable, "-c", "import time; time.sleep(600)", str(tmp_path)]
    parent = f"import subprocess; subprocess.run({sleep!r})"
    with pytest.raises(Failed, match="ended with -9"):
        spent_by([sys.executable, "-c", parent], tmp_path / "log", {}, 2)
    living = [process.info["cmdline"] or [] for process in psutil.process_iter(["cmdline"])]
    assert not [command for command in living if str(tmp_path) in command]


def test_a_command_that_fails_says_why(tmp_path):
    with pytest.raises(Failed, match="ended with 3: no disk left"):
        spent_by([sys.executable, "-c", "print('no disk left'); raise SystemExit(3)"], tmp_path / "log", {}, 60)


def test_an_environment_that_cannot_be_made_is_one_sentence(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setattr(img2dataset, "ENVIRONMENT", tmp_path / "file" / "environment")
    with pytest.raises(BadInput, match="cannot be installed into") as raised:
        img2dataset.Img2dataset().prepare(print)
    assert "\n" not in str(raised.value)
