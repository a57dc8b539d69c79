"""kill -9 anywhere, at any time: rerun, and the table equals the one of an undisturbed run."""

from __future__ import annotations

from lance_assets.store.files import DataRoot
from lance_assets_tests.faults.__main__ import in_words
from lance_assets_tests.faults.campaign import campaign

#: One script, in which each kind of operation is killed.
SEED = 5


def test_twenty_kills_lose_nothing(tmp_path):
    report = campaign(20, SEED, DataRoot(tmp_path / "data"), tmp_path, print)
    assert not report.failures, in_words(report)
    assert report.kills == 20
    assert (report.lost, report.duplicated, report.unexplained) == (0, 0, 0)
