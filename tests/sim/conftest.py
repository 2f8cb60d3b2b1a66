"""The fixtures of tests that simulate a whole network."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # tests share what is beside them and are no package
from simulating import directory, quick

__all__ = ["directory", "quick"]
