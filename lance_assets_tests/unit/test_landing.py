"""What a killed run had downloaded is there for the next one."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from datetime import UTC, datetime

import pytest

from lance_assets.ingest.landing import Landing, forget_old, progress
from lance_assets.ingest.outcome import Fetched, FetchError

NOW = datetime(2026, 1, 2, 3, 4, 5, 6, UTC)


def image(data: bytes = b"bytes") -> Fetched:
    return Fetched(
        data=data,
        sha256=hashlib.sha256(data).hexdigest(),
        format="JPEG",
        width=3,
        height=2,
        final_url="http://h/final",
        status=200,
        attempts=2,
        orientation=6,
        etag='"x"',
        last_modified=None,
        fetched_at=NOW,
        location_stripped=False,
    )


def test_an_image_comes_back_as_it_landed(tmp_path):
    with Landing(tmp_path, "0") as landing:
        landing.put("http://h/a", image())
        assert "http://h/a" in landing and landing.get("http://h/a") == image()
        assert landing.get("http://h/b") is None


def test_a_final_failure_is_kept_and_one_in_passing_is_not(tmp_path):
    with Landing(tmp_path, "0") as landing:
        landing.put("http://h/a", FetchError("http_404", "Not Found"))
        landing.put("http://h/b", FetchError("timeout"))
        found = landing.get("http://h/a")
        assert isinstance(found, FetchError) and (found.reason, found.detail) == ("http_404", "Not Found")
        assert "http://h/b" not in landing


def test_what_landed_in_one_slice_is_found_by_another(tmp_path):
    with Landing(tmp_path, "0") as first:
        first.put("http://h/a", image())
        with Landing(tmp_path, "1") as second:
            assert second.get("http://h/a") == image()


def test_what_landed_outlives_the_kill_of_its_process(tmp_path):
    code = f"""
import os, signal
from pathlib import Path
from lance_assets.ingest.landing import Landing
from lance_assets_tests.unit.test_landing import image
landing = Landing(Path({str(tmp_path)!r}), "0")
for number in range(50):
    landing.put(f"http://h/{{number}}", image(bytes(20_000)))
os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", code], check=False, timeout=60)
    with Landing(tmp_path, "0") as landing:
        assert all(landing.get(f"http://h/{number}") == image(bytes(20_000)) for number in range(50))
    seen = progress(tmp_path)
    assert (seen.done, seen.bytes, seen.failed) == (50, 1_000_000, {})


@pytest.mark.parametrize("lost", [1, 4_000, 40_000])
def test_a_record_that_a_kill_cut_short_is_dropped_and_the_next_takes_its_place(tmp_path, lost):
    with Landing(tmp_path, "0") as landing:
        for name in "abc":
            landing.put(f"http://h/{name}", image(name.encode() * 20_000))
    file = tmp_path / "0.landed"
    os.truncate(file, file.stat().st_size - lost)
    with Landing(tmp_path, "0") as landing:
        there = [name for name in "abc" if f"http://h/{name}" in landing]
        assert there == list("abc")[: 2 if lost < 20_000 else 1]
        landing.put("http://h/d", image(b"d" * 20_000))
    with Landing(tmp_path, "0") as landing:
        assert [name for name in "abcd" if f"http://h/{name}" in landing] == [*there, "d"]
        assert landing.get("http://h/d") == image(b"d" * 20_000)


def test_a_record_that_is_not_what_was_written_counts_as_not_landed(tmp_path):
    with Landing(tmp_path, "0") as landing:
        landing.put("http://h/a", image(b"a" * 20_000))
        landing.put("http://h/b", image(b"b" * 20_000))
    file = tmp_path / "0.landed"
    body = bytearray(file.read_bytes())
    body[10_000] ^= 1
    file.write_bytes(body)
    with Landing(tmp_path, "0") as landing:
        assert "http://h/a" not in landing and landing.get("http://h/b") == image(b"b" * 20_000)


def test_a_file_of_something_else_is_begun_anew(tmp_path):
    (tmp_path / "0.landed").write_bytes(b"not ours" * 1000)
    with Landing(tmp_path, "0") as landing:
        landing.put("http://h/a", image())
    with Landing(tmp_path, "0") as landing:
        assert landing.get("http://h/a") == image()


def test_failures_are_counted_by_reason(tmp_path):
    with Landing(tmp_path, "0") as landing:
        landing.put("http://h/a", FetchError("http_404"))
        landing.put("http://h/b", FetchError("http_404"))
        landing.put("http://h/c", image())
        seen = progress(tmp_path)
    assert (seen.done, seen.failed) == (3, {"http_404": 2})


def test_only_what_nobody_resumed_for_a_week_is_dropped(tmp_path):
    for name, age in (("old", 8), ("new", 6)):
        Landing(tmp_path / name, "0").close()
        then = datetime.now(UTC).timestamp() - age * 86_400
        os.utime(tmp_path / name, (then, then))
    forget_old(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["new"]
