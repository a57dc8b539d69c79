"""Tests of this room join the session's Ray head."""

import pytest

from lance_assets.store.files import DataRoot


@pytest.fixture(scope="module")
def joined(ray_address):
    """This process as a driver of the shared head."""
    import ray

    ray.init(ray_address, namespace="lance_assets", log_to_driver=False)
    yield
    ray.shutdown()


@pytest.fixture
def root(tmp_path):
    return DataRoot(tmp_path / "data")
