"""What every test that simulates a whole network wants: databases in memory, and no time for garbage and logs."""

import gc
import logging
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

MEMORY = Path("/dev/shm")
IN_MEMORY = MEMORY if os.access(MEMORY, os.W_OK) else None  # None is the usual place for temporary files


@pytest.fixture
def directory() -> Iterator[Path]:
    """A place for the databases; in memory if there is one, as thousands of syncs to a disk show nothing new."""
    with tempfile.TemporaryDirectory(dir=IN_MEMORY) as name:
        yield Path(name)


@pytest.fixture
def quick() -> Iterator[None]:
    """Collect garbage seldom and log nothing: both would take a third of the time."""
    threshold = gc.get_threshold()
    gc.set_threshold(100_000, 50, 50)
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)
    gc.set_threshold(*threshold)
