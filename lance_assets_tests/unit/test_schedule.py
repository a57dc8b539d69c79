"""Which of the workers goes on: one for a host that answers at once, all for one that takes its time."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from lance_assets.ingest import schedule
from lance_assets.ingest.backlog import Backlog
from lance_assets.ingest.gate import HostGate
from lance_assets.ingest.schedule import Schedule
from lance_assets.ingest.task import Task


def two_at_work(wait_s: float) -> Schedule:
    """Two workers have answers of one host, the first after so long, and a third task of it is due. Workers are told
    apart by nothing but what they call."""
    tasks = Schedule(HostGate(), 8, Backlog(1_000_000))
    for number in range(3):
        tasks.put_host(Task(number, "http://h/"), "h", 0.0)
    tasks.begin()
    assert tasks.take() is not None
    with tasks.aside():
        tasks.begin()
        assert tasks.take() is not None
        time.sleep(wait_s)
    return tasks


@pytest.fixture
def nobody_is_stuck(monkeypatch):
    """A worker that is at work for long is not replaced, however slow the machine is."""
    monkeypatch.setattr(schedule, "STUCK_S", 3600.0)


def test_who_has_the_answer_of_a_slow_host_asks_it_again_while_another_is_at_work(nobody_is_stuck, monkeypatch):
    monkeypatch.setattr(schedule, "SLOW_S", 0.0)
    following = two_at_work(1.0).take()
    assert following is not None and following.number == 2


def test_who_has_the_answer_of_a_quick_host_leaves_the_processor_to_the_one_at_work(nobody_is_stuck, monkeypatch):
    monkeypatch.setattr(schedule, "SLOW_S", 3600.0)
    tasks = two_at_work(0.0)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(tasks.take)
        with pytest.raises(TimeoutError):
            first.result(0.3)
        following = tasks.take()  # now the second one is done
        assert following is not None and following.number == 2
        tasks.close()
        assert first.result(10) is None
