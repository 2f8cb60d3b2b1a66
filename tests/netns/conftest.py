"""These tests make network namespaces: they need root, `ip` and `nft`.  In CI they run or fail; else they may skip."""

import os
import shutil

import pytest


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip with the reason, or fail in CI, where everything must be there."""
    if item.get_closest_marker("netns") is None:
        return
    missing = [] if os.geteuid() == 0 else ["root"]
    missing += [program for program in ("ip", "nft") if shutil.which(program) is None]
    if not missing:
        return
    reason = f"needs {' and '.join(missing)}; on Debian: apt install iproute2 nftables"
    if os.environ.get("RAMSON_CI"):
        pytest.fail(reason)
    pytest.skip(reason)
