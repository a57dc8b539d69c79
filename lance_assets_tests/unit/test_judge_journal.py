"""The judge's journal: what was paid for is never paid for again, whatever happens."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from lance_assets.scoring.api import Unusable
from lance_assets.scoring.judge import reasons, usage
from lance_assets.scoring.judge.journal import Journal
from lance_assets.scoring.judge.records import Record
from lance_assets_tests.judge_server import judge_server
from lance_assets_tests.judging import KEY, asking, judge, rows

PLACES = 8
WRITE = """
import sys
from pathlib import Path
from lance_assets.scoring.judge.journal import Journal
from lance_assets.scoring.judge.records import Record
journal, start = Journal(Path(sys.argv[1]), "1"), int(sys.argv[2])
for at in range(start, start + 200):
    journal.end(Record(kind="answer", key=f"{at:032x}", id=str(at), version="1", at=at, reason="x" * 300, score=1))
print(sum(journal.known(f"{at:032x}") is None for at in range(start, start + 200)))
"""


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


def journal_of(models: Path) -> Path:
    [path] = models.glob("judge/*/journal.jsonl")
    return path


def record(number: int, **more: object) -> Record:
    said = {"kind": "answer", "key": f"{number:032x}", "id": f"id-{number}", "version": "1", "at": float(number)}
    return Record.model_validate({**said, "number": str(number), "score": number, "reason": "so", **more})


def test_a_kill_pays_again_at_most_for_what_was_in_flight(tmp_path):
    with judge_server(latency_s=0.05) as model:
        child = asking(model.url, tmp_path, 200, PLACES)
        deadline = time.monotonic() + 120
        while len(model.answered()) < 50 and time.monotonic() < deadline:
            time.sleep(0.01)
        os.kill(child.pid, signal.SIGKILL)
        child.wait(10)
        assert 50 <= len(model.answered()) < 200
        with judge(model, tmp_path, concurrency=PLACES) as ours:
            assert all(isinstance(score, float) for score in ours.score(rows(200)))
            use = ours.usage(tmp_path)
        times = Counter(entry.caption for entry in model.log)
    assert len(times) == 200 and max(times.values()) == 2
    again = sum(times.values()) - 200
    assert again <= PLACES
    assert (use.rows, use.requests) == (200, 200) and use.unsettled <= PLACES


def test_requests_of_a_killed_process_count_as_spent(tmp_path):
    journal = Journal(tmp_path, "1")
    journal.ask(record(1, kind="asked", input_tokens=700, output_tokens=300, cost=0.5), lambda totals: None)
    journal.close()
    again = Journal(tmp_path, "1")
    assert (again.totals.spent_tokens, again.totals.spent_money, again.totals.spent_rows()) == (1000, 0.5, 1)
    again.close()


def test_a_torn_line_costs_only_itself_and_what_follows_is_whole(tmp_path):
    journal = Journal(tmp_path, "1")
    journal.end(record(1))
    journal.end(record(2))
    journal.close()
    path = tmp_path / "journal.jsonl"
    path.write_bytes(path.read_bytes()[:-20])
    after = Journal(tmp_path, "1")
    assert after.known(record(1).key) is not None and after.known(record(2).key) is None
    after.end(record(3))
    path.write_bytes(path.read_bytes() + b'{"kind": "ans')  # another process is killed
    after.end(record(4))
    after.close()
    last = Journal(tmp_path, "1")
    assert [last.known(record(number).key) is not None for number in (1, 2, 3, 4)] == [True, False, True, True]
    assert last.totals.answers == 3
    last.close()


def test_two_processes_that_write_at_once_leave_one_whole_journal(tmp_path):
    command = [sys.executable, "-c", WRITE, str(tmp_path)]
    children = [subprocess.Popen([*command, str(start)], stdout=subprocess.PIPE, text=True) for start in (0, 1000)]
    assert [child.communicate(timeout=60)[0] for child in children] == ["0\n", "0\n"]
    lines = (tmp_path / "journal.jsonl").read_text().splitlines()
    assert len(lines) == 400 and len({json.loads(line)["id"] for line in lines}) == 400
    journal = Journal(tmp_path, "1")
    assert journal.totals.answers == 400
    journal.close()


def test_only_its_owner_can_read_the_journal(tmp_path):
    with judge_server() as model, judge(model, tmp_path) as ours:
        ours.score(rows(1))
    assert stat.S_IMODE(journal_of(tmp_path).stat().st_mode) == 0o600


def test_another_version_knows_no_answer_of_this_one(tmp_path):
    journal = Journal(tmp_path, "1")
    journal.end(record(1))
    journal.close()
    other = Journal(tmp_path, "2")
    assert other.known(record(1).key) is None and other.totals.answers == 0
    other.close()


def test_a_journal_that_cannot_be_written_stops_the_scorer_before_it_pays(tmp_path):
    (tmp_path / "judge").write_text("in the way")
    with judge_server() as model:
        with pytest.raises(Unusable, match=r"journal .* cannot be written: Not a directory"), judge(model, tmp_path):
            pass
        assert not model.log


def test_a_full_disk_stops_the_scorer_with_one_sentence(tmp_path, monkeypatch):
    with judge_server() as model, judge(model, tmp_path, concurrency=1) as ours:
        ours.score(rows(1))

        def full(file: int, data: bytes) -> int:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("lance_assets.scoring.judge.journal.os.write", full)
        with pytest.raises(Unusable, match="cannot be written: No space left on device"):
            ours.score(rows(5, 10))
        assert len(model.log) == 1


def test_use_is_told_for_all_time_and_since_a_moment(tmp_path):
    with judge_server() as model, judge(model, tmp_path, prices={"input": 1.0, "output": 1.0}) as ours:
        ours.score(rows(3))
        time.sleep(0.01)
        since = time.time()
        ours.score(rows(5))
        whole, now = ours.usage(tmp_path), ours.usage(tmp_path, since)
    assert (whole.rows, now.rows) == (5, 2)
    assert now.cost == pytest.approx(2 * 540e-6) and whole.rows_per_minute
    assert now.as_dict()["tokens_per_row"] == 540 and "canary_shift" not in now.as_dict()
    assert usage(tmp_path / "nothing", "0" * 16, "1").rows == 0


def test_reasons_are_found_by_row_over_all_configs_oldest_first(tmp_path):
    with judge_server() as model:
        for question in (None, "is it a cat?"):
            with judge(model, tmp_path, question=question) as ours:
                ours.score(rows(3))
    found = reasons(tmp_path, ["id-1", "nobody"])
    assert found["nobody"] == [] and [one.reason for one in found["id-1"]] == ["it is so"] * 2
    assert found["id-1"][0].at <= found["id-1"][1].at
    assert len({one.config_hash for one in found["id-1"]}) == 2
