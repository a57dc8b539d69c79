"""Nothing of ours can be reached from another machine."""

import pytest

from lance_assets_tests.ui.listeners import is_loopback


@pytest.mark.parametrize("which", ["by_graphql", "by_command"])
def test_only_loopback_listens(which, request):
    watch = request.getfixturevalue(which).watch
    assert watch.looks >= 10, "the run was over before it was looked at"
    for part in ("dagster_webserver", "gcs_server", "lance_assets.sources.demo.serve", "ServeReplica"):
        assert any(part in command for command in watch.commands), f"{part} was never seen at work"
    assert len(watch.seen) >= 10, watch.seen
    assert watch.elsewhere() == []


def test_an_address_counts_as_loopback_only_where_it_is():
    assert all(map(is_loopback, ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"]))
    assert not any(map(is_loopback, ["0.0.0.0", "::", "192.168.1.4", "::ffff:10.0.0.1", "fe80::1%eth0"]))
