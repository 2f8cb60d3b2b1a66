"""A daemon to stand in for oxend, and a world of sockets."""

import sys
from pathlib import Path

import pytest

from ramson.world import real

sys.path.append(str(Path(__file__).parent))  # for `oxend_stand_in`


@pytest.fixture
def world():
    return real.world()


@pytest.fixture
def url(tmp_path):
    return f"ipc://{tmp_path}/oxend.sock"


@pytest.fixture
async def oxend(url):
    from oxend_stand_in import StandIn

    async with StandIn(url) as stand_in:
        yield stand_in
