"""One `lance-assets dev` on a fresh home, and one browser, for all tests of this folder."""

import json
import os
import shutil
import subprocess
from dataclasses import dataclass

import pytest

from lance_assets_tests.ui.listeners import Watch
from lance_assets_tests.ui.platform import DevPlatform

CHROMIUM = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]


def pytest_collection_modifyitems(items):
    for item in items:
        if "/ui/" in str(item.path):
            item.add_marker(pytest.mark.ui)


@pytest.fixture(scope="session")
def platform(tmp_path_factory):
    """The platform, up; ended by Ctrl-C afterwards, with nothing left behind."""
    platform = DevPlatform(tmp_path_factory.mktemp("ui") / "home")
    try:
        platform.start()
        yield platform
        assert platform.stop() == 0
    finally:
        platform.kill()


@pytest.fixture
def page():
    """A page of a real browser that was never here before."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        assert not os.environ.get("CI"), "CI must have chromium"
        pytest.skip("there is no chromium on this machine: apt-get install chromium runs this test")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=CHROMIUM)
        page = browser.new_page(viewport={"width": 1600, "height": 1000})
        page.set_default_timeout(30_000)
        yield page
        browser.close()


@dataclass(frozen=True)
class Done:
    """A run that materialized one batch of everything, and who listened meanwhile."""

    batch: str
    runs: list[str]
    watch: Watch


@pytest.fixture(scope="session")
def by_graphql(platform):
    """What the UI sends: discover_batches, then one batch of everything."""
    graphql = platform.graphql
    before = set(graphql.partitions())
    platform.one_more_batch()
    graphql.succeeded(graphql.launch("discover_batches"))
    batch = sorted(set(graphql.partitions()) - before)[0]
    with Watch(platform.process.pid) as watch:
        run = graphql.materialize(graphql.asset_keys(), batch)
        graphql.succeeded(run)
    return Done(batch, [run], watch)


@pytest.fixture(scope="session")
def by_command(platform):
    """`lance-assets demo` on the same home, for one more batch."""
    platform.one_more_batch()
    command = platform.command("demo", "--json")
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    with process, Watch(process.pid, platform.process.pid) as watch:
        out, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    said = json.loads(out.splitlines()[-1])["this_run"]
    return Done(said["batches"][0], said["run_ids"], watch)
