"""The tests of the store run on a folder and on an object store alike."""

import uuid

import pytest

from lance_assets.store.files import DataRoot
from lance_assets_tests.labels import SHARP, Labeller
from lance_assets_tests.tables import add_batch
from lance_assets_tests.unit.store.relabelled import ROWS, A, B, scores


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


@pytest.fixture
def labelled(root):
    """Two batches whose rows 0..39 are labelled 30..69."""
    for batch in (A, B):
        add_batch(root, batch, ROWS, fragments=2)
    labeller = Labeller(root, cells=scores(0))
    for batch in (A, B):
        labeller(batch, SHARP)
    return labeller
