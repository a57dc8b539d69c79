"""Pictures come at the size that was asked for."""

from __future__ import annotations

import pytest

from lance_assets.scoring.decoding import decode
from lance_assets_tests.fault_files import jpeg


@pytest.mark.parametrize("side", [9, 96, 900, 1023, 1025])
@pytest.mark.parametrize("factor", [2, 4, 8])
def test_a_jpeg_is_scaled_down_once_also_where_its_sides_do_not_divide(side, factor):
    assert decode(jpeg(side), factor).size == (-(-side // factor),) * 2
