"""Which of the workers goes on: one for a host that answers at once, all for one that takes its time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

from lance_assets.ingest import schedule
from lance_assets.ingest.backlog import Backlog
from lance_assets.ingest.gate import HostGate
from lance_assets.ingest.schedule import Schedule
from lance_assets.ingest.task import Task


class Clock:
    """Seconds that pass when the test says so."""

    now = 100.0


@pytest.fixture
def clock(monkeypatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(schedule, "time", SimpleNamespace(monotonic=lambda: clock.now))
    return clock


def two_at_work(clock: Clock, wait_s: float) -> Schedule:
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
        clock.now += wait_s
    return tasks


def test_who_has_the_answer_of_a_slow_host_asks_it_again_while_another_is_at_work(clock):
    following = two_at_work(clock, 2 * schedule.SLOW_S).take()
    assert following is not None and following.number == 2


def test_who_has_the_answer_of_a_quick_host_leaves_the_processor_to_the_one_at_work(clock):
    tasks = two_at_work(clock, schedule.SLOW_S / 2)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(tasks.take)
        with pytest.raises(TimeoutError):
            first.result(0.3)
        following = tasks.take()  # now the second one is done
        assert following is not None and following.number == 2
        tasks.close()
        assert first.result(10) is None
