"""Nothing of ours can be reached from another machine."""

import subprocess
import sys

import pytest

from lance_assets_tests.ui.listeners import Watch, is_loopback

OPEN = "import socket; s = socket.create_server(('0.0.0.0', 0)); print('open', flush=True); input()"


@pytest.mark.parametrize("which", ["by_graphql", "by_command"])
def test_only_loopback_listens(which, request):
    watch = request.getfixturevalue(which).watch
    assert watch.looks >= 10, "the run was over before it was looked at"
    assert len(watch.seen) >= 10, watch.seen
    assert watch.elsewhere() == []


def test_every_part_was_looked_at_while_it_worked(by_graphql, by_command):
    """In one of the two runs at least: a replica that scores thirty rows may live shorter than two looks."""
    commands = by_graphql.watch.commands | by_command.watch.commands
    for part in ("dagster_webserver", "gcs_server", "lance_assets.sources.demo.serve", "ServeReplica"):
        assert any(part in command for command in commands), f"{part} was never seen at work"


def test_an_address_counts_as_loopback_only_where_it_is():
    assert all(map(is_loopback, ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"]))
    assert not any(map(is_loopback, ["0.0.0.0", "::", "192.168.1.4", "::ffff:10.0.0.1", "fe80::1%eth0"]))


def test_a_listener_on_every_interface_of_a_child_is_found_and_named():
    shell = [sys.executable, "-c", f"import subprocess, sys; subprocess.run([sys.executable, '-c', {OPEN!r}])"]
    with subprocess.Popen(shell, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout and parent.stdout.readline() == "open\n"
        with Watch(parent.pid) as watch:
            pass
        parent.communicate("\n")
    (found,) = watch.elsewhere()
    assert found.startswith("0.0.0.0: ") and "create_server" in found
