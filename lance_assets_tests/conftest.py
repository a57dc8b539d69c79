"""What more than one kind of test needs: one Ray head for the session, and an image server."""

import pytest

from lance_assets_tests.picture_server import picture_server


@pytest.fixture(scope="session")
def ray_address(tmp_path_factory):
    """host:port of a Ray head on loopback that tests join."""
    from lance_assets.compute.head import start_head, stop_head

    folder = tmp_path_factory.mktemp("ray")
    head = start_head(folder / "ray.json", 2, folder / "ray.log")
    yield head.address
    stop_head(folder / "ray.json")


@pytest.fixture
def pictures():
    """A loopback image server; `.host`, `.paths` requested so far."""
    with picture_server() as server:
        yield server
