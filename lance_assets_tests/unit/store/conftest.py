"""The tests of the store run on a folder and on an object store alike."""

import uuid

import pytest

from lance_assets.store.files import DataRoot


@pytest.fixture
def local_root(tmp_path):
    return DataRoot(tmp_path / "data")


@pytest.fixture
def s3_root(s3):
    """A prefix that nobody else has."""
    return DataRoot(f"{s3.uri}/{uuid.uuid4().hex}")


@pytest.fixture(params=["local", "s3"])
def root(request):
    return request.getfixturevalue(f"{request.param}_root")
