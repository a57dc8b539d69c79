"""The small platform that tests of sensors look at, and the batches of its first file."""

from __future__ import annotations

import dagster as dg
import pytest

from lance_assets_tests.graph.platforms import SOURCE, SmallPlatform


@pytest.fixture
def platform(tmp_path):
    with dg.DagsterInstance.ephemeral() as instance:
        yield SmallPlatform(tmp_path, instance)


@pytest.fixture
def found(platform):
    """The batches of a file of five rows, registered by a tick, and its cursor."""
    platform.add("a.jsonl", 5)
    return platform.tick(SOURCE)
