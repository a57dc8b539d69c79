"""`lance-assets status` on a home whose table has a history."""

from lance_assets.cli.status import words
from lance_assets_tests.cli.command import lance_assets


def test_status_tells_the_daemon_the_last_training_set_and_the_last_checkpoint(home):
    ended = lance_assets("status", "--home", home, "--json")
    assert ended.code == 0, ended.err
    found = ended.json()
    assert found["daemon"]["alive"] is False and found["queue"]["backfills"] == [] and found["paused"] == []
    assert found["training_set"]["tag"] == found["checkpoint"]["tag"] and found["checkpoint"]["beats_base"] is None
    assert {"alert_on_failure", "nightly_maintenance"} <= {one["name"] for one in found["automation"]}
    said = words(found)
    assert any(line.startswith("daemon    NOT running, never seen") for line in said)
    assert any(line.startswith("tuned     ") and line.endswith("not evaluated") for line in said)
