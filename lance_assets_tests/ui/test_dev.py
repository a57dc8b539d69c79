"""`lance-assets dev` when things go wrong."""

import signal
import subprocess

import psutil
import pytest

from lance_assets_tests.ui.platform import ROOT, DevPlatform, free_port


def told(command):
    """Exit code and the one sentence of a command that refuses."""
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stderr.strip()


def test_a_second_dev_on_the_same_home_is_refused_in_one_sentence(platform):
    code, said = told(platform.command("dev", "--port", str(free_port())))
    assert code == 2
    assert said == f"lance-assets: another dev is running on {platform.home}: use that one, or end it first"


def test_a_taken_port_is_said_in_one_sentence_and_nothing_is_made(platform, tmp_path):
    other = platform.command("dev", "--port", str(platform.port))
    code, said = told([*other[:-1], str(tmp_path / "other")])
    assert code == 2
    assert said.startswith(f"lance-assets: port {platform.port} cannot be used") and "\n" not in said
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def own(tmp_path):
    own = DevPlatform(tmp_path / "home")
    try:
        yield own
    finally:
        own.kill()


def test_what_a_killed_dev_left_is_ended_by_the_next_and_its_run_is_marked_as_failed(own):
    own.start()
    run = own.graphql.launch("discover_batches")  # plays and publishes 300 frames: time enough to be killed in
    own.graphql.reached(run, ("STARTED",))
    left = own.mentioned()
    own.process.kill()
    own.process.wait()
    own.start()
    assert "ended the Dagster left by a dev that was killed" in own.log.read_text()
    _, alive = psutil.wait_procs(left, timeout=5)
    assert alive == []
    assert own.graphql.reached(run, seconds=5) == "FAILURE"
    assert own.stop(signal.SIGTERM) == 0
