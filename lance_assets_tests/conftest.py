"""What more than one kind of test needs: one Ray head and one S3 server for the session, and an image server."""

import os

import pytest

from lance_assets_tests.picture_server import picture_server
from lance_assets_tests.s3_server import s3_server

#: Environment variable with the key of the judge's endpoint.
JUDGE_KEY = "JUDGE_TEST_KEY"


@pytest.fixture(scope="session")
def ray_address(tmp_path_factory):
    """host:port of a Ray head on loopback that tests join."""
    from lance_assets.compute.head import start_head, stop_head

    folder = tmp_path_factory.mktemp("ray")
    os.environ[JUDGE_KEY] = "the key of a stub"  # keys come from the environment of who starts Ray
    head = start_head(folder / "ray.json", 2, folder / "ray.log")
    yield head.address
    stop_head(folder / "ray.json")


@pytest.fixture(scope="session")
def s3():
    """An S3-compatible server on loopback with one bucket, `.uri`; the environment names it from now on."""
    with s3_server() as server:
        yield server


@pytest.fixture
def pictures():
    """A loopback image server; `.host`, `.paths` requested so far."""
    with picture_server() as server:
        yield server
