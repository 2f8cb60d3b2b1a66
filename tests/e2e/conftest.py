"""The fixtures of tests that simulate a whole network."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "sim"))  # tests are no package
from simulating import directory, quick

__all__ = ["directory", "quick"]
